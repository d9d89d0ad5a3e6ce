# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module makes of the helper's notes and of systemd's words."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.libcloudspawner.jupyterhub.plugins.modules import instance_info

RECORD = {
    "instance": "ada",
    "hub": "jupyterhub",
    "user": "ada",
    "server": "",
    "account": "jupyter-ada",
    "started": 1795253638.5,
    "request": "not told",
}
LIMITED = """Id=jupyterhub-singleuser@ada.service
ActiveState=active
MemoryCurrent=112881664
MemoryMax=2147483648
CPUQuotaPerSecUSec=500ms
CPUUsageNSec=4500000000
TasksCurrent=3
"""
UNLIMITED = """Id=jupyterhub-singleuser@ada.service
ActiveState=failed
MemoryCurrent=[not set]
MemoryMax=infinity
CPUQuotaPerSecUSec=infinity
CPUUsageNSec=[not set]
TasksCurrent=18446744073709551615
"""


def described(text, processes):
    return instance_info.describe(
        RECORD, instance_info.read_properties(text)["jupyterhub-singleuser@ada.service"], processes
    )


def test_limits_and_use_are_told_in_bytes_seconds_and_processors(tmp_path):
    found = described(LIMITED, tmp_path)
    assert (found["memory"], found["memory_limit"], found["tasks"]) == (112881664, 2147483648, 3)
    assert (found["cpu_seconds"], found["cpu_limit"]) == (4.5, 0.5)
    assert (found["user"], found["state"], found["started"]) == ("ada", "active", "2026-11-21T09:33:58Z")
    assert "request" not in found


def test_what_is_without_limit_or_unknown_is_none(tmp_path):
    found = described(UNLIMITED, tmp_path)
    assert [found[key] for key in ("memory", "memory_limit", "cpu_limit", "tasks")] == [None] * 4


def test_processor_time_is_added_up_over_the_processes_of_the_unit_alone(tmp_path):
    for process, unit in (("1", "init.scope"), ("20", "jupyterhub-singleuser@ada.service"), ("21", "other.service")):
        (tmp_path / process).mkdir()
        (tmp_path / process / "cgroup").write_text(f"0::/jupyterhub.slice/{unit}\n")
        (tmp_path / process / "stat").write_text(f"{process} (a) b) S 1 1 1 0 -1 0 0 0 0 0 100 50 30 20 20 0 1\n")
    (tmp_path / "22").mkdir()  # one that has ended in between
    assert described(UNLIMITED, tmp_path)["cpu_seconds"] == 200 / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(("text", "seconds"), [("infinity", None), ("2s", 2), ("1.500000s", 1.5), ("1min 500ms", 60.5)])
def test_spans_of_systemd_are_read(text, seconds):
    assert instance_info.seconds(text) == seconds


@pytest.mark.parametrize(
    ("hub_name", "unit"),
    [("", "jupyterhub-singleuser@ada.service"), ("physics", "jupyterhub-physics-singleuser@ada.service")],
)
def test_the_units_of_a_hub_bear_its_name(hub_name, unit):
    assert instance_info.unit_name(RECORD, instance_info.node_name(hub_name)) == unit


def test_records_are_sorted_and_locks_are_none(tmp_path):
    for user in ("bob", "ada"):
        (tmp_path / f"{user}.json").write_text(json.dumps({**RECORD, "user": user}))
        (tmp_path / f"{user}.lock").touch()
    assert [record["user"] for record in instance_info.read_records(tmp_path)] == ["ada", "bob"]
