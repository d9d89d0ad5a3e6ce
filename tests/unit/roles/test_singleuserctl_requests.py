# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node's control helper refuses, and what it never says."""

from __future__ import annotations

import ast
import json
import pwd
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

SECRET = "a-secret-that-nobody-may-see"
CODES = {"invalid", "refused", "foreign", "failed", "internal"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = ["user", "server", "account", "address", "environment", "command", "variables", "limits", "request", "lines"]
FIELDS += ["sandbox", "properties"]


def test_the_helper_needs_nothing_but_python(pure):
    nodes = list(ast.walk(ast.parse(Path(pure.__file__).read_text())))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in modules} <= sys.stdlib_module_names


# --- garbage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"\xff\xfe\n",
        b"null",
        b"[]",
        b'"start"',
        b"{}",
        b'{"hub": "hub", "action": "start", "instance": "ali',
        b"9" * 5000,
        b'{"hub": 1, "action": "list"}',
        b'{"hub": "../hub", "action": "list"}',
        b'{"action": "list"}',
        b'{"hub": "hub"}',
    ],
    ids=lambda line: repr(line[:30]),
)
def test_what_is_no_request_is_invalid(pure, line):
    answer = pure.answer(line)
    assert (answer["ok"], answer["code"]) == (False, "invalid")


@given(st.binary())
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
def test_garbage_is_answered_with_a_refusal(pure, line):
    answer = pure.answer(line)
    assert not answer["ok"]
    assert answer["code"] in CODES
    assert "\n" not in json.dumps(answer)


@given(st.sampled_from(["start", "stop", "status", "log"]), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_a_request_without_a_valid_instance_is_invalid(pure, action, fields):
    answer = pure.answer(json.dumps({"hub": "hub", "instance": "../alice", "action": action, **fields}).encode())
    assert answer["code"] == "invalid"


@pytest.mark.parametrize("size", [0, 1])
def test_a_request_that_is_too_large_is_invalid(host, size):
    line = json.dumps({"hub": "hub", "action": "list", "instance": ""}).encode()
    answer = host.helper.answer(line + b" " * (host.helper.MAX_REQUEST_BYTES + size - len(line)))
    assert answer["ok"] == (size == 0)
    assert size == 0 or answer["code"] == "invalid"


@pytest.mark.parametrize("action", ["reboot", "", "Start", None, 1, [], {}, ["start"], {"start": 1}], ids=repr)
def test_an_unknown_action_is_invalid_and_the_known_ones_are_named(host, action):
    answer = host.ask(action)
    assert answer["code"] == "invalid"
    assert "list, log, start, status, stop" in answer["error"]
    assert host.commands == []


# --- what a start may say -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        *(
            ({"instance": value}, "invalid", "instance")
            for value in ["", "-a", "a-", "A", "a.b", "a/b", "../a", "a\n", "a b", "%i", "é", "a" * 64, None, 1]
        ),
        *(({"hub": value}, "invalid", "hub") for value in ["", "../a", "A", None]),
        *(
            ({"account": value}, "invalid", "account")
            for value in ["", "../root", "Alice", "-o", "a b", "1a", "a" * 33, "root\n", None, 0]
        ),
        *(({"user": value}, "invalid", "user") for value in [None, 1, "a\0b", "a\x1b[0m", "a\rb"]),
        *(({"server": value}, "invalid", "server") for value in [None, [], "\x7f"]),
        *(({"request": value}, "invalid", "request") for value in [None, 1, "\0"]),
        *(({"address": value}, "invalid", "address") for value in [None, 1, "127.0.0.1\0"]),
        *(({"environment": value}, "invalid", "environment") for value in ["", "../x", "/opt", ".x", "A", None, 5]),
        ({"environment": "no-such"}, "failed", "it holds: default"),
        *(({"command": value}, "invalid", "command") for value in [None, [], "sh", {}, [1], ["sh", None], ["a\0"]]),
        *(({"command": [value]}, "failed", "holds no program") for value in ["no-such", "..", ""]),
        *(({"command": [value]}, "invalid", "absolute path") for value in ["bin/sh", "../../bin/sh", "./x"]),
        *(({"variables": value}, "invalid", "environment") for value in [None, [], "A=B", {"A": 1}, {"A": None}]),
        *(
            ({"variables": {name: "x"}}, "invalid", "environment variable")
            for name in ["", "1A", "A B", "A=B", "A\n", "LD-PRELOAD", "é"]
        ),
        *(({"variables": {"A": value}}, "invalid", "variable A") for value in ["\0", "\r", "\x1b", "\x7f", "\ud800"]),
        *(({"limits": value}, "invalid", "limits") for value in [None, [], {"memory": 1}]),
        *(
            ({"limits": {"memory_bytes": value}}, "invalid", "memory_bytes")
            for value in ["1G", 0, -1, 1000, True, 2**60, 1e400, float("nan"), []]
        ),
        *(({"limits": {"cpus": value}}, "invalid", "cpus") for value in ["1", 0, -1, True, float("inf"), float("nan")]),
        *(({"limits": {"tasks": value}}, "invalid", "tasks") for value in ["1", 0, 7, True, -1]),
    ],
    ids=repr,
)
def test_a_start_that_asks_for_what_may_not_be_is_refused_whole(host, request_, code, words):
    answer = host.start(**request_)
    assert (answer["ok"], answer["code"]) == (False, code), answer
    assert words in answer["error"]
    assert host.commands == []
    assert host.leftovers() == []


