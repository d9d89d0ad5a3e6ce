# SPDX-License-Identifier: BSD-3-Clause
"""Two hubs in containers side by side, made by the playbook; as an account that the image knows nothing of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from container_sites import CUSTOM, OTHER_PORT, PHYSICS, PORTS, TOKEN, UID
from hub import Hub
from playbook import run_playbook

Play = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("container")


@pytest.fixture(scope="session")
def play(output: Path) -> Play:
    """Run the playbook for a hub, by its name."""

    def play(name: str, **variables: object) -> CompletedProcess[str]:
        settings = {
            "application_name": name,
            "container_folder": str(CUSTOM),
            "container_port": PORTS.get(name, OTHER_PORT),
            "container_user": f"{UID}:0",
            "container_output": str(output / name),
            "hub_admin_users": ["ada"],
            "hub_mem_limit": "1G",
            "hub_services": [{"name": "tests", "admin": True, "api_token": TOKEN}],
        }
        return run_playbook(os.devnull, "container", **{**settings, **variables})

    return play


@pytest.fixture(scope="session")
def deployed(play: Play) -> Iterator[None]:
    for name in PORTS:
        result = play(name)
        assert result.returncode == 0, result.stdout[-4000:]
    yield
    for name in PORTS:
        play(name, container_state="absent")


@pytest.fixture
def hub_url(deployed: None) -> str:
    return f"http://127.0.0.1:{PORTS[PHYSICS]}"


@pytest.fixture
def hub(hub_url: str) -> Hub:
    return Hub(hub_url, TOKEN)
