# SPDX-License-Identifier: BSD-3-Clause
"""From a start to a stop: what is there in between, and that nothing is left afterwards."""

from __future__ import annotations

import concurrent.futures
import json
import re

import pytest

LEFT_BEHIND = (
    "ls -A /etc/jupyterhub-singleuser | grep {instance}; ls -A /run/systemd/system | grep {instance}; "
    "ls -A /run/jupyterhub-singleuser | grep {instance}.json; "
    "systemctl list-units --all --no-legend 'jupyterhub-singleuser@{instance}.service'"
)


def tokens(host, user):
    """The notes of the API tokens that the hub's database holds for a user."""
    query = (
        "import json, sqlite3; print(json.dumps([row[0] for row in sqlite3.connect("
        "'file:/var/lib/jupyterhub/jupyterhub.sqlite?mode=ro', uri=True).execute('select note from api_tokens "
        "join users on users.id = api_tokens.user_id where users.name = ?', (%r,))]))"
    )
    return json.loads(host.check_output("python3 -c %s", query % user))


def assert_nothing_is_left(host, instance, user):
    assert host.run(LEFT_BEHIND.format(instance=instance)).stdout == ""
    assert not [note for note in tokens(host, user) if note.startswith("Server at")]


@pytest.fixture
def stopped(hub):
    """Users whose servers are stopped when a test is over."""
    users = []
    yield users.append
    for user in users:
        for name in hub.call("GET", f"/users/{user}").json().get("servers", {}):
            hub.stop(user, name)


def test_a_server_starts_answers_and_leaves_only_the_home_when_it_stops(hub, host):
    server = hub.start("ada", userserver_size="small")
    assert server["user_options"] == {"userserver_size": "small"}
    assert hub.call("GET", "/user/ada/api/status").ok
    assert host.service("jupyterhub-singleuser@ada").is_running
    hub.kernel("ada").run("open('kept.txt', 'w').write('here')")

    hub.stop("ada")

    assert_nothing_is_left(host, "ada", "ada")
    assert host.file("/home/jupyter-ada/kept.txt").content_string == "here"


def test_a_home_is_private_and_its_account_has_no_password_and_no_privileges(hub, host, stopped):
    stopped("ada")
    hub.start("ada")
    home = host.file("/home/jupyter-ada")
    assert (home.user, home.group, home.mode) == ("jupyter-ada", "jupyter-ada", 0o700)
    assert host.user("jupyter-ada").password.startswith("!")
    assert host.user("jupyter-ada").groups == ["jupyter-ada"]
    pid = host.service("jupyterhub-singleuser@ada").systemd_properties["MainPID"]
    assert host.check_output("stat --format=%%U /proc/%s", pid) == "jupyter-ada"


@pytest.mark.parametrize(("field", "noun"), [("userserver_size", "size"), ("userserver_image", "environment")])
@pytest.mark.parametrize("value", ["huge", "../etc", "", ["small"], {"a": 1}, 7])
def test_a_choice_outside_the_lists_is_refused_by_name_and_starts_nothing(hub, host, field, noun, value):
    answer = hub.request_start("bob", **{field: value})
    assert answer.status_code == 400
    assert f"There is no {noun}" in answer.json()["message"]
    allowed = "small, large" if noun == "size" else "default, not-there"
    assert allowed in answer.json()["message"]
    assert_nothing_is_left(host, "bob", "bob")


def test_an_environment_that_the_node_lacks_is_named_and_nothing_is_left(hub, host):
    answer = hub.request_start("bob", userserver_image="not-there")
    assert answer.status_code == 500
    assert "no environment not-there; it holds: course, default" in answer.json()["message"]
    assert_nothing_is_left(host, "bob", "bob")


def test_named_servers_of_one_user_run_side_by_side_with_ports_of_their_own(hub, host, stopped):
    stopped("ada")
    for name in ("", "lab", "lab-2"):
        hub.start("ada", name)
    records = [
        json.loads(line)
        for line in host.check_output("cat /run/jupyterhub-singleuser/*.json | sed 's/}{/}\\n{/g'").splitlines()
    ]
    assert len({record["port"] for record in records}) == len(records) == 3
    assert {record["account"] for record in records} == {"jupyter-ada"}
    assert hub.call("GET", "/user/ada/lab/api/status").ok

    hub.kernel("ada", "lab").run("open('of-lab.txt', 'w').write('here')")
    (instance,) = [record["instance"] for record in records if record["server"] == "lab"]

    hub.stop("ada", "lab", remove=True)

    assert "lab" not in hub.call("GET", "/users/ada").json()["servers"]
    assert host.run(LEFT_BEHIND.format(instance=instance)).stdout == ""
    assert not [note for note in tokens(host, "ada") if note.endswith("/user/ada/lab/")]
    assert len([note for note in tokens(host, "ada") if note.startswith("Server at")]) == 2
    assert host.file("/home/jupyter-ada/of-lab.txt").content_string == "here"
    assert hub.call("GET", "/user/ada/api/status").ok


def test_users_who_start_at_once_all_get_a_server_of_their_own(hub, host, stopped):
    users = [f"crowd{number}" for number in range(4)]
    for user in users:
        stopped(user)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        list(threads.map(lambda user: hub.start(user, userserver_size="large"), users))
    for user in users:
        assert hub.kernel(user).run("import getpass; getpass.getuser()") == f"'jupyter-{user}'"


