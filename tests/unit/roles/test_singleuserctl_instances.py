# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node's control helper does with accounts, ports, units and files."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import socketserver
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from launch import launch_request
from libcloudspawner.providers.base import Limits, ProviderError, State
from libcloudspawner.providers.systemd import SystemdProvider

TOKEN = "a-token-that-nobody-may-see"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# --- starting -----------------------------------------------------------------------------------------------


def test_a_start_says_where_the_server_is_and_whose(host):
    instance = host.start("alice-gpu", user="Alice", server="gpu", account="jupyter-alice", request="r7")["instance"]
    expected = {"instance": "alice-gpu", "user": "Alice", "server": "gpu", "request": "r7", "hub": "hub"}
    expected |= {"account": "jupyter-alice", "address": "127.0.0.1", "state": "running", "pid": 4711}
    assert {key: instance[key] for key in expected} == expected
    assert 20000 <= instance["port"] <= 29999
    assert TOKEN not in str(instance)


def test_what_holds_the_token_is_for_root_alone(host):
    host.start(variables={"JUPYTERHUB_API_TOKEN": TOKEN, "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0/user/alice/"})
    path = host.helper.ENVIRONMENT_FILES / "alice.env"
    port = host.ask("status")["instance"]["port"]
    assert f'JUPYTERHUB_API_TOKEN="{TOKEN}"\n' in path.read_text()
    assert f'JUPYTERHUB_SERVICE_URL="http://127.0.0.1:{port}/user/alice/"\n' in path.read_text()
    holders = [path for path in host.root.rglob("*") if path.is_file() and TOKEN in path.read_text()]
    assert holders == [path]
    assert mode(path) == 0o400
    assert TOKEN not in str(host.commands)


def test_the_programs_of_the_environment_come_first(host):
    host.start()
    bin_folder = host.helper.ENVIRONMENTS / "default-0123/bin"
    assert f'PATH="{bin_folder}:' in (host.helper.ENVIRONMENT_FILES / "alice.env").read_text()


def test_what_a_user_installs_goes_into_the_home_and_apart_for_each_environment(host):
    host.start()
    base = Path(host.accounts["jupyter-alice"].pw_dir) / ".local/environments/default"
    assert f'PYTHONUSERBASE="{base}"' in (host.helper.ENVIRONMENT_FILES / "alice.env").read_text()
    drop_in = host.helper.DROP_INS / "jupyterhub-singleuser@alice.service.d/instance.conf"
    assert f'mkdir -p "{base}/lib/python3.11/site-packages"' in drop_in.read_text()


def test_the_unit_runs_as_the_account_with_the_limits(host):
    host.start(limits={"memory_bytes": 2**29, "cpus": 0.5, "tasks": 100})
    text = (host.helper.DROP_INS / "jupyterhub-singleuser@alice.service.d/instance.conf").read_text()
    assert {"User=jupyter-alice", "MemoryMax=536870912", "CPUQuota=50%", "TasksMax=100"} <= set(text.split("\n"))


def test_a_start_takes_the_place_of_the_one_before(host):
    first = host.start(request="r1")["instance"]
    second = host.start(request="r2")["instance"]
    assert [one["request"] for one in host.ask("list")["instances"]] == ["r2"]
    assert ("/usr/bin/systemctl", "stop", first["unit"]) in host.commands
    assert second["account"] == first["account"]


@pytest.mark.parametrize("step", ["start", "show", "daemon-reload"])
def test_a_start_that_systemd_refuses_leaves_nothing(host, step):
    host.failures[step] = "Job for the unit failed.\nSee systemctl status."
    answer = host.start()
    assert answer["code"] == "failed"
    assert "Job for the unit failed." in answer["error"]
    assert host.leftovers() == []


def test_a_unit_that_fails_shows_what_it_wrote_last(host):
    host.failures["start"] = "Job for the unit failed.\nSee systemctl status."
    host.journal = ["Traceback", "ImportError: numpy"]
    assert host.start()["error"].split("\n") == ["Job for the unit failed.", "Traceback", "ImportError: numpy"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (["first", "10%\r20%\r30%", "last"], ["30%", "last"]),
        # As the journal hands on what is no text.
        ([list(b"\x1b[31mred\x1b[0m \xff")], ["\x1b[31mred\x1b[0m \ufffd"]),
        ([None, "last"], ["last"]),
    ],
)
def test_what_a_server_wrote_last_is_shown_in_its_order_whatever_it_is(host, written, shown):
    host.start()
    host.journal = written
    assert host.ask("log", instance="alice", lines=2)["lines"] == shown


