# SPDX-License-Identifier: BSD-3-Clause
"""A client of a running hub and of its users' servers, as the tests need it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from typing import Any
from urllib.parse import quote

import requests
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect


def hub_address(host: Any) -> str:
    """The URL of the hub that runs on testinfra's ``host``."""
    address = host.check_output("ip -oneline -4 address show scope global").split()[3].partition("/")[0]
    return f"http://{address}:8000"


class Hub:
    """The hub at ``url``, with the rights of ``token``."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"token {token}"}

    def call(self, method: str, path: str, **body: Any) -> requests.Response:
        """One request to the hub, or to a user's server when ``path`` begins with ``/user/``."""
        prefix = "" if path.startswith("/user/") else "/hub/api"
        return requests.request(
            method, f"{self.url}{prefix}{path}", headers=self.headers, json=body or None, timeout=120
        )

    def wait_until_up(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if self.call("GET", "/").ok:
                    return
            assert time.monotonic() < deadline, "the hub does not come back"
            time.sleep(0.2)

    def server(self, user: str, name: str = "") -> dict[str, Any]:
        """What the hub says of a server."""
        answer = self.call("GET", f"/users/{user}")
        answer.raise_for_status()
        stopped = {"ready": False, "pending": None}
        servers: dict[str, Any] = answer.json()["servers"]
        return servers.get(name, stopped)

    def request_start(self, user: str, name: str = "", **user_options: str) -> requests.Response:
        """Ask for a server; users that the hub does not know are made."""
        self.call("POST", f"/users/{user}")
        return self.call("POST", f"/users/{user}/servers/{name}", user_options=user_options)

    def start(self, user: str, name: str = "", **user_options: str) -> dict[str, Any]:
        """Start a server and wait until it is ready."""
        answer = self.request_start(user, name, **user_options)
        assert answer.status_code in (201, 202), answer.text
        return self.wait_for(user, name, ready=True)

    def wait_for(self, user: str, name: str = "", seconds: float = 120, **state: Any) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            server = self.server(user, name)
            if all(server.get(key) == value for key, value in state.items()):
                return server
            if time.monotonic() > deadline:
                progress = self.call("GET", f"/users/{user}/servers/{name}/progress").text
                raise AssertionError(f"{user}/{name} is not {state} after {seconds} s: {server} {progress}")
            time.sleep(0.2)

    def stop(self, user: str, name: str = "", **body: Any) -> None:
        """Stop a server and wait until it is gone."""
        answer = self.call("DELETE", f"/users/{user}/servers/{name}", **body)
        assert answer.status_code in (202, 204), answer.text
        deadline = time.monotonic() + 60
        while self.server(user, name)["pending"] or self.server(user, name)["ready"]:
            assert time.monotonic() < deadline, self.server(user, name)
            time.sleep(0.2)

    def kernel(self, user: str, name: str = "", kernel: str = "python3") -> Kernel:
        """A new kernel in a running server."""
        base = f"/user/{user}/{name + '/' if name else ''}"
        answer = self.call("POST", f"{base}api/kernels", name=kernel)
        answer.raise_for_status()
        return Kernel(f"{self.url}{base}api/kernels/{answer.json()['id']}", self.headers)

    def terminal(self, user: str) -> Terminal:
        """A new terminal in a running server."""
        answer = self.call("POST", f"/user/{user}/api/terminals")
        answer.raise_for_status()
        return Terminal(f"{self.url}/user/{user}/terminals/websocket/{answer.json()['name']}", self.headers)


class Kernel:
    """A kernel of a user's server; each call of :meth:`run` is a connection of its own, as after a reload."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url = url
        self.headers = headers

    def run(self, code: str, seconds: float = 60) -> str:
        """What ``code`` prints, the value of its last line, or its error; ``(kernel died)`` if that happens."""
        return asyncio.run(asyncio.wait_for(self._run(code), seconds))

    async def _run(self, code: str) -> str:
        url = quote(self.url.replace("http", "ws", 1), safe=":/@") + "/channels"
        socket = await websocket_connect(HTTPRequest(url, headers=self.headers))
        message_id = uuid.uuid4().hex
        header = {
            "msg_id": message_id,
            "msg_type": "execute_request",
            "username": "",
            "session": message_id,
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        await socket.write_message(
            json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"})
        )
        output: list[str] = []
        while (text := await socket.read_message()) is not None:
            message = json.loads(text)
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] in ("restarting", "autorestarting", "dead"):
                output.append("(kernel died)")
                break
            if message["parent_header"].get("msg_id") != message_id:
                continue
            if kind == "stream":
                output.append(content["text"])
            elif kind == "execute_result":
                output.append(content["data"]["text/plain"])
            elif kind == "error":
                output.append(f"{content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                break
        socket.close()
        return "".join(output).strip()


class Terminal:
    """A terminal of a user's server, as JupyterLab opens it."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url = url
        self.headers = headers

    def run(self, command: str, seconds: float = 60) -> str:
        """What the shell writes for ``command``."""
        return asyncio.run(asyncio.wait_for(self._run(command), seconds))

    async def _run(self, command: str) -> str:
        url = quote(self.url.replace("http", "ws", 1), safe=":/@")
        socket = await websocket_connect(HTTPRequest(url, headers=self.headers))
        # In pieces, so that the echo of the command holds neither mark; of its own, as what was before is sent again.
        mark = uuid.uuid4().hex
        await socket.write_message(json.dumps(["stdin", f"echo {mark}''1; {command}; echo {mark}''2\r"]))
        written = ""
        while f"{mark}2" not in written and (text := await socket.read_message()) is not None:
            kind, *content = json.loads(text)
            if kind == "stdout":
                written += content[0]
        socket.close()
        return written.partition(f"{mark}1\r\n")[2].rpartition(f"{mark}2")[0].replace("\r\n", "\n").strip()
