# SPDX-License-Identifier: BSD-3-Clause
"""A hub with SystemdSpawner beside that of the demo, on the same host, for the same accounts."""

import os

ENVIRONMENT = "/opt/jupyterhub-singleuser/environments/default"

c = get_config()  # noqa: F821 - JupyterHub defines it
c.JupyterHub.bind_url = "http://127.0.0.1:8100"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:8181"
c.JupyterHub.db_url = "sqlite:////opt/bench/hub.sqlite"
c.JupyterHub.cookie_secret = b"0" * 32
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["TOKEN"]}]
c.JupyterHub.load_roles = [{"name": "bench", "scopes": ["admin:users", "admin:servers"], "services": ["bench"]}]
c.JupyterHub.concurrent_spawn_limit = 0
c.ConfigurableHTTPProxy.command = ["/opt/jupyterhub/proxy/node_modules/.bin/configurable-http-proxy"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:8101"
c.JupyterHub.spawner_class = "systemd"
c.SystemdSpawner.username_template = "jupyter-{USERNAME}"
c.SystemdSpawner.user_workingdir = "/home/jupyter-{USERNAME}"
c.SystemdSpawner.cmd = [f"{ENVIRONMENT}/bin/python", "-s", f"{ENVIRONMENT}/bin/jupyterhub-singleuser"]
c.SystemdSpawner.mem_limit = "2G"
c.SystemdSpawner.isolate_tmp = True
c.SystemdSpawner.isolate_devices = True
c.SystemdSpawner.disable_user_sudo = True