def test_a_unit_that_fails_without_a_word_is_reported_all_the_same(host):
    host.failures["start"] = ""
    host.journal = ["ImportError: numpy"]
    answer = host.start()
    assert answer["code"] == "failed"
    assert "ImportError: numpy" in answer["error"]


@pytest.mark.parametrize("broken", ["drop_in", "environment_file", "with_port"])
def test_a_start_that_breaks_half_way_leaves_nothing(host, broken):
    def fail(*_):
        raise OSError("No space left on device")

    setattr(host.helper, broken, fail)
    assert not host.start(variables={"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0/"})["ok"]
    assert host.leftovers() == []


# --- listing ------------------------------------------------------------------------------------------------


def test_a_list_holds_the_instances_of_the_hub_that_asks(host):
    host.start("alice")
    host.start("bob")
    host.start("carol", hub="other")
    assert {one["instance"]: one["user"] for one in host.ask("list")["instances"]} == {"alice": "alice", "bob": "bob"}
    assert [one["instance"] for one in host.ask("list", hub="other")["instances"]] == ["carol"]
    assert host.ask("list", hub="third")["instances"] == []


def test_a_list_is_one_question_to_systemd_however_long_it_is(host):
    for number in range(5):
        host.start(f"user-{number}")
    host.commands.clear()
    assert len(host.ask("list")["instances"]) == 5
    assert len(host.commands) == 1


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"ActiveState": "activating"}, {"state": "starting"}),
        ({"ActiveState": "active"}, {"state": "running"}),
        ({"ActiveState": "reloading"}, {"state": "running"}),
        ({"ActiveState": "deactivating"}, {"state": "stopping"}),
        ({"ActiveState": "inactive"}, {"state": "stopped", "exit_status": 0}),
        ({"ActiveState": "maintenance"}, {"state": "running"}),  # a state that the helper does not know
        (
            {"ActiveState": "failed", "Result": "oom-kill", "ExecMainStatus": "137"},
            {"state": "failed", "result": "oom-kill", "exit_status": 137},
        ),
    ],
)
def test_the_state_of_an_instance_is_that_of_its_unit(host, properties, expected):
    unit = host.start()["instance"]["unit"]
    host.units[unit] = properties
    for instance in (host.ask("status")["instance"], host.ask("list")["instances"][0]):
        assert {key: instance[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("whose_port", "whose_uid", "active", "is_listening"),
    [
        ("own", "own", "active", True),
        ("own", "other", "active", False),
        ("other", "own", "active", False),
        ("own", "own", "deactivating", False),
    ],
)
def test_a_server_listens_when_its_own_account_does_at_its_port(host, whose_port, whose_uid, active, is_listening):
    instance = host.start()["instance"]
    host.units[instance["unit"]]["ActiveState"] = active
    found = (instance["port"] + (whose_port == "other"), instance["uid"] + (whose_uid == "other"))
    host.helper.listening = lambda: {found}
    assert host.ask("status")["instance"]["listening"] == is_listening


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_who_listens_is_read_from_the_kernel(pure, family, address):
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        mine = (server.getsockname()[1], os.getuid())
        assert mine not in pure.listening()
        server.listen()
        assert mine in pure.listening()
        assert not pure.is_free(address, mine[0])


def test_what_is_not_there_has_no_status_and_no_log(host):
    assert host.ask("status") == {"ok": True, "instance": None}
    assert host.ask("log") == {"ok": True, "lines": []}


@pytest.mark.parametrize("action", ["status", "log"])
def test_nobody_looks_into_an_instance_of_another_hub(host, action):
    host.start()
    host.journal = ["a secret"]
    answer = host.ask(action, hub="other")
    assert answer["code"] == "foreign"
    assert "a secret" not in answer["error"]


def test_nobody_takes_the_place_of_an_instance_of_another_hub(host):
    host.start(request="r1")
    assert host.start(hub="other", account="jupyter-other", request="r2")["code"] == "foreign"
    assert "jupyter-other" not in host.accounts
    assert host.ask("status")["instance"]["request"] == "r1"


# --- stopping -----------------------------------------------------------------------------------------------


def test_a_stop_leaves_the_home_and_nothing_else(host):
    host.start()
    (host.root / "home/jupyter-alice/notebook.ipynb").write_text("{}")
    assert host.ask("stop") == {"ok": True, "found": True}
    assert host.leftovers() == []
    assert (host.root / "home/jupyter-alice/notebook.ipynb").exists()
    assert host.ask("list")["instances"] == []


@pytest.mark.parametrize(
    "request_",
    [{"instance": "bob"}, {"request": "r0"}, {"hub": "other"}, {"hub": "other", "request": "r1"}],
    ids=repr,
)
def test_stopping_what_is_not_there_is_no_error_and_touches_nothing(host, request_):
    host.start(request="r1")
    assert host.ask("stop", **request_) == {"ok": True, "found": False}
    assert host.ask("status")["instance"]["state"] == "running"


def test_an_instance_that_systemd_does_not_stop_is_still_there(host):
    host.start()
    host.failures["stop"] = "Connection timed out"
    assert host.ask("stop")["code"] == "failed"
    assert [one["instance"] for one in host.ask("list")["instances"]] == ["alice"]
    host.failures.clear()
    assert host.ask("stop")["found"]


# --- accounts -----------------------------------------------------------------------------------------------


def test_an_account_is_made_once_with_a_home_for_its_user_alone(host):
    for server in ("", "gpu"):
        assert host.start(f"alice-{server}x", user="alice", server=server, account="jupyter-alice")["ok"]
    assert [command[-1] for command in host.commands if "useradd" in command[0]] == ["jupyter-alice"]
    assert mode(host.root / "home/jupyter-alice") == 0o700


def test_two_servers_of_a_new_user_make_one_account(host):
    def start(number):
        return host.start(f"alice-{number}", user="alice", account="jupyter-alice")

    with ThreadPoolExecutor(4) as threads:
        assert all(answer["ok"] for answer in threads.map(start, range(4)))
    assert sum("useradd" in command[0] for command in host.commands) == 1


@pytest.mark.parametrize(
    ("accounts", "account_map", "account", "words"),
    [
        ({}, {}, "root", "uid 0"),
        ({}, {}, "www-data", "uid 33"),
        ({"jupyter-alice": 999}, {}, "jupyter-alice", "uid 999"),
        ({"teacher": 1500}, {}, "teacher", "not made for JupyterHub"),
        ({"jupyter-alice": 1500}, {}, "jupyter-alice", "not made for JupyterHub"),
        ({}, {}, "somebody", "must begin with jupyter-"),
        ({}, {"alice": "root"}, "jupyter-alice", "uid 0"),
        ({}, {"alice": "www-data"}, "jupyter-alice", "uid 33"),
        ({}, {"alice": "nobody-there"}, "jupyter-alice", "does not exist"),
        ({"teacher": 1500}, {"bob": "teacher"}, "teacher", "not made for JupyterHub"),
    ],
)
def test_an_account_that_is_not_for_this_user_is_refused(host, accounts, account_map, account, words):
    for name, uid in accounts.items():
        host.add_account(name, uid)
    host.configuration["account_map"] = account_map
    answer = host.start("alice", account=account)
    assert answer["code"] == "refused"
    assert words in answer["error"]
    assert host.commands == []
    assert host.leftovers() == []


def test_an_account_that_was_made_for_another_user_is_refused(host):
    assert host.start("bob", account="jupyter-bob")["ok"]
    answer = host.start("alice", account="jupyter-bob")
    assert answer["code"] == "refused"
    assert "bob" in answer["error"]


def test_an_account_that_was_made_again_by_somebody_else_is_refused(host):
    assert host.start("alice")["ok"]
    host.add_account("jupyter-alice", 1700)
    assert host.start("alice")["code"] == "refused"


def test_a_mapped_account_is_used_whatever_was_asked_for(host):
    host.add_account("teacher", 1500)
    host.configuration["account_map"] = {"alice": "teacher"}
    instance = host.start("alice", account="jupyter-alice")["instance"]
    assert (instance["account"], instance["uid"]) == ("teacher", 1500)
    assert not any("useradd" in command[0] for command in host.commands)


def test_the_home_of_an_account_that_was_removed_is_its_owners_again(host):
    host.helper.MIN_UID = 0
    home = host.root / "home/jupyter-alice"
    home.mkdir(parents=True)
    host.start("alice")
    (useradd,) = [command for command in host.commands if "useradd" in command[0]]
    assert useradd[useradd.index("--uid") + 1] == str(home.stat().st_uid)
    assert "--no-create-home" in useradd


def test_no_account_is_made_for_a_home_of_the_system(host):
    host.helper.MIN_UID = os.getuid() + 1
    (host.root / "home/jupyter-alice").mkdir(parents=True)
    assert host.start("alice")["code"] == "refused"
    assert host.commands == []


# --- ports --------------------------------------------------------------------------------------------------


def test_no_two_instances_get_one_port_when_all_start_at_once(host):
    host.configuration |= {"port_first": 20000, "port_last": 20007}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(host.start, [f"user-{number}" for number in range(9)]))
    ports = sorted(answer["instance"]["port"] for answer in answers if answer["ok"])
    assert ports == list(range(20000, 20008))
    (refusal,) = [answer for answer in answers if not answer["ok"]]
    assert refusal["code"] == "failed"
    assert "No port between 20000 and 20007 is free" in refusal["error"]


