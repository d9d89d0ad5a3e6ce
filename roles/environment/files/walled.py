# SPDX-License-Identifier: GPL-3.0-or-later
"""Run what an environment or its data are made by, so that it can change nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class ProgramError(Exception):
    """A program failed; the text is the end of what it said."""


def run(*command: str | Path, **options: object) -> str:
    """What it writes to its standard output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise ProgramError(said[-4000:])
    return done.stdout


def run_walled(*command: str | Path, environment: Path, writable: Path, folder: Path, **variables: str | Path) -> str:
    """With the programs of ``environment``; it may write below ``writable``, and in a ``/tmp`` of its own.

    Where systemd does not run, as within a container, nothing keeps it from writing elsewhere.
    """
    walls = [
        "systemd-run",
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        "--property=ProtectSystem=strict",
        "--property=ProtectHome=tmpfs",
        "--property=PrivateTmp=yes",
        "--property=PrivateDevices=yes",
        "--property=NoNewPrivileges=yes",
        "--property=CapabilityBoundingSet=",
        f"--property=ReadWritePaths={writable}",
        f"--property=WorkingDirectory={folder}",
    ]
    known = {
        "PATH": f"{environment}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "VIRTUAL_ENV": environment,
        "HOME": "/tmp",
        # Where packages come from, and whom downloads trust.
        **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))},
        **variables,
    }
    words = ["/usr/bin/env", *(f"{name}={value}" for name, value in known.items()), *command]
    return run(*(walls if Path("/run/systemd/system").is_dir() else []), *words, cwd=folder)
