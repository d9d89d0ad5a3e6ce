# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody gets who installs the collection, or runs it from a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pages import ROOT, blocks, commands_run_by

HERE = f"tests/unit/{Path(__file__).name}"
INVENTORIES = sorted(path.parent for path in (ROOT / "inventories").glob("**/hosts.yml"))
MADE = shutil.ignore_patterns(".git", ".venv", "build", "*_cache", "__pycache__", "*.tar.gz")


def run(*command, cwd, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true", **variables}
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_pages_lead_from_a_checkout_to_the_playbook(tmp_path):
    """In an empty home, with ansible-core of an index and no other collection."""
    build, *tutorial = commands_run_by(f"{HERE}::test_the_pages_lead_from_a_checkout_to_the_playbook")
    checkout, home, work = (tmp_path / name for name in ("checkout", "home", "work"))
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=MADE)
    home.mkdir()
    work.mkdir()
    run("bash", "-euc", build, cwd=checkout)
    (tarball,) = checkout.glob("*.tar.gz")
    tarball.rename(work / tarball.name)
    inventory = next(block for block in blocks(ROOT / "docs/tutorial.md", "yaml") if block.startswith("all:"))
    (work / "inventory.yml").write_text(inventory)

    trust = f". {ROOT}/tools/lib.sh; trust_system_certificates"
    check = "ansible-playbook libcloudspawner.jupyterhub.site -i inventory.yml --list-hosts --list-tasks"
    # What activates a virtual environment reads variables that need not be set.
    said = run("bash", "-ec", "\n".join([trust, *tutorial, check]), cwd=work, HOME=str(home))
    installed = home / ".ansible/collections/ansible_collections/libcloudspawner/jupyterhub"
    assert f"playbook: {installed}/playbooks/site.yml" in said
    assert "hub.example.org" in said
    assert (installed / "spawner/src/libcloudspawner/spawner.py").is_file()
    assert (installed / "templates/jupyterhub_config.py.j2").is_file()
    assert not (installed / "molecule").exists()


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_an_inventory_of_the_repository_fits_the_playbook(inventory, tmp_path):
    command = ("ansible-playbook", str(ROOT / "playbooks/site.yml"), "--inventory", str(inventory), "--list-hosts")
    listed = run(*command, cwd=tmp_path, ANSIBLE_COLLECTIONS_PATH=str(ROOT / "playbooks/collections"))
    assert "hosts (1)" in listed
