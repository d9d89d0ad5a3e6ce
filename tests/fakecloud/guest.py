# SPDX-License-Identifier: BSD-3-Clause
"""What runs in a machine once it has booted. Each kind of guest starts, and returns how to end it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.netutil import bind_sockets

from .resources import Server
from .settings import Settings


def listen(server: Server, settings: Settings) -> Callable[[], None]:
    """Answer every path as jupyterhub-singleuser answers the hub's check, and say which machine this is."""

    def respond(request: HTTPServerRequest) -> None:
        body = json.dumps({"server": server.id}).encode()
        headers = HTTPHeaders(
            {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "X-JupyterHub-Version": settings.jupyterhub_version,
            }
        )
        assert request.connection is not None
        request.connection.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), headers, body)
        request.connection.finish()

    http = HTTPServer(respond, no_keep_alive=True)
    http.add_sockets(bind_sockets(settings.guest_port, server.address))
    return http.stop


def run(server: Server, settings: Settings) -> Callable[[], None]:
    """Run the command of the settings, in a process group of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fakecloud-"))
    user_data = folder / "user-data"
    user_data.write_bytes(base64.b64decode(server.user_data))
    environment = {
        "FAKECLOUD_ID": server.id,
        "FAKECLOUD_NAME": server.name,
        "FAKECLOUD_ADDRESS": server.address,
        "FAKECLOUD_PORT": str(settings.guest_port),
        "FAKECLOUD_METADATA": json.dumps(server.metadata),
        "FAKECLOUD_USER_DATA": str(user_data),
    }
    process = subprocess.Popen(
        settings.guest_command, shell=True, cwd=folder, env={**os.environ, **environment}, start_new_session=True
    )

    def close() -> None:
        # The group may outlive its first process, and may be gone.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    return close
