# SPDX-License-Identifier: BSD-3-Clause
"""The pages of the documentation, the blocks in them, and which test runs which of their commands."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
    *sorted(ROOT.glob("roles/*/README.md")),
    ROOT / "spawner/README.md",
    ROOT / "bench/README.md",
]
LISTED = yaml.safe_load((ROOT / "tests/commands.yml").read_text(encoding="utf-8"))
_BLOCK = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.M | re.S)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def languages(page: Path) -> list[str]:
    return [language for _, language, _ in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def blocks(page: Path, language: str) -> list[str]:
    """What the blocks of a language hold, without the indentation that they share."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [textwrap.dedent(text) for _, of, text in found if of == language]


def without_blocks(page: Path) -> str:
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def commands(page: Path) -> list[str]:
    """The commands of a page, each as one line and without a comment."""
    lines = "".join(blocks(page, "shell")).replace("\\\n", "").splitlines()
    return [re.sub(r" +", " ", re.sub(r"\s+#\s.*", "", line)).strip() for line in lines]


def commands_run_by(test: str) -> list[str]:
    """The commands that a test, ``path::function``, has to run, in the order in which they are listed."""
    return [command for entry in LISTED if entry.get("test") == test for command in entry["commands"]]
