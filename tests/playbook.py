# SPDX-License-Identifier: BSD-3-Clause
"""Run a playbook of the collection on the hosts of a scenario, as an operator would."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def terminal(answer: str) -> Iterator[int]:
    """A terminal at which an answer was typed already, or none."""
    if not answer:
        yield subprocess.DEVNULL
        return
    keyboard, screen = os.openpty()
    os.write(keyboard, f"{answer}\n".encode())
    yield screen
    os.close(screen)
    os.close(keyboard)


def run_playbook(
    inventory: str, playbook: str, *arguments: str, home: Path | None = None, answer: str = "", **variables: Any
) -> subprocess.CompletedProcess[str]:
    """A playbook of the collection by its name, or a file.

    Args:
        home: where the collection is installed that it is taken from, instead of this one
        answer: what is typed at a terminal when the playbook asks; without one there is no terminal

    """
    # So that messages stand in the output as they are.
    settings = {"CALLBACK_RESULT_FORMAT": "json", "FORCE_COLOR": "0", "NOCOLOR": "1", "PIPELINING": "true"}
    settings |= {} if home else {"COLLECTIONS_PATH": str(ROOT / "playbooks/collections")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {f"ANSIBLE_{name}": value for name, value in settings.items()}
    environment |= {"PWD": str(home or ROOT), **({"HOME": str(home)} if home else {})}
    name = playbook if "/" in playbook else f"libcloudspawner.jupyterhub.{playbook}"
    command = ["ansible-playbook", name, "--inventory", str(Path(inventory).absolute())]
    command += ["--extra-vars", json.dumps(variables), *arguments]
    # Which of the two a failure goes to is a setting of Ansible's.
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with terminal(answer) as stdin:
        return subprocess.run(command, cwd=home or ROOT, env=environment, check=False, text=True, stdin=stdin, **output)