def test_a_port_that_something_else_listens_on_is_left_alone(host):
    host.configuration |= {"port_first": 20000, "port_last": 20003}
    host.taken_ports = {20000, 20002}
    assert {host.start(name)["instance"]["port"] for name in ("alice", "bob")} == {20001, 20003}


def test_a_port_is_free_again_after_a_stop(host):
    host.configuration |= {"port_first": 20000, "port_last": 20000}
    assert host.start("alice")["instance"]["port"] == 20000
    assert not host.start("bob")["ok"]
    host.ask("stop")
    assert host.start("bob")["instance"]["port"] == 20000


def test_an_instance_of_another_hub_keeps_its_port(host):
    host.configuration |= {"port_first": 20000, "port_last": 20001}
    ports = {host.start("alice")["instance"]["port"], host.start("bob", hub="other")["instance"]["port"]}
    assert ports == {20000, 20001}


def test_two_hubs_with_names_of_their_own_have_an_instance_of_the_same_user_each(host, physics):
    ranges = {"port_first": 20000, "port_last": 20001}
    host.configuration |= ranges
    physics.configuration |= ranges
    ports = {host.start()["instance"]["port"], physics.start(account="physics-alice")["instance"]["port"]}
    assert ports == {20000, 20001}
    assert list(host.units) == ["jupyterhub-singleuser@alice.service"]
    assert list(physics.units) == ["jupyterhub-physics-singleuser@alice.service"]
    # Whatever a hub calls itself, it is the socket that says which it is.
    for helper, account in ((host, "jupyter-alice"), (physics, "physics-alice")):
        assert [one["account"] for one in helper.ask("list")["instances"]] == [account]
    assert physics.ask("stop")["found"]
    assert host.ask("status")["instance"]["state"] == "running"
    assert not physics.ask("stop")["found"]


