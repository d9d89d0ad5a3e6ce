#!/usr/bin/python

# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: singleuser
short_description: Start, stop or remove a user's notebook server
version_added: 0.1.0
description:
  - Starts and stops the notebook servers of a hub's users, and removes named ones.
  - It asks the hub to do so, so a server started here and one that its user starts in the browser are the same thing.
  - Homes are never touched.
author:
  - The libcloudspawner team (@libcloudspawner)
extends_documentation_fragment:
  - libcloudspawner.jupyterhub._attributes
  - libcloudspawner.jupyterhub._hub_api
options:
  user:
    description:
      - Name of the user as the hub knows it, which is mostly in small letters.
      - The hub must know the user. It does once they signed in or an administrator added them.
    type: str
    required: true
  name:
    description:
      - Name of the server. Empty for the user's default server.
      - A name has 1 to 30 characters, small letters, digits and single hyphens, starts with a letter and ends with a
        letter or digit.
      - The hub must allow named servers.
    type: str
    default: ""
  state:
    description:
      - V(started) makes sure that the server runs. A server that is just starting is waited for, not started again.
      - V(stopped) makes sure that it does not. A start under way is broken off.
      - V(absent) stops a named server and makes the hub forget it, with the choices kept for it. The default server
        cannot be forgotten, so for it this is the same as V(stopped).
    type: str
    choices: [started, stopped, absent]
    default: started
  size:
    description:
      - Name of the size to start with, one of those the hub offers. Sent as C(userserver_size).
    type: str
  environment:
    description:
      - Name of the environment to start with, one of those the hub offers. Sent as C(userserver_image).
    type: str
  user_options:
    description:
      - More options for the hub's spawner, as its form would give them. O(size) and O(environment) win over the same
        keys here.
      - Whatever is not named here, in O(size) or in O(environment) stays as it was when the server was last started.
        A key with the value V(null) is taken out.
    type: dict
  display_name:
    description:
      - Title of a named server on the hub's pages. The hub makes it the same as O(name) if it is not given.
    type: str
  wait:
    description:
      - Whether to wait until the server is ready or gone. Without it, a start that fails later is not noticed.
      - A server that is still stopping can neither be started nor removed. The end of that is waited for in any case.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait until the server is ready or gone. The hub goes on afterwards, and a second run waits again.
      - While the hub refuses a start because too many others are under way, the start is asked for again within this
        time.
    type: int
    default: 300
notes:
  - A server that already runs with another size, environment, option or title than asked for is left alone with a
    warning, because a restart would end its user's work. Stop it and run the task again to change them.
seealso:
  - module: libcloudspawner.jupyterhub.singleuser_info
"""

EXAMPLES = r"""
- name: Start the server of a user before the lecture
  libcloudspawner.jupyterhub.singleuser:
    user: alice
    size: small
    environment: default

- name: Start a named server without waiting for it
  libcloudspawner.jupyterhub.singleuser:
    user: alice
    name: thesis
    display_name: Alice's thesis
    size: large
    wait: false

- name: Stop the default server
  libcloudspawner.jupyterhub.singleuser:
    user: alice
    state: stopped

- name: Remove the named server, and keep the home
  libcloudspawner.jupyterhub.singleuser:
    user: alice
    name: thesis
    state: absent
"""

RETURN = r"""
singleuser:
  description:
    - The server as it is at the end, or in check mode as it would be, with the keys that
      M(libcloudspawner.jupyterhub.singleuser_info) returns.
    - Its C(state) is V(absent) for a named server that the hub does not know.
  returned: success
  type: dict
  sample:
    user: alice
    name: thesis
    display_name: Alice's thesis
    state: started
    ready: true
    pending: null
    url: /user/alice/thesis/
    full_url: null
    started: "2026-11-21T02:10:03.709208Z"
    last_activity: "2026-11-21T02:10:14.883633Z"
    size: large
    environment: default
    user_options:
      userserver_size: large
      userserver_image: default
    instance: null
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils._hub_api import (
    CONNECTION_SPEC,
    HubAPI,
    HubError,
    HubTimeoutError,
    Server,
    connect,
    describe,
)
from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils._singleuser import (
    Wanted,
    differences,
    is_absent,
    is_settled,
    next_action,
    pending,
    predict,
    read_wanted,
    start_request,
)

PAUSE_SECONDS = 1.0
DIFF_KEYS = ("state", "user", "name", "size", "environment")


def find(api: HubAPI, wanted: Wanted) -> Server | None:
    servers = api.servers(wanted.user)
    if servers is None:
        raise HubError(
            f"The hub knows no user {wanted.user!r}, or its token may not see them. Expected a user who signed in once "
            "or was added by an administrator. Check the spelling (capitals count), or add the user on the hub's "
            "admin page."
        )
    return servers.get(wanted.name)


