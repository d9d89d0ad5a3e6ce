# SPDX-License-Identifier: BSD-3-Clause
"""The cloud: what is in it, what becomes of it as time passes, and what was asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import re
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from . import guest
from .faults import Fault
from .resources import Call, Flavor, Image, Network, SecurityGroup, Server, Volume, fixed_id
from .services import application
from .settings import Settings

T = TypeVar("T")


@dataclass(kw_only=True)
class FakeCloud(Settings):
    """An OpenStack on a port of the loopback, with a thread and an event loop of its own.

    What changes it happens on its loop; methods may be called from any thread, and what they return is a copy.
    """

    on_boot: Callable[[Server], Callable[[], None] | None] | None = None
    """Called on the loop in place of a guest, and must not block; what it returns is called when the server goes."""

    def __post_init__(self) -> None:
        self.flavors = {flavor.id: flavor for flavor in (Flavor("1", "small", 2048, 1), Flavor("2", "large", 8192, 4))}
        self.images = {image.id: image for image in (Image(fixed_id(name), name) for name in ("debian-12", "jupyter"))}
        self.networks = {network.id: network for network in [Network(fixed_id("private"), "private")]}
        self.security_groups = {group.id: group for group in [SecurityGroup(fixed_id("default"), "default")]}
        self.keypairs: dict[str, str] = {}
        self.volumes: dict[str, Volume] = {}
        self.zones = {"nova", "west"}
        self.volume_types = {"__DEFAULT__", "fast"}
        self.project_id = fixed_id(self.project).replace("-", "")
        self.tokens: dict[str, float] = {}
        self.max_in_flight = 0
        self._servers: dict[str, Server] = {}
        self._deleted: list[Server] = []
        self._calls: list[Call] = []
        self._faults: list[Fault] = []
        self._in_flight = 0
        self._ids = random.Random(self.seed)
        self._dice = random.Random(self.seed)
        self._lock = threading.RLock()
        self._block: socket.socket | None = None
        self._addresses: Iterator[ipaddress.IPv4Address] = iter(())
        self._healed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._http: HTTPServer

    # Running

    @property
    def url(self) -> str:
        return f"http{'s' if self.certificate else ''}://{self.host}:{self.port}"

    @property
    def auth_url(self) -> str:
        return self.url

    def driver_params(self, **values: Any) -> dict[str, Any]:
        """How to sign in, as an administrator writes it."""
        return {
            "arg_user_id": self.user,
            "arg_key": self.password,
            "ex_force_auth_url": self.auth_url,
            "ex_tenant_name": self.project,
            "ex_force_service_region": self.region,
            **values,
        }

    def start(self) -> FakeCloud:
        """Listen; ``port`` is known afterwards."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name="fakecloud", daemon=True)
        self._thread.start()
        ready.result()
        return self

    def stop(self) -> None:
        """Let go of every client, end every guest and close every port."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    def __enter__(self) -> FakeCloud:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _run(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._claim_addresses()
            self._listen()
        except Exception as error:  # noqa: BLE001 - start() raises it
            ready.set_exception(error)
            return
        ready.set_result(None)
        await self._stopping.wait()
        for server in self.servers.values():
            self._power_off(server)
        await self._hang_up()
        if self._block is not None:
            self._block.close()

    def unplug(self) -> None:
        """Be out of reach: no connection is accepted, and those that are there are lost. Machines run on."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(10)

    def plug_in(self) -> None:
        """Listen again where it did before."""
        self._on_loop(self._listen)

    def _listen(self) -> None:
        sockets = bind_sockets(self.port, self.host)
        self.port = sockets[0].getsockname()[1]
        self._http = HTTPServer(
            application(self), ssl_options={"certfile": self.certificate} if self.certificate else None
        )
        self._http.add_sockets(sockets)

    async def _hang_up(self) -> None:
        self._http.stop()
        await self._http.close_all_connections()

    def _claim_addresses(self) -> None:
        """Take a block of addresses; a bound socket tells other clouds on this host that it is taken."""
        blocks = [self.network] if self.network else [f"127.{number}.0.0/16" for number in range(16, 256)]
        for block in map(ipaddress.IPv4Network, blocks):
            claim = socket.socket()
            try:
                claim.bind((str(block[-2]), 1024))
            except OSError:
                claim.close()
                continue
            self._block = claim
            self.network = str(block)
            self._addresses = (address for address in block.hosts() if address.packed[3] not in (0, 255))
            return
        raise OSError(f"no block of addresses is free: {', '.join(blocks)}")

    def _on_loop(self, change: Callable[[], T]) -> T:
        """Make a change where all changes are made, and wait for it."""
        assert self._loop is not None, "the cloud was not started"
        if threading.current_thread() is self._thread:
            return change()
        done: Future[T] = Future()

        def make() -> None:
            try:
                done.set_result(change())
            except Exception as error:  # noqa: BLE001 - the caller gets it
                done.set_exception(error)

        self._loop.call_soon_threadsafe(make)
        return done.result(10)

    # What was asked

    @property
    def calls(self) -> list[Call]:
        """The requests since the start or the last ``clear_calls``, oldest first."""
        with self._lock:
            return [replace(call) for call in self._calls]

    @property
    def counts(self) -> Counter[str]:
        """How often each kind of request came, as in ``"GET /servers/{id}"``."""
        return Counter(call.kind for call in self.calls)

    def clear_calls(self) -> None:
        with self._lock:
            self._calls.clear()
            self.max_in_flight = self._in_flight

    @contextlib.contextmanager
    def in_flight(self, method: str, path: str, subject: str) -> Iterator[Call]:
        """Count one request for as long as it lasts."""
        call = Call(time.time(), method, path, subject)
        with self._lock:
            self._calls.append(call)
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
        try:
            yield call
        finally:
            with self._lock:
                self._in_flight -= 1

    # What goes wrong

    @property
    def faults(self) -> list[Fault]:
        """The faults themselves, first to last: ``hits`` tells how often each acted."""
        with self._lock:
            return list(self._faults)

    def inject(self, fault: Fault) -> Fault:
        """Have a fault act from now on, after those that are there."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """End all faults, also for requests that they hold."""

        def change() -> None:
            with self._lock:
                self._faults.clear()
            self._healed.set()
            self._healed = asyncio.Event()

        self._on_loop(change)

    def next_fault(self, method: str, path: str, subject: str, query: str) -> Fault:
        """The fault that befalls a request; one without effect if none does."""
        with self._lock:
            for fault in self._faults:
                if fault.matches(method, path, subject, query):
                    chance = self._dice.random() if fault.probability < 1 else 0.0
                    if fault.strikes(chance):
                        return replace(fault)
        return Fault()

    async def hold(self, seconds: float) -> None:
        """Wait, but not longer than until all is healed."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._healed.wait(), seconds)

    def expire_tokens(self) -> None:
        """Make every token that was issued worthless."""
        with self._lock:
            self.tokens.clear()

    # Servers

    @property
    def servers(self) -> dict[str, Server]:
        """The servers that are there, by id, oldest first."""
        with self._lock:
            return dict(self._servers)

    @property
    def deleted(self) -> list[Server]:
        """The servers that are gone, in the order in which they went."""
        with self._lock:
            return list(self._deleted)

    def seed_server(self, name: str, *, status: str = "ACTIVE", **fields: Any) -> Server:
        """Have a server that nobody asked for, such as another hub's; it is ready at once if it is ACTIVE."""
        fields.setdefault("flavor", next(iter(self.flavors)))
        fields.setdefault("image", next(iter(self.images)))
        fields.setdefault("networks", list(self.networks)[:1])

        def change() -> Server:
            server = self._add(Server(id=self.new_id(), name=name, **fields))
            if status == "ACTIVE":
                self._activate(server)
                self._power_on(server)
            else:
                self._set_status(server, status)
            return server

        return self._on_loop(change)

    def create_server(self, server: Server, fault: Fault) -> None:
        """Begin to boot, with the volumes that it is to have."""
        server.listings_to_miss = fault.misses_listings
        self._add(server)
        for volume_id in server.volumes:
            self.volumes[volume_id].status, self.volumes[volume_id].server = "reserved", server.id
        if fault.fails_after is not None:
            self._after(fault.fails_after, server, lambda: self.fail_server(server.id, fault.message))
        if fault.fails_after is None or fault.fails_after > self.boot_seconds:
            self._after(self.boot_seconds, server, lambda: self._boot(server))

    def fail_server(self, server_id: str, message: str) -> None:
        """Put a server into ERROR."""

        def change() -> None:
            server = self._servers[server_id]
            self._power_off(server)
            server.fault = message
            self._set_status(server, "ERROR")

        self._on_loop(change)

    def stop_server(self, server_id: str) -> None:
        """Have a server shut down, which takes ``stop_seconds``."""

        def change() -> None:
            server = self._servers[server_id]
            self._power_off(server)
            server.task_state = "powering-off"
            self._after(self.stop_seconds, server, lambda: self._set_status(server, "SHUTOFF"))

        self._on_loop(change)

    def create_volume(self, volume: Volume, fault: Fault) -> None:
        """Begin to make a volume; it ends in the state ``error`` if the fault says so."""
        volume.created = time.time()
        self.volumes[volume.id] = volume
        status = "available" if fault.fails_after is None else "error"
        self._later(self.volume_seconds, lambda: setattr(volume, "status", status))

    def detach_volume(self, volume: Volume) -> None:
        """Have the machine let go of a volume, which takes ``volume_seconds``."""

        def free() -> None:
            volume.status, volume.server = "available", ""

        volume.status = "detaching"
        self._later(self.volume_seconds, free)

    def snapshot(self, server: Server, name: str, properties: dict[str, str]) -> Image:
        """Make an image of a server, which takes ``snapshot_seconds``."""

        def change() -> Image:
            image = Image(self.new_id(), name, properties=properties, status="queued", created=time.time())
            self.images[image.id] = image
            self._after(self.snapshot_seconds, server, lambda: setattr(image, "status", "active"))
            return image

        return self._on_loop(change)

    def start_server(self, server_id: str) -> None:
        """Switch a server on, or off and on again."""

        def change() -> None:
            self._power_off(self._servers[server_id])
            self._boot(self._servers[server_id])

        self._on_loop(change)

    def delete_server(self, server_id: str) -> None:
        """Delete a server, as when its owner does so elsewhere."""

        def change() -> None:
            server = self._servers[server_id]
            if server.task_state == "deleting":
                return
            server.task_state = "deleting"
            self._power_off(server)
            self._after(self.delete_seconds, server, lambda: self._remove(server))

        self._on_loop(change)

    def write_console(self, server_id: str, *lines: str) -> None:
        """Write to a server's console."""
        self._on_loop(lambda: self._servers[server_id].console.extend(lines))

    def close_guest(self, server_id: str) -> None:
        """Have the guest die while its machine lives on."""
        self._on_loop(lambda: self._power_off(self._servers[server_id]))

    def swap_addresses(self, one_id: str, other_id: str) -> None:
        """Give each of two servers the other's address; their guests come along."""

        def change() -> None:
            one, other = self._servers[one_id], self._servers[other_id]
            had_guest = [server for server in (one, other) if server.has_guest]
            for server in had_guest:
                self._power_off(server)
            one.address, other.address = other.address, one.address
            for server in had_guest:
                self._power_on(server)

        self._on_loop(change)

    def wait_until(self, holds: Callable[[], object], seconds: float = 5) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"it did not become true in {seconds} s")
            time.sleep(0.005)

    def new_id(self) -> str:
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def list_servers(self, marker: str, limit: int, name: str = "", status: str = "") -> list[Server] | None:
        """One page, newest first; None if there is no such marker."""
        with self._lock:
            servers = list(reversed(self._servers.values()))
            if marker:
                places = [place for place, server in enumerate(servers) if server.id == marker]
                if not places:
                    return None
                servers = servers[places[0] + 1 :]
            shown: list[Server] = []
            for server in servers:
                if len(shown) == limit:
                    break
                if server.listings_to_miss:
                    server.listings_to_miss -= 1
                elif re.search(name, server.name) and status in ("", server.status):
                    shown.append(server)
            return shown

    def _add(self, server: Server) -> Server:
        server.created = server.updated = time.time()
        if not server.address:
            taken = {other.address for other in self._servers.values()}
            server.address = next(str(address) for address in self._addresses if str(address) not in taken)
        with self._lock:
            self._servers[server.id] = server
        return server

    def _after(self, seconds: float, server: Server, change: Callable[[], None]) -> None:
        """Do something in a while, unless the server is off or gone by then."""
        assert self._loop is not None
        if seconds > 0:
            server.timers.append(self._loop.call_later(seconds, change))
        else:
            change()

    def _later(self, seconds: float, change: Callable[[], None]) -> None:
        assert self._loop is not None
        if seconds > 0:
            self._loop.call_later(seconds, change)
        else:
            change()

    def _boot(self, server: Server) -> None:
        self._activate(server)
        self._after(self.guest_seconds, server, lambda: self._power_on(server))

    def _activate(self, server: Server) -> None:
        for volume_id in server.volumes:
            self.volumes[volume_id].status, self.volumes[volume_id].server = "in-use", server.id
        server.console.append(f"{server.name} login:")
        self._set_status(server, "ACTIVE")

    def _set_status(self, server: Server, status: str) -> None:
        server.status = status
        server.task_state = "spawning" if status == "BUILD" else None
        server.updated = time.time()

    def _power_on(self, server: Server) -> None:
        image = self.images.get(server.image)
        try:
            if self.on_boot is not None:
                server.close_guest = self.on_boot(server)
            elif self.guest_command:
                server.close_guest = guest.run(server, self)
            elif ((image and image.guest) or self.guest) == "answers":
                server.close_guest = guest.listen(server, self)
        except OSError as error:
            server.guest_error = str(error)

    def _power_off(self, server: Server) -> None:
        for timer in server.timers:
            timer.cancel()
        server.timers.clear()
        if server.close_guest is not None:
            server.close_guest()
            server.close_guest = None

    def _remove(self, server: Server) -> None:
        with self._lock:
            self._deleted.append(self._servers.pop(server.id))
        for volume in self.volumes.values():
            if volume.server == server.id:
                self.detach_volume(volume)
