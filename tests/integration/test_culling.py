# SPDX-License-Identifier: BSD-3-Clause
"""Servers that nobody uses are stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import CompletedProcess

    from hub import Hub


@pytest.fixture
def configure(hub: Hub, play: Callable[..., CompletedProcess[str]]) -> Iterator[Callable[..., None]]:
    """Give the hub other settings, for one test."""

    def configure(**settings: Any) -> None:
        done = play("--tags", "hub_configure,hub_service", **settings)
        assert done.returncode == 0, done.stdout[-6000:]
        hub.wait_until_up()

    yield configure
    configure()


def test_a_server_that_nobody_uses_is_stopped_with_its_home_kept_and_one_that_computes_in_silence_is_not(
    hub, host, configure, drop_in
):
    configure(hub_cull_timeout=25, hub_cull_every=1)
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


def test_a_profile_has_a_time_of_its_own(hub, configure):
    profiles = [{"display_name": name.title(), "slug": name} for name in ("course", "project")]
    times = {"hub_cull_timeout": 20, "hub_cull_timeouts": {"project": 0}, "hub_cull_every": 1}
    configure(hub_profile_list=profiles, **times)
    try:
        # First, so that it is the one that has been idle for longer.
        hub.start("builder", profile="project")
        hub.start("visitor", profile="course")
        hub.wait_for("visitor", seconds=90, ready=False)
        assert hub.server("builder")["ready"]
    finally:
        hub.stop("builder")


def test_by_default_it_takes_an_hour(hub, host):
    command = host.check_output("pgrep -af jupyterhub_idle_culler")
    assert "--timeout=3600" in command
    hub.start("idler")
    time.sleep(5)
    assert hub.server("idler")["ready"]
    hub.stop("idler")
