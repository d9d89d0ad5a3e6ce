# SPDX-License-Identifier: BSD-3-Clause
"""The modules and the hub speak of the same servers."""

from __future__ import annotations

import time

import pytest

MODULE = "libcloudspawner.jupyterhub.singleuser"


def run(host, check=False, **options):
    arguments = " ".join(f"{name}={value}" for name, value in options.items())
    return host.ansible(MODULE, arguments, check=check, become=False)


@pytest.fixture
def user(hub):
    hub.call("POST", "/users/pupil")
    yield "pupil"
    hub.stop("pupil")


def test_a_server_started_by_the_module_is_ready_in_the_hub_and_its_page_opens(hub, host, user):
    assert run(host, check=True, user=user, state="started", size="small")["changed"]
    assert not hub.server(user)["ready"]

    result = run(host, user=user, state="started", size="small")

    assert result["changed"], result
    assert hub.server(user)["ready"]
    assert hub.call("GET", f"/user/{user}/api/status").ok
    assert host.service("jupyterhub-singleuser@pupil").is_running
    assert not run(host, user=user, state="started", size="small")["changed"]


def test_the_hub_shows_a_server_as_stopped_within_5_seconds_after_the_module_is_called(hub, host, user):
    hub.start(user)
    called = time.monotonic()
    result = run(host, user=user, state="absent")
    assert result["changed"], result
    hub.wait_for(user, seconds=5, ready=False, pending=None)
    stopped = time.monotonic()
    assert host.run("ls /etc/jupyterhub-singleuser/pupil.env").failed

    called_again = time.monotonic()
    assert not run(host, user=user, state="absent")["changed"]
    ansibles_own = time.monotonic() - called_again
    assert stopped - called - ansibles_own < 5


def test_the_module_stops_what_the_hub_started_and_the_hub_what_the_module_started(hub, host, user):
    run(host, user=user, name="lab", state="started")
    assert hub.server(user, "lab")["ready"]
    hub.stop(user, "lab")
    started = time.monotonic()
    assert not run(host, user=user, name="lab", state="stopped")["changed"]
    assert time.monotonic() - started < 30
    hub.start(user, "lab")
    assert run(host, user=user, name="lab", state="absent")["changed"]
    assert "lab" not in hub.call("GET", f"/users/{user}").json()["servers"]


def test_a_wrong_size_fails_with_the_hubs_own_words(hub, host, user):
    result = run(host, user=user, state="started", size="huge")
    assert not result.get("changed")
    assert "There is no size 'huge' here" in result["msg"]
    assert "small, large" in result["msg"]


def test_the_info_module_lists_what_runs(hub, host, user):
    hub.start(user, userserver_size="small")
    result = host.ansible("libcloudspawner.jupyterhub.singleuser_info", f"user={user}", check=False, become=False)
    (server,) = result["singleusers"]
    assert (server["user"], server["name"], server["state"], server["size"]) == (user, "", "started", "small")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/users/intruder"),
        ("PATCH", "/users/pupil"),
        ("DELETE", "/users/pupil"),
        ("POST", "/users/pupil/tokens"),
        ("GET", "/users/pupil/tokens"),
        ("POST", "/groups/teachers"),
        ("GET", "/proxy"),
        ("POST", "/shutdown"),
    ],
)
def test_the_token_of_the_modules_is_refused_what_they_do_not_need(hub, host, user, method, path):
    token = host.file("/etc/jupyterhub/secrets/singleuser.token").content_string.strip()
    modules = type(hub)(hub.url, token)
    assert modules.call("GET", "/users").ok
    assert modules.call(method, path).status_code in (403, 404)
    assert hub.call("GET", "/users/pupil").ok
    assert hub.call("GET", "/users/intruder").status_code == 404
