#!/usr/bin/python

# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hubs_info
short_description: List the hubs of a host, and the ports that something listens on
version_added: 0.1.0
description:
  - Reads what the roles P(libcloudspawner.jupyterhub.hub#role) and P(libcloudspawner.jupyterhub.node#role) noted of
    each hub of a host. Neither passwords nor the commands of hooks are among it.
  - Used by the roles of this collection, which compare a hub with the others of its host before anything changes. There
    is no need to name it in a play.
author:
  - The libcloudspawner team (@libcloudspawner)
extends_documentation_fragment:
  - libcloudspawner.jupyterhub._attributes.info
notes:
  - Run it as root on the host.
seealso:
  - module: libcloudspawner.jupyterhub.preflight
"""

EXAMPLES = r"""
- name: See which hubs this host carries
  libcloudspawner.jupyterhub.hubs_info:
  register: host
"""

RETURN = r"""
hubs:
  description: What is known of each hub, sorted by C(hub). What was noted by no role is not there.
  returned: success
  type: list
  elements: dict
  contains:
    hub:
      description: What the names of its account and units begin with.
      type: str
      sample: jupyterhub-physics
    is_noted:
      description: Whether the role P(libcloudspawner.jupyterhub.hub#role) noted what it has, or has never run for it.
      type: bool
      sample: true
    ports:
      description: Ports of the proxy, of the proxy's interface, and of the hub.
      type: list
      elements: int
      sample: [8000, 8001, 8081]
    base_url:
      description: Where it begins within its name.
      type: str
      sample: /physics/
    account_prefix:
      description: What the names of its users' accounts begin with.
      type: str
      sample: physics-
listening:
  description: Ports that something listens on, at C(127.0.0.1), C(::1) or all addresses.
  returned: success
  type: list
  elements: int
  sample: [22, 8000]
"""

import json
import re
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

ETC = Path("/etc")
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
OF_NODE = ("account_prefix", "data_root", "home_root", "shared_root", "port_first", "port_last")
# All addresses, and those of the host alone, as the kernel writes them on machines of either order of bytes.
NEAR = re.compile(r"0{8}|0{32}|[0-9A-F]{6}7F|7F[0-9A-F]{6}|0{24}01000000|0{31}1")


def read_hubs(etc: Path) -> list[dict[str, t.Any]]:
    hubs: dict[str, dict[str, t.Any]] = {}

    def of(folder: Path) -> dict[str, t.Any]:
        name = folder.name.removesuffix("-singleuser")
        return hubs.setdefault(name, {"hub": name, "is_noted": True})

    # The token is there since the first run of the role, and was before there were notes.
    for path in etc.glob("jupyterhub*/secrets/singleuser.token"):
        of(path.parents[1])["is_noted"] = (path.parents[1] / "hub.json").exists()
    for path in etc.glob("jupyterhub*/hub.json"):
        of(path.parent).update(json.loads(path.read_text(encoding="utf-8")))
    for path in etc.glob("jupyterhub*-singleuser/node.json"):
        settings = json.loads(path.read_text(encoding="utf-8"))
        of(path.parent).update({name: settings[name] for name in OF_NODE if name in settings})
    return [hubs[name] for name in sorted(hubs)]


def read_listening(tables: t.Iterable[Path]) -> list[int]:
    ports = set()
    for table in tables:
        lines = table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else []
        for fields in map(str.split, lines):
            address, _colon, port = fields[1].partition(":")
            if fields[3] == "0A" and NEAR.fullmatch(address):
                ports.add(int(port, 16))
    return sorted(ports)


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        hubs = read_hubs(ETC)
    except ValueError as error:
        module.fail_json(msg=f"What a hub noted in /etc cannot be read: {error}. Run the playbook site for that hub.")
    module.exit_json(changed=False, hubs=hubs, listening=read_listening(TABLES))


if __name__ == "__main__":
    main()
