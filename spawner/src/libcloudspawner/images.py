# SPDX-License-Identifier: BSD-3-Clause
"""Images that are built for a hub in its cloud: ``python -m libcloudspawner.images VERB CONFIG [ARGUMENT...]``.

list                what there is, as JSON
boot                boot the machine that standard input describes as JSON; says its address
snapshot NAME       make an image of the machine that was booted for NAME
discard             destroy such machines, and images that are not whole
prune KEPT NAME...  delete all images but the newest of each NAME, KEPT former ones, and those that CONFIG offers
remove              discard, and delete all images that were built for this hub

CONFIG says which cloud, and which hub. Each but the first two says what it made or took away, a name a line.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import cloudcommand, options
from .cloudcommand import openstack_spawner
from .providers.base import ProviderError
from .providers.openstack_images import OpenStackImages, newest, superfluous
from .spawner import LibcloudSpawner


def list_all(cloud: OpenStackImages, spawner: LibcloudSpawner) -> str:
    images = cloud.images()
    return json.dumps(
        {
            "images": [dataclasses.asdict(image) for image in images],
            "newest": newest(images),
            "sources": cloud.sources(),
        }
    )


def boot(cloud: OpenStackImages, spawner: LibcloudSpawner) -> str:
    order = json.load(sys.stdin)
    size = order.pop("size") or _first_size(spawner)
    return cloud.boot(
        **order,
        size=size,
        network=spawner.userserver_net,
        zone=spawner.userserver_availability_zone,
        config_drive=spawner.userserver_config_drive,
    )


def _first_size(spawner: LibcloudSpawner) -> str:
    sizes = options.parse_sizes(spawner.userserver_sizes)
    if not sizes:
        raise ProviderError("The hub has no userserver_sizes, so the machine needs a size that is named.")
    return sizes[0].name


def snapshot(cloud: OpenStackImages, spawner: LibcloudSpawner, name: str) -> str:
    return cloud.snapshot(name).full_name


def discard(cloud: OpenStackImages, spawner: LibcloudSpawner) -> str:
    return "\n".join(cloud.discard())


def prune(cloud: OpenStackImages, spawner: LibcloudSpawner, kept: str, *names: str) -> str:
    images = cloud.images()
    offered = [image.full_name for image in options.parse_images(spawner.userserver_images)] + [spawner.image]
    offered += _texts([spawner.profile_list, spawner.group_overrides])
    old = [one for name in names for one in superfluous(images, name, int(kept), offered)]
    return "\n".join(one.full_name for one in old if cloud.delete(one))


def _texts(value: Any) -> list[str]:
    """All texts in it, among them the images that a profile or a group names."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, Sequence) else ()
    return [text for part in parts for text in _texts(part)]


def remove(cloud: OpenStackImages, spawner: LibcloudSpawner) -> str:
    gone = cloud.discard()
    return "\n".join(gone + [image.full_name for image in cloud.images() if cloud.delete(image)])


VERBS: dict[str, Callable[..., str]] = {
    "list": list_all,
    "boot": boot,
    "snapshot": snapshot,
    "discard": discard,
    "prune": prune,
    "remove": remove,
}


def run(verb: str, config: str, *arguments: str) -> str:
    spawner = openstack_spawner(config)
    cloud = OpenStackImages(**{name: getattr(spawner, name) for name in OpenStackImages.SETTINGS})
    return VERBS[verb](cloud, spawner, *arguments)


def main() -> int:
    return cloudcommand.main("images", VERBS, "[ARGUMENT...]", run)


if __name__ == "__main__":
    sys.exit(main())
