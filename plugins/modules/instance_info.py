#!/usr/bin/python

# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_info
short_description: List the instances of a node, with their limits and what they use
version_added: 0.1.0
description:
  - Lists the single-user servers that run as services of a host, as its control helper noted them and as systemd and
    the kernel see them.
author:
  - The libcloudspawner team (@libcloudspawner)
extends_documentation_fragment:
  - libcloudspawner.jupyterhub._attributes.info
options:
  hub_name:
    description: Name of the hub on a host of several, as the role variable of this name; empty for a hub without one.
    type: str
    default: ""
requirements:
  - Python 3.10 or newer on the host
notes:
  - Run it as root on the node.
seealso:
  - module: libcloudspawner.jupyterhub.singleuser_info
"""

EXAMPLES = r"""
- name: See what the servers of this node use
  libcloudspawner.jupyterhub.instance_info:
  register: node

- name: Name those that use more than half of their memory
  ansible.builtin.debug:
    msg: "{{ item.user }} {{ item.server }}"
  loop: "{{ node.instances }}"
  when: item.memory_limit and item.memory > item.memory_limit / 2
"""

RETURN = r"""
instances:
  description: The instances, sorted by user and server.
  returned: success
  type: list
  elements: dict
  contains:
    instance:
      description: Name of the instance.
      type: str
      sample: alice
    unit:
      description: Name of its unit.
      type: str
      sample: jupyterhub-singleuser@alice.service
    hub:
      description: Identity of the hub that started it.
      type: str
      sample: jupyterhub
    user:
      description: Name of the user.
      type: str
      sample: alice
    server:
      description: Name of the server, empty for the default server.
      type: str
      sample: ""
    account:
      description: Unix account that it runs under.
      type: str
      sample: jupyter-alice
    state:
      description: What systemd says of it, such as V(active) or V(failed).
      type: str
      sample: active
    started:
      description: When it was started.
      type: str
      sample: "2026-11-21T02:10:03Z"
    memory:
      description: Bytes of memory that it uses, or null where the kernel does not say.
      type: int
      sample: 112881664
    memory_limit:
      description: Most bytes that it may use, or null for no limit.
      type: int
      sample: 2147483648
    cpu_seconds:
      description: Seconds of processor time that it has used so far.
      type: float
      sample: 12.5
    cpu_limit:
      description: Most processors that it may use, or null for no limit.
      type: float
      sample: 0.5
    tasks:
      description: Number of its processes and threads, or null where the kernel does not say.
      type: int
      sample: 24
"""

import json
import os
import re
import time
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

RUN = Path("/run")
PROCESSES = Path("/proc")
PROPERTIES = "Id,ActiveState,MemoryCurrent,MemoryMax,CPUQuotaPerSecUSec,CPUUsageNSec,TasksCurrent"
KEPT = ("instance", "hub", "user", "server", "account")
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600}


def read_records(folder: Path) -> list[dict[str, t.Any]]:
    records = []
    for path in folder.glob("*.json"):
        try:
            records.append(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:  # stopped in between
            continue
    return sorted(records, key=lambda record: (record["user"], record["server"]))


def node_name(hub_name: str) -> str:
    """What the units of instances, and the folder of their records, are named after."""
    return "-".join(filter(None, ("jupyterhub", hub_name, "singleuser")))


def unit_name(record: t.Mapping[str, t.Any], node: str) -> str:
    return f"{node}@{record['instance']}.service"


def read_properties(text: str) -> dict[str, dict[str, str]]:
    """What ``systemctl show`` said, by unit."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in text.strip().split("\n\n") if block]
    return {block["Id"]: block for block in blocks}


def whole(text: str) -> int | None:
    """A number that systemd knows and that is less than infinite."""
    return int(text) if text.isdecimal() and int(text) < 2**63 else None


def seconds(text: str) -> float | None:
    """A span as systemd writes it, such as ``1min 500ms``."""
    parts = re.findall(r"([0-9.]+)([a-z]+)", text)
    return sum(float(number) * SECONDS[unit] for number, unit in parts) if parts else None


def processor_seconds(unit: str, processes: Path) -> float:
    """The time that the processes of a unit have used, where the kernel does not add it up itself."""
    ticks = 0
    for process in processes.glob("[0-9]*"):
        try:
            if f"/{unit}" in (process / "cgroup").read_text(encoding="utf-8"):
                # The name of the program stands in parentheses, and may hold anything.
                fields = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))
        except (FileNotFoundError, ProcessLookupError):  # ended in between
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def describe(record: t.Mapping[str, t.Any], properties: t.Mapping[str, str], processes: Path) -> dict[str, t.Any]:
    nanoseconds = whole(properties["CPUUsageNSec"])
    unit = properties["Id"]
    return {
        **{key: record[key] for key in KEPT},
        "unit": unit,
        "state": properties["ActiveState"],
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record["started"])),
        "memory": whole(properties["MemoryCurrent"]),
        "memory_limit": whole(properties["MemoryMax"]),
        "cpu_seconds": processor_seconds(unit, processes) if nanoseconds is None else nanoseconds / 1e9,
        "cpu_limit": seconds(properties["CPUQuotaPerSecUSec"]),
        "tasks": whole(properties["TasksCurrent"]),
    }


def main() -> None:
    module = AnsibleModule(argument_spec={"hub_name": {"type": "str", "default": ""}}, supports_check_mode=True)
    node = node_name(module.params["hub_name"])
    records = read_records(RUN / node)
    instances = []
    if records:
        units = [unit_name(record, node) for record in records]
        command = ["systemctl", "show", f"--property={PROPERTIES}", "--", *units]
        properties = read_properties(module.run_command(command, check_rc=True)[1])
        instances = [describe(record, properties[unit], PROCESSES) for record, unit in zip(records, units, strict=True)]
    module.exit_json(changed=False, instances=instances)


if __name__ == "__main__":
    main()
