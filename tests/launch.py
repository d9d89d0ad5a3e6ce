# SPDX-License-Identifier: BSD-3-Clause
"""What a spawner asks a provider for, in tests."""

from __future__ import annotations

from typing import Any

from libcloudspawner.providers.base import LaunchRequest, Limits

TOKEN = "a-token-that-nobody-may-see"


def launch_request(name: str = "alice", request_id: str = "", **values: Any) -> LaunchRequest:
    defaults: dict[str, Any] = {
        "user": name,
        "server": "",
        "account": f"jupyter-{name}",
        "image": "default",
        "size": "small",
        "limits": Limits(memory_bytes=2**29, cpus=0.5, tasks=100),
        "command": ("jupyterhub-singleuser",),
        "environment": {"JUPYTERHUB_API_TOKEN": TOKEN},
    }
    return LaunchRequest(name=name, request_id=request_id or f"r-{name}", **{**defaults, **values})
