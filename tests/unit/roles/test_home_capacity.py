# SPDX-License-Identifier: GPL-3.0-or-later
"""Which capacities a home may have; what is done with file systems is tried on a host (test_capacity.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import load_program

program = load_program(Path(__file__).parents[3] / "roles/node/files/jupyterhub-home-capacity")


@pytest.mark.parametrize(
    ("said", "size"),
    [("16M", 2**24), ("10G", 10 * 2**30), ("10Gi", 10 * 2**30), ("1.5T", 3 * 2**39), ("33554433", 33554432)],
)
def test_a_capacity_is_a_number_of_bytes_with_a_letter_or_none(said, size):
    assert program.size_of(said) == size


@pytest.mark.parametrize("said", ["", "much", "-1G", "1G2", "10 G", "8M", "0"])
def test_what_is_no_capacity_is_refused(said):
    with pytest.raises(program.CapacityError, match="A capacity is"):
        program.size_of(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody-has-this-name", "1G"], "There is no account nobody-has-this-name"),
        (["root", "1G"], "root is no user's account"),
        (["root", "--take-out"], "root is no user's account"),
    ],
)
def test_only_homes_of_users_have_a_capacity(arguments, said, capsys):
    assert program.main(arguments) == 1
    assert said in capsys.readouterr().err


def test_room_that_is_not_there_is_told_before_anything_changes(tmp_path):
    image = tmp_path / "homes" / "ada.new"
    image.parent.mkdir()
    with pytest.raises(program.CapacityError, match=r"has no room for a home of 1048576\.0 GiB"):
        program.reserve(image, 2**50)
