# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node's control helper does with homes: their capacity, and what is left of users who were deleted."""

from __future__ import annotations

from pathlib import Path

import pytest


def forget(host, user="alice", **request):
    defaults = {"account": f"jupyter-{user}", "user": user}
    return host.ask("forget", **{**defaults, **request})


def deleted(host):
    return [path.name.rpartition("-")[0] for path in (host.root / "home/.jupyterhub-deleted").glob("*")]


@pytest.fixture
def gone(host):
    """Alice, whose server has ended, with a file in her home."""
    assert host.start()["ok"]
    assert host.ask("stop")["found"]
    Path(host.accounts["jupyter-alice"].pw_dir, "thesis").write_text("all of it")
    host.configuration["home_retention_days"] = 30
    return host


def test_the_home_of_a_new_account_has_the_capacity_that_the_node_gives(host):
    host.configuration["home_capacity"] = "10G"
    assert host.start()["ok"]
    assert ("/usr/local/sbin/jupyterhub-home-capacity", "jupyter-alice", "10G") in host.commands
    host.commands.clear()
    assert host.start()["ok"]
    assert not [command for command in host.commands if "capacity" in command[0]]


def test_an_account_whose_home_has_no_room_is_not_made(host):
    host.configuration["home_capacity"] = "10G"
    host.failures["jupyterhub-home-capacity"] = "no room for a home of 10.0 GiB"
    assert "no room for a home" in host.start()["error"]
    assert "jupyter-alice" not in host.accounts
    assert not (host.root / "home/jupyter-alice").exists()


def test_a_home_stays_unless_the_node_says_otherwise(gone):
    gone.configuration["home_retention_days"] = -1
    assert forget(gone) == {"ok": True, "forgotten": False}
    assert (gone.root / "home/jupyter-alice/thesis").exists()
    assert "jupyter-alice" in gone.accounts


def test_the_home_of_a_user_who_was_deleted_is_kept_out_of_sight(gone):
    assert forget(gone) == {"ok": True, "forgotten": True}
    kept = next((gone.root / "home/.jupyterhub-deleted").iterdir())
    assert (kept / "thesis").read_text() == "all of it"
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert "jupyter-alice" not in gone.accounts
    assert not [command for command in gone.commands if "/bin/rm" in command]


def test_a_home_that_is_not_to_be_kept_is_deleted_beside_the_answer(gone):
    gone.configuration["home_retention_days"] = 0
    assert forget(gone)["forgotten"]
    (removal,) = [command for command in gone.commands if "/bin/rm" in command]
    assert Path(removal[-1]).parent.name == ".jupyterhub-deleted"


def test_who_comes_back_under_the_same_name_begins_anew(gone):
    assert forget(gone)["ok"]
    assert gone.start()["ok"]
    assert list((gone.root / "home/jupyter-alice").iterdir()) == []
    assert deleted(gone) == ["jupyter-alice"]


def test_of_a_home_with_a_capacity_the_image_is_kept(gone):
    image = gone.root / "home/image"
    image.write_text("a file system")
    gone.image = str(image)
    (gone.root / "home/jupyter-alice/thesis").unlink()
    assert forget(gone)["forgotten"]
    assert deleted(gone) == ["jupyter-alice"]
    assert not image.exists()


def test_the_home_of_a_server_that_runs_stays(gone):
    assert gone.start()["ok"]
    assert "A server of alice runs" in forget(gone)["error"]
    assert "jupyter-alice" in gone.accounts


@pytest.mark.parametrize("whose", [{"user": "bob", "account": "jupyter-alice"}, {"hub": "another"}])
def test_what_was_made_for_somebody_else_stays(gone, whose):
    assert forget(gone, **whose)["code"] == "refused"
    assert (gone.root / "home/jupyter-alice/thesis").exists()


def test_an_account_of_the_administrator_stays(gone):
    gone.configuration["account_map"] = {"alice": "jupyter-alice"}
    assert not forget(gone)["forgotten"]
    assert not forget(gone, user="nobody-knows")["forgotten"]
