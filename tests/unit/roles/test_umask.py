# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"
PREFIXES = {role: yaml.safe_load((ROLES / role / "vars/main.yml").read_text()) for role in ("environment", "hub")}


def commands(tasks):
    for task in tasks:
        yield from commands(task.get("block", []))
        if "ansible.builtin.command" in task and task.get("changed_when") is not False:
            yield task


# Neither what removes, nor what keeps and brings back files with the modes that they have, or for the hub alone.
OTHER = re.compile(r"remove.*|backup|restore.*|copy_database")
INSTALLING = sorted(
    path for role in PREFIXES for path in ROLES.glob(f"{role}/tasks/*.yml") if not OTHER.fullmatch(path.stem)
)


@pytest.mark.parametrize("path", INSTALLING, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_what_a_command_installs_can_be_read_by_everybody(path):
    prefix = f"{{{{ _{path.parts[-3]}_readable +"
    careless = [
        task["name"]
        for task in commands(yaml.safe_load(path.read_text()))
        if not " ".join(str(task["ansible.builtin.command"]["argv"]).split()).startswith(prefix)
    ]
    assert careless == []


@pytest.mark.parametrize("role", PREFIXES)
def test_the_umask_of_the_caller_does_not_matter(role, tmp_path):
    made = tmp_path / "with a space"
    subprocess.run([*PREFIXES[role][f"_{role}_readable"], "touch", made], check=True, umask=0o077)
    assert made.stat().st_mode & 0o777 == 0o644
