# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from semantic_version import NpmSpec, Version

PROXY = Path(__file__).parents[3] / "roles/hub/files/proxy"
LOCKED = json.loads((PROXY / "package-lock.json").read_text())["packages"]

# The one of Debian 12; Debian 13 has 20.
NODE = Version("18.13.0")


@pytest.mark.parametrize(("path", "package"), LOCKED.items(), ids=LOCKED.keys())
def test_each_package_runs_with_the_node_of_the_distribution(path, package):
    wanted = package.get("engines", {}).get("node", "*")
    assert NpmSpec(re.sub(r"(?<=[<>=^~]) +", "", wanted)).match(NODE), f"{path} wants node {wanted}"


def test_the_lock_is_that_of_the_package_file():
    assert LOCKED[""]["dependencies"] == json.loads((PROXY / "package.json").read_text())["dependencies"]


def test_each_package_is_pinned_with_a_digest():
    assert [path for path, package in LOCKED.items() if path and not package.get("integrity")] == []
