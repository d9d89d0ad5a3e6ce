# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

ROLES = Path(__file__).parents[2] / "roles"


def entry_points(role: str) -> dict[str, dict[str, t.Any]]:
    """The options of each entry point of a role, as its argument specification has them."""
    text = (ROLES / role / "meta/argument_specs.yml").read_text(encoding="utf-8")
    return {name: spec.get("options", {}) for name, spec in yaml.safe_load(text)["argument_specs"].items()}


def unknown_names(names: Iterable[str], known: Collection[str], prefix: str, ignored: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that has the prefix of a role and is none of its variables."""
    for name in sorted(names):
        if name.startswith(prefix) and name not in known and not any(fnmatchcase(name, one) for one in ignored):
            nearest = get_close_matches(name, sorted(known), n=1)
            advice = f"did you mean {nearest[0]}?" if nearest else f"ansible-doc -t role lists those of {prefix[:-1]}."
            yield f"There is no variable {name}; {advice}"


class ActionModule(ActionBase):
    _requires_connection = False

    @classmethod
    def finalize_task_arg(cls, name: str, value: t.Any, templar: t.Any, context: t.Any) -> t.Any:
        # A sentence is put together where it is needed, and then only.
        return value if name == "checks" else super().finalize_task_arg(name, value, templar, context)

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        role = self._task.args["role"]
        found = dict.fromkeys(self._task.args.get("found_before", []))
        found.update(dict.fromkeys(self._mistaken_variables(role, variables)))
        for check in self._task.args.get("checks", []):
            try:
                if self._holds(check):
                    continue
                found[self._templar.template(check["otherwise"]).strip()] = None
            except AnsibleError as error:
                # What follows from a mistake that was named already says nothing new.
                if not found:
                    found[f"The check {check['that']} cannot be made: {error}"] = None
        return {"changed": False, "problems": list(found)}

    def _holds(self, check: Mapping[str, t.Any]) -> bool:
        conditions = check["that"] if isinstance(check["that"], list) else [check["that"]]
        return all(self._templar.evaluate_conditional(condition) for condition in conditions)

    def _mistaken_variables(self, role: str, variables: Mapping[str, t.Any]) -> Iterator[str]:
        options = entry_points(role)
        known = {name for names in options.values() for name in names}
        ignored = self._templar.template(variables.get("environment_ignored_variables", []))
        yield from unknown_names(variables, known, f"{role}_", ignored)
        for name, option in options["main"].items():
            if name not in variables:
                continue
            try:
                value = self._templar.template(variables[name])
            except AnsibleError as error:
                yield f"The value of {name} cannot be read: {error}"
                continue
            validated = ArgumentSpecValidator({name: option}).validate({name: value}, validate_role_argument_spec=True)
            for message in validated.error_messages:
                sentence = message.partition(": <class")[0]
                yield sentence if name in sentence else f"{name}: {sentence}"
