# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import documents
import pytest
from libcloudspawner import former_names
from libcloudspawner.checkconfig import problems
from libcloudspawner.spawner import LibcloudSpawner
from traitlets import TraitError
from traitlets.config import Config

PARAMETERS = {"arg_user_id": "hub", "arg_key": "secret", "ex_force_auth_url": "https://x:5000", "ex_tenant_name": "p"}

DOCUMENTED = documents.configuration("installation").replace('"secret"', '"gloubiboulga"')
CUSTOM = documents.configuration("customize")


@pytest.fixture(autouse=True)
def nothing_was_said_before(monkeypatch):
    monkeypatch.setattr(former_names, "_warned", set())


def spawner(**sections):
    return LibcloudSpawner(config=Config({name: Config(settings) for name, settings in sections.items()}))


@pytest.mark.parametrize(
    ("former", "value", "trait", "expected"),
    [
        ("libcloudparams", PARAMETERS, "libcloud_driver_params", PARAMETERS),
        ("libcloudparams", {**PARAMETERS, "ex_keyname": "k"}, "libcloud_driver_params", PARAMETERS),
        ("libcloudparams", {**PARAMETERS, "ex_keyname": "k"}, "userserver_keyname", "k"),
        ("machine_sizes", [("Small", "m1.small")], "userserver_sizes", [("Small", "m1.small")]),
        ("machine_images", [("Python", "py")], "userserver_images", [("Python", "py")]),
        ("machine_net", "private", "userserver_net", "private"),
        ("cloud_region", "R2", "libcloud_driver_params", {"ex_force_service_region": "R2"}),
        ("cloud_url", "https://x:5000", "libcloud_driver_params", {"ex_force_auth_url": "https://x:5000"}),
        ("cloud_user", "hub", "libcloud_driver_params", {"arg_user_id": "hub"}),
        ("cloud_userpassword", "secret", "libcloud_driver_params", {"arg_key": "secret"}),
        ("cloud_project", "p", "libcloud_driver_params", {"ex_tenant_name": "p"}),
        ("notebookargs", ["--debug"], "args", ["--debug"]),
    ],
)
def test_a_former_name_works_and_names_its_successor(caplog, former, value, trait, expected):
    found = spawner(LibcloudSpawner={former: value})
    assert getattr(found, trait) == expected
    assert f"c.LibcloudSpawner.{former}" in caplog.text
    assert f"use c.LibcloudSpawner.{trait}" in caplog.text
    assert "secret" not in caplog.text


def test_a_former_name_is_complained_of_once(caplog):
    for _ in range(3):
        spawner(LibcloudSpawner={"machine_net": "private"})
    assert caplog.text.count("machine_net is a former name") == 1


def test_a_setting_that_has_no_successor_is_named(caplog):
    spawner(LibcloudSpawner={"statsdparams": {"host": "x"}})
    assert "statsdparams" in caplog.text
    assert "/hub/metrics" in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"machine_net": "a", "userserver_net": "b"},
        {"cloud_region": "A", "libcloud_driver_params": {"ex_force_service_region": "B"}},
        {"machine_sizes": [("S", "s")], "userserver_sizes": [("T", "t")]},
    ],
)
def test_two_generations_that_contradict_each_other_are_refused(settings):
    with pytest.raises(TraitError, match="contradict each other"):
        spawner(LibcloudSpawner=settings)


def test_an_empty_setting_contradicts_nothing():
    found = spawner(spawner_conf={"userdata_template_name": "x.j2"}, LibcloudSpawner={"userdata_template_name": ""})
    assert found.userdata_template_name == "x.j2"


def test_two_generations_that_agree_are_fine():
    found = spawner(LibcloudSpawner={"cloud_region": "A", "libcloud_driver_params": {"ex_force_service_region": "A"}})
    assert found.libcloud_driver_params == {"ex_force_service_region": "A"}


