# SPDX-License-Identifier: BSD-3-Clause
"""What roles make of their variables, without a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).parents[1]
ROLES = ROOT / "roles"


def load(path: Path | str) -> Any:
    return DataLoader().load_from_file(str(path), trusted_as_template=True)


def options(role: str) -> dict[str, Any]:
    """What a role's specification says of its variables, those of all entry points."""
    entry_points = load(ROLES / role / "meta/argument_specs.yml")["argument_specs"].values()
    return {name: option for entry_point in entry_points for name, option in entry_point.get("options", {}).items()}


def module_options(module: str) -> dict[str, Any]:
    """What the documentation of a module says of its own options."""
    text = (ROOT / f"plugins/modules/{module}.py").read_text(encoding="utf-8")
    documentation = text.partition('DOCUMENTATION = r"""')[2].partition('"""')[0]
    own: dict[str, Any] = yaml.safe_load(documentation)["options"]
    return own


def templar(role: str, **variables: Any) -> Templar:
    """With a role's defaults and variables, and further ones above them."""
    folder = ROLES / role
    known = {**load(folder / "defaults/main.yml"), **load(folder / "vars/main.yml")}
    common = {"role_path": str(folder), "ansible_managed": "Managed"}
    return Templar(loader=DataLoader(), variables={**known, **common, **variables})


def rendered(path: Path, known: Templar) -> str:
    # Outside of a run of Ansible its own plugins are known by their short names alone.
    text = path.read_text(encoding="utf-8").replace("lookup('ansible.builtin.", "lookup('")
    return str(known.template(trust_as_template(text)))


def problem_checks(role: str, *files: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The checks that the task files of a role end with, and the variables of these tasks."""
    tasks = [load(ROLES / role / "tasks" / f"{name}.yml")[-1] for name in files]
    checks = [check for task in tasks for check in task["libcloudspawner.jupyterhub.preflight"]["checks"]]
    return checks, {name: value for task in tasks for name, value in task.get("vars", {}).items()}


def refusal(checks: list[dict[str, Any]], known: Templar) -> str:
    """What the checks say that do not hold; empty if none refuses."""
    said: list[str] = []
    for check in checks:
        conditions = check["that"] if isinstance(check["that"], list) else [check["that"]]
        try:
            if not all(map(known.evaluate_conditional, conditions)):
                said.append(known.template(check["otherwise"]))
        except AnsibleError:
            assert said, "a check must not break where no other one says why"
    return "\n".join(said)
