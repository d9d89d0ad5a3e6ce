# SPDX-License-Identifier: BSD-3-Clause
"""Neutron v2.0: networks, their subnets, security groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .resources import Network, SecurityGroup, fixed_id
from .web import Answer, Request, Service

if TYPE_CHECKING:
    from .cloud import FakeCloud


def error(status: int, message: str) -> dict[str, Any]:
    return {"NeutronError": {"type": "HTTPError", "message": message, "detail": ""}}


def list_networks(cloud: FakeCloud, request: Request) -> Answer:
    name = request.query.get("name")
    found = [_network(cloud, network) for network in cloud.networks.values() if name in (None, network.name)]
    return Answer(200, {"networks": found})


def show_network(cloud: FakeCloud, request: Request) -> Answer:
    network = cloud.networks.get(request.id)
    if network is None:
        return Answer(404, error(404, f"Network {request.id} could not be found."))
    return Answer(200, {"network": _network(cloud, network)})


def list_subnets(cloud: FakeCloud, request: Request) -> Answer:
    subnets = [
        {
            "id": fixed_id(f"subnet of {network.id}"),
            "name": network.name,
            "network_id": network.id,
            "cidr": cloud.network,
            "ip_version": 4,
            "tenant_id": cloud.project_id,
        }
        for network in cloud.networks.values()
    ]
    return Answer(200, {"subnets": subnets})


def list_security_groups(cloud: FakeCloud, request: Request) -> Answer:
    name = request.query.get("name")
    found = [_group(cloud, group) for group in cloud.security_groups.values() if name in (None, group.name)]
    return Answer(200, {"security_groups": found})


def show_security_group(cloud: FakeCloud, request: Request) -> Answer:
    group = cloud.security_groups.get(request.id)
    if group is None:
        return Answer(404, error(404, f"Security group {request.id} does not exist"))
    return Answer(200, {"security_group": _group(cloud, group)})


def create_security_group(cloud: FakeCloud, request: Request) -> Answer:
    group = SecurityGroup(cloud.new_id(), request.body["security_group"]["name"])
    cloud.security_groups[group.id] = group
    return Answer(201, {"security_group": _group(cloud, group)})


def delete_security_group(cloud: FakeCloud, request: Request) -> Answer:
    group = cloud.security_groups.get(request.id)
    if group is None:
        return Answer(404, error(404, f"Security group {request.id} does not exist."))
    if any(group.name in server.security_groups for server in cloud.servers.values()):
        return Answer(409, error(409, f"Security Group {request.id} in use."))
    del cloud.security_groups[request.id]
    return Answer(204)


def create_rule(cloud: FakeCloud, request: Request) -> Answer:
    wanted = request.body["security_group_rule"]
    rule = {"remote_ip_prefix": None, "remote_group_id": None, "tenant_id": cloud.project_id, **wanted}
    rule = {**rule, "id": cloud.new_id()}
    cloud.security_groups[wanted["security_group_id"]].rules.append(rule)
    return Answer(201, {"security_group_rule": rule})


def _network(cloud: FakeCloud, network: Network) -> dict[str, Any]:
    return {
        "id": network.id,
        "name": network.name,
        "status": "ACTIVE",
        "admin_state_up": True,
        "shared": False,
        "router:external": False,
        "subnets": [fixed_id(f"subnet of {network.id}")],
        "tenant_id": cloud.project_id,
    }


def _group(cloud: FakeCloud, group: SecurityGroup) -> dict[str, Any]:
    rule = {
        "id": fixed_id(f"rule of {group.id}"),
        "security_group_id": group.id,
        "direction": "ingress",
        "protocol": None,
        "port_range_min": None,
        "port_range_max": None,
        "remote_ip_prefix": None,
        "remote_group_id": group.id,
        "tenant_id": cloud.project_id,
    }
    return {
        "id": group.id,
        "name": group.name,
        "description": group.name,
        "tenant_id": cloud.project_id,
        "security_group_rules": [rule, *group.rules],
    }


SERVICE = Service(
    prefix="/networking",
    operations={
        "GET /v2.0/networks": list_networks,
        "GET /v2.0/networks/{id}": show_network,
        "GET /v2.0/subnets": list_subnets,
        "GET /v2.0/security-groups": list_security_groups,
        "POST /v2.0/security-groups": create_security_group,
        "GET /v2.0/security-groups/{id}": show_security_group,
        "DELETE /v2.0/security-groups/{id}": delete_security_group,
        "POST /v2.0/security-group-rules": create_rule,
    },
    error=error,
)
