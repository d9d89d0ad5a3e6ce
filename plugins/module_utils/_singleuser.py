# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change in any release.

"""What the module singleuser decides, without asking the hub anything.

A server is the hub's own model of it; None stands for one that the hub does not know.
"""

from __future__ import annotations

import typing as t

from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils._hub_api import (
    OPTION_KEYS,
    HubError,
    Server,
    check_server_name,
)


class Wanted(t.NamedTuple):
    user: str
    name: str = ""
    state: str = "started"
    options: t.Mapping[str, t.Any] | None = None
    display_name: str = ""
    wait: bool = True
    wait_timeout: int = 300

    def __str__(self) -> str:
        return f"The server {self.name!r} of {self.user!r}" if self.name else f"The default server of {self.user!r}"


def read_wanted(params: t.Mapping[str, t.Any]) -> Wanted:
    """What is wanted after the options of the module. Raises HubError."""
    if not params["user"].strip():
        raise HubError("user is empty. Expected the name of a user of the hub.")
    check_server_name(params["name"])
    if params["display_name"] and not params["name"]:
        raise HubError(
            "display_name is for named servers only: the default server has no title. Give a name too, or leave "
            "display_name out."
        )
    options = dict(params["user_options"] or {})
    options.update({key: params[option] for option, key in OPTION_KEYS.items() if params[option] is not None})
    return Wanted(
        params["user"],
        params["name"],
        params["state"],
        options,
        params["display_name"] or "",
        params["wait"],
        params["wait_timeout"],
    )


def pending(server: Server | None) -> str | None:
    return server.get("pending") if server else None


def is_settled(server: Server | None) -> bool:
    return pending(server) is None


def is_absent(server: Server | None) -> bool:
    return server is None


def next_action(server: Server | None, wanted: Wanted) -> str:
    """What is to be asked of the hub: start, stop, remove, or nothing."""
    is_ready = bool(server and server.get("ready"))
    if wanted.state == "started":
        return "" if is_ready or pending(server) == "spawn" else "start"
    if wanted.state == "absent" and wanted.name:
        return "" if server is None else "remove"
    return "stop" if is_ready or pending(server) not in (None, "stop") else ""


def next_options(server: Server | None, wanted: Wanted) -> dict[str, t.Any]:
    """The options a start would have: the last ones, changed as asked."""
    last = (server or {}).get("user_options") or {}
    return {key: value for key, value in {**last, **(wanted.options or {})}.items() if value is not None}


def start_request(server: Server | None, wanted: Wanted) -> dict[str, t.Any]:
    """The body of the request to start; without options the hub takes the last ones itself."""
    body: dict[str, t.Any] = {}
    if wanted.options:
        body["user_options"] = next_options(server, wanted)
    if wanted.display_name:
        body["display_name"] = wanted.display_name
    return body


def differences(server: Server | None, wanted: Wanted) -> list[str]:
    """What a running server has that is not what was asked for, in the words of the module's options."""
    model = server or {}
    running = {**(model.get("user_options") or {}), "display_name": model.get("display_name")}
    asked = {**(wanted.options or {}), **({"display_name": wanted.display_name} if wanted.display_name else {})}
    words = {key: option for option, key in OPTION_KEYS.items()}
    return [
        f"{words.get(key, key)} is {'not set' if running.get(key) is None else repr(running[key])} (asked: {value!r})"
        for key, value in asked.items()
        if running.get(key) != value
    ]


def predict(server: Server | None, wanted: Wanted, action: str) -> Server | None:
    """The server as it would be after the action."""
    model = server or {}
    if action == "remove":
        return None
    if action == "stop":
        return {**model, "ready": False, "pending": None, "started": None}
    if action == "start":
        title = wanted.display_name or model.get("display_name") or wanted.name
        options = next_options(server, wanted)
        return {**model, "ready": True, "pending": None, "display_name": title, "user_options": options}
    return server
