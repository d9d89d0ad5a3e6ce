# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.libcloudspawner.jupyterhub.plugins.filter.table import table


def test_columns_are_as_wide_as_they_need_and_lines_end_without_blanks():
    assert table([["USER", "PORT", "X"], ["ada", 20001, None]]) == ["USER  PORT   X", "ada   20001"]


def test_no_rows_make_no_lines():
    assert table([]) == []
