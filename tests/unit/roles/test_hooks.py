# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program that runs hooks as the user does before, beside and after a server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('so', flush=True); time.sleep(60)"
PROGRAM = Path(__file__).parents[3] / "roles/node/files/jupyterhub-singleuser-hooks"


@pytest.fixture
def call(tmp_path):
    """Run the program with hooks, each a moment, a command and perhaps a time."""

    def call(*arguments, hooks, stop_seconds=15):
        configuration = tmp_path / "hooks.json"
        named = [
            {"name": f"hook-{number}", "when": when, "command": command, "timeout": (*rest, 20)[0]}
            for number, (when, command, *rest) in enumerate(hooks, 1)
        ]
        configuration.write_text(json.dumps(named))
        source = PROGRAM.read_text()
        for place in ('Path("/etc", f"{PROGRAM}.json")', 'Path("/etc", PROGRAM.removesuffix("-hooks"), "hooks.json")'):
            assert place in source
            source = source.replace(place, f"Path({str(configuration)!r})")
        program = tmp_path / PROGRAM.name
        program.write_text(source.replace("STOP_SECONDS = 15", f"STOP_SECONDS = {stop_seconds}"))
        command = [sys.executable, str(program), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    return call


def test_a_server_starts_when_those_before_it_have_ended_in_their_order(call):
    hooks = [("before_start", "echo one"), ("before_stop", "echo never"), ("before_start", "echo two")]
    done = call("--then", "echo", "server", hooks=hooks)
    assert (done.returncode, done.stdout.split()) == (0, ["one", "two", "server"])


def test_one_that_fails_keeps_the_server_from_starting_and_is_named(call):
    done = call("--then", "echo", "server", hooks=[("before_start", "echo no licence >&2; exit 3")])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["no licence", "Hook hook-1 ended with status 3."]


def test_one_that_hangs_is_killed_with_all_that_it_started(call, tmp_path):
    began = time.monotonic()
    done = call("--then", "echo", "server", hooks=[("before_start", "(sleep 50; touch survived) & wait", 0.3)])
    assert time.monotonic() - began < 20
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == "Hook hook-1 did not end within 0.3 s, and was killed."


def test_a_slow_one_after_the_start_keeps_nobody_waiting(call, tmp_path):
    hooks = [("after_start", "until test -e go; do sleep 0.05; done; echo >done")]
    # The output stays open for as long as the hook runs, so it goes elsewhere.
    slow = [("after_start", f"exec >/dev/null 2>&1; {command}") for _, command in hooks]
    done = call("--then", "sh", "-c", "test ! -e done && touch go && echo server", hooks=slow)
    assert done.stdout == "server\n"
    deadline = time.monotonic() + 20
    while not (tmp_path / "done").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_server_is_no_parent_of_those_beside_it(call):
    look = "ps --no-headers --ppid $$ --format comm | grep --invert-match '^ps$\\|^sh$\\|grep'; echo alone"
    done = call("--then", "sh", "-c", look, hooks=[("after_start", "exec sleep 1 >/dev/null 2>&1")])
    assert done.stdout == "alone\n"


def test_before_the_end_its_own_are_run(call):
    done = call("--before-stop", hooks=[("before_start", "echo start"), ("before_stop", "echo stop")])
    assert (done.returncode, done.stdout) == (0, "stop\n")
    assert call("--before-stop", hooks=[("before_stop", "exit 1")]).returncode == 1


def test_those_of_root_are_run_by_their_moment_and_nothing_is_started(call):
    hooks = [("before_start", "echo one; exit 3"), ("after_start", "echo beside"), ("before_start", "echo two")]
    done = call("--root", "before_start", hooks=hooks)
    assert (done.returncode, done.stdout) == (1, "one\n")
    assert done.stderr == "Hook hook-1 ended with status 3.\n"
    done = call("--root", "after_start", hooks=hooks)
    assert (done.returncode, done.stdout) == (0, "beside\n")
    assert call("--root", "before_stop", hooks=hooks).returncode == 0


@pytest.mark.parametrize("code", ["import time; time.sleep(60)", STUBBORN])
def test_the_server_is_ended_with_them_even_if_it_does_not_want_to(call, monkeypatch, code):
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    if code is STUBBORN:
        server.stdout.readline()
    monkeypatch.setenv("MAINPID", str(server.pid))
    reaper = threading.Thread(target=server.wait)
    reaper.start()
    call("--before-stop", hooks=[("before_stop", "true")], stop_seconds=1)
    reaper.join(20)
    assert server.returncode in (-signal.SIGTERM, -signal.SIGKILL)


def test_in_a_container_the_server_ends_after_those_before_its_end_and_its_status_is_told(call):
    server = 'trap "echo ended; exit 3" TERM; echo up; kill -TERM $PPID; while :; do sleep 0.1; done'
    hooks = [("before_start", "echo start"), ("before_stop", "echo stop")]
    done = call("--around", "sh", "-c", server, hooks=hooks)
    assert done.stdout.split() == ["start", "up", "stop", "ended"]
    assert done.returncode == 3


def test_in_a_container_a_server_that_ends_by_itself_ends_it(call):
    assert call("--around", "sh", "-c", "exit 4", hooks=[("before_stop", "echo stop")]).returncode == 4
    killed = call("--around", "sh", "-c", "kill -KILL $$", hooks=[])
    assert killed.returncode == 128 + signal.SIGKILL
