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

from .checkconfig import load
from .providers.base import ProviderError
from .providers.openstack import OpenStackProvider
from .providers.openstack_volumes import NO_SERVICE, Volumes
from .spawner import LibcloudSpawner


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
    app = load(config)
    spawner = app.spawner_class(parent=app)
    if not isinstance(spawner, LibcloudSpawner) or spawner.provider != "openstack":
        raise ProviderError("The hub does not make machines of an OpenStack cloud.")
    provider = OpenStackProvider(**{name: getattr(spawner, name) for name in OpenStackProvider.SETTINGS})
    work, nothing = VERBS[verb]
    try:
        return work(provider.volumes, ids)
    except ProviderError as error:
        if error.reason != NO_SERVICE:
            raise
        return nothing


def main() -> int:
    if len(sys.argv) < 3 or sys.argv[1] not in VERBS:
        print(f"usage: python -m libcloudspawner.volumes {'|'.join(VERBS)} CONFIG [ID...]", file=sys.stderr)
        return 2
    try:
        said = run(*sys.argv[1:])
    except ProviderError as error:
        print(error, file=sys.stderr)
        return 1
    if said:
        print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
