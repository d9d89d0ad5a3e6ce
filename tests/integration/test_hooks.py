# SPDX-License-Identifier: BSD-3-Clause
"""What the node runs before, beside and after servers, by node_hooks of molecule/default."""

from __future__ import annotations

import time

import pytest
from node import ask

FOLDER = "/srv/hooks"
NOTES = "/srv/hooks/notes"


@pytest.fixture
def hooks(host):
    """Write programs for moments, for the time of a test."""
    host.check_output("install --directory --mode=0755 %s && install --mode=0666 /dev/null %s", FOLDER, NOTES)

    def write(**programs):
        for moment, text in programs.items():
            path = f"{FOLDER}/{moment.replace('_', '-')}"
            host.check_output("printf '#!/bin/sh\\n%%s\\n' %s >%s && chmod +x %s", text, path, path)

    yield write
    host.check_output("rm --recursive %s", FOLDER)


@pytest.fixture
def eve(hub):
    yield hub
    hub.stop("eve")


def noted(host, count=1):
    deadline = time.monotonic() + 30
    while len(lines := host.check_output("cat %s", NOTES).splitlines()) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.2)
    return lines


def progress(hub):
    return hub.call("GET", "/users/eve/servers//progress").text


def failed(hub):
    """What the page of a start that failed says."""
    answer = hub.request_start("eve", userserver_size="small")
    if answer.status_code == 202:
        said = progress(hub)
    else:
        assert answer.status_code == 500, answer.text
        said = answer.text
    hub.wait_for("eve", ready=False, pending=None)
    return said


def test_hooks_run_in_their_order_as_root_and_as_the_user(host, hub, hooks, eve):
    # What lies outside of the home the user's own cannot write; what they write stands in the log.
    hooks(
        root=f'echo "root $(id -un) $JUPYTERHUB_USER $SINGLEUSER_ACCOUNT" >>{NOTES}',
        before='echo "before $(id -un) $(pwd) $CLASS" >>~/notes',
        after='echo "after" >>~/notes',
        root_after=f'echo "account $SINGLEUSER_HOME" >>{NOTES}',
        stop='echo "stop" >>~/notes',
        root_stop=f'echo "settle" >>{NOTES}',
    )
    hub.start("eve", userserver_size="small")
    assert noted(host, 2) == ["root root eve jupyter-eve", "account /home/jupyter-eve"]
    hub.stop("eve")
    assert noted(host, 3)[2] == "settle"
    notes = host.check_output("cat /home/jupyter-eve/notes && rm /home/jupyter-eve/notes").splitlines()
    assert notes[0].startswith("before jupyter-eve /home/jupyter-eve it's $HOME")
    assert notes[1:] == ["after", "stop"]


@pytest.mark.parametrize("moment", ["root", "before"])
def test_a_hook_that_fails_says_why_on_the_page_and_starts_nothing(host, hub, hooks, eve, moment):
    hooks(**{moment: "echo no licence is left >&2; exit 3"})
    assert "no licence is left" in failed(hub)
    assert not host.service("jupyterhub-singleuser@eve").is_running


@pytest.mark.parametrize(("moment", "name"), [("root", "prepare"), ("before", "greet")])
def test_a_hook_that_hangs_is_killed_after_its_time(host, hub, hooks, eve, moment, name):
    hooks(**{moment: "echo waiting; sleep 1000"})
    began = time.monotonic()
    said = failed(hub)
    assert f"{name} did not end within 3 s, and was killed." in said
    assert "waiting" in said
    assert time.monotonic() - began < 30
    assert host.run("pgrep --full '^sleep 1000'").failed


def test_a_slow_hook_after_the_start_keeps_nobody_waiting(host, hub, hooks, eve):
    hooks(after="sleep 20", root_after="sleep 20")
    hub.start("eve", userserver_size="small")
    assert host.check_output("pgrep --count --full '^sleep 20'") == "2"


def test_a_hook_before_the_end_that_hangs_is_killed_after_its_time(host, hub, hooks, eve):
    hooks(stop="sleep 1000")
    hub.start("eve", userserver_size="small")
    began = time.monotonic()
    hub.stop("eve")
    assert 3 <= time.monotonic() - began < 25
    assert not host.service("jupyterhub-singleuser@eve").is_running


def test_what_a_hub_says_is_text_for_roots_hooks_and_no_program(host):
    """Asked of the node as a hub that was taken over would, for a hub itself refuses such names."""
    name = '";touch /srv/taken;echo "'
    taken = {"instance": "taken", "server": name}

    # The first hook of molecule.yml is a line itself: it is between there and the shell that names were filled in.
    account = {"account": "jupyter-taken", "environment": "default"}
    variables = {"LD_PRELOAD": "/srv/taken.so", "ENV": "/srv/taken"}
    answer = ask(
        host,
        "tests",
        action="start",
        request="r",
        user="eve",
        command=["/bin/sleep", "9"],
        variables=variables,
        **taken,
        **account,
    )
    assert answer["ok"], answer
    ask(host, "tests", action="stop", **taken)
    assert not host.file("/srv/taken").exists
    written = host.check_output("journalctl --output=cat --unit=jupyterhub-singleuserctl --lines=50")
    assert f"prepares the server <{name}> of eve" in written
