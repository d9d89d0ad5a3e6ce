# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role node makes of its variables."""

from __future__ import annotations

import pytest
from ansible.template import trust_as_template as trust
from ansible_collections.libcloudspawner.jupyterhub.plugins.filter.hub_conflicts import hub_conflicts
from role_settings import ROLES, problem_checks, rendered, templar
from role_settings import refusal as said_by


def drop_in(**variables):
    """The settings for all servers."""
    text = rendered(ROLES / "node/templates/node.conf.j2", templar("node", **variables))
    return [line for line in text.splitlines() if "=" in line and not line.startswith("#")]


@pytest.mark.parametrize("root", ["/srv/homes", "/home2", "/run/users", "/data/home"])
def test_homes_that_lie_elsewhere_are_hidden_as_well(root):
    assert drop_in(node_home_root=root) == [f"TemporaryFileSystem={root}:ro"]
    assert drop_in(node_home_root="/srv/100%") == ["TemporaryFileSystem=/srv/100%%:ro"]


@pytest.mark.parametrize("root", ["/home", "/home/", "/home/students", "//home"])
def test_homes_that_the_unit_hides_are_not_hidden_twice(root):
    assert drop_in(node_home_root=root) == []


def refusal(**variables):
    """What the checks say that refuse the variables; empty if none does."""
    checks, of_task = problem_checks("node", "problems")
    # No filter of the collection is there without Ansible itself.
    return said_by(checks, templar("node", **{**of_task, "__node_conflicts": [], **variables}))


def environments(*names):
    return [{"name": name} for name in ("default", *names)]


def test_the_defaults_lack_nothing():
    assert refusal() == ""


@pytest.mark.parametrize("name", ["Python3", "-x", ".x", "a b", "a/b", "../a", "x" * 64, "é"])
def test_an_environment_that_no_server_could_be_started_from_is_refused_by_its_name(pure, name):
    assert f"Change {name}." in refusal(node_environments=environments("good", name))
    assert not pure.ENVIRONMENT.fullmatch(name)


@pytest.mark.parametrize(
    ("capacity", "loops", "words"),
    [
        ("10G", 0, ""),
        ("10Gi", 0, ""),
        ("much", 0, "such as 10G, but is much."),
        ("10G", 1, "has no loop devices, which node_home_capacity needs"),
    ],
)
def test_a_capacity_is_a_size_on_a_host_that_can_enforce_it(capacity, loops, words):
    said = refusal(node_home_capacity=capacity, __node_loop={"rc": loops}, inventory_hostname="node")
    assert words in said if words else said == ""


@pytest.mark.parametrize("name", ["python-3.12", "r_4", "0", "x" * 63])
def test_an_environment_that_the_control_helper_takes_is_not_refused(pure, name):
    assert refusal(node_environments=environments(name)) == ""
    assert pure.ENVIRONMENT.fullmatch(name)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"repository": "https://example.org/course"}, "Name a tag or a whole commit"),
        ({"repository": "git@example.org:course", "ref": ""}, "Name a tag or a whole commit"),
        ({"repository": "https://example.org/course", "ref": "latest"}, "latest says nothing"),
        ({"repository": "/srv/course", "requirements": "/srv/pins.txt"}, "Leave the others out in course"),
        ({"repository": "/srv/course", "image": "lab:1"}, "Leave the others out in course"),
        ({"image": "registry.example.org:5000/lab"}, "may be others each day: registry.example.org:5000/lab."),
        ({"image": "registry.example.org/lab:latest"}, "may be others each day: registry.example.org/lab:latest."),
        ({"repository": "/no/such/folder"}, "folders that are not on this machine: /no/such/folder."),
    ],
)
def test_an_environment_that_does_not_say_what_it_holds_is_refused(environment, words):
    assert words in refusal(node_environments=[*environments(), {"name": "course", **environment}])


@pytest.mark.parametrize("destination", ["/srv/data", "~/data", "..", "../ada", "data/../../ada", ""])
def test_a_destination_outside_the_home_is_refused(destination):
    words = refusal(node_home_data=[{"source": "/data", "destination": destination}])
    assert f"paths in the home, such as course/data. Change {destination}." in words


@pytest.mark.parametrize("destination", [".", "data", "course/data", ".config/app", "a..b/..c"])
def test_a_destination_in_the_home_is_taken(destination):
    assert refusal(node_home_data=[{"source": "/data", "destination": destination, "environment": "default"}]) == ""


def test_data_for_the_homes_of_an_environment_that_is_not_there_are_refused():
    words = refusal(node_home_data=[{"source": ".", "destination": "course", "environment": "cuorse"}])
    assert "node_home_data names environments that node_environments does not have: cuorse." in words


def test_a_folder_needs_no_ref_and_a_tag_is_one(tmp_path):
    repositories = [{"repository": str(tmp_path)}, {"repository": "https://example.org/course", "ref": "v1"}]
    listed = [{"name": f"course{index}", **one} for index, one in enumerate(repositories)]
    assert refusal(node_environments=[*environments(), *listed]) == ""


def test_a_folder_of_environments_is_found_by_the_name_of_the_environment_or_the_hub(tmp_path):
    for name in ("course", "physics"):
        (tmp_path / name).mkdir()
    known = {"node_environments_folder": str(tmp_path), "inventory_hostname": "physics.example.org"}
    for name, folder in (("course", "course"), ("default", "physics"), ("other", "")):
        found = templar("node", node_environment={"name": name}, **known).template(trust("{{ _node_own_repository }}"))
        assert found == (str(tmp_path / folder) if folder else "")


