# SPDX-License-Identifier: BSD-3-Clause
"""What the provider for processes beside the hub promises beyond the contract; the processes are real."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from launch import TOKEN, launch_request
from libcloudspawner.providers.base import Instance, Limits, ProviderError, State
from libcloudspawner.providers.local import LocalProvider

# Writes down what it sees, and does what the variable DEED says.
PROGRAM = """
import json, os, resource, subprocess, sys, time

with open("seen.new", "w") as file:
    json.dump({
        "argv": sys.argv, "flags": sys.flags.no_user_site, "cwd": os.getcwd(), "env": dict(os.environ),
        "data": resource.getrlimit(resource.RLIMIT_DATA)[0], "cpus": len(os.sched_getaffinity(0)),
    }, file)
os.rename("seen.new", "seen")
exec(os.environ.get("DEED", ""))
time.sleep(600)
"""
SLEEPERS = "import subprocess; [subprocess.Popen(['sleep', '600'], start_new_session=True) for _ in range(3)]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("default", "other"):
        programs = tmp_path / "environments" / name / "bin"
        programs.mkdir(parents=True)
        (programs / "python").symlink_to(sys.executable)
        (programs / "jupyterhub-singleuser").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def make_provider(folder: Path) -> Iterator[Callable[[], LocalProvider]]:
    made: list[LocalProvider] = []

    def make() -> LocalProvider:
        made.append(LocalProvider("hub", str(folder / "instances"), str(folder / "environments")))
        return made[-1]

    yield make
    for provider in made:
        for instance in provider.list():
            provider.destroy(instance)
        for child in provider._children.values():
            child.wait()


@pytest.fixture
def provider(make_provider: Callable[[], LocalProvider]) -> LocalProvider:
    return make_provider()


@pytest.fixture
def create(provider: LocalProvider, folder: Path) -> Callable[..., Instance]:
    def create(name: str = "alice", deed: str = "", **values: Any) -> Instance:
        environment = {"JUPYTERHUB_API_TOKEN": TOKEN, "DEED": deed, **values.pop("environment", {})}
        placement = {"home_dir_template": str(folder / "homes" / name), **values.pop("placement", {})}
        request = launch_request(name, mark(name), environment=environment, placement=placement, **values)
        return provider.create(request)

    return create


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def seen(folder: Path, name: str = "alice") -> dict[str, Any]:
    path = folder / "homes" / name / "seen"
    eventually(path.exists)
    return dict(json.loads(path.read_text()))


def mark(name: str) -> str:
    """The id of a request; unlike those of tests that run beside this one, whose processes are not to be found."""
    return f"r-{name}-{os.getpid()}"


def marked(name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LIBCLOUDSPAWNER_REQUEST") == mark(name):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_server_runs_in_a_home_of_its_own_and_not_as_the_hub_sees_the_world(create, folder, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/python/lib")
    monkeypatch.setenv("NSS_WRAPPER_PASSWD", "/tmp/passwd")
    monkeypatch.setenv("A_SECRET_OF_THE_HUB", "x")
    create(account="ada", environment={"SHELL": "/bin/zsh"})
    saw = seen(folder)
    home = folder / "homes/alice"
    assert saw["cwd"] == saw["env"]["HOME"] == str(home)
    assert home.stat().st_mode & 0o777 == 0o700
    assert saw["env"]["USER"] == saw["env"]["LOGNAME"] == "ada"
    assert saw["env"]["LD_LIBRARY_PATH"] == "/opt/python/lib"
    assert saw["env"]["NSS_WRAPPER_PASSWD"] == "/tmp/passwd"
    assert saw["env"]["SHELL"] == "/bin/zsh", "what the administrator sets holds"
    assert saw["env"]["PATH"].startswith(f"{folder}/environments/default/bin:")
    assert saw["flags"] == 1, "packages of the user's own must not reach the server"
    assert "A_SECRET_OF_THE_HUB" not in saw["env"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "hub.example"])
def test_the_port_is_given_by_the_provider(create, folder, host):
    created = create(environment={"JUPYTERHUB_SERVICE_URL": f"http://{host}:0/user/alice%40b/"})
    assert seen(folder)["env"]["JUPYTERHUB_SERVICE_URL"] == f"http://{host}:{created.port}/user/alice%40b/"


def test_a_server_that_has_just_begun_and_shows_no_environment_yet_runs(create, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(psutil.Process, "environ", lambda process: {})
        assert create().state is State.RUNNING


def test_the_token_is_in_no_file_and_no_command_line(create, folder):
    create(command=("jupyterhub-singleuser", "--flag"))
    assert TOKEN not in " ".join(seen(folder)["argv"])
    for path in (folder / "instances").rglob("*"):
        assert path.is_dir() or TOKEN not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0 or path.suffix == ".json"


def test_memory_and_processors_are_limited_and_the_log_says_what_is_not(create, folder, caplog):
    create(limits=Limits(memory_bytes=300 * 2**20, cpus=0.5, tasks=100))
    saw = seen(folder)
    assert saw["cpus"] == 1
    (process,) = marked("alice")
    assert process.rlimit(psutil.RLIMIT_DATA) == (300 * 2**20, 300 * 2**20)
    assert "tasks_limit" in caplog.text
    assert "cpu_limit, but by whole processors" in caplog.text
    caplog.clear()
    create("bob", limits=Limits(memory_bytes=300 * 2**20, cpus=0.5, tasks=100))
    assert caplog.text == "", "once is enough"


def test_where_the_platform_refuses_to_set_limits_a_server_starts_and_the_log_says_so(create, monkeypatch, caplog):
    def refuse(*_):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "rlimit", refuse)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", refuse)
    create(limits=Limits(memory_bytes=300 * 2**20, cpus=1))
    assert "mem_limit, which the platform refuses to set" in caplog.text
    assert "cpu_limit, which the platform refuses to set" in caplog.text


def test_what_takes_more_memory_than_its_limit_fails_and_not_its_neighbour(create, folder, provider):
    create("neighbour", limits=Limits(memory_bytes=300 * 2**20))
    greedy = create(deed="bytearray(400 * 2**20)", limits=Limits(memory_bytes=300 * 2**20))
    ended = eventually(lambda: (one := provider.get(greedy.id)) and one.state is State.FAILED and one)
    assert (ended.exit_status, ended.detail) == (1, "exit status 1")
    assert provider.log(ended, 1) == ["MemoryError"]
    assert [one.name for one in provider.list() if one.state is State.RUNNING] == ["neighbour"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor for everybody")
def test_servers_with_one_processor_each_do_not_share_one(create):
    for name in ("alice", "bob"):
        create(name, limits=Limits(cpus=1))
    cpus = [set(process.cpu_affinity()) for name in ("alice", "bob") for process in marked(name)]
    assert not set.intersection(*cpus)


def test_a_hub_that_restarts_finds_its_servers_and_can_stop_them(create, make_provider, folder):
    created = create(deed=SLEEPERS)
    seen(folder)
    eventually(lambda: len(marked("alice")) == 4)
    later = make_provider()
    assert later.get(created.id).state is State.RUNNING
    later.destroy(created)
    assert later.list() == []
    assert [process for process in marked("alice") if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_hub_that_is_killed_before_it_notes_the_process_finds_it_by_its_mark(create, make_provider, folder):
    created = create(deed=SLEEPERS)
    eventually(lambda: len(marked("alice")) == 4)
    (record,) = (folder / "instances/hub").glob("*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "pid": 0}))
    later = make_provider()
    assert later.get(created.id).state is State.RUNNING
    later.destroy(created)
    assert len([process for process in marked("alice") if process.status() != psutil.STATUS_ZOMBIE]) == 0


def test_nothing_of_a_stopped_server_stays_but_its_home(create, provider, folder):
    created = create(deed=SLEEPERS)
    runtime = Path(seen(folder)["env"]["JUPYTER_RUNTIME_DIR"])
    assert runtime.stat().st_mode & 0o777 == 0o700
    eventually(lambda: len(marked("alice")) == 4)
    provider.destroy(created)
    assert marked("alice") == []
    assert not runtime.exists()
    assert list((folder / "instances/hub").iterdir()) == []
    assert (folder / "homes/alice/seen").exists()


def test_a_server_that_ignores_the_signal_to_end_is_killed(create, provider, folder, monkeypatch):
    monkeypatch.setattr("libcloudspawner.providers.local._STOP_SECONDS", 0.2)
    created = create(deed="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('deaf', 'w')")
    eventually((folder / "homes/alice/deaf").exists)
    provider.destroy(created)
    assert marked("alice") == []


def test_what_users_leave_behind_does_not_count_as_a_server(create, provider, folder):
    created = create(deed=SLEEPERS)
    eventually(lambda: len(marked("alice")) == 4)
    min(marked("alice"), key=lambda process: process.create_time()).send_signal(signal.SIGKILL)
    ended = eventually(lambda: (one := provider.get(created.id)).state is State.FAILED and one)
    assert ended.detail == "ended by signal 9"


def test_a_port_that_another_process_took_is_not_the_servers_own(create, provider):
    created = create()
    with socket.create_server(("127.0.0.1", created.port)):
        assert not provider.get(created.id).owns_port


def test_a_server_that_listens_at_its_port_is_ready(create, provider, folder):
    deed = (
        "import socket; from urllib.parse import urlsplit; "
        "s = socket.create_server(('127.0.0.1', urlsplit(os.environ['JUPYTERHUB_SERVICE_URL']).port))"
    )
    created = create(deed=deed, environment={"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0/"})
    eventually(lambda: provider.get(created.id).owns_port)


def test_an_environment_that_is_not_there_is_refused_with_those_that_are(create, provider):
    with pytest.raises(ProviderError, match=r"holds no environment gpu; it holds: default, other\."):
        create(image="gpu")
    with pytest.raises(ProviderError, match="holds no environment"):
        create(image="../environments/default")
    assert provider.list() == []


def test_an_environment_with_a_start_of_its_own_has_the_server_started_by_it(create, folder):
    environment = folder / "environments/default"
    (environment / "repository").mkdir()
    start = environment / "start"
    start.write_text('#!/bin/sh\nKIND=course exec "$@"\n')
    start.chmod(0o755)
    create()
    saw = seen(folder)
    assert saw["env"]["KIND"] == "course"
    assert saw["env"]["REPO_DIR"] == str(environment / "repository")


def test_a_program_that_is_not_there_is_refused_by_name(create, provider):
    with pytest.raises(ProviderError, match="holds no program jupyterhub-doubleuser"):
        create(command=("jupyterhub-doubleuser",))
    with pytest.raises(ProviderError, match="cannot be started: /no/such/program No such file"):
        create(command=("/no/such/program",))
    assert provider.list() == []


def test_a_home_that_cannot_be_made_is_refused_with_its_path(create, provider, folder):
    (folder / "homes").write_text("")
    with pytest.raises(ProviderError, match=f"{folder}/homes/alice"):
        create()
    assert provider.list() == []


def test_a_log_that_grew_too_long_begins_anew(create, provider, folder, monkeypatch):
    monkeypatch.setattr("libcloudspawner.providers.local._LOG_BYTES_MAX", 1000)
    created = create(
        deed="print('x' * 2000, flush=True); open('wrote', 'w'); time.sleep(1); print('after', flush=True)"
    )
    eventually((folder / "homes/alice/wrote").exists)
    provider.list()
    eventually(lambda: provider.log(created, 5) == ["after"])


def test_a_damaged_record_is_named_rather_than_left_out(create, provider, folder):
    create()
    damaged = folder / "instances/hub/r-bob.json"
    damaged.write_text('{"name": "b')
    with pytest.raises(ProviderError, match=str(damaged)):
        provider.list()
    damaged.unlink()