def test_the_section_that_one_document_writes_reaches_the_spawner(caplog):
    found = spawner(spawner_conf={"userdata_template_module": "acme", "userdata_template_name": "x.j2"})
    assert (found.userdata_template_module, found.userdata_template_name) == ("acme", "x.j2")
    assert "use c.LibcloudSpawner.userdata_template_module instead" in caplog.text


@pytest.mark.parametrize(
    "sections",
    [
        {"spawner_conf": {"no_such_setting": 1}},
        {"spawner_conf": {"userserver_net": "a"}, "LibcloudSpawner": {"userserver_net": "b"}},
    ],
)
def test_a_mistake_in_that_section_is_refused(sections):
    with pytest.raises(TraitError, match=r"c\.spawner_conf\."):
        spawner(**sections)


@pytest.mark.parametrize(
    ("settings", "provider"),
    [
        ({}, "systemd"),
        ({"userserver_sizes": [("S", "s")]}, "systemd"),
        ({"libcloudparams": PARAMETERS}, "openstack"),
        ({"libcloud_driver_params": PARAMETERS}, "openstack"),
        ({"userserver_net": "private"}, "openstack"),
        ({"machine_net": "private"}, "openstack"),
        ({"cloud_name": "prod"}, "openstack"),
        ({"libcloud_driver_params": PARAMETERS, "provider": "systemd"}, "systemd"),
    ],
)
def test_settings_for_a_cloud_mean_a_cloud(settings, provider):
    assert spawner(LibcloudSpawner=settings).provider == provider


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"userserver_net": "x"}, {"ip": "0.0.0.0", "port": 8000, "username_template": "{USERNAME}"}),
        ({"userserver_net": "x", "port": 9000}, {"ip": "0.0.0.0", "port": 9000}),
        ({}, {"ip": "127.0.0.1", "port": 0, "username_template": "jupyter-{USERNAME}"}),
    ],
)
def test_where_a_server_listens_follows_from_what_carries_it(settings, expected):
    found = spawner(LibcloudSpawner=settings)
    assert {name: getattr(found, name) for name in expected} == expected


def check(tmp_path, *lines):
    config = tmp_path / "jupyterhub_config.py"
    config.write_text("\n".join(["c = get_config()", *lines]))
    return problems(str(config))


def test_the_documented_configuration_is_right_as_it_stands(tmp_path):
    assert check(tmp_path, DOCUMENTED) == []


def test_the_documented_customisation_is_right_once_the_module_is_there(tmp_path, monkeypatch):
    (message,) = check(tmp_path, DOCUMENTED, CUSTOM)
    assert "there is no Python module 'acmejhubcustoms'" in message
    data = tmp_path / "acmejhubcustoms/data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    (message,) = check(tmp_path, DOCUMENTED, CUSTOM)
    assert "there is no jhub.sh.j2" in message
    (data / "jhub.sh.j2").write_text("#cloud-config\n")
    assert check(tmp_path, DOCUMENTED, CUSTOM) == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['c.LibcloudSpawner.userserver_net = "x"'], "libcloud_driver_params lacks arg_user_id"),
        (["c.LibcloudSpawner.libcloud_driver_params = {'arg_user_id': 'hub'}"], "lacks arg_key"),
        ([DOCUMENTED, "c.LibcloudSpawner.userserver_images = ['debian-12']"], "neither a pair"),
        ([DOCUMENTED, "c.LibcloudSpawner.userserver_images = []"], "userserver_images is empty"),
        ([DOCUMENTED, "c.LibcloudSpawner.machine_net = 'other'"], "contradict each other"),
        ([DOCUMENTED, "c.LibcloudSpawner.cloud_config_file = '/no/such/file'"], "There is no file /no/such/file"),
        ([DOCUMENTED, "c.LibcloudSpawner.userserver_network = 'x'"], "did you mean userserver_net"),
    ],
)
def test_a_mistake_is_one_clear_message(tmp_path, lines, message):
    (found,) = check(tmp_path, "c.JupyterHub.spawner_class = 'libcloudspawner.spawner.LibcloudSpawner'", *lines)
    assert message in found
    assert "gloubiboulga" not in found