@pytest.mark.parametrize(("name", "waits"), [(".ports", True), (".accounts", True), ("ports", False), ("alice", False)])
def test_two_hubs_choose_ports_and_make_accounts_one_after_the_other(host, physics, name, waits, monkeypatch):
    with host.helper.locked(name):
        monkeypatch.setattr(fcntl, "LOCK_EX", fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError) if waits else contextlib.nullcontext(), physics.helper.locked(name):
            pass


def test_the_account_that_was_made_for_one_hub_is_none_of_the_other(host, physics):
    host.start()
    physics.accounts |= host.accounts
    assert "was not made for JupyterHub" in physics.start(account="jupyter-alice")["error"]


def test_slices_and_groups_of_a_hub_are_no_parts_of_those_of_another(pure, physics):
    assert (pure.SLICE, pure.SHARED_GROUP) == ("jupyterhub-singleuser", "jupyterhub")
    assert (physics.helper.SLICE, physics.helper.SHARED_GROUP) == (
        "jupyterhub_physics-singleuser",
        "jupyterhub_physics",
    )


def test_an_account_that_was_made_by_half_is_no_hindrance_to_the_next_start(host):
    host.failures["useradd"] = "useradd: cannot create directory /home/jupyter-alice"
    assert "cannot create directory" in host.start()["error"]
    assert ("/usr/sbin/userdel", "jupyter-alice") in host.commands
    host.failures.clear()
    assert host.start()["ok"]


