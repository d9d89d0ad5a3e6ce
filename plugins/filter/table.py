# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: table
short_description: Set rows of values as the lines of a table
version_added: 0.1.0
description:
  - Makes a line of text of each row, with all columns as wide as they need.
author:
  - The libcloudspawner team (@libcloudspawner)
options:
  _input:
    description: The rows, the first of which is mostly a head. Each is a list of values.
    type: list
    elements: list
    required: true
"""

EXAMPLES = r"""
- name: Show who runs what
  ansible.builtin.debug:
    msg: "{{ [['USER', 'PORT'], ['ada', 20001]] | libcloudspawner.jupyterhub.table }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
  sample: ["USER  PORT", "ada   20001"]
"""

import typing as t
from collections.abc import Iterable, Sequence


def table(rows: Iterable[Sequence[t.Any]]) -> list[str]:
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


class FilterModule:
    def filters(self) -> dict[str, t.Any]:
        return {"table": table}
