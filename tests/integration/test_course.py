# SPDX-License-Identifier: BSD-3-Clause
"""What servers contain, by the files of a course: molecule/default/environments/course."""

from __future__ import annotations

import pytest

ROOT = "/opt/jupyterhub-singleuser/environments"


@pytest.fixture
def kernel(hub, drop_in):
    drop_in("c.LibcloudSpawner.userserver_images = [{'name': 'default'}, {'name': 'course'}]")
    hub.start("henry", userserver_image="course")
    yield hub.kernel("henry")
    hub.stop("henry")


def test_a_server_holds_what_the_files_of_its_environment_ask_for(hub, host, kernel):
    assert kernel.run("import numpy, humanize, jupyterhub; numpy.__version__, humanize.intword(10**6)") == (
        "('2.1.3', '1.0 million')"
    )
    assert kernel.run("import os; open(os.environ['LESSON']).read()") == "'six times seven\\n'"
    assert "Read-only" in kernel.run("open(os.environ['LESSON'], 'w')")
    terminal = hub.terminal("henry")
    assert terminal.run("hello") == "Hello, world!"
    tagged = host.check_output("readlink %s/course", ROOT)
    assert terminal.run("which python") == f"{ROOT}/{tagged}/bin/python"


def test_post_build_writes_into_its_environment_and_nowhere_else(host):
    assert host.file(f"{ROOT}/course/share/built").exists
    for path in ("/etc", "/home", "/var/lib"):
        assert not host.file(f"{path}/from-post-build").exists
