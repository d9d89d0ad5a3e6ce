# SPDX-License-Identifier: BSD-3-Clause
"""What is in the cloud."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=10000)
def timestamp(seconds: float) -> str:
    """A moment as OpenStack writes it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache
def fixed_id(name: str) -> str:
    """The same id for the same name in every cloud."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


@dataclass
class Flavor:
    id: str
    name: str
    ram: int
    vcpus: int
    disk: int = 10


@dataclass
class Image:
    id: str
    name: str
    guest: str = ""
    """How the guests of this image behave, if not as the cloud's setting says."""
    properties: dict[str, str] = field(default_factory=dict)
    status: str = "active"
    created: float = 1735689600.0


@dataclass
class Network:
    id: str
    name: str


@dataclass
class SecurityGroup:
    id: str
    name: str
    rules: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Volume:
    """A disk of its own; ``server`` is the machine that has it, or is to have it."""

    id: str
    name: str
    size: int
    metadata: dict[str, str] = field(default_factory=dict)
    volume_type: str = "__DEFAULT__"
    availability_zone: str = "nova"
    status: str = "creating"
    server: str = ""
    created: float = 0.0


@dataclass
class Call:
    """One request. ``status`` is None until it is answered, and stays so if it never is."""

    time: float
    method: str
    path: str
    id: str = ""
    status: int | None = None

    @property
    def kind(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Server:
    """A machine, as it was asked for and as it is."""

    id: str
    name: str
    flavor: str
    image: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    user_data: str = ""
    networks: list[str] = field(default_factory=list)
    key_name: str | None = None
    security_groups: list[str] = field(default_factory=lambda: ["default"])
    availability_zone: str = "nova"
    config_drive: bool = False
    block_devices: list[dict[str, Any]] = field(default_factory=list)
    scheduler_hints: dict[str, Any] = field(default_factory=dict)

    status: str = "BUILD"
    task_state: str | None = "spawning"
    fault: str = ""
    address: str = ""
    created: float = 0.0
    updated: float = 0.0
    console: list[str] = field(default_factory=list)
    listings_to_miss: int = 0
    guest_error: str = ""
    """Why the guest could not listen."""
    close_guest: Callable[[], None] | None = field(default=None, repr=False)
    timers: list[Any] = field(default_factory=list, repr=False)

    @property
    def volumes(self) -> list[str]:
        """The volumes that it was made with."""
        return [str(disk["uuid"]) for disk in self.block_devices if disk["source_type"] == "volume"]

    @property
    def has_guest(self) -> bool:
        """Whether something was started in the machine."""
        return self.close_guest is not None
