# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    # The same options as CONNECTION_SPEC in plugins/module_utils/_hub_api.py.
    DOCUMENTATION = r"""
options:
  hub_name:
    description:
      - Name of the hub on a host of several, as the role variable of this name; empty for a hub without one.
      - It says where O(api_url) and O(token_file) are found that are not given.
    type: str
    default: ""
  api_url:
    description:
      - URL of the hub's REST API, with the hub's base URL, such as C(http://127.0.0.1:8081/jupyter/hub/api).
      - If it is not given, it is where the hub of the role P(libcloudspawner.jupyterhub.hub#role) listens on its own
        host, as the role noted it there in C(hub.json), or C(http://127.0.0.1:8081/hub/api) where there is no note of a
        hub without a name.
    type: str
  token_file:
    description:
      - File on the host that holds the hub's API token and nothing else.
      - If it is not given, it is the one that the role P(libcloudspawner.jupyterhub.hub#role) writes,
        C(/etc/jupyterhub/secrets/singleuser.token), or C(/etc/jupyterhub-NAME/secrets/singleuser.token) with
        O(hub_name).
      - The file must belong to root, or to the account that runs the module, and be closed to group and others.
      - Not read when O(token) is set.
    type: path
  token:
    description:
      - The API token itself. Prefer O(token_file), which keeps the token out of the inventory.
    type: str
  timeout:
    description:
      - Seconds to wait for each single answer of the hub. The hub takes up to ten seconds to answer a request to start
        or stop a server.
    type: int
    default: 30
  validate_certs:
    description:
      - Whether to check the certificate of an V(https) O(api_url).
    type: bool
    default: true
  ca_path:
    description:
      - File with the PEM certificates of the authorities to trust for an V(https) O(api_url), instead of the system's.
    type: path
requirements:
  - JupyterHub 6.1 or newer
  - Python 3.10 or newer on the host
notes:
  - Run it on the hub's host, as root, so that it can read O(token_file).
  - The token's service needs the scopes C(servers) and, to list the servers of all users, C(list:users).
  - Proxy settings in the environment are ignored, so that the token goes to the hub only.
"""
