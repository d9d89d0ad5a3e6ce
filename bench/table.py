# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured several times, as a table of Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def print_table(title: str, rows: Mapping[str, Sequence[float]]) -> None:
    print(f"| {title} | n | median | min | max |")
    print("| --- | --- | --- | --- | --- |")
    for name, seen in rows.items():
        print(f"| {name} | {len(seen)} | {statistics.median(seen):.2f} | {min(seen):.2f} | {max(seen):.2f} |")
