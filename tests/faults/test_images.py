# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that builds images, beside a cloud in which it does not come to that."""

from __future__ import annotations

import json
import sys

import pytest
import yaml
from fakecloud import FakeCloud, faults
from playbook import ROOT, run_playbook

CONFIG = """
c.JupyterHub.spawner_class = "libcloudspawner.spawner.LibcloudSpawner"
c.LibcloudSpawner.provider = "openstack"
c.LibcloudSpawner.hub_id = "hub"
c.LibcloudSpawner.userserver_sizes = [("Small", "small")]
c.LibcloudSpawner.userserver_images = [("Debian", "debian-12")]
c.LibcloudSpawner.libcloud_driver_params = {params!r}
"""


@pytest.fixture
def cloud():
    with FakeCloud(guest="never") as cloud:
        yield cloud


@pytest.fixture
def build(cloud, tmp_path, monkeypatch):
    """Run the playbook, of whose first play only what it finds out is left: there is no hub here."""
    keys = tmp_path / "keys"
    keys.mkdir()
    monkeypatch.setenv("TMPDIR", str(keys))
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(CONFIG.format(params=cloud.driver_params()))
    asked = {
        "command": [sys.executable, "-m", "libcloudspawner.images"],
        "config": str(config),
        "deployed": str(config),
        "variables": {"PYTHONPATH": str(ROOT / "spawner/src")},
        "address": "127.0.0.1",
    }
    plays = yaml.safe_load((ROOT / "playbooks/image.yml").read_text())
    plays[0]["tasks"] = [
        {
            "ansible.builtin.command": {"argv": [*asked["command"], "list", str(config)]},
            "environment": asked["variables"],
            "register": "listed",
        },
        {"ansible.builtin.set_fact": {"__image_asked": asked, "__image_cloud": "{{ listed.stdout | from_json }}"}},
    ]
    playbook = tmp_path / "image.yml"
    playbook.write_text(yaml.safe_dump(plays, sort_keys=False))
    image = {"image_source": "debian-12", "image_boot_timeout": 5}
    inventory = tmp_path / "inventory.yml"
    hosts = {"hubs": {"hosts": {"hub": {}}}, "images": {"hosts": {"jupyter": image}}}
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(json.dumps({"all": {"vars": here}, **hosts}))

    def build():
        done = run_playbook(str(inventory), str(playbook), ansible_become=False)
        assert done.returncode != 0
        assert cloud.counts["POST /servers"] == 1, done.stdout
        return done.stdout

    yield build
    assert list(keys.glob("ansible.*")) == [], "keys that nobody needs any more"


def left(cloud):
    groups = {group.name for group in cloud.security_groups.values()}
    return cloud.servers, {image.name for image in cloud.images.values()}, groups


NOTHING = ({}, {"debian-12", "jupyter"}, {"default"})


def test_a_machine_that_lets_nobody_in_is_destroyed(cloud, build):
    assert "timed out waiting for ping module test" in build()
    assert left(cloud) == NOTHING


def test_a_machine_that_the_cloud_cannot_start_is_destroyed(cloud, build):
    cloud.inject(faults.boot_fails(message="No valid host was found."))
    assert "could not start the machine; it says: No valid host was found." in build()
    assert left(cloud) == NOTHING


def test_a_machine_of_whose_making_nothing_was_heard_is_destroyed(cloud, build):
    cloud.inject(faults.accept_then_cut("POST", "/servers"))
    build()
    assert left(cloud) == NOTHING
