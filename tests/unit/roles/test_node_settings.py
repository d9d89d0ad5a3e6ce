# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role node makes of its variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).parents[3] / "roles/node"


def load(path):
    return DataLoader().load_from_file(str(path), trusted_as_template=True)


def templar(**variables):
    role = {**load(ROLE / "defaults/main.yml"), **load(ROLE / "vars/main.yml")}
    return Templar(loader=DataLoader(), variables={**role, "ansible_managed": "Managed", **variables})


def drop_in(**variables):
    """The settings for all servers."""
    text = templar(**variables).template(trust_as_template((ROLE / "templates/node.conf.j2").read_text()))
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
    task = load(ROLE / "tasks/problems.yml")[-1]
    known = templar(**task["vars"], **variables)
    checks = task["libcloudspawner.jupyterhub.preflight"]["checks"]
    return "\n".join(
        known.template(check["otherwise"])
        for check in checks
        if not all(
            map(known.evaluate_conditional, [check["that"]] if isinstance(check["that"], str) else check["that"])
        )
    )


def environments(*names):
    return [{"name": name} for name in ("default", *names)]


def test_the_defaults_lack_nothing():
    assert refusal() == ""


@pytest.mark.parametrize("name", ["Python3", "-x", ".x", "a b", "a/b", "../a", "x" * 64, "é"])
def test_an_environment_that_no_server_could_be_started_from_is_refused_by_its_name(pure, name):
    assert f"Change {name}." in refusal(node_environments=environments("good", name))
    assert not pure.ENVIRONMENT.fullmatch(name)


@pytest.mark.parametrize("name", ["python-3.12", "r_4", "0", "x" * 63])
def test_an_environment_that_the_control_helper_takes_is_not_refused(pure, name):
    assert refusal(node_environments=environments(name)) == ""
    assert pure.ENVIRONMENT.fullmatch(name)
