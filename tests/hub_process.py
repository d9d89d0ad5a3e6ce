# SPDX-License-Identifier: BSD-3-Clause
"""A hub in a process of its own, whose machines are those of a fake cloud."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import requests
from fakecloud import FakeCloud

CONFIG = Path(__file__).parent / "faults" / "jupyterhub_config.py"
PACKAGE = Path(__file__).parents[1] / "spawner" / "src"
ADMIN_TOKEN = "0123456789abcdef0123456789abcdef"


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


class Hub:
    """What survives a restart: its folder and its ports. ``process`` is the one that runs now."""

    def __init__(self, folder: Path, cloud: FakeCloud) -> None:
        self.folder, self.cloud = folder, cloud
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hub"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(PACKAGE),
            "HUB_PORT": str(self.port),
            "PUBLIC_PORT": str(free_port()),
            "ROUTES": str(folder / "routes.json"),
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "DRIVER_PARAMS": json.dumps(cloud.driver_params()),
        }
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"token {ADMIN_TOKEN}"

    def start(self, **environment: str) -> None:
        """Start a process, and wait until it answers."""
        with (self.folder / "hub.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "--config", str(CONFIG)],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: self.process.poll() is not None or self.is_healthy(), 30)  # type: ignore[union-attr]
        assert self.process.poll() is None, self.log

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def restart(self, **environment: str) -> None:
        self.kill()
        self.start(**environment)

    def is_healthy(self) -> bool:
        try:
            return self.session.get(f"{self.url}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def ask(self, method: str, path: str) -> Any:
        answer = self.session.request(method, f"{self.url}/api{path}", timeout=20)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def begin(self, user: str, server: str = "") -> None:
        """Ask for a server, and do not wait for it."""
        self.session.post(f"{self.url}/api/users/{user}", timeout=20)
        self.ask("POST", f"/users/{user}/servers/{server}" if server else f"/users/{user}/server")

    def servers(self) -> dict[str, dict[str, Any]]:
        """What servers there are, by ``user/name``; asking is a test in itself."""
        users = self.ask("GET", "/users")
        return {f"{user['name']}/{name}": one for user in users for name, one in user["servers"].items()}

    def is_ready(self, server: str) -> bool:
        return bool(self.servers().get(server, {}).get("ready"))

    def tokens(self) -> list[str]:
        """The notes of all API tokens of servers."""
        with closing(sqlite3.connect(self.folder / "hub.sqlite")) as database:
            notes = database.execute("SELECT note FROM api_tokens WHERE user_id IS NOT NULL").fetchall()
        return sorted(note for (note,) in notes)

    def machines(self) -> list[str]:
        """Whose machines there are, in the words of ``servers``."""
        marks = [server.metadata for server in self.cloud.servers.values()]
        return sorted(f"{one['libcloudspawner-user']}/{one['libcloudspawner-server']}" for one in marks)

    def is_consistent(self) -> bool:
        """Every machine has a server and every server that is ready has its machine and token; nothing else is left."""
        servers = self.servers()
        if any(one["pending"] or not one["ready"] for one in servers.values()):
            return False
        notes = [f"Server at /user/{name.rstrip('/')}/" for name in servers]
        return sorted(servers) == self.machines() and sorted(notes) == self.tokens()

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text()


def wait_until(holds: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def settle(hub: Hub) -> None:
    """Wait until machines, servers and tokens agree, and see that they still do after a while."""
    wait_until(hub.is_consistent)
    time.sleep(1.5)
    assert hub.is_consistent(), (hub.servers(), hub.machines(), hub.tokens())


def starts(hub: Hub, server: str = "alice/") -> None:
    """A user can start a server now."""
    user, _, name = server.partition("/")
    hub.begin(user, name)
    wait_until(lambda: hub.is_ready(server))
