# SPDX-License-Identifier: BSD-3-Clause
"""Nova 2.1: servers, flavors, key pairs."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from .cinder import problem_of_disks
from .resources import Flavor, Server, fixed_id, timestamp
from .web import Answer, Request, Service

if TYPE_CHECKING:
    from .cloud import FakeCloud

PREFIX = "/compute/v2.1"
ERRORS = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflictingRequest",
    413: "overLimit",
    429: "overLimit",
    503: "serviceUnavailable",
}
USER_DATA_LIMIT = 65535


def error(status: int, message: str) -> dict[str, Any]:
    return {ERRORS.get(status, "computeFault"): {"code": status, "message": message}}


def refuse(status: int, message: str) -> Answer:
    return Answer(status, error(status, message))


def create_server(cloud: FakeCloud, request: Request) -> Answer:
    wanted = request.body["server"]
    networks = [network["uuid"] for network in wanted.get("networks") or []]
    refused = _refusal(cloud, wanted, networks)
    if refused:
        return refused
    server = Server(
        id=cloud.new_id(),
        name=wanted["name"],
        flavor=wanted["flavorRef"],
        image=wanted.get("imageRef", ""),
        metadata=dict(wanted.get("metadata") or {}),
        user_data=wanted.get("user_data") or "",
        networks=networks or list(cloud.networks),
        key_name=wanted.get("key_name"),
        security_groups=[group["name"] for group in wanted.get("security_groups", [{"name": "default"}])],
        availability_zone=wanted.get("availability_zone", "nova"),
        config_drive=str(wanted.get("config_drive", "")).lower() == "true",
        block_devices=wanted.get("block_device_mapping_v2", []),
        scheduler_hints=request.body.get("os:scheduler_hints", {}),
    )
    if problem := problem_of_disks(cloud, server):
        return refuse(400, problem)
    cloud.create_server(server, request.fault)
    links = _links(cloud, "servers", server.id)
    groups = [{"name": name} for name in server.security_groups]
    body = {"id": server.id, "links": links, "security_groups": groups, "adminPass": "x" * 12}
    return Answer(202, {"server": body}, {"Location": links[0]["href"]})


def _refusal(cloud: FakeCloud, wanted: dict[str, Any], networks: list[str]) -> Answer | None:
    """Why a server cannot be, in Nova's words."""
    image, metadata, key_name = wanted.get("imageRef"), wanted.get("metadata") or {}, wanted.get("key_name")
    if not 1 <= len(wanted.get("name") or "") <= 255:
        return refuse(400, "Invalid input for field/attribute name. Value is too short or too long.")
    if wanted.get("flavorRef") not in cloud.flavors:
        return refuse(400, f"Flavor {wanted.get('flavorRef')} could not be found.")
    if image and image not in cloud.images:
        return refuse(400, f"Image {image} could not be found.")
    if not image and not wanted.get("block_device_mapping_v2"):
        return refuse(400, "Invalid imageRef provided.")
    if not all(isinstance(value, str) and len(key) <= 255 and len(value) <= 255 for key, value in metadata.items()):
        return refuse(400, "Invalid input for field/attribute metadata. Value is not a string, or too long.")
    if len(wanted.get("user_data") or "") > USER_DATA_LIMIT:
        return refuse(400, "Invalid input for field/attribute user_data. Value is too long.")
    try:
        base64.b64decode(wanted.get("user_data") or "", validate=True)
    except ValueError:
        return refuse(400, "Invalid input for field/attribute user_data. Value is not base64.")
    if key_name and key_name not in cloud.keypairs:
        return refuse(400, "Invalid key_name provided.")
    for network in networks:
        if network not in cloud.networks:
            return refuse(400, f"Network {network} could not be found.")
    if not networks and len(cloud.networks) > 1:
        return refuse(409, "Multiple possible networks found, use a Network ID to be more specific.")
    groups = {group.name for group in cloud.security_groups.values()} | set(cloud.security_groups)
    for group in wanted.get("security_groups", []):
        if group["name"] not in groups:
            return refuse(400, f"Security group {group['name']} not found.")
    used = len(cloud.servers)
    if cloud.quota_instances is not None and used >= cloud.quota_instances:
        already = f"already used {used} of {cloud.quota_instances} instances"
        return refuse(403, f"Quota exceeded for instances: Requested 1, but {already}")
    return None


