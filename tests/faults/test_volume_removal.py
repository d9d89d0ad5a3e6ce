# SPDX-License-Identifier: GPL-3.0-or-later
"""What the removal of a hub does with volumes, beside a cloud that has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from launch import launch_request
from libcloudspawner.providers.openstack import OpenStackProvider
from playbook import ROOT

PLAY = """
- hosts: localhost
  connection: local
  tasks:
    - ansible.builtin.include_role:
        name: libcloudspawner.jupyterhub.hub
        tasks_from: remove_volumes
"""


@pytest.fixture
def params(cloud):
    cloud.guest, cloud.password = "never", "a-password-that-nobody-may-see"
    return cloud.driver_params()


@pytest.fixture
def volumes(cloud, params):
    """Of a user of this hub, and of one of another."""
    made = {}
    for hub in ("jupyterhub", "other"):
        placement = {"storage_type": "volume", "storage_capacity": 2**30}
        request = launch_request("ada", f"r-{hub}", image="jupyter", placement=placement)
        made[hub] = OpenStackProvider(hub, params).create(request).volume
    for server in cloud.servers:
        cloud.delete_server(server)
    return made


@pytest.fixture
def remove(params, tmp_path):
    """Run the tasks with what the hub of this environment is; there is no host here."""
    play = tmp_path / "play.yml"
    play.write_text(PLAY)
    environment = Path(sys.executable).parents[1]
    variables = {
        "ansible_python_interpreter": sys.executable,
        "hub_provider": "openstack",
        "hub_storage_type": "volume",
        "hub_libcloud_driver_params": params,
        "hub_connect_url": "http://10.0.0.5:8081",
        "hub_admin_users": ["ada"],
        "hub_authenticator": "dummy",
        "hub_dummy_password": "secret",
        "hub_userserver_sizes": [{"name": "small"}],
        "hub_userserver_images": [{"name": "jupyter"}],
        "_hub_environment": str(environment),
        "_hub_python_path": str(ROOT / "spawner/src"),
        "__hub_token": {"content": "dG9rZW4="},
    }

    def remove(*arguments):
        done = subprocess.run(
            ["ansible-playbook", "--inventory", "localhost,", str(play), "-e", json.dumps(variables), *arguments],
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks/collections")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert params["arg_key"] not in done.stdout + done.stderr
        return done.stdout

    return remove


def test_volumes_are_shown_and_those_of_this_hub_are_deleted_when_that_is_asked_for(cloud, volumes, remove):
    for arguments, said in (
        ((), "stay, unless hub_remove_volumes is true"),
        (("-e", "hub_remove_volumes=true", "--check"), "are deleted"),
    ):
        shown = remove(*arguments)
        assert said in shown
        assert f"{volumes['jupyterhub']} ada" in shown
        assert volumes["other"] not in shown
        assert set(cloud.volumes) == set(volumes.values())
        assert "changed=0" in shown
    assert "changed=1" in remove("-e", "hub_remove_volumes=true")
    assert set(cloud.volumes) == {volumes["other"]}
    assert "changed=0" in remove("-e", "hub_remove_volumes=true")


def test_where_the_cloud_has_no_volumes_nothing_is_said(cloud, remove):
    cloud.volume_service = ""
    assert "These volumes" not in remove("-e", "hub_remove_volumes=true")