@pytest.mark.parametrize("request_", [{"user": "\ud800"}, {"command": ["/bin/x", "\ud800"]}], ids=ascii)
def test_text_that_no_file_can_hold_is_invalid(host, request_):
    assert host.start(**request_)["code"] == "invalid"
    assert host.leftovers() == []


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["jupyterhub-singleuser", "--debug"], ["{bin}/python", "-s", "{bin}/jupyterhub-singleuser", "--debug"]),
        (["voila"], ["{bin}/voila"]),
        (["/bin/sh", "-c", "x"], ["/bin/sh", "-c", "x"]),
    ],
)
def test_a_program_without_a_path_is_that_of_the_environment(host, command, expected):
    environment = host.helper.ENVIRONMENTS / "default-0123"
    found = host.helper.checked_command(command, environment)
    assert found == [word.format(bin=environment / "bin") for word in expected]


def test_an_environment_with_a_start_of_its_own_has_the_server_started_by_it(host):
    environment = host.helper.ENVIRONMENTS / "default-0123"
    (environment / "start").touch()
    (environment / "repository").mkdir()
    assert host.helper.checked_command(["/bin/sh"], environment) == [str(environment / "start"), "/bin/sh"]
    assert host.start()["ok"]
    assert f'REPO_DIR="{environment}/repository"' in (host.helper.ENVIRONMENT_FILES / "alice.env").read_text()


def test_what_comes_into_homes_comes_before_what_the_environment_does(host):
    environment = host.helper.ENVIRONMENTS / "default-0123"
    (environment / "start").touch()
    host.helper.HOME_DATA.write_text("[]")
    first, *rest = host.helper.checked_command(["/bin/sh"], environment)
    assert (first, rest) == ("/usr/local/bin/jupyterhub-home-data", ["--then", str(environment / "start"), "/bin/sh"])


# --- secrets ------------------------------------------------------------------------------------------------

LEAKY = {
    "a control character": lambda host: host.start(variables={"TOKEN": f"{SECRET}\0"}),
    "a noncharacter": lambda host: host.start(variables={"TOKEN": f"{SECRET}\U0010ffff"}),
    "not a string": lambda host: host.start(variables={"TOKEN": [SECRET]}),
    "half a request": lambda host: host.helper.answer(f'{{"variables": {{"TOKEN": "{SECRET}"'.encode()),
    "another account": lambda host: host.start(account="root", variables={"TOKEN": SECRET}),
    "another environment": lambda host: host.start(environment="no-such", variables={"TOKEN": SECRET}),
    "a unit that fails": lambda host: _start_failing(host, "start"),
    "a systemd that fails": lambda host: _start_failing(host, "show"),
    "a bug": lambda host: _start_with_a_bug(host),
}


def _start_failing(host, command):
    host.failures[command] = "Job failed."
    return host.start(variables={"TOKEN": SECRET})


