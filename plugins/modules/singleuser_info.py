#!/usr/bin/python

# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: singleuser_info
short_description: List the notebook servers of a hub's users
version_added: 0.1.0
description:
  - Lists the notebook servers that a hub knows, running or not.
  - The hub knows a default server for each of its users, and the named servers that somebody made.
author:
  - The libcloudspawner team (@libcloudspawner)
extends_documentation_fragment:
  - libcloudspawner.jupyterhub._attributes.info
  - libcloudspawner.jupyterhub._hub_api
options:
  user:
    description:
      - List the servers of this user only. The list is empty when the hub knows no such user.
    type: str
  name:
    description:
      - List the servers of this name only. Empty for the default servers.
    type: str
  state:
    description:
      - List the servers in this state only. V(pending) are those that just start or stop.
    type: str
    choices: [started, stopped, pending]
seealso:
  - module: libcloudspawner.jupyterhub.singleuser
"""

EXAMPLES = r"""
- name: List what runs
  libcloudspawner.jupyterhub.singleuser_info:
    state: started
  register: running

- name: Stop all of it before maintenance
  libcloudspawner.jupyterhub.singleuser:
    user: "{{ item.user }}"
    name: "{{ item.name }}"
    state: stopped
  loop: "{{ running.singleusers }}"
  loop_control:
    label: "{{ item.user }} {{ item.name }}"

- name: List the servers of one user
  libcloudspawner.jupyterhub.singleuser_info:
    user: alice

- name: List the servers of a hub on a host of several
  libcloudspawner.jupyterhub.singleuser_info:
    hub_name: physics
"""

RETURN = r"""
singleusers:
  description: The servers, sorted by user and name.
  returned: success
  type: list
  elements: dict
  contains:
    user:
      description: Name of the user.
      type: str
      sample: alice
    name:
      description: Name of the server, empty for the default server.
      type: str
      sample: thesis
    display_name:
      description: Title of a named server on the hub's pages.
      type: str
      sample: Alice's thesis
    state:
      description: One of V(started), V(stopped) and V(pending).
      type: str
      sample: started
    ready:
      description: Whether the server can be used now.
      type: bool
      sample: true
    pending:
      description: What is under way, such as V(spawn) or V(stop), or null.
      type: str
      sample: null
    url:
      description: Path of the server's page on the hub.
      type: str
      sample: /user/alice/thesis/
    full_url:
      description: The same as a full URL, if the hub was told its public URL, or null.
      type: str
      sample: https://hub.example.org/user/alice/thesis/
    started:
      description: When the server was started, or null.
      type: str
      sample: "2026-11-21T02:10:03.709208Z"
    last_activity:
      description: When the server was last in use, or null.
      type: str
      sample: "2026-11-21T02:10:14.883633Z"
    size:
      description: Size that was chosen at the last start, or null.
      type: str
      sample: large
    environment:
      description: Environment that was chosen at the last start, or null.
      type: str
      sample: default
    user_options:
      description: All options of the last start.
      type: dict
      sample:
        userserver_size: large
        userserver_image: default
    instance:
      description:
        - Name of the instance that the server runs as, or null. On a node this is the instance of the unit
          C(jupyterhub-singleuser@.service).
        - Always null unless the token's service has the scope C(admin:server_state).
      type: str
      sample: alice--thesis
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils._hub_api import (
    CONNECTION_SPEC,
    HubAPI,
    HubError,
    Server,
    connect,
    describe,
)


def select(
    servers_by_user: t.Iterable[tuple[str, dict[str, Server]]], name: str | None = None, state: str | None = None
) -> list[dict[str, t.Any]]:
    """The wanted servers, described and sorted."""
    records = [
        describe(user, server_name, server)
        for user, servers in servers_by_user
        for server_name, server in servers.items()
    ]
    return sorted(
        (record for record in records if name in (None, record["name"]) and state in (None, record["state"])),
        key=lambda record: (record["user"], record["name"]),
    )


def read_servers(api: HubAPI, user: str | None, state: str | None) -> t.Iterable[tuple[str, dict[str, Server]]]:
    if user is None:
        return api.all_servers(only_active=state == "started")
    return [(user, api.servers(user) or {})]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_SPEC,
            "user": {"type": "str"},
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["started", "stopped", "pending"]},
        },
        supports_check_mode=True,
    )
    try:
        api = connect(module.params, module.no_log_values.add)
        found = select(
            read_servers(api, module.params["user"], module.params["state"]),
            module.params["name"],
            module.params["state"],
        )
    except HubError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, singleusers=found)


if __name__ == "__main__":
    main()
