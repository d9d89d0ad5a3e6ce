# SPDX-License-Identifier: BSD-3-Clause
"""SystemdSpawner's settings, as molecule/default/molecule.yml and a hub's own requests have them."""

from __future__ import annotations

import time
from functools import partial

import node
import pytest

# A server that notes where it is and what it sees there.
SEEN = "/home/jupyter-own/seen"
LOOK = ["/bin/sh", "-c", f"{{ pwd; ls /tmp /dev; echo end; }} >{SEEN}; exec sleep 1000"]


@pytest.fixture
def ask(host):
    """One request to the control helper, past a hub's own checks."""
    return partial(node.ask, host, "tests")


@pytest.fixture
def start(ask, hub):
    """Start a process under an account of its own, as another hub."""

    def start(**settings):
        request = {"request": "r", "user": "own", "account": "jupyter-own", "environment": "default", "variables": {}}
        return ask(action="start", instance="own", **{"command": LOOK, **request, **settings})

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
    assert ada.run("import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))") == "(4096, 4096)"
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


@pytest.mark.parametrize(
    "settings",
    [
        {"properties": {"NoExecPaths": "/home"}},
        {"sandbox": {"readonly_paths": ["/home/"]}},
        {"sandbox": {"readwrite_paths": ["-/run/jupyter"]}},
    ],
)
def test_a_setting_that_would_show_what_the_unit_hides_is_refused_and_starts_nothing(host, start, settings):
    answer = start(**settings)
    assert (answer["ok"], answer.get("code")) == (False, "refused")
    assert "would show them what the host has" in answer["error"]
    assert host.run("ls /etc/jupyterhub-singleuser/own.env").failed


def test_homes_stay_hidden_from_a_server_with_settings_for_its_own(host, start):
    host.check_output("rm --force %s", SEEN)
    look = ["/bin/sh", "-c", f"{{ ls /home; echo end; }} >{SEEN}; exec sleep 1000"]
    assert start(command=look, properties={"NoExecPaths": "-/home/jupyter-own/data"})["ok"]
    assert seen(host) == ["jupyter-own", "end"]


def seen(host):
    """What the server noted."""
    deadline = time.monotonic() + 30
    while "end" not in (words := host.run("cat %s", SEEN).stdout.split()):
        assert time.monotonic() < deadline, words
        time.sleep(0.2)
    return words


@pytest.mark.parametrize("isolated", [True, False])
def test_temporary_files_and_devices_are_the_hosts_only_when_that_is_asked_for(host, start, isolated):
    host.check_output("rm --force %s && touch /tmp/file-of-host && mknod --mode=666 /dev/device-of-host c 1 3", SEEN)
    try:
        start(sandbox={"isolate_tmp": isolated, "isolate_devices": isolated})
        of_host = {"file-of-host", "device-of-host"} & set(seen(host))
    finally:
        host.check_output("rm /tmp/file-of-host /dev/device-of-host")
    assert of_host == (set() if isolated else {"file-of-host", "device-of-host"})


def test_a_server_runs_where_and_in_the_slice_that_was_asked_for(host, start):
    host.check_output("rm --force %s", SEEN)
    start(sandbox={"working_directory": "/usr/share", "slice": "jupyterhub-singleuser-gpu"})
    assert seen(host)[0] == "/usr/share"
    properties = host.service("jupyterhub-singleuser@own").systemd_properties
    assert "/jupyterhub-singleuser.slice/jupyterhub-singleuser-gpu.slice/" in properties["ControlGroup"]


def test_a_slice_outside_of_the_servers_own_is_refused(start):
    answer = start(sandbox={"slice": "system.slice"})
    assert answer["code"] == "refused"
    assert "node_slices" in answer["error"]


def test_variables_of_a_group_and_of_a_profile_come_to_those_of_all(hub, drop_in):
    drop_in(
        """
        c.LibcloudSpawner.environment = {"COURSE": "all", "TERM_OF_YEAR": "autumn", "LEVEL": "all"}
        c.LibcloudSpawner.group_overrides = {
            "geo": {"groups": ["geography"], "spawner_override": {"environment": {"COURSE": "geography"}}}
        }
        c.LibcloudSpawner.profile_list = [
            {"display_name": "Lab", "slug": "lab", "spawner_override": {"environment": {"LEVEL": "lab"}}}
        ]
        """
    )
    look = "import os; [os.environ.get(name) for name in ('COURSE', 'TERM_OF_YEAR', 'LEVEL')]"
    hub.call("POST", "/groups/geography")
    hub.call("POST", "/users/gina")
    hub.call("POST", "/groups/geography/users", users=["gina"]).raise_for_status()
    try:
        for user, course in {"gina": "geography", "nell": "all"}.items():
            hub.start(user, profile="lab")
            assert hub.kernel(user).run(look) == str([course, "autumn", "lab"])
    finally:
        for user in ("gina", "nell"):
            hub.stop(user)
        hub.call("DELETE", "/groups/geography")


def test_a_guarantee_that_no_node_can_give_is_refused_at_once_and_says_what_there_is(hub, drop_in):
    drop_in("c.LibcloudSpawner.userserver_sizes = []\nc.LibcloudSpawner.cpu_guarantee = 4096")
    answer = hub.request_start("nell")
    assert answer.status_code == 500
    assert "is promised 4096 processors, and the node has" in answer.json()["message"]