def wait_until(
    api: HubAPI, wanted: Wanted, is_done: t.Callable[[Server | None], bool], deadline: float
) -> Server | None:
    while not is_done(server := find(api, wanted)):
        if time.monotonic() >= deadline:
            raise HubError(
                f"{wanted} is still pending ({pending(server) or 'removal'}) after {wanted.wait_timeout} seconds. The "
                "hub goes on: run this again to go on waiting, raise wait_timeout, or look at journalctl -u jupyterhub."
            )
        time.sleep(PAUSE_SECONDS)
    return server


def start_error(wanted: Wanted, reason: str) -> HubError:
    reason = reason or "the hub gives no reason. Look at journalctl -u jupyterhub."
    return HubError(f"{wanted} could not be started: {reason}")


def explain_refusal(api: HubAPI, wanted: Wanted, error: HubError) -> HubError:
    if error.status >= 500:
        return start_error(wanted, api.start_failure(wanted.user, wanted.name))
    # The hub's own words say most, except on what the token may not do.
    return start_error(wanted, error.reason) if error.reason and error.status not in (401, 403) else error


def request_start(api: HubAPI, wanted: Wanted, body: dict[str, t.Any], deadline: float) -> None:
    while True:
        try:
            api.start(wanted.user, wanted.name, body)
        except HubTimeoutError:
            if not wanted.wait:
                raise
        except HubError as error:
            pause = error.retry_after
            if not (wanted.wait and pause and time.monotonic() + pause < deadline):
                raise explain_refusal(api, wanted, error) from error
            time.sleep(pause)
            continue
        return


def request_stop(api: HubAPI, wanted: Wanted, remove: bool) -> None:
    try:
        api.stop(wanted.user, wanted.name, remove)
    except HubTimeoutError:
        if not wanted.wait:
            raise
    except HubError as error:
        # Somebody else removed it in between.
        if error.status != 404:
            raise


def bring(api: HubAPI, wanted: Wanted, server: Server | None) -> str:
    """Ask the hub for what is missing, wait for it, and say what was asked."""
    deadline = time.monotonic() + wanted.wait_timeout
    action = next_action(server, wanted)
    if action and pending(server) not in (None, "spawn"):
        # The hub refuses a start now, and a second removal beside one that waits for the stop would run twice.
        server = wait_until(api, wanted, is_settled, deadline)
        action = next_action(server, wanted)
    if action == "start":
        request_start(api, wanted, start_request(server, wanted), deadline)
    elif action:
        request_stop(api, wanted, remove=action == "remove")
    if wanted.wait and (action or not is_settled(server)):
        server = wait_until(api, wanted, is_absent if action == "remove" else is_settled, deadline)
        is_ready = bool((server or {}).get("ready"))
        if wanted.state == "started" and not is_ready:
            raise start_error(wanted, api.start_failure(wanted.user, wanted.name))
        if wanted.state != "started" and is_ready:
            raise HubError(
                f"{wanted} still runs although the hub was asked to stop it. Look at journalctl -u jupyterhub."
            )
    return action


def apply(api: HubAPI, wanted: Wanted, check_mode: bool = False) -> tuple[dict[str, t.Any], list[str]]:
    """Bring the server to the wanted state; the module's result and its warnings."""
    before = find(api, wanted)
    if check_mode:
        action = next_action(before, wanted)
        after = predict(before, wanted, action)
    else:
        action = bring(api, wanted, before)
        after = find(api, wanted)
    warnings = []
    if wanted.state == "started" and not action and (others := differences(after, wanted)):
        warnings = [
            f"{wanted} runs already and is left alone, although {'; '.join(others)}. Stop it, then run this again."
        ]
    old, new = describe(wanted.user, wanted.name, before), describe(wanted.user, wanted.name, after)
    diff = {"before": {key: old[key] for key in DIFF_KEYS}, "after": {key: new[key] for key in DIFF_KEYS}}
    return {"changed": bool(action), "singleuser": new, "diff": diff}, warnings


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_SPEC,
            "user": {"type": "str", "required": True},
            "name": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["started", "stopped", "absent"], "default": "started"},
            "size": {"type": "str"},
            "environment": {"type": "str"},
            "user_options": {"type": "dict"},
            "display_name": {"type": "str"},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    try:
        wanted = read_wanted(module.params)
        api = connect(module.params, module.no_log_values.add)
        result, warnings = apply(api, wanted, module.check_mode)
    except HubError as error:
        module.fail_json(msg=str(error))
    for warning in warnings:
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
