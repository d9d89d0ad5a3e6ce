# SPDX-License-Identifier: BSD-3-Clause
"""Homes that hold so much and no more, and homes of users who were deleted."""

from __future__ import annotations

import json
import time

import pytest

CAPACITY = "/usr/local/sbin/jupyterhub-home-capacity"
FILL = (
    "import os\n"
    "try:\n"
    "    with open('full', 'wb') as file:\n"
    "        while True: file.write(bytes(1 << 20)); file.flush(); os.fsync(file.fileno())\n"
    "except OSError as error: print(error.strerror)\n"
    "os.path.getsize('full') >> 20"
)


@pytest.fixture
def setting(host):
    """Change the node's settings for one test."""
    path = "/etc/jupyterhub-singleuser/node.json"
    before = host.check_output("cat %s", path)

    def change(**settings):
        host.check_output("printf %%s %s >%s", json.dumps(json.loads(before) | settings), path)

    yield change
    host.check_output("printf %%s %s >%s", before, path)


@pytest.fixture
def limited(host, hub, setting):
    """Users whose homes hold 32 MiB."""
    host.check_output("for n in $(seq 0 15); do test -e /dev/loop$n || mknod --mode=660 /dev/loop$n b 7 $n; done")
    setting(home_capacity="32M")
    users = ["mary", "nora"]
    yield users
    for user in users:
        hub.stop(user)
        host.run("%s --take-out jupyter-%s", CAPACITY, user)
        host.run("userdel --remove jupyter-%s; rm -f /var/lib/jupyterhub-singleuser/accounts/jupyter-%s", user, user)
        host.run("rm -f /home/.jupyterhub-homes/jupyter-%s.img", user)


def test_a_home_that_is_full_says_so_to_its_user_alone(hub, limited, host):
    for user in limited:
        hub.start(user)
    mary, nora = map(hub.kernel, limited)
    said, size = mary.run(FILL).splitlines()
    assert said == "No space left on device"
    assert 15 < int(size) < 32
    assert nora.run("open('note', 'w').write('a')") == "1"
    assert host.check_output("stat --format=%U:%a /home/jupyter-mary") == "jupyter-mary:700"
    assert mary.run("import os; os.listdir()").count("lost+found") == 0

    hub.stop("mary")
    hub.start("mary")
    assert hub.kernel("mary").run("import os; os.path.getsize('full') >> 20") == size


def test_a_home_grows_with_its_files_and_never_shrinks(hub, limited, host):
    hub.start("mary")
    assert "Stop the server" in host.run("%s jupyter-mary 64M", CAPACITY).stderr
    hub.kernel("mary").run("open('kept', 'w').write('a')")
    hub.stop("mary")
    host.check_output("%s jupyter-mary 64M", CAPACITY)
    assert "cannot be made smaller" in host.run("%s jupyter-mary 32M", CAPACITY).stderr
    hub.start("mary")
    kernel = hub.kernel("mary")
    said, size = kernel.run(FILL).splitlines()
    assert said == "No space left on device"
    assert int(size) > 32
    assert kernel.run("open('kept').read()") == "'a'"


def test_a_home_that_is_there_takes_its_files_into_a_capacity(hub, limited, host, setting):
    setting(home_capacity="")
    hub.start("mary")
    hub.kernel("mary").run("open('kept', 'w').write('a')")
    hub.stop("mary")
    host.check_output("%s jupyter-mary 32M", CAPACITY)
    hub.start("mary")
    kernel = hub.kernel("mary")
    assert kernel.run("open('kept').read()") == "'a'"
    assert kernel.run(FILL).splitlines()[0] == "No space left on device"


def test_a_server_does_not_start_without_the_file_system_of_its_home(hub, limited, host):
    hub.start("mary")
    hub.stop("mary")
    image = "/home/.jupyterhub-homes/jupyter-mary.img"
    host.check_output("systemctl stop home-jupyter\\\\x2dmary.mount && mv %s %s.away", image, image)
    try:
        answer = hub.request_start("mary")
        hub.wait_for("mary", ready=False, pending=None)
        assert host.check_output("ls --almost-all /home/jupyter-mary") == ""
        assert answer.status_code in (202, 500)
    finally:
        host.check_output("mv %s.away %s", image, image)
    hub.start("mary")


def test_the_home_of_a_user_who_is_deleted_is_kept_as_long_as_the_node_says(hub, host, setting):
    setting(home_retention_days=30)
    hub.start("olga")
    hub.kernel("olga").run("open('thesis', 'w').write('all')")
    hub.stop("olga")
    assert hub.call("DELETE", "/users/olga").status_code == 204
    assert not host.file("/home/jupyter-olga").exists
    kept = host.check_output("ls --directory /home/.jupyterhub-deleted/jupyter-olga-*")
    assert host.check_output("cat %s/thesis", kept) == "all"
    assert host.run("id jupyter-olga").rc != 0

    purge = "systemctl cat jupyterhub-singleuser-retention.service >/dev/null && "
    host.check_output(f"{purge} systemctl start jupyterhub-singleuser-retention.service")
    assert host.file(kept).exists
    host.check_output("touch --date=-40days %s", kept)
    host.check_output("systemctl start jupyterhub-singleuser-retention.service")
    assert not host.file(kept).exists


def test_a_home_that_is_not_to_be_kept_is_deleted_with_its_user(hub, host, setting):
    setting(home_retention_days=0)
    hub.start("pia")
    hub.stop("pia")
    assert hub.call("DELETE", "/users/pia").status_code == 204
    deadline = time.monotonic() + 10
    while host.run("ls /home/jupyter-pia /home/.jupyterhub-deleted/jupyter-pia-*").rc == 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
