# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
import role_settings
import yaml

ROLES = sorted(path for path in (Path(__file__).parents[3] / "roles").iterdir() if path.is_dir())


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request):
    return request.param


@pytest.fixture
def options(role):
    return role_settings.options(role.name)


@pytest.fixture
def defaults(role):
    return yaml.safe_load((role / "defaults/main.yml").read_text())


def test_the_specification_and_the_defaults_of_a_role_agree(options, defaults):
    specified = {name: option["default"] for name, option in options.items() if "default" in option}
    assert specified == defaults


def test_a_variable_without_a_default_is_required(options):
    assert [name for name, option in options.items() if ("default" in option) == option.get("required", False)] == []


def test_the_variables_of_a_role_begin_with_its_name(role, options):
    assert [name for name in options if not name.startswith(f"{role.name}_")] == []
