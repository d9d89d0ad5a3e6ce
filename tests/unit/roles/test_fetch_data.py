# SPDX-License-Identifier: GPL-3.0-or-later
"""Data that all servers of a host read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "roles/environment/files/fetch-data"


@pytest.fixture
def fetch(tmp_path):
    def fetch(command, tag="1", name="lidar"):
        arguments = (tmp_path / "data" / name, tag, "/usr", command)
        return subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False)

    return fetch


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data/lidar"


def test_data_are_fetched_once(fetch, folder):
    assert fetch('echo 42 > points && echo "$DATA" > "$DATA/where"').stdout == "fetched\n"
    assert (folder / "points").read_text() == "42\n"
    assert (folder / "points").stat().st_mode & 0o777 == 0o644
    assert fetch("exit 1").stdout == "\n"


def test_other_data_take_the_place_of_those_that_are_there_when_they_are_whole(fetch, folder):
    fetch("echo 42 > points")
    broken = fetch("echo 43 > points; echo no route to the server >&2; exit 7", tag="2")
    assert broken.returncode == 1
    assert "The data lidar were not fetched. no route to the server" in broken.stderr
    assert (folder / "points").read_text() == "42\n"
    assert fetch("echo 44 > points", tag="3").returncode == 0
    assert (folder / "points").read_text() == "44\n"
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lidar-3", ".lidar.lock", "lidar"]


def test_a_folder_that_something_else_made_is_left_alone(fetch, folder):
    folder.mkdir(parents=True)
    assert "Give the data another name" in fetch("true").stderr
    assert folder.is_dir()