def list_servers(cloud: FakeCloud, request: Request) -> Answer:
    query = request.query
    limit = min(int(query.get("limit", cloud.page_size)), cloud.page_size)
    page = cloud.list_servers(query.get("marker", ""), limit, query.get("name", ""), query.get("status", ""))
    if page is None:
        return refuse(400, f"marker [{query['marker']}] not found")
    body: dict[str, Any] = {"servers": [_server(cloud, server) for server in page]}
    # Nova does not look whether anything is left.
    if limit and len(page) == limit:
        following = urlencode({**query, "marker": page[-1].id})
        body["servers_links"] = [{"rel": "next", "href": f"{cloud.url}{PREFIX}/servers/detail?{following}"}]
    return Answer(200, body)


def show_server(cloud: FakeCloud, request: Request) -> Answer:
    server = cloud.servers.get(request.id)
    if server is None:
        return _absent(request.id)
    return Answer(200, {"server": _server(cloud, server)})


def delete_server(cloud: FakeCloud, request: Request) -> Answer:
    if request.id not in cloud.servers:
        return _absent(request.id)
    cloud.delete_server(request.id)
    return Answer(204)


def act_on_server(cloud: FakeCloud, request: Request) -> Answer:
    server = cloud.servers.get(request.id)
    if server is None:
        return _absent(request.id)
    ((action, arguments),) = request.body.items()
    if action == "os-getConsoleOutput":
        length = (arguments or {}).get("length")
        lines = server.console if length is None else server.console[-int(length) :]
        return Answer(200, {"output": "\n".join(lines)})
    if server.task_state is not None:
        return refuse(409, f"Cannot '{action}' instance {server.id} while it is in task_state {server.task_state}")
    if action == "createImage":
        made = cloud.snapshot(server, arguments["name"], arguments.get("metadata") or {})
        return Answer(202, headers={"Location": f"{cloud.url}/image/images/{made.id}"})
    if action in ("os-start", "reboot"):
        cloud.start_server(server.id)
    elif action == "os-stop":
        if server.status != "ACTIVE":
            state = "stopped" if server.status == "SHUTOFF" else server.status.lower()
            return refuse(409, f"Cannot 'stop' instance {server.id} while it is in vm_state {state}")
        cloud.stop_server(server.id)
    else:
        return refuse(400, f"There is no such action: {action}")
    return Answer(202)


def replace_metadata(cloud: FakeCloud, request: Request) -> Answer:
    server = cloud.servers.get(request.id)
    if server is None:
        return _absent(request.id)
    server.metadata = dict(request.body["metadata"])
    return Answer(200, {"metadata": server.metadata})


def add_metadata(cloud: FakeCloud, request: Request) -> Answer:
    server = cloud.servers.get(request.id)
    if server is None:
        return _absent(request.id)
    server.metadata = {**server.metadata, **request.body["metadata"]}
    return Answer(200, {"metadata": server.metadata})


def _absent(server_id: str) -> Answer:
    return refuse(404, f"Instance {server_id} could not be found.")


def _links(cloud: FakeCloud, collection: str, item_id: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{cloud.url}{PREFIX}/{collection}/{item_id}"},
        {"rel": "bookmark", "href": f"{cloud.url}/compute/{collection}/{item_id}"},
    ]


def _server(cloud: FakeCloud, server: Server) -> dict[str, Any]:
    is_building = server.status == "BUILD"
    body: dict[str, Any] = {
        "id": server.id,
        "name": server.name,
        "status": server.status,
        "tenant_id": cloud.project_id,
        "user_id": fixed_id(cloud.user).replace("-", ""),
        "hostId": "" if is_building else hashlib.sha224(server.id.encode()).hexdigest(),
        "image": {"id": server.image, "links": _links(cloud, "images", server.image)} if server.image else "",
        "flavor": {"id": server.flavor, "links": _links(cloud, "flavors", server.flavor)},
        "metadata": server.metadata,
        "addresses": _addresses(cloud, server),
        "accessIPv4": "",
        "accessIPv6": "",
        "created": timestamp(server.created),
        "updated": timestamp(server.updated),
        "key_name": server.key_name,
        "security_groups": [{"name": name} for name in server.security_groups],
        "config_drive": "True" if server.config_drive else "",
        "progress": 0,
        "links": _links(cloud, "servers", server.id),
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": "" if is_building else server.availability_zone,
        "OS-EXT-STS:vm_state": {"BUILD": "building", "SHUTOFF": "stopped"}.get(server.status, server.status.lower()),
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:power_state": {"ACTIVE": 1, "SHUTOFF": 4}.get(server.status, 0),
        "os-extended-volumes:volumes_attached": [{"id": volume_id} for volume_id in server.volumes],
    }
    if server.status == "ERROR":
        body["fault"] = {"code": 500, "message": server.fault, "created": timestamp(server.updated)}
    return body


