# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands of the README say where they cannot do their work."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APT_LINE = "apt-get install git make python3-venv"


def refusal(*command, **variables):
    """What a command says that fails."""
    run = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
    assert run.returncode != 0
    return run.stderr


def test_a_taken_port_is_an_error_that_says_how_to_choose_another():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal("tools/demo.sh", "up", DEMO_PORT=str(port))
    assert f"port {port} of 127.0.0.1 is taken. Choose another: make demo DEMO_PORT={port + 1}" in said


@pytest.mark.parametrize("port", ["web", "0", "65536", "8000 "])
def test_what_is_no_port_is_refused(port):
    assert f"DEMO_PORT={port} is not a port" in refusal("tools/demo.sh", "up", DEMO_PORT=port)


@pytest.fixture
def programs(tmp_path):
    """A folder to be all of PATH, with what every system has."""
    for name in ("bash", "dirname", "git", "make", "python3"):
        (tmp_path / name).symlink_to(shutil.which(name))
    return tmp_path


@pytest.mark.parametrize("missing", ["git", "make", "python3"])
def test_a_program_that_is_missing_is_named_with_the_line_that_installs_it(programs, missing):
    (programs / missing).unlink()
    assert f"{missing} is missing. Please run: {APT_LINE}" in refusal("tools/setup.sh", PATH=str(programs))


def test_a_python_without_its_module_for_virtual_environments_is_an_error_that_says_what_to_install(programs):
    real = (programs / "python3").resolve()
    (programs / "python3").unlink()
    (programs / "python3").write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec {real} "$@"\n')
    (programs / "python3").chmod(0o755)
    (programs / "sh").symlink_to("/bin/sh")
    assert f"python3 has no venv. Please run: {APT_LINE}" in refusal("tools/setup.sh", PATH=str(programs))
