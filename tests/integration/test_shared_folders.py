# SPDX-License-Identifier: BSD-3-Clause
"""Folders that users share, by node_shared_folders of molecule/default."""

from __future__ import annotations

import pytest

ROOT = "/srv/together"
TRIP = f"{ROOT}/field-trip"


@pytest.fixture(scope="module")
def terminals(hub):
    """Those of a teacher, of another, of one who is in the course, and of one who is not."""
    groups = {"tess": "teachers", "theo": "teachers", "gina": "geography", "nora": None}
    terminals = {}
    for user, group in groups.items():
        hub.call("POST", f"/users/{user}")
        if group:
            hub.call("POST", f"/groups/{group}")
            hub.call("POST", f"/groups/{group}/users", users=[user]).raise_for_status()
        hub.start(user, userserver_size="small")
        terminals[user] = hub.terminal(user)
    yield terminals
    for user in groups:
        hub.stop(user)
    for group in ("teachers", "geography"):
        hub.call("DELETE", f"/groups/{group}")


def test_a_server_sees_the_folders_of_its_users_groups_and_no_other(terminals):
    assert terminals["tess"].run(f"ls --color=never {ROOT}") == "everybody  field-trip"
    assert terminals["gina"].run(f"ls --color=never {ROOT}") == "everybody  field-trip"
    assert terminals["nora"].run(f"ls --color=never {ROOT}") == "everybody"


def test_what_one_who_writes_makes_the_others_who_write_may_change(terminals):
    assert terminals["tess"].run(f"mkdir -p {TRIP}/maps && echo first >{TRIP}/maps/route && echo done") == "done"
    assert terminals["theo"].run(f"echo second >>{TRIP}/maps/route && cat {TRIP}/maps/route") == "first\nsecond"


def test_folders_can_be_copied_and_unpacked_there(terminals):
    terminals["tess"].run(f"rm -rf lesson {TRIP}/lesson {TRIP}/tar {TRIP}/tree")
    made = "mkdir -p lesson/week1 && echo text >lesson/week1/a"
    copied = f"cp -r lesson {TRIP}/ && mkdir -p {TRIP}/tar && tar c lesson | tar x -C {TRIP}/tar"
    by_python = f"python -c \"import shutil; shutil.copytree('lesson', '{TRIP}/tree', dirs_exist_ok=True)\""
    assert terminals["tess"].run(f"{made} && {copied} && {by_python} && echo done") == "done"
    changed = f"echo more >>{TRIP}/$one/week1/a && touch {TRIP}/$one/b"
    assert terminals["theo"].run(f"for one in lesson tar/lesson tree; do {changed}; done && echo done") == "done"


def test_one_who_reads_can_change_nothing(terminals):
    terminals["tess"].run(f"echo plan >{TRIP}/plan")
    assert terminals["gina"].run(f"cat {TRIP}/plan") == "plan"
    assert "Read-only file system" in terminals["gina"].run(f"echo mine >{TRIP}/plan")
    assert "Read-only file system" in terminals["nora"].run(f"echo mine >{ROOT}/everybody/plan")


def test_a_folder_is_nobodys_outside_of_its_servers(host, terminals):
    folder = host.file(TRIP)
    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o770)
    for user in ("nora", "gina", "tess"):
        assert host.run("runuser -u jupyter-%s -- ls %s", user, TRIP).failed


def test_one_who_reads_may_not_write_by_another_way_either(host, terminals):
    groups = terminals["gina"].run("id -Gn").split()
    assert "jupyterhub-field-trip-read" in groups
    assert "jupyterhub-field-trip" not in groups
    assert "jupyterhub-everybody" not in groups
