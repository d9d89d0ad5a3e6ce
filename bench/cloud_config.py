# SPDX-License-Identifier: BSD-3-Clause
"""The configuration of a hub that bench/cloud.py measures, the same for each spawner."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyterhub.spawner import Spawner

BENCH = json.loads(os.environ["BENCH"])


class FloorSpawner(Spawner):
    """Takes as long as the cloud does and starts nothing: what no spawner can be faster than."""

    async def start(self) -> str:
        await asyncio.sleep(BENCH["floor_seconds"])
        return str(BENCH["floor_url"])

    async def poll(self) -> int | None:
        return None if self.server else 0

    async def stop(self, now: bool = False) -> None:
        pass


SPAWNERS = {
    "floor": FloorSpawner,
    "ours": "libcloudspawner.spawner.LibcloudSpawner",
    "ancestor": "libcloudspawner.LibcloudSpawner",
}


def codes(handle: Any) -> Iterator[Any]:
    """The code that a callback of the event loop enters or stands in."""
    owner = getattr(handle._callback, "__self__", None)
    if not isinstance(owner, asyncio.Task):
        yield getattr(handle._callback, "__code__", None)
        return
    awaited: Any = owner.get_coro()
    while awaited is not None:
        yield getattr(awaited, "cr_code", None) or getattr(awaited, "ag_code", None)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)


def watch_event_loop() -> None:
    """Note each callback that holds the event loop for long, by the clock and by the processor, and whose it is."""
    run = asyncio.Handle._run

    def timed(self: Any) -> None:
        before = list(codes(self))
        began, began_cpu = time.perf_counter(), time.thread_time()
        run(self)
        seconds = time.perf_counter() - began
        if seconds < BENCH["hold_seconds"]:
            return
        cpu = time.thread_time() - began_cpu
        files = [code.co_filename for code in (*before, *codes(self)) if code]
        names = [code.co_qualname if hasattr(code, "co_qualname") else code.co_name for code in before if code]
        is_spawner = any("libcloudspawner" in file for file in files)
        note = {"seconds": seconds, "cpu": cpu, "is_spawner": is_spawner, "names": names, "at": time.time()}
        with Path(BENCH["holds"]).open("a") as notes:
            notes.write(json.dumps(note) + "\n")

    asyncio.Handle._run = timed


watch_event_loop()

c = get_config()  # noqa: F821 - JupyterHub defines it
c.JupyterHub.spawner_class = SPAWNERS[BENCH["spawner"]]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.db_url = BENCH["database"]
c.JupyterHub.cookie_secret = b"0" * 32
c.JupyterHub.bind_url = BENCH["proxy_url"]
c.JupyterHub.hub_bind_url = BENCH["hub_url"]
c.JupyterHub.proxy_class = "configurable-http-proxy"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = BENCH["proxy_api_url"]
c.ConfigurableHTTPProxy.auth_token = BENCH["token"]
c.JupyterHub.cleanup_servers = False
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.active_server_limit = 0
# The answer to the request for a server tells when the server is ready.
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 1200}
c.JupyterHub.services = [{"name": "bench", "api_token": BENCH["token"]}]
c.JupyterHub.load_roles = [{"name": "bench", "scopes": ["admin:users", "admin:servers"], "services": ["bench"]}]
c.Spawner.start_timeout = 1200
c.Spawner.consecutive_failure_limit = 0

if BENCH["spawner"] != "floor":
    c.Spawner.port = 8000
    c.LibcloudSpawner.libcloud_driver_params = {
        "arg_user_id": "hub",
        "arg_key": "secret",
        "ex_force_auth_url": BENCH["auth_url"],
        "ex_force_auth_version": "3.x_password",
        "ex_tenant_name": "hub",
        "ex_domain_name": "Default",
        "ex_force_service_region": "RegionOne",
        "api_version": "2.2",
    }
    c.LibcloudSpawner.userserver_net = "private"
    c.LibcloudSpawner.userserver_keyname = ""
    c.LibcloudSpawner.userserver_sizes = [("Small", "small"), ("Large", "large")]
    c.LibcloudSpawner.userserver_images = [("Jupyter", "jupyter"), ("Debian", "debian-12")]
