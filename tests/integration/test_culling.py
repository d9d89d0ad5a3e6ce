# SPDX-License-Identifier: BSD-3-Clause
"""Servers that nobody uses are stopped."""

from __future__ import annotations

import time


def test_a_server_that_nobody_uses_is_stopped_and_its_home_stays(hub, host, play):
    done = play("--tags", "hub_configure,hub_service", hub_cull_timeout=3, hub_cull_every=1)
    assert done.returncode == 0, done.stdout[-6000:]
    try:
        hub.wait_until_up()
        hub.start("idler")
        hub.wait_for("idler", seconds=60, ready=False)
        assert host.file("/home/jupyter-idler").is_directory
    finally:
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
