# SPDX-License-Identifier: BSD-3-Clause
"""A fake OpenStack with a memory, for Libcloud's own driver to speak to over HTTP; it fails as it is told to.

    with FakeCloud(boot_seconds=0.1) as cloud:
        cloud.inject(faults.accept_then_cut("POST", "/servers"))
        ...
        assert len(cloud.servers) == 1

Each machine has an address of its own out of 127.0.0.0/8, at which its guest listens. As a process:
``python -m fakecloud --boot-seconds 2``, with ``tests`` on PYTHONPATH; ``control.py`` tells how to speak to it.
"""

from __future__ import annotations

from . import faults
from .cloud import FakeCloud
from .faults import FOREVER, Fault
from .resources import Call, Flavor, Image, Network, SecurityGroup, Server, Volume

__all__ = [
    "FOREVER",
    "Call",
    "FakeCloud",
    "Fault",
    "Flavor",
    "Image",
    "Network",
    "SecurityGroup",
    "Server",
    "Volume",
    "faults",
]
