# SPDX-License-Identifier: BSD-3-Clause
"""SystemdSpawner's settings, as molecule/default/molecule.yml and a hub's own requests have them."""

from __future__ import annotations

import json

import pytest

# One request to the control helper, past a hub's own checks.
ASK = (
    "import socket, sys\n"
    "connection = socket.socket(socket.AF_UNIX)\n"
    "connection.connect('/run/jupyterhub-singleuserctl.sock')\n"
    "connection.sendall(sys.argv[1].encode() + b'\\n')\n"
    "print(connection.makefile().readline())"
)
SLEEP = ["/bin/sleep", "1000"]


@pytest.fixture
def ask(host):
    def ask(**request):
        return json.loads(host.check_output("python3 -c %s %s", ASK, json.dumps({"hub": "tests", **request})))

    return ask


@pytest.fixture
def start(ask, hub):
    """Start a process under an account of its own, as another hub."""

    def start(**settings):
        request = {"request": "r", "user": "own", "account": "jupyter-own", "environment": "default", "variables": {}}
        return ask(action="start", instance="own", **{"command": SLEEP, **request, **settings})

    yield start
    ask(action="stop", instance="own")


@pytest.fixture(scope="module")
def shared(host):
    """A folder for all, as an administrator may make it."""
    host.check_output(
        "install --directory --mode=1777 /srv/shared /srv/shared/handed-out /srv/shared/closed-to-ada /srv/elsewhere"
    )
    yield "/srv/shared"
    host.check_output("rm --recursive /srv/shared /srv/elsewhere")


@pytest.fixture(scope="module")
def ada(hub, shared):
    hub.start("ada", userserver_size="small")
    yield hub.kernel("ada")
    hub.stop("ada")


def test_a_path_that_was_opened_can_be_written_but_for_what_is_read_only_in_it(ada, shared):
    touch = "try: print(open('{}', 'w').write('x'))\nexcept OSError as error: print(error.strerror)"
    assert ada.run(touch.format(f"{shared}/x")) == "1"
    assert ada.run(touch.format(f"{shared}/handed-out/x")) == "Read-only file system"
    assert ada.run(touch.format("/srv/elsewhere/x")) == "Read-only file system"


def test_a_property_holds_with_the_users_name_filled_in(ada, shared):
    assert ada.run("import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))") == "(2048, 4096)"
    assert ada.run(f"import os\ntry: os.listdir('{shared}/closed-to-ada')\nexcept OSError: print('closed')") == "closed"


def test_the_nodes_administrator_has_the_last_word(ada):
    assert ada.run("print(open('/proc/self/oom_score_adj').read())") == "200"


@pytest.mark.parametrize("properties", [{"User": "root"}, {"NoNewPrivileges": "no"}, {"SystemCallFilter": "@mount"}])
def test_a_property_that_could_raise_privilege_is_refused_and_starts_nothing(host, start, properties):
    answer = start(properties=properties)
    assert (answer["ok"], answer["code"]) == (False, "refused")
    assert f"set no {next(iter(properties))}=" in answer["error"]
    assert "node_unit_properties" in answer["error"]
    assert host.run("ls /etc/jupyterhub-singleuser/own.env").failed


def test_temporary_files_and_devices_are_the_hosts_when_that_is_asked_for(host, start):
    start(sandbox={"isolate_tmp": False, "isolate_devices": False})
    pid = host.service("jupyterhub-singleuser@own").systemd_properties["MainPID"]
    host.check_output("touch /tmp/of-host && mknod --mode=666 /dev/of-host c 1 3")
    try:
        assert host.run(f"test -e /proc/{pid}/root/tmp/of-host && test -e /proc/{pid}/root/dev/of-host").succeeded
    finally:
        host.check_output("rm /tmp/of-host /dev/of-host")


def test_a_server_runs_where_and_in_the_slice_that_was_asked_for(host, start):
    answer = start(sandbox={"working_directory": "/usr/share", "slice": "jupyterhub-singleuser-gpu"})
    pid = answer["instance"]["pid"]
    assert host.check_output(f"readlink /proc/{pid}/cwd") == "/usr/share"
    assert (
        "/jupyterhub-singleuser.slice/jupyterhub-singleuser-gpu.slice/"
        in host.file(f"/proc/{pid}/cgroup").content_string
    )


def test_a_slice_outside_of_the_servers_own_is_refused(start):
    answer = start(sandbox={"slice": "system.slice"})
    assert answer["code"] == "refused"
    assert "node_slices" in answer["error"]