@pytest.mark.parametrize("user", ["Ada", "ada.lovelace", "ada@example.org", "Жанна", "a b", "ada-0a1b2c3d", "x" * 200])
def test_whatever_users_are_called_they_get_accounts_of_their_own(hub, host, user, stopped):
    stopped(user)
    account = hub.start(user, userserver_size="large") and hub.kernel(user).run(
        "import getpass; print(getpass.getuser())"
    )
    assert account.startswith("jupyter-")
    assert account != "jupyter-ada"
    assert host.user(account).uid >= 1000


def give_configuration(hub, host, user, code):
    """Let the next start of a user's server run ``code``."""
    configuration = f"~jupyter-{user}/.jupyter/jupyter_server_config.py"
    host.run(f"rm -f {configuration}")
    hub.start(user, userserver_size="large")
    hub.stop(user)
    host.check_output(
        f"runuser -u jupyter-{user} -- mkdir -p ~jupyter-{user}/.jupyter && echo %s > {configuration}", code
    )


def test_a_server_that_ends_as_it_starts_shows_its_last_words_and_leaves_nothing(hub, host):
    give_configuration(hub, host, "clumsy", "[print(n) for n in range(50)]; raise SystemExit('my own mistake')")
    answer = hub.request_start("clumsy")
    assert answer.status_code == 500
    assert answer.json()["message"].startswith("The server ended while it started")
    assert "my own mistake" in answer.json()["message"]
    assert_nothing_is_left(host, "clumsy", "clumsy")
    progress = hub.call("GET", "/users/clumsy/server/progress").text
    assert "my own mistake" in progress
    assert "Serving notebooks" not in progress, "what the server before it wrote"


def test_a_server_that_never_answers_shows_its_last_words_when_time_is_up(hub, host):
    words = "[print(n) for n in range(50)]; print('I am tired', flush=True)"
    give_configuration(hub, host, "sleepy", f"{words}; import time; time.sleep(1000)")
    assert hub.request_start("sleepy").status_code in (201, 202)
    hub.wait_for("sleepy", seconds=90, pending=None)
    progress = hub.call("GET", "/users/sleepy/server/progress").text
    # What is left of the minute when the server was started, and of that, time to read what it wrote.
    assert re.search("did not answer within 5[0-5] seconds", progress)
    assert "I am tired" in progress
    assert "Serving notebooks" not in progress, "what the server before it wrote"
    assert_nothing_is_left(host, "sleepy", "sleepy")
    assert hub.call("GET", "/users").ok


def test_the_progress_of_a_start_ends_with_the_start(hub, stopped):
    stopped("ada")
    hub.call("POST", "/users/ada")
    with concurrent.futures.ThreadPoolExecutor() as threads:
        start = threads.submit(hub.request_start, "ada", userserver_size="large")
        hub.wait_for("ada", pending="spawn")
        events = [
            json.loads(line.removeprefix("data: "))
            for line in hub.call("GET", "/users/ada/server/progress").text.splitlines()
            if line.startswith("data: ")
        ]
        start.result()
    assert [event["progress"] for event in events] == sorted(event["progress"] for event in events)
    assert "1 GB of memory, 2 processors" in events[1]["message"]
    assert events[-1]["ready"]


def test_stopping_a_server_as_it_starts_leaves_nothing(hub, host):
    hub.call("POST", "/users/hasty")
    with concurrent.futures.ThreadPoolExecutor() as threads:
        start = threads.submit(hub.request_start, "hasty")
        hub.wait_for("hasty", pending="spawn")
        assert hub.call("DELETE", "/users/hasty/server").status_code in (202, 204)
        start.result()
    hub.wait_for("hasty", pending=None, ready=False)
    assert_nothing_is_left(host, "hasty", "hasty")


def test_a_server_that_was_shut_down_from_within_is_shown_as_stopped_and_leaves_nothing(hub, host):
    hub.start("ada")
    host.check_output("systemctl stop jupyterhub-singleuser@ada")
    hub.wait_for("ada", seconds=60, ready=False)
    hub.wait_for("ada", seconds=10, pending=None)
    assert_nothing_is_left(host, "ada", "ada")


def test_every_variable_reaches_the_server_whole(hub, stopped):
    stopped("ada")
    hub.start("ada", userserver_size="small")
    value = hub.kernel("ada").run(
        "import os; print([os.environ['CLASS'], os.environ['MEM_LIMIT'], os.environ['CPU_LIMIT']])"
    )
    assert value == str(['it\'s $HOME \\ `id` "quoted" 100 %', str(512 * 1024**2), "0.5"])


def test_a_renamed_server_keeps_its_choice_and_its_files(hub, host, stopped):
    stopped("ada")
    hub.start("ada", "draft", userserver_size="small")
    hub.kernel("ada", "draft").run("open('work.txt', 'w').write('kept')")
    hub.stop("ada", "draft")
    renamed = hub.call("PATCH", "/users/ada/servers/draft", name="final", display_name="Final paper ✓")
    assert renamed.ok, renamed.text
    assert hub.call("POST", "/users/ada/servers/final").ok
    server = hub.wait_for("ada", "final", ready=True)
    assert (server["display_name"], server["user_options"]) == ("Final paper ✓", {"userserver_size": "small"})
    assert hub.kernel("ada", "final").run("print(open('work.txt').read())") == "kept"
    assert "draft" not in hub.call("GET", "/users/ada").json()["servers"]
