# SPDX-License-Identifier: BSD-3-Clause
"""Whatever happens to the hub, users keep their servers; what is lost is said to be lost."""

from __future__ import annotations

import contextlib
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from hub import hub_address


@pytest.fixture
def running(hub):
    hub.start("ada", userserver_size="large")
    kernel = hub.kernel("ada")
    kernel.run("answer = 42")
    yield kernel
    hub.wait_for("ada", pending=None)
    hub.stop("ada")


@pytest.mark.parametrize("blow", ["systemctl restart jupyterhub", "systemctl kill --signal=KILL jupyterhub"])
def test_a_server_lives_on_when_the_hub_goes_down(hub, host, running, blow):
    unit = host.service("jupyterhub-singleuser@ada").systemd_properties["MainPID"]
    host.check_output(blow)
    assert running.run("answer") == "42"  # through the proxy, hub or no hub
    hub.wait_until_up()
    assert hub.wait_for("ada", ready=True, seconds=30)["pending"] is None
    assert running.run("answer") == "42"
    assert host.service("jupyterhub-singleuser@ada").systemd_properties["MainPID"] == unit


def test_a_server_that_outlived_the_hub_leaves_no_token_when_it_stops(hub, host):
    hub.start("ada")
    host.check_output("systemctl restart jupyterhub")
    hub.wait_until_up()
    hub.wait_for("ada", ready=True, seconds=30)
    hub.stop("ada")
    notes = hub.call("GET", "/users/ada/tokens").json()["api_tokens"]
    assert [token["note"] for token in notes if token["note"].startswith("Server at")] == []


def test_a_server_that_ended_while_the_hub_was_down_is_shown_as_stopped(hub, host):
    hub.start("ada")
    host.check_output("systemctl stop jupyterhub")
    host.check_output("systemctl stop jupyterhub-singleuser@ada")
    host.check_output("systemctl start jupyterhub")
    hub.wait_until_up()
    hub.wait_for("ada", ready=False, seconds=30)
    assert host.run("ls /etc/jupyterhub-singleuser/ada.env").failed
    assert hub.start("ada")["ready"]
    hub.stop("ada")


def test_a_start_that_the_hub_did_not_survive_leaves_nothing(hub, host):
    hub.call("POST", "/users/kim")
    record = "/run/jupyterhub-singleuser/kim.json"
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(hub.request_start, "kim")
        deadline = time.monotonic() + 30
        while not host.file(record).exists:
            assert time.monotonic() < deadline, "the start does not begin"
        host.check_output("systemctl kill --signal=KILL jupyterhub")
        with contextlib.suppress(requests.RequestException):
            asked.result()
    hub.wait_until_up()
    hub.wait_for("kim", ready=False, pending=None, seconds=30)
    deadline = time.monotonic() + 150  # what nobody claims stays a while
    while host.file(record).exists:
        assert time.monotonic() < deadline, "the server of a start that failed is still there"
        time.sleep(1)
    assert not host.file("/etc/jupyterhub-singleuser/kim.env").exists
    notes = [token["note"] for token in hub.call("GET", "/users/kim/tokens").json()["api_tokens"]]
    assert not [note for note in notes if note.startswith("Server at")]


def test_a_hub_that_finds_the_control_socket_closed_drops_nobody(hub, host, running):
    host.check_output("systemctl stop jupyterhub-singleuserctl.socket")
    host.check_output("systemctl restart jupyterhub")
    hub.wait_until_up()
    time.sleep(3)
    refused = hub.request_start("late")
    host.check_output("systemctl start jupyterhub-singleuserctl.socket")
    assert refused.status_code == 503
    assert "cannot be reached" in refused.json()["message"]
    assert hub.wait_for("ada", ready=True, seconds=30)
    assert running.run("answer") == "42"


def test_after_a_restart_of_the_host_homes_are_there_and_servers_are_shown_as_stopped(hub, host):
    hub.start("ada")
    hub.kernel("ada").run("open('kept.txt', 'w').write('here')")
    subprocess.run(["docker", "restart", "--time", "30", host.backend.hostname], check=True, capture_output=True)
    hub.url = hub_address(host)
    hub.wait_until_up(120)
    hub.wait_for("ada", ready=False, seconds=60)
    hub.wait_for("ada", pending=None, seconds=60)
    assert host.run("ls -A /etc/jupyterhub-singleuser | grep env").stdout == ""
    assert host.file("/home/jupyter-ada/kept.txt").content_string == "here"
    assert hub.start("ada")["ready"]
    hub.stop("ada")
