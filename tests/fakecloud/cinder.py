# SPDX-License-Identifier: BSD-3-Clause
"""Cinder v3: volumes. Attaching and detaching them is Nova's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from .resources import Server, Volume, timestamp
from .web import TITLES, Answer, Request, Service

if TYPE_CHECKING:
    from .cloud import FakeCloud

PREFIX = "/volume/v3"


def error(status: int, message: str) -> dict[str, Any]:
    name = {400: "badRequest", 404: "itemNotFound", 413: "overLimit"}.get(status, TITLES.get(status, "computeFault"))
    return {name: {"code": status, "message": message}}


def refuse(status: int, message: str) -> Answer:
    return Answer(status, error(status, message))


def create_volume(cloud: FakeCloud, request: Request) -> Answer:
    wanted = request.body["volume"]
    zone, kind = wanted.get("availability_zone") or "nova", wanted.get("volume_type") or "__DEFAULT__"
    metadata = wanted.get("metadata") or {}
    if not isinstance(wanted.get("size"), int) or wanted["size"] < 1:
        return refuse(400, f"Invalid input for field/attribute size. Value: {wanted.get('size')}.")
    if not all(isinstance(value, str) and len(value) <= 255 for value in metadata.values()):
        return refuse(400, "Invalid input for field/attribute metadata.")
    if zone not in cloud.zones:
        return refuse(400, f"Availability zone '{zone}' is invalid.")
    if kind not in cloud.volume_types:
        return refuse(404, f"Volume type with name {kind} could not be found.")
    if cloud.quota_volumes is not None and len(cloud.volumes) >= cloud.quota_volumes:
        most = f"Maximum number of volumes allowed ({cloud.quota_volumes}) exceeded for quota 'volumes'."
        return Answer(413, error(413, f"VolumeLimitExceeded: {most}"), {"Retry-After": "0"})
    volume = Volume(cloud.new_id(), wanted.get("name") or "", wanted["size"], dict(metadata), kind, zone)
    cloud.create_volume(volume, request.fault)
    return Answer(202, {"volume": _volume(cloud, volume)})


def list_volumes(cloud: FakeCloud, request: Request) -> Answer:
    limit = min(int(request.query.get("limit", cloud.page_size)), cloud.page_size)
    volumes = sorted(cloud.volumes.values(), key=lambda volume: volume.created, reverse=True)
    if marker := request.query.get("marker"):
        ids = [volume.id for volume in volumes]
        if marker not in ids:
            return refuse(400, f"marker [{marker}] not found")
        volumes = volumes[ids.index(marker) + 1 :]
    page = volumes[:limit]
    body: dict[str, Any] = {"volumes": [_volume(cloud, volume) for volume in page]}
    if limit and len(page) == limit:
        following = urlencode({**request.query, "marker": page[-1].id})
        body["volumes_links"] = [{"rel": "next", "href": f"{cloud.url}{PREFIX}/volumes/detail?{following}"}]
    return Answer(200, body)


def show_volume(cloud: FakeCloud, request: Request) -> Answer:
    volume = cloud.volumes.get(request.id)
    return Answer(200, {"volume": _volume(cloud, volume)}) if volume else _absent(request.id)


def delete_volume(cloud: FakeCloud, request: Request) -> Answer:
    volume = cloud.volumes.get(request.id)
    if volume is None:
        return _absent(request.id)
    if volume.status not in ("available", "error", "error_deleting"):
        return refuse(400, "Invalid volume: Volume status must be available or error, and must not be attached.")
    del cloud.volumes[request.id]
    return Answer(202)


def add_metadata(cloud: FakeCloud, request: Request) -> Answer:
    volume = cloud.volumes.get(request.id)
    if volume is None:
        return _absent(request.id)
    volume.metadata.update(request.body["metadata"])
    return Answer(200, {"metadata": volume.metadata})


def problem_of_disks(cloud: FakeCloud, server: Server) -> str:
    """Why a machine cannot have the volumes that it asks for, in Nova's words; empty if it can."""
    disks = server.block_devices
    if disks and not any(str(disk.get("boot_index")) == "0" for disk in disks):
        return "Block Device Mapping is Invalid: Boot sequence for the instance is not valid."
    for volume_id in server.volumes:
        volume = cloud.volumes.get(volume_id)
        if volume is None:
            return f"Block Device Mapping is Invalid: failed to get volume {volume_id}."
        if volume.status != "available":
            return f"Invalid volume: volume {volume_id} status must be 'available'. Currently in '{volume.status}'"
        if volume.availability_zone != server.availability_zone:
            return f"Invalid volume: Instance and volume {volume_id} are not in the same availability_zone."
    if any(disk["source_type"] == "volume" and disk.get("delete_on_termination") for disk in disks):
        # Real clouds obey; here it would only ever be a mistake.
        return f"A volume would be deleted with its machine: {json.dumps(disks)}"
    return ""


def _absent(volume_id: str) -> Answer:
    return refuse(404, f"Volume {volume_id} could not be found.")


def _volume(cloud: FakeCloud, volume: Volume) -> dict[str, Any]:
    is_attached = volume.status in ("in-use", "detaching")
    attachment = {
        "id": volume.id,
        "attachment_id": volume.id,
        "volume_id": volume.id,
        "server_id": volume.server,
        "host_name": None,
        "device": "/dev/vdb",
    }
    return {
        "id": volume.id,
        "name": volume.name,
        "description": None,
        "status": volume.status,
        "size": volume.size,
        "availability_zone": volume.availability_zone,
        "volume_type": volume.volume_type,
        "metadata": volume.metadata,
        "attachments": [attachment] if is_attached else [],
        "bootable": "false",
        "encrypted": False,
        "multiattach": False,
        "snapshot_id": None,
        "source_volid": None,
        "created_at": timestamp(volume.created),
        "links": [{"rel": "self", "href": f"{cloud.url}{PREFIX}/volumes/{volume.id}"}],
    }


SERVICE = Service(
    prefix=PREFIX,
    operations={
        "POST /volumes": create_volume,
        "GET /volumes/detail": list_volumes,
        "GET /volumes/{id}": show_volume,
        "DELETE /volumes/{id}": delete_volume,
        "POST /volumes/{id}/metadata": add_metadata,
    },
    error=error,
)
