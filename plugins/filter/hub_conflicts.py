# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: hub_conflicts
short_description: Say what a hub wants that another hub of its host has
version_added: 0.1.0
description:
  - Compares what a hub, or its node, is to have with what M(libcloudspawner.jupyterhub.hubs_info) found.
  - Used by the roles of this collection. There is no need to name it in a play.
author:
  - The libcloudspawner team (@libcloudspawner)
options:
  _input:
    description: What the hub is to have, by the names that M(libcloudspawner.jupyterhub.hubs_info) has for it.
    type: dict
    required: true
  hubs:
    description: The hubs of the host. The one of the same C(hub) is left out.
    type: list
    elements: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
positional: hubs, host
"""

EXAMPLES = r"""
- name: Compare a hub with the others
  ansible.builtin.debug:
    msg: "{{ {'hub': 'jupyterhub', 'ports': [8000]} | libcloudspawner.jupyterhub.hub_conflicts(host.hubs, 'hub') }}"
"""

RETURN = r"""
_value:
  description: A sentence or two for each conflict.
  type: list
  elements: str
"""

import posixpath
import typing as t
from collections.abc import Iterable, Iterator, Mapping

Hub = Mapping[str, t.Any]


def differing(own: Hub, other: Hub, *names: str) -> bool:
    """Whether both say something, and not the same."""
    return all(name in own and name in other for name in names) and any(own[name] != other[name] for name in names)


def same(own: Hub, other: Hub, name: str) -> bool:
    return name in own and own[name] == other.get(name)


def begins(one: str, two: str) -> bool:
    """Whether one of the two is the beginning of the other, or the same."""
    return one.startswith(two) or two.startswith(one)


def is_of_host(database: str) -> bool:
    """Whether it is the same for all hubs: a file without a whole path, or in memory, is another for each."""
    return database.startswith("sqlite:////") or not database.startswith("sqlite:")


def within(path: str) -> str:
    return posixpath.normpath(path).rstrip("/") + "/"


def ports_in_range(hub: Hub, node: Hub) -> list[int]:
    return [port for port in hub.get("ports", ()) if node.get("port_first", 1) <= port <= node.get("port_last", 0)]


def of_ports(own: Hub, others: Iterable[Hub], host: str) -> Iterator[str]:
    taken = [
        f"{other['hub']} has {port}"
        for other in others
        for port in own.get("ports", ())
        if port in other.get("ports", ())
    ]
    if taken:
        yield (
            f"The hub {own['hub']} wants ports that other hubs of {host} have: {', '.join(taken)}. Set another "
            f"hub_http_port, such as {own['ports'][0] + 10}, and another port in hub_connect_url if that is set."
        )
    for other in others:
        for hub, node in ((own, other), (other, own)):
            if ports := ports_in_range(hub, node):
                yield (
                    f"The hub {hub['hub']} of {host} has the port {ports[0]}, which servers of {node['hub']} may get, "
                    f"as its node_port_first and node_port_last are {node['port_first']} and {node['port_last']}. Set "
                    "another port or another range."
                )


def of_urls(own: Hub, other: Hub, host: str) -> Iterator[str]:
    mine, theirs = own.get("base_url"), other.get("base_url")
    advice = f"Set another, such as /{own.get('hub_name') or 'main'}/."
    if not mine or not theirs or not begins(mine, theirs):
        return
    if mine == theirs:
        yield (
            f"The hub {own['hub']} wants the hub_base_url {mine} of {other['hub']} on {host}. Browsers would take one "
            f"for the other. {advice}"
        )
    else:
        yield (
            f"The hub {own['hub']} wants the hub_base_url {mine}, and {other['hub']} on {host} has {theirs}. Where one "
            f"begins with the other, browsers send what signs in to one of them to both. Set another for the one that "
            f"has {min(mine, theirs, key=len)}, such as /main/."
        )


def of_https(own: Hub, other: Hub, host: str) -> Iterator[str]:
    if "none" in (own.get("https", "none"), other.get("https", "none")):
        return
    if bool(own["hub_name"]) != bool(other["hub_name"]):
        yield (
            f"Caddy speaks HTTPS on {host} for {other['hub']}. Hubs that have a hub_name share it, and not with a hub "
            "that has none. Set hub_https: none for one of the two."
        )
    elif differing(own, other, "https", "https_hosts"):
        yield (
            f"The hubs of a host share Caddy, and another hub of {host} has {', '.join(other['https_hosts'])} by "
            f"hub_https: {other['https']}, as {other['hub']} was told. Set the same hub_https and hub_https_hosts for "
            "all of them."
        )


def of_users(own: Hub, other: Hub, host: str) -> Iterator[str]:
    if same(own, other, "database") and is_of_host(own["database"]):
        yield (
            f"The hub {own['hub']} wants the database {own['database']}, in which {other['hub']} of {host} keeps its "
            "users. Set another hub_db_url."
        )
    if same(own, other, "hub_id"):
        yield (
            f"The hub {own['hub']} wants the hub_id {own['hub_id']} of {other['hub']} on {host}, and would take its "
            "instances for its own. Set another hub_id."
        )


def of_folders(own: Hub, other: Hub, host: str) -> Iterator[str]:
    kinds = ("data_root", "shared_root")
    for mine in (kind for kind in kinds if kind in own):
        for theirs in (kind for kind in kinds if kind in other):
            if begins(within(own[mine]), within(other[theirs])):
                yield (
                    f"node_{mine} of {own['hub']} is {own[mine]}, and node_{theirs} of {other['hub']} on {host} is "
                    f"{other[theirs]}. Each hub needs a folder for nothing else: set another node_{mine}."
                )
    if "account_prefix" in own and "account_prefix" in other and begins(own["account_prefix"], other["account_prefix"]):
        yield (
            f"node_account_prefix of {own['hub']} is {own['account_prefix']}, and that of {other['hub']} on {host} is "
            f"{other['account_prefix']}. Where one begins with the other, accounts and homes of both hubs could be the "
            "same. Set another node_account_prefix."
        )


def hub_conflicts(own: Hub, hubs: Iterable[Hub], host: str) -> list[str]:
    others = [hub for hub in hubs if hub["hub"] != own["hub"]]
    problems = [
        f"{host} carries a hub {other['hub']} that was set up before hubs noted what they have. Run the playbook site "
        "of this version with its inventory first."
        for other in others
        if not other.get("is_noted", True)
    ]
    problems += of_ports(own, others, host)
    for other in others:
        for compare in (of_urls, of_https, of_users, of_folders):
            problems += compare(own, other, host)
    return problems


class FilterModule:
    def filters(self) -> dict[str, t.Any]:
        return {"hub_conflicts": hub_conflicts}
