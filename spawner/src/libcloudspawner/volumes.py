# SPDX-License-Identifier: BSD-3-Clause
"""Volumes that hold homes of a hub's users in its cloud: ``python -m libcloudspawner.volumes VERB CONFIG [ID...]``.

list    what there is, as JSON
remove  delete all of them, or those of the ids, with all files on them; says which, a line each

CONFIG says which cloud, and which hub.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Collection

from . import cloudcommand
from .cloudcommand import openstack_spawner
from .providers.base import ProviderError
from .providers.openstack import OpenStackProvider
from .providers.openstack_volumes import NO_SERVICE, Volumes


def list_all(volumes: Volumes, ids: Collection[str]) -> str:
    return json.dumps([dataclasses.asdict(volume) for volume in volumes.list() if not ids or volume.id in ids])


def remove(volumes: Volumes, ids: Collection[str]) -> str:
    return "\n".join(f"{volume.id} of {volume.whose}" for volume in volumes.remove(ids or None))


# What to do, and what to say where the cloud has no volumes at all.
VERBS: dict[str, tuple[Callable[[Volumes, Collection[str]], str], str]] = {
    "list": (list_all, "[]"),
    "remove": (remove, ""),
}


def run(verb: str, config: str, *ids: str) -> str:
    spawner = openstack_spawner(config)
    provider = OpenStackProvider(**{name: getattr(spawner, name) for name in OpenStackProvider.SETTINGS})
    work, nothing = VERBS[verb]
    try:
        return work(provider.volumes, ids)
    except ProviderError as error:
        if error.reason != NO_SERVICE:
            raise
        return nothing


def main() -> int:
    return cloudcommand.main("volumes", VERBS, "[ID...]", run)


if __name__ == "__main__":
    sys.exit(main())
