# SPDX-License-Identifier: BSD-3-Clause
"""Servers whose files are kept, and such whose files end with them."""

from __future__ import annotations

import pytest


@pytest.fixture
def trial(hub, drop_in):
    """Start a server, of a hub that offers both."""
    drop_in(
        """
        trial = {"storage_type": "none", "mem_limit": "512M"}
        c.LibcloudSpawner.profile_list = [
            {"display_name": "Lasting", "slug": "lasting"},
            {"display_name": "Trial", "slug": "trial", "spawner_override": trial},
        ]
        """
    )

    def start(profile):
        hub.start("jo", profile=profile, userserver_size="large", userserver_image="default")
        return hub.terminal("jo")

    yield start
    hub.stop("jo")


def test_files_of_a_trial_end_with_it_and_those_of_the_home_stay_out_of_its_sight(hub, host, trial):
    terminal = trial("lasting")
    assert terminal.run("echo kept >kept.txt && ls") == "kept.txt"
    hub.stop("jo")

    terminal = trial("trial")
    assert terminal.run("pwd; ls -A kept.txt; echo gone >gone.txt && stat --format=%U gone.txt").splitlines() == [
        "/home/jupyter-jo",
        "ls: cannot access 'kept.txt': No such file or directory",
        "jupyter-jo",
    ]
    kernel = hub.kernel("jo")
    assert "error" not in kernel.run("%pip install --quiet iniconfig", seconds=180).lower()
    assert kernel.run("import iniconfig; print('here')") == "here"
    # What does not fit is refused, and no kernel dies of it.
    full = "try: open('large', 'wb').write(bytes(300 * 1024 ** 2))\nexcept OSError as error: print(error.strerror)"
    assert kernel.run(full) == "No space left on device"
    hub.stop("jo")

    assert host.check_output("ls /home/jupyter-jo") == "kept.txt"
    assert trial("lasting").run("cat kept.txt; ls gone.txt 2>&1 | grep -c cannot") == "kept\n1"


def test_what_a_trial_saves_before_its_end_are_the_files_that_it_has(hub, host, trial):
    host.check_output(
        "install --directory --mode=0755 /srv/hooks && printf '#!/bin/sh\\ncat ~/work >&2\\n' >/srv/hooks/stop && "
        "chmod +x /srv/hooks/stop"
    )
    try:
        assert trial("trial").run("echo result-of-a-day >work; cat work") == "result-of-a-day"
        hub.stop("jo")
    finally:
        host.check_output("rm -r /srv/hooks")
    assert "result-of-a-day" in host.check_output("journalctl --output=cat --unit=jupyterhub-singleuser@jo --lines=50")
    assert "jupyterhub-singleuser/homes" not in host.check_output("cat /proc/mounts")
