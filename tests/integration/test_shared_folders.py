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


def test_one_who_reads_can_change_nothing(terminals):
    terminals["tess"].run(f"echo plan >{TRIP}/plan")
    assert terminals["gina"].run(f"cat {TRIP}/plan") == "plan"
    assert "Read-only file system" in terminals["gina"].run(f"echo mine >{TRIP}/plan")
    assert "Read-only file system" in terminals["nora"].run(f"echo mine >{ROOT}/everybody/plan")


def test_a_folder_is_nobodys_outside_of_its_servers(host, terminals):
    folder = host.file(TRIP)
    assert (folder.user, folder.group, folder.mode) == ("root", "jupyterhub-field-trip", 0o2770)
    assert host.run("runuser -u jupyter-nora -- ls %s", TRIP).failed
