# SPDX-License-Identifier: BSD-3-Clause
"""What can be set: by keyword, by attribute while the cloud runs, on the command line, and through /control."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version


@dataclass(kw_only=True)
class Settings:
    """The cloud's ways. Only those of the first group are fixed once it runs."""

    host: str = "127.0.0.1"
    port: int = 0
    network: str = ""
    """Where servers get their addresses, as in "127.20.0.0/16"; empty is the first such block that no other cloud
    on this host has."""
    seed: int = 0
    certificate: str = ""
    """A PEM file with a certificate and its key, to be spoken to over TLS."""

    user: str = "hub"
    password: str = "secret"
    project: str = "hub"
    application_credential: str = "hub-credential"
    application_secret: str = "secret"
    region: str = "RegionOne"
    token_seconds: float = 3600.0
    clock_skew_seconds: float = 0.0
    """How much later than it does a token claims to expire."""
    refuses_doubled_version: bool = False
    """Answer 404 to /v3/v3/, which Libcloud asks for when the auth URL ends in /v3, as a real Keystone does."""

    latency: float = 0.0
    boot_seconds: float = 0.0
    delete_seconds: float = 0.0
    snapshot_seconds: float = 0.0
    stop_seconds: float = 0.0
    volume_seconds: float = 0.0
    """How long the making of a volume takes, and, once its machine is gone, its detachment."""
    addresses_in_build: bool = False
    quota_instances: int | None = None
    quota_volumes: int | None = None
    volume_service: str = "volumev3"
    """What the catalogue calls Cinder; empty is a cloud without volumes."""
    page_size: int = 1000

    guest: str = "answers"
    """"answers" listens as jupyterhub-singleuser does, "never" boots and does not. An image may have its own."""
    guest_seconds: float = 0.0
    guest_port: int = 8000
    guest_command: str = ""
    """A shell command to run in place of the guest; it finds in FAKECLOUD_ID, _NAME, _ADDRESS, _PORT, _METADATA (JSON)
    and _USER_DATA (a file) what it needs, and is killed when the server goes."""
    jupyterhub_version: str = field(default_factory=lambda: version("jupyterhub"))
