# SPDX-License-Identifier: GPL-3.0-or-later
"""Each tag of a role can be run alone on a host that has been set up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROLES = sorted(path for path in (Path(__file__).parents[3] / "roles").iterdir() if path.is_dir())


def registered(text):
    """The run-time variables that a file of tasks registers or sets."""
    return {*re.findall(r"register: (__\w+)", text), *re.findall(r"^ +(__\w+):", text, re.M)}


def with_imports(path):
    """The text of a file of tasks and of those that it imports."""
    text = path.read_text()
    imported = re.findall(r"import_tasks:\n +file: (\S+)", text)
    return "\n".join([text, *(with_imports(path.with_name(name)) for name in imported)])


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_what_a_tag_uses_is_registered_under_it(role):
    phases = yaml.safe_load((role / "tasks/main.yml").read_text())
    kinds = ("ansible.builtin.import_tasks", "ansible.builtin.include_tasks")
    tags = {phase[kind]["file"]: set(phase.get("tags", [])) for phase in phases for kind in kinds if kind in phase}
    texts = {name: with_imports(role / "tasks" / name) for name in tags}
    known = {
        tag: {name for file, text in texts.items() if tags[file] & {tag, "always"} for name in registered(text)}
        for tag in set().union(*tags.values())
    }
    missing = {
        (tag, name)
        for file, text in texts.items()
        for tag in tags[file]
        for name in re.findall(rf"__{role.name}_\w+", text)
        if name not in known[tag]
    }
    assert missing == set()
