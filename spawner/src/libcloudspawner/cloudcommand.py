# SPDX-License-Identifier: BSD-3-Clause
"""What the commands ``python -m libcloudspawner.NAME VERB CONFIG`` share, which look after what is in a hub's cloud."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection

from .checkconfig import load
from .providers.base import ProviderError
from .spawner import LibcloudSpawner


def openstack_spawner(config: str) -> LibcloudSpawner:
    """A spawner with the settings of the hub that ``config`` configures. Raises ProviderError if it has no cloud."""
    app = load(config)
    spawner = app.spawner_class(parent=app)
    if not isinstance(spawner, LibcloudSpawner) or spawner.provider != "openstack":
        raise ProviderError("The hub does not make machines of an OpenStack cloud.")
    return spawner


def main(name: str, verbs: Collection[str], arguments: str, run: Callable[..., str]) -> int:
    """Call ``run`` with what the command line says, and say what it returns, or what went wrong."""
    if len(sys.argv) < 3 or sys.argv[1] not in verbs:
        print(f"usage: python -m libcloudspawner.{name} {'|'.join(verbs)} CONFIG {arguments}", file=sys.stderr)
        return 2
    try:
        said = run(*sys.argv[1:])
    except ProviderError as error:
        print(error, file=sys.stderr)
        return 1
    if said:
        print(said)
    return 0
