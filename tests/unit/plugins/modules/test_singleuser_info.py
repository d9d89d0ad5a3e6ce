# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml
from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils._hub_api import describe
from ansible_collections.libcloudspawner.jupyterhub.plugins.modules import singleuser_info

READY = {"ready": True, "pending": None}
STOPPED = {"ready": False, "pending": None}
STARTING = {"ready": False, "pending": "spawn"}
SERVERS = [("bob", {"": STOPPED}), ("alice", {"gpu": STARTING, "": READY})]


@pytest.mark.parametrize(
    ("name", "state", "expected"),
    [
        (None, None, [("alice", ""), ("alice", "gpu"), ("bob", "")]),
        ("", None, [("alice", ""), ("bob", "")]),
        ("gpu", None, [("alice", "gpu")]),
        (None, "started", [("alice", "")]),
        (None, "stopped", [("bob", "")]),
        (None, "pending", [("alice", "gpu")]),
        ("gpu", "started", []),
    ],
)
def test_servers_are_selected_and_sorted(name, state, expected):
    records = singleuser_info.select(SERVERS, name, state)
    assert [(record["user"], record["name"]) for record in records] == expected


class FakeHub:
    def servers(self, user):
        return {"": READY} if user == "alice" else None

    def all_servers(self, only_active=False):
        return iter(SERVERS[1:] if only_active else SERVERS)


@pytest.mark.parametrize(
    ("user", "state", "expected"),
    [
        (None, None, SERVERS),
        (None, "started", SERVERS[1:]),
        ("alice", None, [("alice", {"": READY})]),
        ("nobody", None, [("nobody", {})]),
    ],
)
def test_only_the_servers_needed_are_asked_for(user, state, expected):
    assert list(singleuser_info.read_servers(FakeHub(), user, state)) == expected


def test_every_returned_key_is_documented():
    documented = yaml.safe_load(singleuser_info.RETURN)["singleusers"]["contains"]
    assert sorted(documented) == sorted(describe("alice", "", None))