def test_an_account_whose_record_cannot_be_written_is_no_hindrance_to_the_next_start(host, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    host.helper.MIN_UID = 0
    write = host.helper.write_privately
    monkeypatch.setattr(host.helper, "write_privately", full)
    assert not host.start()["ok"]
    assert "jupyter-alice" not in host.accounts
    monkeypatch.setattr(host.helper, "write_privately", write)
    assert host.start()["ok"]


def test_a_new_account_does_not_get_the_uid_of_a_home_whose_account_is_not_there(host):
    restored = host.root / "home/jupyter-ada"
    restored.mkdir(parents=True)
    uid = restored.stat().st_uid + 1000 + len(host.accounts)
    os.chown(restored, uid, uid)
    assert host.start("zoe")["ok"]
    assert host.accounts["jupyter-zoe"].pw_uid > uid
    assert host.start("ada")["ok"]
    assert host.accounts["jupyter-ada"].pw_uid == uid


def test_a_home_with_a_uid_that_useradd_never_gives_does_not_move_new_accounts_there(host):
    elsewhere = host.root / "home/ada"
    elsewhere.mkdir(parents=True)
    os.chown(elsewhere, 4_000_000, 4_000_000)
    assert host.start("zoe")["ok"]
    assert host.accounts["jupyter-zoe"].pw_uid < host.helper.MAX_UID
    assert not any("--key" in command for command in host.commands)


# --- the other end ------------------------------------------------------------------------------------------


@pytest.fixture
def provider(host, tmp_path):
    host.write_configuration()

    class Connection(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(json.dumps(host.helper.answer(self.rfile.readline())).encode() + b"\n")

    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "control.sock"), Connection) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield SystemdProvider("hub", str(tmp_path / "control.sock"))
        server.shutdown()


def test_the_spawner_and_the_helper_understand_each_other(host, provider):
    request = partial(launch_request, request_id="r1", size="", limits=Limits(), environment={"TOKEN": TOKEN})
    with pytest.raises(ProviderError, match="uid 0") as caught:
        provider.create(request(account="root"))
    assert caught.value.reason == "node-refused"

    created = provider.create(request(limits=Limits(2**29, 0.5, 100)))
    assert (created.name, created.user, created.request_id, created.state) == ("alice", "alice", "r1", State.RUNNING)
    assert provider.list() == [created]
    assert provider.get(created.id) == created

    host.journal = ["one", "two", "three"]
    assert provider.log(created, 2) == ["two", "three"]
    host.units["jupyterhub-singleuser@alice.service"] = {"ActiveState": "failed", "Result": "oom-kill"}
    (failed,) = provider.list()
    assert (failed.state, failed.detail) == (State.FAILED, "oom-kill")

    provider.destroy(replace(created, request_id="r0"))
    assert len(provider.list()) == 1
    provider.destroy(created)
    assert provider.list() == []
    assert provider.get(created.id) is None


def test_the_account_of_a_user_of_another_hub_is_not_lent(host):
    host.start("alice")
    answer = host.start("alice-2", user="alice", account="jupyter-alice", hub="other")
    assert answer["code"] == "refused"
    assert "made for another hub, hub" in answer["error"]
    assert [one["instance"] for one in host.ask("list")["instances"]] == ["alice"]


def test_what_a_server_has_used_of_a_processor_is_what_systemd_counted(host):
    unit = host.start()["instance"]["unit"]
    host.units[unit]["CPUUsageNSec"] = "1500000000"
    assert host.ask("status")["instance"]["cpu_seconds"] == 1.5


@pytest.mark.parametrize("unknown", ["[not set]", str(2**64 - 1)])
def test_where_systemd_counts_nothing_it_is_what_the_processes_have_used(host, unknown):
    unit = host.start()["instance"]["unit"]
    host.units[unit]["CPUUsageNSec"] = unknown
    assert host.ask("status")["instance"]["cpu_seconds"] is None
    ticks = os.sysconf("SC_CLK_TCK")
    for number, group, name in ((7, unit, "python"), (8, unit, "a ) b"), (9, "other.service", "sh")):
        process = host.root / f"proc/{number}"
        process.mkdir(parents=True)
        (process / "cgroup").write_text(f"5:cpuset:/\n1:name=systemd:/jupyterhub.slice/{group}\n")
        (process / "stat").write_text(f"{number} ({name}) S {'0 ' * 10}{ticks} {ticks} {ticks} 0 20 0\n")
    assert host.ask("status")["instance"]["cpu_seconds"] == 6


