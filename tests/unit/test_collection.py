# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody gets who installs the collection, or runs it from a checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INVENTORIES = sorted(path.parent for path in (ROOT / "inventories").glob("**/hosts.yml"))


def run(*command, cwd, collections):
    settings = {"COLLECTIONS_PATH": collections, "HOME": cwd, "INVENTORY_ANY_UNPARSED_IS_FAILED": True}
    environment = {**os.environ, **{f"ANSIBLE_{name}": str(value) for name, value in settings.items()}}
    return subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True, text=True).stdout


def test_the_collection_is_built_and_installed_and_its_playbook_found_by_name(tmp_path):
    collections = tmp_path / "collections"
    run("ansible-galaxy", "collection", "build", str(ROOT), cwd=tmp_path, collections=collections)
    (tarball,) = tmp_path.glob("libcloudspawner-jupyterhub-*.tar.gz")
    install = ("ansible-galaxy", "collection", "install", "--offline", "--collections-path", str(collections))
    run(*install, str(tarball), cwd=tmp_path, collections=collections)

    installed = collections / "ansible_collections/libcloudspawner/jupyterhub"
    assert (installed / "spawner/src/libcloudspawner/spawner.py").is_file()
    assert (installed / "templates/jupyterhub_config.py.j2").is_file()
    assert not (installed / "molecule").exists()
    (tmp_path / "inventory.yml").write_text("hubs: {hosts: {localhost: }}\nnodes: {hosts: {localhost: }}\n")
    check = ("ansible-playbook", "libcloudspawner.jupyterhub.site", "--inventory", "inventory.yml", "--syntax-check")
    assert str(installed / "playbooks/site.yml") in run(*check, cwd=tmp_path, collections=collections)


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_an_inventory_of_the_repository_fits_the_playbook(inventory, tmp_path):
    command = ("ansible-playbook", str(ROOT / "playbooks/site.yml"), "--inventory", str(inventory), "--list-hosts")
    listed = run(*command, cwd=tmp_path, collections=ROOT / "playbooks/collections")
    assert "hosts (1)" in listed