def _addresses(cloud: FakeCloud, server: Server) -> dict[str, Any]:
    if server.status == "ERROR" or (server.status == "BUILD" and not cloud.addresses_in_build):
        return {}
    # One address a machine, however many networks it is in.
    network = cloud.networks.get(next(iter(server.networks), ""))
    address = {"addr": server.address, "version": 4, "OS-EXT-IPS:type": "fixed"}
    return {network.name if network else "private": [address]}


def list_flavors(cloud: FakeCloud, request: Request) -> Answer:
    return Answer(200, {"flavors": [_flavor(cloud, flavor) for flavor in cloud.flavors.values()]})


def show_flavor(cloud: FakeCloud, request: Request) -> Answer:
    flavor = cloud.flavors.get(request.id)
    if flavor is None:
        return refuse(404, f"Flavor {request.id} could not be found.")
    return Answer(200, {"flavor": _flavor(cloud, flavor)})


def _flavor(cloud: FakeCloud, flavor: Flavor) -> dict[str, Any]:
    return {
        "id": flavor.id,
        "name": flavor.name,
        "ram": flavor.ram,
        "vcpus": flavor.vcpus,
        "disk": flavor.disk,
        "swap": "",
        "rxtx_factor": 1.0,
        "os-flavor-access:is_public": True,
        "OS-FLV-DISABLED:disabled": False,
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "links": _links(cloud, "flavors", flavor.id),
    }


def list_keypairs(cloud: FakeCloud, request: Request) -> Answer:
    return Answer(200, {"keypairs": [_keypair(cloud, name) for name in cloud.keypairs]})


def create_keypair(cloud: FakeCloud, request: Request) -> Answer:
    wanted = request.body["keypair"]
    name = wanted["name"]
    if name in cloud.keypairs:
        return refuse(409, f"Key pair '{name}' already exists.")
    cloud.keypairs[name] = wanted.get("public_key") or f"ssh-ed25519 AAAA {name}"
    return Answer(200, _keypair(cloud, name))


def show_keypair(cloud: FakeCloud, request: Request) -> Answer:
    if request.id not in cloud.keypairs:
        return refuse(404, f"Keypair {request.id} not found for user {cloud.user}")
    return Answer(200, _keypair(cloud, request.id))


def delete_keypair(cloud: FakeCloud, request: Request) -> Answer:
    if request.id not in cloud.keypairs:
        return refuse(404, f"Keypair {request.id} not found for user {cloud.user}")
    del cloud.keypairs[request.id]
    return Answer(202)


def _keypair(cloud: FakeCloud, name: str) -> dict[str, Any]:
    public_key = cloud.keypairs[name]
    digest = hashlib.sha256(public_key.encode()).hexdigest()[:32]
    fingerprint = ":".join(digest[place : place + 2] for place in range(0, 32, 2))
    return {"keypair": {"name": name, "public_key": public_key, "fingerprint": fingerprint}}


def show_quota(cloud: FakeCloud, request: Request) -> Answer:
    names = (
        "cores",
        "instances",
        "key_pairs",
        "metadata_items",
        "ram",
        "server_groups",
        "server_group_members",
    )
    quota: dict[str, Any] = {name: {"in_use": 0, "limit": -1, "reserved": 0} for name in names}
    limit = -1 if cloud.quota_instances is None else cloud.quota_instances
    quota["instances"] = {"in_use": len(cloud.servers), "limit": limit, "reserved": 0}
    return Answer(200, {"quota_set": {"id": request.id, **quota}})


SERVICE = Service(
    prefix=PREFIX,
    operations={
        "POST /servers": create_server,
        "GET /servers/detail": list_servers,
        "GET /servers/{id}": show_server,
        "DELETE /servers/{id}": delete_server,
        "POST /servers/{id}/action": act_on_server,
        "PUT /servers/{id}/metadata": replace_metadata,
        "POST /servers/{id}/metadata": add_metadata,
        "GET /flavors": list_flavors,
        "GET /flavors/detail": list_flavors,
        "GET /flavors/{id}": show_flavor,
        "GET /os-keypairs": list_keypairs,
        "POST /os-keypairs": create_keypair,
        "GET /os-keypairs/{id}": show_keypair,
        "DELETE /os-keypairs/{id}": delete_keypair,
        "GET /os-quota-sets/{id}/detail": show_quota,
    },
    error=error,
)