def hooks(when, user, *timeouts):
    return [{"name": "x", "command": "x", "when": when, "user": user, "timeout": timeout} for timeout in timeouts]


@pytest.mark.parametrize(
    ("node_hooks", "is_refused"),
    [
        (hooks("before_start", "root", 30, 11), True),
        (hooks("before_stop", "root", 30) + hooks("before_stop", "user", 11), True),
        (hooks("before_start", "root", 40) + hooks("before_stop", "user", 40), False),
        (hooks("before_start", "user", 600) + hooks("after_start", "root", 600), False),
        ([{"name": "x", "command": "x", "when": "before_stop"}] * 2, True),
    ],
)
def test_hooks_that_the_hub_would_not_wait_for_are_refused(node_hooks, is_refused):
    assert ("may be 40 seconds" in refusal(node_hooks=node_hooks)) == is_refused


def test_hooks_of_the_user_before_the_end_get_the_time_that_they_may_take():
    settings = drop_in(node_hooks=hooks("before_stop", "user", 10, 20) + hooks("before_stop", "root", 5))
    assert settings == [
        "ExecStop=-/usr/local/libexec/jupyterhub-singleuser-hooks --before-stop",
        "TimeoutStopSec=45",
    ]


@pytest.mark.parametrize("name", ["Class", "1a", "a_b", "a" * 17, "../a", ""])
def test_a_shared_folder_whose_name_makes_no_group_is_refused(name):
    assert "The names in node_shared_folders" in refusal(node_shared_folders=[{"name": name}])


@pytest.mark.parametrize("root", ["/srv", "/home/", "/data", "shared", "/srv/a b", "/srv/100%"])
def test_a_root_of_shared_folders_that_holds_something_else_is_refused(root):
    assert f"and is {root}." in refusal(node_shared_root=root).replace("\n", " ")
    assert refusal(node_shared_root="/srv/shared", node_shared_folders=[{"name": "class-7"}]) == ""


def test_a_shared_folder_of_a_named_hub_has_a_name_that_leaves_room_for_the_hubs():
    def said(folder):
        return refusal(hub_name="physics", node_shared_folders=[{"name": folder}])

    assert said("lab-1234") == ""
    assert "at most 8 small letters" in said("lab-12345")
    assert len("jupyterhub_physics-lab-1234-read") == 32


def test_a_shared_folder_does_not_take_the_group_of_another_hub():
    found = {"stdout": "jupyterhub-physics:x:997:996::/var/lib/jupyterhub-physics:/usr/sbin/nologin"}
    said = refusal(node_shared_folders=[{"name": "physics"}], __node_hubs=found, inventory_hostname="node")
    assert "those of other hubs of node: jupyterhub-physics." in said


def test_names_of_a_named_hub_are_no_parts_of_those_of_others():
    known = templar("node", hub_name="physics")
    for name, value in {
        "_node_slice": "jupyterhub_physics-singleuser.slice",
        "_node_control_socket": "/run/jupyterhub-physics-singleuserctl.sock",
        "node_account_prefix": "physics-",
        "node_data_root": "/data-physics",
        "node_shared_root": "/srv/shared-physics",
    }.items():
        assert known.template(trust(f"{{{{ {name} }}}}")) == value
    assert templar("node").template(trust("{{ node_data_root }} {{ node_shared_root }} {{ _node_slice }}")) == (
        "/data /srv/shared jupyterhub-singleuser.slice"
    )
    memory = known.template(trust("{{ _node_running | last }}"))
    assert memory == r"run-jupyterhub\x2dphysics\x2dsingleuser-homes-*.mount"


@pytest.mark.parametrize("prefix", ["jupyterhub-", "jupyterhub-proxy", "systemd-", "jupyterhub"])
def test_accounts_of_users_are_not_named_like_those_of_services(prefix):
    assert f"node_account_prefix is {prefix}, and" in refusal(node_account_prefix=prefix)
    assert refusal(node_account_prefix="jupyter-") == refusal(hub_name="physics") == ""


def settings(hub, **variables):
    known = templar("node", hub_name=hub, **variables)
    return known.template(trust("{{ _node_settings | combine({'hub': _node_prefix}) }}"))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ""),
        (
            {"node_data_root": "/data-chemistry"},
            "node_data_root of jupyterhub-physics is /data-chemistry, and node_data",
        ),
        (
            {"node_data_root": "/srv/shared-chemistry/data/"},
            "node_shared_root of jupyterhub-chemistry on node is /srv/",
        ),
        ({"node_shared_root": "/srv//shared-chemistry/"}, "set another node_shared_root"),
        ({"node_shared_root": "/srv/shared"}, ""),
        ({"node_data_root": "/"}, "set another node_data_root"),
        ({"node_account_prefix": "chemistry-"}, "and that of jupyterhub-chemistry on node is chemistry-"),
        ({"node_account_prefix": "chem"}, "Set another node_account_prefix"),
        ({"node_account_prefix": "chemistry-2-"}, "Set another node_account_prefix"),
        ({"node_home_root": "/srv/homes"}, ""),
    ],
)
def test_folders_and_accounts_of_another_hub_are_refused_by_both_names(variables, words):
    other = settings("chemistry")
    said = "\n".join(hub_conflicts(settings("physics", **variables), [other], "node"))
    assert (words in said) if words else said == ""
    assert hub_conflicts(other, [other], "node") == []


def test_preflight_says_what_another_hub_has():
    assert refusal(__node_conflicts=["One.", "Two."]) == "One.\n- Two."
