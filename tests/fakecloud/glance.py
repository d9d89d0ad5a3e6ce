# SPDX-License-Identifier: BSD-3-Clause
"""Glance v2: images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from .resources import Image, timestamp
from .web import Answer, Request, Service

if TYPE_CHECKING:
    from .cloud import FakeCloud


def error(status: int, message: str) -> dict[str, Any]:
    # Glance itself answers HTML; its JSON is easier on a client that does not look at what it gets.
    return {"error": {"code": status, "message": message}}


def list_images(cloud: FakeCloud, request: Request) -> Answer:
    limit = min(int(request.query.get("limit", cloud.page_size)), cloud.page_size)
    name, marker = request.query.get("name"), request.query.get("marker")
    images = [image for image in cloud.images.values() if name in (None, image.name)]
    if marker:
        ids = [image.id for image in images]
        if marker not in ids:
            return Answer(400, error(400, f"Image with ID {marker} was not found."))
        images = images[ids.index(marker) + 1 :]
    page = images[:limit]
    body: dict[str, Any] = {
        "images": [_image(image) for image in page],
        "first": "/v2/images",
        "schema": "/v2/schemas/images",
    }
    if limit and len(page) == limit:
        body["next"] = f"/v2/images?{urlencode({**request.query, 'marker': page[-1].id})}"
    return Answer(200, body)


def show_image(cloud: FakeCloud, request: Request) -> Answer:
    image = cloud.images.get(request.id)
    if image is None:
        return Answer(404, error(404, f"No image found with ID {request.id}"))
    return Answer(200, _image(image))


def delete_image(cloud: FakeCloud, request: Request) -> Answer:
    if request.id not in cloud.images:
        return Answer(404, error(404, f"Failed to find image {request.id} to delete"))
    del cloud.images[request.id]
    return Answer(204)


def _image(image: Image) -> dict[str, Any]:
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "visibility": "public",
        "created_at": timestamp(image.created),
        "updated_at": timestamp(image.created),
        "min_ram": 0,
        "min_disk": 0,
        "size": 2**30,
        "disk_format": "qcow2",
        "container_format": "bare",
        "tags": [],
        "self": f"/v2/images/{image.id}",
        "schema": "/v2/schemas/image",
    }


SERVICE = Service(
    prefix="/image",
    operations={
        "GET /v2/images": list_images,
        "GET /v2/images/{id}": show_image,
        "DELETE /v2/images/{id}": delete_image,
    },
    error=error,
)