@pytest.mark.parametrize(("limits", "size"), [({"memory_bytes": 2**29}, 2**28), ({}, 2**30)])
def test_files_that_are_not_kept_are_in_memory_of_which_they_have_half_and_end_with_the_server(host, limits, size):
    instance = host.start(sandbox={"storage_type": "none"}, limits=limits)["instance"]
    (mounted,) = [command for command in host.commands if "systemd-mount" in command[0]]
    uid = host.accounts["jupyter-alice"].pw_uid
    memory = host.helper.MEMORY_HOMES / "alice"
    assert mounted[-2:] == ("tmpfs", str(memory))
    assert f"--options=mode=0700,uid={uid},gid={uid},size={size},nosuid,nodev" in mounted
    drop_in = host.helper.DROP_INS / f"{instance['unit']}.d/instance.conf"
    assert f'BindPaths="{memory}":"' in drop_in.read_text()
    host.ask("stop")
    assert ("/usr/bin/systemd-mount", "--umount", str(memory)) in host.commands
    assert not memory.exists()


def test_memory_that_cannot_be_had_ends_the_start_and_leaves_nothing(host):
    host.failures["systemd-mount"] = "no memory"
    answer = host.start(sandbox={"storage_type": "none"})
    assert "no memory" in answer["error"]
    assert host.leftovers() == []
    assert not (host.helper.MEMORY_HOMES / "alice").exists()


# --- hooks of root ------------------------------------------------------------------------------------------


def hook(when, **further):
    return {"name": f"of-{when}", "when": when, "command": "settle", "timeout": 30, "user": "root", **further}


def programs(host):
    """What was run of systemd's, in its order."""
    ran = ["hook" if "systemd-run" in command[0] else command[1] for command in host.commands]
    return [word for word in ran if word in ("hook", "start", "stop")]


def test_hooks_of_root_run_before_and_after_a_start_and_before_the_end(host):
    host.hooks = [hook("before_start"), hook("after_start"), hook("before_stop")]
    host.start()
    host.ask("stop")
    assert programs(host) == ["hook", "start", "hook", "hook", "stop"]
    before, after, stop = [command for command in host.commands if "systemd-run" in command[0]]
    assert "--wait" in before
    assert "--no-block" in after
    assert "--wait" in stop
    assert "--property=RuntimeMaxSec=30" in before
    assert before[-2] == "/bin/sh"
    assert Path(before[-1]).read_text() == "settle\n"
    assert mode(Path(before[-1])) == 0o400
    assert {"--setenv=JUPYTERHUB_USER=alice", "--setenv=SINGLEUSER_ACCOUNT=jupyter-alice"} <= set(before)


def test_what_the_hub_says_reaches_no_hook_of_root(host):
    host.hooks = [hook("before_start")]
    host.start(variables={"LD_PRELOAD": "/home/jupyter-alice/own.so", "JUPYTERHUB_API_TOKEN": TOKEN})
    (ran,) = [command for command in host.commands if "systemd-run" in command[0]]
    assert "own.so" not in str(ran)
    assert TOKEN not in str(ran)


def test_a_hook_that_fails_ends_the_start_with_what_it_wrote_and_leaves_nothing(host):
    host.hooks = [hook("before_start")]
    host.failures["systemd-run"] = "no room on the volume"
    answer = host.start()
    assert not answer["ok"]
    assert answer["error"] == "The node's hook of-before_start failed.\nno room on the volume"
    assert host.leftovers() == []


def test_a_hook_that_fails_keeps_no_server_from_ending(host, capsys):
    host.start()
    host.hooks = [hook("before_stop")]
    host.failures["systemd-run"] = "no room on the volume"
    assert host.ask("stop") == {"ok": True, "found": True}
    assert host.leftovers() == []
    assert "of-before_stop failed.\nno room on the volume" in capsys.readouterr().err


def test_a_hook_that_cannot_even_be_run_keeps_no_server_from_ending(host, monkeypatch):
    host.start()
    host.hooks = [hook("before_stop")]
    host.failures["systemd-run"] = "no bus"
    monkeypatch.setattr(host.helper, "run_hooks", lambda *_: 1 / 0)
    assert not host.ask("stop")["ok"]
    assert host.leftovers() == []


def test_a_server_that_has_ended_already_has_no_hook_before_its_end(host):
    host.hooks = [hook("before_stop")]
    unit = host.start()["instance"]["unit"]
    host.units[unit]["ActiveState"] = "failed"
    host.ask("stop")
    assert programs(host) == ["start", "stop"]
