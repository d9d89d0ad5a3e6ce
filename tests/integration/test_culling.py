# SPDX-License-Identifier: BSD-3-Clause
"""Servers that nobody uses are stopped."""

from __future__ import annotations

import time

import pytest


def test_a_server_that_nobody_uses_is_stopped_with_its_home_kept_and_one_that_computes_in_silence_is_not(
    hub, host, play, drop_in
):
    done = play("--tags", "hub_configure,hub_service", hub_cull_timeout=25, hub_cull_every=1)
    assert done.returncode == 0, done.stdout[-6000:]
    # What one of them computes is not looked at.
    drop_in(
        """
        c.Spawner.poll_interval = 5
        def ignore(spawner):
            if spawner.user.name == "unnoticed":
                spawner.busy_cpu = 0
        c.Spawner.pre_spawn_hook = ignore
        """
    )
    try:
        hub.wait_until_up()
        for user in ("burner", "unnoticed", "idler"):
            hub.start(user, userserver_size="small")
            if user != "idler":
                with pytest.raises(TimeoutError):
                    hub.kernel(user).run("while True: pass", seconds=3)
        hub.wait_for("idler", seconds=60, ready=False)
        hub.wait_for("unnoticed", seconds=60, ready=False)
        assert host.file("/home/jupyter-idler").is_directory
        time.sleep(25)
        assert hub.server("burner")["ready"]
    finally:
        hub.stop("burner")
        restored = play("--tags", "hub_configure,hub_service")
        assert restored.returncode == 0, restored.stdout[-6000:]
        hub.wait_until_up()


def test_a_profile_has_a_time_of_its_own(hub, play):
    profiles = [{"display_name": name.title(), "slug": name} for name in ("course", "project")]
    times = {"hub_cull_timeout": 20, "hub_cull_timeouts": {"project": 0}, "hub_cull_every": 1}
    done = play("--tags", "hub_configure,hub_service", hub_profile_list=profiles, **times)
    assert done.returncode == 0, done.stdout[-6000:]
    try:
        hub.wait_until_up()
        # First, so that it is the one that has been idle for longer.
        hub.start("builder", profile="project")
        hub.start("visitor", profile="course")
        hub.wait_for("visitor", seconds=90, ready=False)
        assert hub.server("builder")["ready"]
    finally:
        hub.stop("builder")
        restored = play("--tags", "hub_configure,hub_service")
        assert restored.returncode == 0, restored.stdout[-6000:]
        hub.wait_until_up()


def test_by_default_it_takes_an_hour(hub, host):
    command = host.check_output("pgrep -af jupyterhub_idle_culler")
    assert "--timeout=3600" in command
    hub.start("idler")
    time.sleep(5)
    assert hub.server("idler")["ready"]
    hub.stop("idler")
