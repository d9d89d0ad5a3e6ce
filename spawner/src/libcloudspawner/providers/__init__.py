# SPDX-License-Identifier: BSD-3-Clause
"""One small module for each kind of host or cloud that carries instances, behind the contract in ``base``."""

from .base import Provider
from .local import LocalProvider
from .openstack import OpenStackProvider
from .systemd import SystemdProvider

PROVIDERS: dict[str, type[Provider]] = {
    "systemd": SystemdProvider,
    "local": LocalProvider,
    "openstack": OpenStackProvider,
}
