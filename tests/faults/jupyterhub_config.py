# SPDX-License-Identifier: BSD-3-Clause
"""A whole hub for the tests of this folder: machines of the fake cloud, and nothing else that needs a host."""

import json
import os
from pathlib import Path

from jupyterhub.proxy import Proxy
from libcloudspawner import fleet, spawner
from libcloudspawner.providers import openstack, openstack_volumes
from traitlets import default


class RememberingProxy(Proxy):
    """Stands in for configurable-http-proxy, as a service of its own that survives the hub: routes are only kept.

    The tests ask the hub itself and the machines themselves, so nothing ever goes through a proxy.
    """

    file = Path(os.environ["ROUTES"])

    @default("should_start")
    def _never(self):
        return False

    def _read(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def _write(self, routes):
        self.file.write_text(json.dumps(routes))

    async def add_route(self, routespec, target, data):
        self._write({**self._read(), routespec: {"routespec": routespec, "target": target, "data": data}})

    async def delete_route(self, routespec):
        self._write({key: value for key, value in self._read().items() if key != routespec})

    async def get_all_routes(self):
        return self._read()


# Waits of seconds and minutes, made short.
fleet._HOUSEKEEPING_SECONDS = 0.2
fleet._ORPHAN_SECONDS = 1.0
fleet._DESTROY_RETRY_SECONDS = 0.1
fleet._DESTROY_RETRY_SECONDS_MAX = 0.5
fleet._ADOPT_SECONDS = 0.1
fleet._FORGET_SECONDS = 1.0
spawner._CLEANUP_SECONDS = float(os.environ.get("CLEANUP_SECONDS", "0.5"))
spawner._STOP_SECONDS = float(os.environ.get("STOP_SECONDS", "60"))
openstack._TIMEOUT_SECONDS = float(os.environ.get("CLOUD_TIMEOUT", "5"))
openstack_volumes._POLL_SECONDS = 0.1
openstack_volumes._READY_SECONDS = 5.0
openstack.OpenStackProvider.POLL_LISTING_SECONDS = 0.2
openstack.OpenStackProvider.WATCH_LISTING_SECONDS = 0.2

c = get_config()
c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['PUBLIC_PORT']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['HUB_PORT']}"
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.proxy_class = RememberingProxy
c.JupyterHub.cleanup_servers = False
c.JupyterHub.allow_named_servers = True
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.services = [{"name": "tests", "api_token": os.environ["ADMIN_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "tokens", "list:users"]}
]
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0, "slow_stop_timeout": 0}

c.JupyterHub.spawner_class = "libcloudspawner.spawner.LibcloudSpawner"
c.Spawner.poll_interval = 1
c.Spawner.poll_jitter = 0
c.Spawner.start_timeout = int(os.environ.get("START_TIMEOUT", "30"))
c.Spawner.http_timeout = 5
c.LibcloudSpawner.libcloud_driver_params = json.loads(os.environ["DRIVER_PARAMS"])
c.LibcloudSpawner.storage_type = os.environ.get("STORAGE_TYPE", "home")
c.LibcloudSpawner.volume_retention_days = int(os.environ.get("VOLUME_RETENTION_DAYS", "-1"))
c.LibcloudSpawner.userserver_net = "private"
c.LibcloudSpawner.userserver_sizes = [("Small", "small")]
c.LibcloudSpawner.userserver_images = [("Jupyter", "jupyter")]
