# SPDX-License-Identifier: BSD-3-Clause
"""The two hubs of these tests, and how to look at their containers."""

from __future__ import annotations

import subprocess
from pathlib import Path

TOKEN = "0123456789abcdef0123456789abcdef"
CUSTOM = Path(__file__).parent / "container" / "custom"
PORTS = {"libcloudspawner-physics": 18010, "libcloudspawner-history": 18011}
PHYSICS, HISTORY = PORTS
OTHER_PORT = 18012
UID = 1000620000


def docker(*arguments: str, check: bool = True) -> str:
    """What docker says."""
    result = subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True)
    assert result.returncode == 0 or not check, result.stderr
    return result.stdout.strip()
