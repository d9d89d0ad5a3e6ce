# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest
import yaml
from ansible_collections.libcloudspawner.jupyterhub.plugins.doc_fragments._hub_api import ModuleDocFragment
from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils import _hub_api as hub_api

FORBIDDEN = {"status": 403, "message": "Action is not authorized with current scopes; requires any of [list:users]"}
NOT_ACCEPTED = {"status": 403, "message": "Missing or invalid credentials."}
FAILED = (
    '\n\ndata: {"progress": 0, "message": "Server requested"}\n\n\n\n'
    'data: {"progress": 100, "failed": true, "message": "Spawn failed: no unit"}\n\n'
)


class Answer(NamedTuple):
    status: int = 200
    body: object = ""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    delay: float = 0.0


class Stub(ThreadingHTTPServer):
    """Answers each request line from a table, and remembers what it was sent."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.requests: list[tuple[str, dict[str, str], object]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hub/api"


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        line = f"{self.command} {self.path.removeprefix('/hub/api')}"
        self.server.requests.append((line, dict(self.headers), json.loads(body) if body else None))
        answer = self.server.answers.get(line, Answer(404, {"status": 404, "message": None}))
        time.sleep(answer.delay)
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names that BaseHTTPRequestHandler gives

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def stub():
    servers = []

    def start(answers: dict[str, Answer]) -> Stub:
        server = Stub(answers)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def client(server: Stub, **options) -> hub_api.HubAPI:
    return hub_api.HubAPI(server.url, "secret", **options)


@pytest.mark.parametrize("name", ["", "a", "gpu", "a1-b2", "x" * 30])
def test_a_server_name_that_the_hub_takes_is_taken(name):
    hub_api.check_server_name(name)


@pytest.mark.parametrize("name", ["A", "1a", "-a", "a-", "a--b", "a_b", "a/b", "ä", "a\n", " ", "x" * 31])
def test_a_server_name_that_the_hub_refuses_is_refused_with_the_rule(name):
    with pytest.raises(hub_api.HubError, match="1 to 30 characters"):
        hub_api.check_server_name(name)


def test_a_token_is_read_from_a_closed_file(tmp_path):
    file = tmp_path / "token"
    file.write_text("abc\n")
    file.chmod(0o600)
    assert hub_api.read_token_file(str(file)) == "abc"


@pytest.mark.parametrize(
    ("mode", "text", "message"),
    [
        (0o640, "abc", "mode 0640.*chmod 0600"),
        (0o604, "abc", "mode 0604.*chmod 0600"),
        (0o600, "", "There is no token in"),
        (0o600, "a b", "There is no token in"),
        (0o600, "ä", "There is no token in"),
    ],
)
def test_a_token_file_that_is_not_as_it_should_be_is_refused(tmp_path, mode, text, message):
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(hub_api.HubError, match=message):
        hub_api.read_token_file(str(file))


def test_a_missing_token_file_says_who_writes_it(tmp_path):
    with pytest.raises(hub_api.HubError, match=r"does not exist\. The hub role writes it"):
        hub_api.read_token_file(str(tmp_path / "token"))


@pytest.mark.parametrize("owner", [0, 1000])
def test_a_token_file_of_root_or_of_this_account_is_good(owner):
    hub_api.check_token_file("/t", owner, 0o400, own_uid=1000)


def test_a_token_file_of_another_account_is_refused():
    with pytest.raises(hub_api.HubError, match=r"belongs to uid 1001\. Expected root's"):
        hub_api.check_token_file("/t", 1001, 0o600, own_uid=1000)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Spawn failed: no unit", "no unit"),
        ("Spawn failed: 400 SpawnException(reason=size): There is no size 'x'.", "There is no size 'x'."),
        ("Spawn cancelled", "Spawn cancelled"),
        ("", ""),
    ],
)
def test_a_failure_is_told_in_the_words_of_the_spawner(message, expected):
    assert hub_api.failure_message(message) == expected


@pytest.mark.parametrize(
    ("server", "name", "expected"),
    [
        (None, "", "stopped"),
        (None, "gpu", "absent"),
        ({"ready": True, "pending": None}, "", "started"),
        ({"ready": False, "pending": "spawn"}, "", "pending"),
        ({"ready": False, "pending": "stop"}, "gpu", "pending"),
        ({"ready": False, "pending": None}, "gpu", "stopped"),
    ],
)
def test_the_state_of_a_server(server, name, expected):
    assert hub_api.server_state(server, name) == expected


def test_a_server_is_described_from_the_model_of_the_hub():
    model = {
        "name": "gpu",
        "display_name": "My GPU",
        "ready": True,
        "pending": None,
        "url": "/user/alice/gpu/",
        "user_options": {"userserver_size": "small", "userserver_image": "default", "more": 1},
        "state": {"instance_name": "alice-gpu-1234"},
    }
    record = hub_api.describe("alice", "gpu", model)
    assert record["size"] == "small"
    assert record["environment"] == "default"
    assert record["user_options"] == model["user_options"]
    assert record["url"] == "/user/alice/gpu/"
    assert record["instance"] == "alice-gpu-1234"


def test_a_server_without_options_or_state_is_described_too():
    record = hub_api.describe("alice", "", {"user_options": None, "ready": False})
    assert (record["size"], record["user_options"], record["instance"]) == (None, {}, None)


def test_the_token_is_sent_and_names_are_quoted(stub):
    server = stub({"GET /users/a%2Fb%40x?include_stopped_servers=1": Answer(body={"servers": {"": {}}})})
    assert client(server).servers("a/b@x") == {"": {}}
    assert server.requests[0][1]["Authorization"] == "token secret"


def test_neither_a_proxy_nor_a_netrc_file_comes_between(stub, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = stub({"GET /users/alice?include_stopped_servers=1": Answer(body={"servers": {}})})
    assert client(server).servers("alice") == {}
    assert server.requests[0][1]["Authorization"] == "token secret"


def test_an_unknown_user_has_no_servers(stub):
    assert client(stub({})).servers("nobody") is None


def test_all_pages_are_read_and_no_user_comes_twice(stub):
    def page(names, following):
        items = [{"name": name, "servers": {}} for name in names]
        return Answer(body={"items": items, "_pagination": {"next": following and {"offset": following}}})

    server = stub(
        {
            "GET /users?include_stopped_servers=1&offset=0": page(["a", "b"], 2),
            "GET /users?include_stopped_servers=1&offset=2": page(["b", "c"], None),
        }
    )
    assert [user for user, servers in client(server).all_servers()] == ["a", "b", "c"]
    assert {headers["Accept"] for line, headers, body in server.requests} == {
        "application/jupyterhub-pagination+json",
    }


def test_a_start_and_a_removal_are_sent_as_the_hub_wants_them(stub):
    server = stub(
        {
            "POST /users/alice/server": Answer(202),
            "POST /users/alice/servers/gpu": Answer(201),
            "DELETE /users/alice/server": Answer(204),
            "DELETE /users/alice/servers/gpu": Answer(202),
        }
    )
    api = client(server)
    api.start("alice", "", {})
    api.start("alice", "gpu", {"user_options": {"userserver_size": "small"}})
    api.stop("alice", "")
    api.stop("alice", "gpu", remove=True)
    assert [(line, body) for line, headers, body in server.requests] == [
        ("POST /users/alice/server", {}),
        ("POST /users/alice/servers/gpu", {"user_options": {"userserver_size": "small"}}),
        ("DELETE /users/alice/server", None),
        ("DELETE /users/alice/servers/gpu", {"remove": True}),
    ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(body=FAILED), "no unit"),
        (Answer(body='data: {"progress": 100, "ready": true}\n\n'), ""),
        (Answer(body=""), ""),
        (Answer(body="data: nonsense\n\n"), ""),
        (Answer(400, {"status": 400, "message": "alice is not starting..."}), ""),
    ],
)
def test_the_reason_of_a_failed_start_is_the_last_event(stub, answer, expected):
    server = stub({"GET /users/alice/server/progress": answer})
    assert client(server).start_failure("alice", "") == expected


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(403, NOT_ACCEPTED), "does not accept the token from token_file /t. .*Run the hub role again"),
        (Answer(403, FORBIDDEN), r"may not do this: .*\[list:users\]. Grant its service"),
        (Answer(400, {"status": 400, "message": "No such thing"}), "the hub answered 400: No such thing"),
        (Answer(302, "", {"Location": "/hub/api/users"}), "Expected api_url to be the hub's"),
        (Answer(404, "<html>"), "Expected api_url to be the hub's"),
        (Answer(200, "<html>"), "Expected api_url to be the hub's"),
        (Answer(503, "<html>"), "Check that the hub runs"),
        (Answer(200, {"name": "alice"}), "may not read the servers of 'alice'"),
    ],
)
def test_an_error_says_what_to_do(stub, answer, message):
    server = stub({"GET /users/alice?include_stopped_servers=1": answer})
    with pytest.raises(hub_api.HubError, match=message):
        client(server, token_source="token_file /t").servers("alice")


def test_a_hub_that_is_too_busy_says_when_to_come_back(stub):
    busy = Answer(429, {"status": 429, "message": "Too many users."}, {"Retry-After": "42"})
    server = stub({"POST /users/alice/server": busy})
    with pytest.raises(hub_api.HubError) as caught:
        client(server).start("alice", "", {})
    assert (caught.value.status, caught.value.reason, caught.value.retry_after) == (429, "Too many users.", 42)


def test_a_hub_that_does_not_answer_in_time_is_a_timeout(stub):
    server = stub({"POST /users/alice/server": Answer(201, delay=3)})
    with pytest.raises(hub_api.HubTimeoutError, match="within 1 seconds"):
        client(server, timeout=1).start("alice", "", {})


def test_a_hub_that_is_down_is_named_with_its_url(stub):
    server = stub({})
    server.shutdown()
    server.server_close()
    with pytest.raises(hub_api.HubError, match=f"cannot be reached at {server.url}.*systemctl status jupyterhub"):
        client(server).servers("alice")


@pytest.mark.parametrize("url", ["", "127.0.0.1:8081", "ftp://hub/hub/api", "http:///hub/api"])
def test_an_api_url_that_is_none_is_refused(url):
    with pytest.raises(hub_api.HubError, match="Expected one such as"):
        hub_api.HubAPI(url, "secret")


@pytest.mark.parametrize(("token", "hidden"), [("abc", []), (None, ["from-the-file"])])
def test_a_token_from_the_file_is_hidden_from_any_output(tmp_path, token, hidden):
    file = tmp_path / "token"
    file.write_text("from-the-file\n")
    file.chmod(0o600)
    params = {name: option.get("default") for name, option in hub_api.CONNECTION_SPEC.items()}
    seen: list[str] = []
    api = hub_api.connect({**params, "token": token, "token_file": str(file)}, seen.append)
    assert api.token == (token or "from-the-file")
    assert seen == hidden


def test_the_documentation_and_the_options_agree():
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    spec = hub_api.CONNECTION_SPEC
    assert {name: (option["type"], option.get("default")) for name, option in documented.items()} == {
        name: (option["type"], option.get("default")) for name, option in spec.items()
    }


@pytest.fixture
def hosts_hubs(tmp_path, monkeypatch):
    """The notes of a hub without a name and of one that is named physics."""
    monkeypatch.setattr(hub_api, "ETC", tmp_path)
    for folder, port in (("jupyterhub", 8081), ("jupyterhub-physics", 8091)):
        (tmp_path / folder / "secrets").mkdir(parents=True)
        (tmp_path / folder / "hub.json").write_text(json.dumps({"api_url": f"http://127.0.0.1:{port}/x/hub/api"}))
        token = tmp_path / folder / "secrets/singleuser.token"
        token.write_text(f"{folder}-token")
        token.chmod(0o600)
    return tmp_path


def connected(**options):
    defaults = {name: option.get("default") for name, option in hub_api.CONNECTION_SPEC.items()}
    return hub_api.connect({**defaults, **options}, lambda token: None)


@pytest.mark.parametrize(
    ("options", "url", "token"),
    [
        ({}, "http://127.0.0.1:8081/x/hub/api", "jupyterhub-token"),
        ({"hub_name": "physics"}, "http://127.0.0.1:8091/x/hub/api", "jupyterhub-physics-token"),
        ({"hub_name": "physics", "token": "own"}, "http://127.0.0.1:8091/x/hub/api", "own"),
        ({"hub_name": "physics", "api_url": "http://hub/hub/api"}, "http://hub/hub/api", "jupyterhub-physics-token"),
    ],
)
def test_the_hub_of_a_name_is_asked_with_its_own_token(hosts_hubs, options, url, token):
    api = connected(**options)
    assert (api.api_url, api.token) == (url, token)


def test_a_name_that_no_hub_has_asks_no_other_hub(hosts_hubs):
    with pytest.raises(hub_api.HubError, match=r"There is no hub named physik here: .*/jupyterhub-physik/hub.json"):
        connected(hub_name="physik")
    (hosts_hubs / "jupyterhub/hub.json").unlink()
    assert connected().api_url == "http://127.0.0.1:8081/hub/api"
