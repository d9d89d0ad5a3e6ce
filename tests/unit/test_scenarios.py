# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule calls a scenario without tests a success; here it is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

SCENARIOS = sorted(path.parent for path in (Path(__file__).parents[2] / "molecule").glob("*/molecule.yml"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_place_that_a_scenario_names_holds_tests(scenario: Path) -> None:
    verifier = yaml.safe_load((scenario / "molecule.yml").read_text()).get("verifier", {})
    directory = scenario / verifier.get("directory", "tests")
    for place in [directory, *(directory / name for name in verifier.get("additional_files_or_dirs", []))]:
        assert list(place.glob("**/test_*.py")), f"{place} holds no tests"
