# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the same scientific environment by ours and by pip in a plain virtual environment; and ten that share most.

usage: python bench/environments.py
ROUNDS says how often each is built; 3 times if it is not set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import print_table

ROLES = Path(__file__).parents[1] / "roles"
PYTHON = "/usr/bin/python3"
REQUIREMENTS = "pandas==2.3.3\nscipy==1.16.3\nscikit-learn==1.7.2\nstatsmodels==0.14.5\nseaborn==0.13.2\n"
# Small ones, each in one of the environments that share all else.
OWN = ("humanize", "isodate", "iniconfig", "toolz", "tabulate", "colorama", "termcolor", "wrapt", "zipp", "pluggy")


def timed(command: list[str | Path], environment: dict[str, str], order: dict[str, object] | None = None) -> float:
    began = time.monotonic()
    given = json.dumps(order) if order else None
    done = subprocess.run(command, env=environment, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed: {done.stderr[-2000:]}")
    return time.monotonic() - began


def build(folder: Path, cache: Path, name: str, requirements: str) -> float:
    repository = folder / f"{name}-repository"
    repository.mkdir(parents=True, exist_ok=True)
    (repository / "requirements.txt").write_text(requirements)
    order = {
        "path": str(folder / "environments" / f"{name}-1"),
        "name": name,
        "python": PYTHON,
        "pinned": [(ROLES / "node/files/requirements.txt").read_text()],
        "basis": [(ROLES / "node/files/requirements.in").read_text()],
        "excluded": (ROLES / "environment/files/exclude.txt").read_text(),
        "singleuser": True,
        "repository": str(repository),
    }
    program = ROLES / "environment/files/build-environment"
    return timed([sys.executable, program], {**os.environ, "UV_CACHE_DIR": str(cache)}, order)


def pip(folder: Path, cache: Path) -> float:
    """The same packages in the same versions."""
    lock = next(folder.glob("environments/*/requirements.lock"))
    names = [line.split()[0] for line in lock.read_text().splitlines() if "==" in line]
    target = folder / "pip"
    shutil.rmtree(target, ignore_errors=True)
    began = time.monotonic()
    subprocess.run([PYTHON, "-m", "venv", target], check=True)
    timed([target / "bin/pip", "install", "--quiet", "--cache-dir", cache, *names], dict(os.environ))
    return time.monotonic() - began


def used(folder: Path) -> int:
    """Bytes on the disk, with what several share counted once."""
    return int(subprocess.check_output(["du", "--summarize", "--block-size=1", folder], text=True).split()[0])


def main() -> None:
    seen: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
    for _ in range(int(os.environ.get("ROUNDS", "3"))):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
            folder = Path(name)
            for state, times in seen.items():
                shutil.rmtree(folder / "environments", ignore_errors=True)
                ours = build(folder, folder / "cache-uv", "science", REQUIREMENTS)
                times.append((ours, pip(folder, folder / "cache-pip")))
                print(f"{state}: {times[-1]}", file=sys.stderr)
    rows = {}
    for state, times in seen.items():
        rows[f"ours, {state} cache, s"] = [ours for ours, _ in times]
        rows[f"pip in a plain venv, {state} cache, s"] = [other for _, other in times]
        rows[f"ratio, {state}, pair by pair"] = [ours / other for ours, other in times]
    print_table("to build a scientific environment", rows)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        sizes = []
        for own in OWN:
            build(folder, folder / "cache", own, REQUIREMENTS + own)
            sizes.append(used(folder / "environments"))
            print(f"{len(sizes)} environments: {sizes[-1] / 1e6:.0f} MB", file=sys.stderr)
    print(f"\nTen environments that differ in one package take {sizes[-1] / sizes[0]:.2f} times the disk of one")
    print(f"({sizes[-1] / 1e6:.0f} and {sizes[0] / 1e6:.0f} MB, bytecode counted).")


if __name__ == "__main__":
    main()