def _start_with_a_bug(host):
    def fail(variables):
        raise ValueError(variables)

    host.helper.environment_file = fail
    return host.start(variables={"TOKEN": SECRET})


@pytest.mark.parametrize("start", LEAKY.values(), ids=LEAKY)
def test_a_refusal_never_holds_a_variable_of_the_server(host, capsys, start):
    answer = start(host)
    assert not answer["ok"]
    assert SECRET not in json.dumps(answer)
    assert SECRET not in str(host.commands)
    printed = capsys.readouterr()
    assert SECRET not in printed.out + printed.err


def test_an_unexpected_error_leaves_its_kind_and_place_in_the_journal(host, capsys):
    answer = _start_with_a_bug(host)
    assert answer == {"ok": False, "code": "internal", "error": "Unexpected error of the node: ValueError."}
    printed = capsys.readouterr().err
    assert "ValueError" in printed
    assert "in fail" in printed


@pytest.mark.parametrize("address", ["x" * 70, "no-such-host.invalid", "a..b", "é" * 64 + ".example.org"])
def test_an_address_that_no_host_can_have_is_invalid_and_named(host, address):
    answer = host.start(address=address)
    assert answer["code"] == "invalid"
    assert f"The address {address} to listen on cannot be found: " in answer["error"]
    assert host.leftovers() == []


# Its own group is one of all users.
ACCOUNT = pwd.struct_passwd(("ada", "x", 1001, 0, "", "/home/ada", "/bin/bash"))
FOLDERS = [
    {"name": "everybody", "groups": ["*"], "write_groups": []},
    {"name": "trip", "groups": ["geography"], "write_groups": ["teachers"]},
    {"name": "wall", "groups": [], "write_groups": ["*"]},
]


@pytest.mark.parametrize(
    ("groups", "read", "written"),
    [
        ([], ["everybody"], ["wall"]),
        (["chemistry"], ["everybody"], ["wall"]),
        (["geography"], ["everybody", "trip"], ["wall"]),
        (["geography", "teachers"], ["everybody"], ["trip", "wall"]),
    ],
)
def test_a_server_sees_the_shared_folders_of_its_users_groups_and_no_other(pure, groups, read, written):
    lines = pure.shared_folders(groups, ACCOUNT, {"shared_root": "/srv/shared", "shared_folders": FOLDERS})
    assert lines[0] == "TemporaryFileSystem=/srv/shared:ro"
    assert [line for line in lines if line.startswith("BindReadOnly")] == [
        f'BindReadOnlyPaths="/srv/shared/{name}"' for name in read
    ]
    assert [line for line in lines if line.startswith("BindPaths")] == [
        f'BindPaths="/srv/shared/{name}"' for name in written
    ]
    groups = {line.partition("=")[2] for line in lines if line.startswith("SupplementaryGroups")}
    assert groups == {f"jupyterhub-{name}-read" for name in read} | {f"jupyterhub-{name}" for name in written}


def test_where_nothing_is_shared_nothing_is_hidden(pure):
    assert pure.shared_folders(["geography"], ACCOUNT, {}) == []


@pytest.mark.parametrize("groups", ["geography", [7], ["a\x00b"]])
def test_groups_that_are_no_names_are_refused(pure, groups):
    with pytest.raises(pure.RequestError):
        pure.shared_folders(groups, ACCOUNT, {"shared_root": "/srv/shared", "shared_folders": FOLDERS})


@pytest.mark.parametrize(("name", "mask"), [("root", ["UMask=0002"]), ("ada", [])])
def test_what_one_makes_is_for_the_groups_unless_the_accounts_own_group_is_that_of_others(pure, name, mask):
    account = pwd.struct_passwd((name, "x", 1001, 0, "", "/home/ada", "/bin/bash"))
    lines = pure.shared_folders([], account, {"shared_root": "/srv/shared", "shared_folders": FOLDERS})
    assert [line for line in lines if line.startswith("UMask")] == mask
    read_only = pure.shared_folders([], account, {"shared_root": "/srv/shared", "shared_folders": FOLDERS[:1]})
    assert "UMask=0002" not in read_only
