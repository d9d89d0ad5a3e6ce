# SPDX-License-Identifier: BSD-3-Clause
"""Providers to test with: one that goes wrong on demand, and a stand-in for a node's control helper."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import socketserver
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from libcloudspawner.providers.base import Instance, LaunchRequest, Provider, State

T = TypeVar("T")


def user(name: str = "alice") -> SimpleNamespace:
    """What the spawner knows of a user of the hub."""
    return SimpleNamespace(
        name=name,
        id=7,
        url=f"/user/{name}/",
        escaped_name=name,
        groups=[],
        spawners={},
        orm_user=SimpleNamespace(api_tokens=[]),
    )


@dataclass
class Trouble:
    """What befalls one call: it takes ``seconds``, or hangs until ``release`` is set, and then fails with ``error``.

    With ``works_first`` the work is done before that, as when only the answer is late or lost.
    """

    seconds: float = 0.0
    hangs: bool = False
    error: Exception | None = None
    works_first: bool = False
    begun: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def strike(self) -> None:
        self.begun.set()
        time.sleep(self.seconds)
        if self.hangs:
            self.release.wait(10)
        if self.error is not None:
            raise self.error


@dataclass
class Cloud:
    """What the providers of several hubs share: each instance with its hub, by the id of its request."""

    instances: dict[str, tuple[str, Instance]] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    ports: list[socket.socket] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def listen(self, address: str) -> int:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.ports.append(socket.create_server((address, 0), family=family))
        return int(self.ports[-1].getsockname()[1])


class FakeProvider(Provider):
    """Instances that exist in memory alone, and calls that go wrong as :meth:`befall` says."""

    SETTINGS = ()
    WATCH_LISTING_SECONDS = 0.02

    def __init__(self, hub: str = "hub", cloud: Cloud | None = None) -> None:
        self._hub = hub
        self.cloud = cloud or Cloud()
        self.calls: list[tuple[str, str]] = []
        self.most_at_once: dict[tuple[str, str], int] = defaultdict(int)
        self.begins_as = State.RUNNING
        self.is_ready_at_once = True
        self._troubles: list[Trouble] = []
        self._ahead: dict[str, deque[Trouble]] = defaultdict(deque)
        self._at_once: dict[tuple[str, str], int] = defaultdict(int)

    def befall(self, method: str, times: int = 1, **trouble: Any) -> Trouble:
        """Let the next calls of ``method`` meet with a trouble; the last of them is returned."""
        for _ in range(times):
            self._troubles.append(Trouble(**trouble))
            self._ahead[method].append(self._troubles[-1])
        return self._troubles[-1]

    def create(self, request: LaunchRequest) -> Instance:
        return self._call("create", request.name, lambda: self._create(request))

    def _create(self, request: LaunchRequest) -> Instance:
        instance = Instance(
            id=f"id-{request.request_id}",
            name=request.name,
            user=request.user,
            server=request.server,
            request_id=request.request_id,
            state=self.begins_as,
            address=request.bind_address,
            port=self.cloud.listen(request.bind_address),
            owns_port=self.is_ready_at_once,
        )
        self.cloud.instances[request.request_id] = (self._hub, instance)
        return instance

    def list(self) -> list[Instance]:
        return self._call("list", "", self._own)

    def get(self, instance_id: str) -> Instance | None:
        return self._call("get", instance_id, lambda: next((one for one in self._own() if one.id == instance_id), None))

    def destroy(self, instance: Instance) -> None:
        self._call("destroy", instance.name, lambda: self.cloud.instances.pop(instance.request_id, None))

    def log(self, instance: Instance, lines: int) -> list[str]:
        return self._call("log", instance.name, lambda: self.cloud.logs.get(instance.name, [])[-lines:])

    def forget(self, user: str, server: str, account: str) -> None:
        self._call("forget", f"{user}/{server}", lambda: None)

    def change(self, name: str, **values: Any) -> None:
        """Change an instance behind everybody's back."""
        (one,) = [one for one in self._own() if one.name == name]
        self.cloud.instances[one.request_id] = (self._hub, replace(one, **values))

    def lose(self, name: str) -> None:
        (one,) = [one for one in self._own() if one.name == name]
        del self.cloud.instances[one.request_id]

    def count(self, method: str, name: str | None = None) -> int:
        return sum(called == method and name in (None, of) for called, of in self.calls)

    def release_all(self) -> None:
        for trouble in self._troubles:
            trouble.release.set()

    def close(self) -> None:
        self.release_all()
        while self.cloud.ports:
            self.cloud.ports.pop().close()

    @property
    def names(self) -> set[str]:
        return {one.name for one in self._own()}

    def _own(self) -> list[Instance]:
        return [instance for hub, instance in self.cloud.instances.values() if hub == self._hub]

    def _call(self, method: str, name: str, work: Callable[[], T]) -> T:
        call = (method, name)
        with self.cloud.lock:
            self.calls.append(call)
            self._at_once[call] += 1
            self.most_at_once[call] = max(self.most_at_once[call], self._at_once[call])
            trouble = self._ahead[method].popleft() if self._ahead[method] else Trouble()
        try:
            if not trouble.works_first:
                trouble.strike()
            with self.cloud.lock:
                result = work()
            if trouble.works_first:
                trouble.strike()
            return result
        finally:
            with self.cloud.lock:
                self._at_once[call] -= 1


class HelperStub(socketserver.ThreadingUnixStreamServer):
    """Answers at ``path`` as ``jupyterhub-singleuserctl`` does, without accounts, units or files.

    The next connections are answered with what is in ``answers`` instead; None hangs up.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Connection)
        self.path = path
        self.answers: deque[bytes | None] = deque()
        self.logs: dict[str, list[str]] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self._ports = itertools.count(20000)
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        self.path.unlink(missing_ok=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away before its answer is no news."""

    def refuse_next(self, message: str, code: str = "refused") -> None:
        self.answers.append(json.dumps({"ok": False, "code": code, "error": message}).encode() + b"\n")

    def answer(self, request: dict[str, Any]) -> bytes | None:
        with self.lock:
            if self.answers:
                return self.answers.popleft()
            return json.dumps(self._answer(request)).encode() + b"\n"

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        hub, action = request["hub"], request["action"]
        if action == "list":
            return {"ok": True, "instances": [one for one in self.records.values() if one["hub"] == hub]}
        if action == "forget":
            return {"ok": True, "forgotten": False}
        name = request["instance"]
        record = self.records.get(name)
        if record and record["hub"] != hub:
            return {"ok": False, "code": "foreign", "error": f"The instance {name} belongs to another hub."}
        if action == "start":
            self.records[name] = {
                **{key: request[key] for key in ("instance", "hub", "user", "server", "request", "address")},
                "port": next(self._ports),
                "state": "running",
                "listening": False,
                "exit_status": 0,
                "result": "success",
            }
            return {"ok": True, "instance": self.records[name]}
        if action == "status":
            return {"ok": True, "instance": record}
        if action == "stop":
            found = record is not None and request["request"] in (None, record["request"])
            if found:
                del self.records[name]
            return {"ok": True, "found": found}
        return {"ok": True, "lines": self.logs.get(name, [])[-request["lines"] :] if record else []}


class _Connection(socketserver.StreamRequestHandler):
    server: HelperStub

    def handle(self) -> None:
        answer = self.server.answer(json.loads(self.rfile.readline()))
        if answer is not None:
            self.wfile.write(answer)


async def eventually(is_so: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until something holds that another thread or task brings about."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came to pass"
        await asyncio.sleep(0.005)
