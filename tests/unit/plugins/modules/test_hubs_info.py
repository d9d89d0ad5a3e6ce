# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module finds on a host with several hubs."""

from __future__ import annotations

import json

import pytest
from ansible_collections.libcloudspawner.jupyterhub.plugins.modules import hubs_info

LISTENING = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   2: 0500000A:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   3: 0100007F:1F91 0100007F:1F92 01 00000000:00000000 00:00000000 00000000     0        0 1
"""
LISTENING_6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A
   2: B80D0120000000000000000001000000:2328 00000000000000000000000000000000:0000 0A
"""


def write(path, content=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_each_hub_is_there_with_what_both_roles_noted_and_no_secret(tmp_path):
    write(tmp_path / "jupyterhub/hub.json", {"hub": "jupyterhub", "ports": [8000]})
    write(tmp_path / "jupyterhub/secrets/singleuser.token")
    node = {"account_prefix": "physics-", "hooks": [{"command": "mount --password=secret"}]}
    write(tmp_path / "jupyterhub-physics-singleuser/node.json", node)
    write(tmp_path / "jupyterhub-physics/hub.json", {"hub": "jupyterhub-physics", "ports": [8010]})
    write(tmp_path / "jupyterhub-https/Caddyfile")
    assert hubs_info.read_hubs(tmp_path) == [
        {"hub": "jupyterhub", "is_noted": True, "ports": [8000]},
        {"hub": "jupyterhub-physics", "is_noted": True, "ports": [8010], "account_prefix": "physics-"},
    ]


def test_a_hub_of_before_there_were_notes_is_seen(tmp_path):
    write(tmp_path / "jupyterhub/secrets/singleuser.token")
    assert hubs_info.read_hubs(tmp_path) == [{"hub": "jupyterhub", "is_noted": False}]


def test_a_note_that_is_broken_is_not_passed_over(tmp_path):
    write(tmp_path / "jupyterhub/hub.json", "{")
    with pytest.raises(ValueError, match="Expecting property name"):
        hubs_info.read_hubs(tmp_path)


def test_ports_that_a_hub_could_not_have_are_those_that_something_listens_on_near(tmp_path):
    write(tmp_path / "tcp", LISTENING)
    write(tmp_path / "tcp6", LISTENING_6)
    assert hubs_info.read_listening([tmp_path / "tcp", tmp_path / "tcp6", tmp_path / "none"]) == [22, 80, 443, 8000]
