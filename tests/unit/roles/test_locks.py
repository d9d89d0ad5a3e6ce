# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles fetch as root is pinned, with a digest of each file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = sorted((ROOT / "roles").glob("**/requirements.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT / "roles")))
def test_each_package_is_pinned_with_a_digest(lock):
    packages = re.split(r"^(?=\S)", re.sub(r"^ *#.*\n", "", lock.read_text(), flags=re.M), flags=re.M)[1:]
    assert packages
    assert [package for package in packages if not re.match(r"\S+==\S+.*\\\n +--hash=sha256:", package)] == []


def test_the_package_is_built_with_the_version_that_is_pinned():
    (builder,) = re.findall(r"^requires = \[\"(.*)\"\]$", (ROOT / "spawner/pyproject.toml").read_text(), re.M)
    assert f"{builder} \\\n" in (ROOT / "roles/environment/files/requirements.txt").read_text()
