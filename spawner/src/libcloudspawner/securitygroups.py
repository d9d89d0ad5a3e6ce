# SPDX-License-Identifier: BSD-3-Clause
"""Let the hub in: ``python -m libcloudspawner.securitygroups CONFIG ADDRESS``.

Sees to it that the security groups that CONFIG names for machines are there and let ADDRESS in on the port that
servers listen on. Says ``changed`` if something had to be done.
"""

from __future__ import annotations

import ipaddress
import sys

from .checkconfig import load
from .providers.base import ProviderError
from .providers.openstack import OpenStackProvider
from .spawner import LibcloudSpawner


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: python -m libcloudspawner.securitygroups CONFIG ADDRESS", file=sys.stderr)
        return 2
    cidr = str(ipaddress.ip_network(sys.argv[2]))
    app = load(sys.argv[1])
    spawner = app.spawner_class(parent=app)
    if not isinstance(spawner, LibcloudSpawner) or spawner.provider != "openstack":
        print("The hub does not make machines of an OpenStack cloud.", file=sys.stderr)
        return 1
    provider = OpenStackProvider(**{name: getattr(spawner, name) for name in OpenStackProvider.SETTINGS})
    try:
        changes = [provider.open_to(group, cidr, spawner.port) for group in spawner.userserver_security_groups]
    except ProviderError as error:
        print(error, file=sys.stderr)
        return 1
    print("changed" if any(changes) else "unchanged")
    return 0


if __name__ == "__main__":
    sys.exit(main())
