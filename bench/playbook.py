# SPDX-License-Identifier: BSD-3-Clause
"""How long site.yml takes on a host where nothing is, and the second time, when there is nothing to do.

What apt and the registries of packages take is told apart: that is not the playbook's own. Run by bench/run.sh.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HOST = "libcloudspawner-bench"


def play(inventory: Path) -> tuple[float, list[dict[str, Any]]]:
    """Seconds, and what each task took."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as measures:
        environment = {
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "bench/callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "measure",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks/collections"),
            "ANSIBLE_PIPELINING": "true",
            "MEASURE_FILE": measures.name,
        }
        began = time.monotonic()
        command = ["ansible-playbook", "playbooks/site.yml", "--inventory", str(inventory)]
        run = subprocess.run(command, cwd=ROOT, env=environment, check=False, stdout=subprocess.PIPE, text=True)
        seconds = time.monotonic() - began
        if run.returncode != 0:
            raise SystemExit(run.stdout)
        return seconds, [json.loads(line) for line in Path(measures.name).read_text().splitlines()]


def main() -> None:
    subprocess.run(["docker", "rm", "--force", "--volumes", HOST], capture_output=True, check=False)
    subprocess.run([ROOT / "tools/host.sh", HOST, "bookworm"], check=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            inventory = Path(folder) / "hosts.json"
            variables = {
                "ansible_connection": "community.docker.docker",
                "ansible_user": "root",
                "hub_admin_users": ["admin"],
            }
            groups = {"hosts": {HOST: variables}}
            inventory.write_text(json.dumps({"all": {"children": {"hubs": groups, "nodes": groups}}}))
            runs = [play(inventory) for _ in range(2)]
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", HOST], capture_output=True, check=False)
    print("| `site.yml` | seconds | of them apt | of them other commands | tasks | with a round trip |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (seconds, tasks) in zip(("first run", "second run"), runs, strict=True):
        apt = sum(task["seconds"] for task in tasks if task["action"] == "apt")
        commands = sum(task["seconds"] for task in tasks if task["action"] == "command")
        trips = sum(task["is_round_trip"] for task in tasks)
        print(f"| {name} | {seconds:.0f} | {apt:.0f} | {commands:.0f} | {len(tasks)} | {trips} |")


if __name__ == "__main__":
    main()
