# SPDX-License-Identifier: BSD-3-Clause
"""Users who all start a machine at once, and a hub that restarts under many, on a simulated cloud.

Each spawner gets a hub, a proxy and a cloud in processes of their own: ours, its ancestor from PyPI, and the floor, a
spawner that only sleeps as long as the cloud takes. Run by bench/cloud.sh, which prepares what this needs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/bench"
PROXY = BUILD / "proxy/node_modules/.bin/configurable-http-proxy"
TOKEN = "token-of-the-bench"
LATENCY, BOOT_SECONDS = 0.5, 5.0
PROBE_SECONDS = 0.05
HOLD_SECONDS = 0.05
# A hub is busy with itself for a while after it began to answer.
SETTLE_SECONDS = 2
USER_OPTIONS = {"user_options": {"userserver_size": "small", "userserver_image": "jupyter"}}
LISTING = "GET /servers/detail"
SPAWNERS = ("floor", "ours", "ancestor")


def python(spawner: str) -> Path:
    return BUILD / "ancestor/bin/python" if spawner == "ancestor" else Path(sys.executable)


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def process(command: list[Any], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the context lasts; what it writes is in ``log``."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [str(word) for word in command],
            cwd=log.parent,
            env={**environment, **variables},
            stdout=output,
            stderr=output,
        ) as started,
    ):
        try:
            yield started
        finally:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()


class Bench:
    """One cloud and one proxy, and the hubs that come and go in front of them."""

    def __init__(self, spawner: str, folder: Path, http: aiohttp.ClientSession, latency: float) -> None:
        self.spawner = spawner
        self.latency = latency
        self.folder = folder
        self._http = http
        ports = free_ports(4)
        self._cloud, self._proxy, self._proxy_api, self.hub = (f"http://127.0.0.1:{port}" for port in ports)
        self._ports = ports
        self._floor_url = ""

    @contextlib.asynccontextmanager
    async def surroundings(self) -> AsyncIterator[None]:
        cloud_port, proxy_port, api_port, hub_port = self._ports
        cloud = [sys.executable, "-m", "fakecloud", "--port", cloud_port]
        proxy = [PROXY, "--ip=127.0.0.1", f"--port={proxy_port}", "--api-ip=127.0.0.1", f"--api-port={api_port}"]
        proxy += [f"--default-target=http://127.0.0.1:{hub_port}", "--log-level=warn"]
        with (
            process(cloud, self.folder / "cloud.log", PYTHONPATH=str(ROOT / "tests")),
            process(proxy, self.folder / "proxy.log", CONFIGPROXY_AUTH_TOKEN=TOKEN),
        ):
            await self._wait_for(f"{self._cloud}/control")
            state = await self.cloud(seed_servers=[{"name": "floor"}] if self.spawner == "floor" else [])
            if self.spawner == "floor":
                self._floor_url = f"http://{state['servers'][0]['address']}:8000"
            yield

    @contextlib.contextmanager
    def running_hub(self, *, takes_time: bool = True) -> Iterator[subprocess.Popen[bytes]]:
        bench = {
            "spawner": self.spawner,
            "floor_seconds": self.latency + BOOT_SECONDS if takes_time else 0,
            "floor_url": self._floor_url,
            "auth_url": self._cloud,
            "database": f"sqlite:///{self.folder}/hub.sqlite",
            "hub_url": self.hub,
            "proxy_url": self._proxy,
            "proxy_api_url": self._proxy_api,
            "token": TOKEN,
            "holds": str(self.folder / "holds.jsonl"),
            "hold_seconds": HOLD_SECONDS,
        }
        command = [python(self.spawner), "-m", "jupyterhub", "--config", ROOT / "bench/cloud_config.py"]
        path = {"PYTHONPATH": str(ROOT / "spawner/src")} if self.spawner == "ours" else {}
        with process(command, self.folder / "hub.log", BENCH=json.dumps(bench), **path) as hub:
            yield hub

    async def wait_for_hub(self) -> None:
        await self._wait_for(f"{self.hub}/hub/health")

    async def _wait_for(self, url: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError):
                async with self._http.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(PROBE_SECONDS)
        raise SystemExit(f"{url} does not answer, see {self.folder}")

    async def cloud(self, **wanted: Any) -> dict[str, Any]:
        async with self._http.post(f"{self._cloud}/control", json=wanted) as answer:
            answer.raise_for_status()
            return dict(await answer.json())

    async def forget_calls(self) -> None:
        await self._http.delete(f"{self._cloud}/control")

    async def calls(self) -> Counter[str]:
        return Counter((await self.cloud())["counts"])

    def forget_holds(self) -> None:
        (self.folder / "holds.jsonl").write_text("")

    def holds(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "holds.jsonl").read_text().splitlines()]

    async def api(self, method: str, path: str, body: Any = None) -> int:
        headers = {"Authorization": f"token {TOKEN}"}
        async with self._http.request(method, f"{self.hub}/hub/api{path}", json=body, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def add_users(self, names: list[str]) -> None:
        if await self.api("POST", "/users", {"usernames": names}) != 201:
            raise SystemExit(f"The hub refused to add users, see {self.folder}")

    async def start_server(self, name: str) -> float | None:
        """How long it took until the server was ready; None if it never was."""
        began = time.monotonic()
        try:
            status = await self.api("POST", f"/users/{name}/server", USER_OPTIONS)
        except (aiohttp.ClientError, asyncio.TimeoutError):
            return None
        return time.monotonic() - began if status == 201 else None

    async def probe(self) -> tuple[float, bool]:
        """How long the hub took to say that it is well, and whether it did."""
        began = time.monotonic()
        try:
            async with self._http.get(f"{self.hub}/hub/health") as answer:
                is_well = answer.status == 200
        except (aiohttp.ClientError, asyncio.TimeoutError):
            is_well = False
        return time.monotonic() - began, is_well

    @contextlib.asynccontextmanager
    async def probed(self) -> AsyncIterator[list[tuple[float, bool]]]:
        """Probe all the while, whether or not earlier probes have come back."""
        probes: list[asyncio.Task[tuple[float, bool]]] = []
        found: list[tuple[float, bool]] = []

        async def go_on() -> None:
            due = time.monotonic()
            while True:
                probes.append(asyncio.create_task(self.probe()))
                due += PROBE_SECONDS
                await asyncio.sleep(max(0.0, due - time.monotonic()))

        probing = asyncio.create_task(go_on())
        try:
            yield found
        finally:
            probing.cancel()
            found.extend(await asyncio.gather(*probes))


@contextlib.asynccontextmanager
async def bench(spawner: str, latency: float) -> AsyncIterator[Bench]:
    """A bench whose logs stay if something goes wrong."""
    folder = Path(tempfile.mkdtemp(prefix=f"{spawner}-", dir=BUILD / "logs"))
    timeout = aiohttp.ClientTimeout(total=1300)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        one = Bench(spawner, folder, http, latency)
        async with one.surroundings():
            yield one


def processor_seconds(one: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def health(probes: list[tuple[float, bool]]) -> dict[str, Any]:
    seconds = sorted(seconds for seconds, _ in probes)
    return {
        "p50": statistics.median(seconds),
        "p99": seconds[int(len(seconds) * 0.99)],
        "max": seconds[-1],
        "probes": len(probes),
        "unanswered": sum(not is_well for _, is_well in probes),
    }


async def storm(spawner: str, users: int, latency: float, is_warm: bool) -> dict[str, Any]:
    """All users ask at once. A warm hub has started a server before."""
    async with bench(spawner, latency) as one:
        await one.cloud(settings={"latency": latency, "boot_seconds": BOOT_SECONDS})
        with one.running_hub() as hub:
            await one.wait_for_hub()
            names = [f"user{number}" for number in range(users)]
            await one.add_users([*names, "first"])
            if is_warm and await one.start_server("first") is None:
                raise SystemExit(f"The first server did not start, see {one.folder}")
            await asyncio.sleep(SETTLE_SECONDS)
            await one.forget_calls()
            one.forget_holds()
            load, processor = os.getloadavg()[0], processor_seconds(hub)
            async with one.probed() as probes:
                seconds = await asyncio.gather(*map(one.start_server, names))
                processor = processor_seconds(hub) - processor
                calls = await one.calls()
            ready = [one for one in seconds if one is not None]
            return {
                "what": "storm",
                "spawner": spawner,
                "users": users,
                "latency": latency,
                "is_warm": is_warm,
                "load": load,
                "processor": processor,
                "ready": ready,
                "failed": users - len(ready),
                "health": health(probes),
                "calls": calls,
                "holds": one.holds(),
                "folder": str(one.folder),
            }


async def restart(spawner: str, users: int) -> dict[str, Any]:
    """A hub that restarts while all of its users have a server, and the minute after."""
    async with bench(spawner, LATENCY) as one:
        names = [f"user{number}" for number in range(users)]
        with one.running_hub(takes_time=False):
            await one.wait_for_hub()
            await one.add_users(names)
            for place in range(0, users, 20):
                seconds = await asyncio.gather(*map(one.start_server, names[place : place + 20]))
                if None in seconds:
                    raise SystemExit(f"Some servers did not start, see {one.folder}")
        await one.cloud(settings={"latency": LATENCY, "boot_seconds": BOOT_SECONDS})
        await one.forget_calls()
        one.forget_holds()
        load, began = os.getloadavg()[0], time.monotonic()
        with one.running_hub():
            await one.wait_for_hub()
            seconds_to_health, calls_to_health = time.monotonic() - began, await one.calls()
            # Until the servers were looked at, which goes on after that for a while.
            await asyncio.sleep(30)
            calls_to_rest = await one.calls()
            await one.forget_calls()
            async with one.probed() as probes:
                await asyncio.sleep(60)
            return {
                "what": "restart",
                "spawner": spawner,
                "users": users,
                "load": load,
                "seconds": seconds_to_health,
                "calls": calls_to_health,
                "calls_in_30_s": calls_to_rest,
                "calls_per_minute": await one.calls(),
                "health": health(probes),
                "holds": one.holds(),
                "still_running": await running(one),
                "folder": str(one.folder),
            }


async def running(one: Bench) -> int:
    async with one._http.get(
        f"{one.hub}/hub/api/users?state=ready&limit=10000", headers={"Authorization": f"token {TOKEN}"}
    ) as answer:
        return len(await answer.json())


def in_words(record: dict[str, Any]) -> str:
    longest = record["health"]["max"]
    if record["what"] == "restart":
        return (
            f"restart {record['spawner']} {record['users']}: {record['seconds']:.1f} s, {dict(record['calls'])}, "
            f"in 30 s {dict(record['calls_in_30_s'])}, a minute {dict(record['calls_per_minute'])}, "
            f"{record['still_running']} run, health max {longest:.3f}, load {record['load']:.1f}"
        )
    spawner_holds = [hold for hold in record["holds"] if hold["is_spawner"]]
    return (
        f"storm {record['spawner']} {record['users']} latency {record['latency']:g} "
        f"{'warm' if record['is_warm'] else 'cold'}: ready {statistics.median(record['ready'] or [0]):.2f} "
        f"max {max(record['ready'] or [0]):.2f}, failed {record['failed']}, health p50 "
        f"{record['health']['p50']:.3f} p99 {record['health']['p99']:.3f} max {longest:.3f}, calls "
        f"{dict(record['calls'])}, holds {len(record['holds'])} (ours {len(spawner_holds)}, longest "
        f"{max((hold['seconds'] for hold in spawner_holds), default=0):.3f}), "
        f"processor {record['processor']:.2f} s, load {record['load']:.1f}"
    )


async def measure(arguments: argparse.Namespace) -> None:
    arguments.records.touch()

    def note(record: dict[str, Any]) -> None:
        with arguments.records.open("a") as records:
            records.write(json.dumps(record) + "\n")
        print(in_words(record), file=sys.stderr, flush=True)

    for _ in range(arguments.rounds):
        for users in arguments.users:
            for spawner in arguments.spawners:
                # The ancestor remembers nothing from one start to the next.
                for is_warm in (False,) if spawner == "ancestor" else (False, True):
                    note(await storm(spawner, users, LATENCY, is_warm))
        for users in arguments.slow:
            for spawner in arguments.spawners:
                note(await storm(spawner, users, 10.0, True))
    for users in arguments.restart:
        for spawner in arguments.spawners:
            note(await restart(spawner, users))


def median_of(records: list[dict[str, Any]], figure: Callable[[dict[str, Any]], float]) -> float | None:
    return statistics.median(map(figure, records)) if records else None


def longest_hold(record: dict[str, Any]) -> float:
    return max((hold["seconds"] for hold in record["holds"] if hold["is_spawner"]), default=0.0)


STORM_FIGURES: dict[str, Callable[[dict[str, Any]], float]] = {
    "time to ready, median, s": lambda one: statistics.median(one["ready"]),
    "time to ready, longest, s": lambda one: max(one["ready"]),
    "`/hub/health` p50, s": lambda one: one["health"]["p50"],
    "`/hub/health` p99, s": lambda one: one["health"]["p99"],
    "`/hub/health` longest, s": lambda one: one["health"]["max"],
    "`/hub/health` not answered": lambda one: one["health"]["unanswered"],
    "API calls per start, without listings": lambda one: (
        (sum(one["calls"].values()) - one["calls"].get(LISTING, 0)) / one["users"]
    ),
    "listings for all": lambda one: one["calls"].get(LISTING, 0),
    "processor time of the hub per start, ms": lambda one: one["processor"] / one["users"] * 1000,
    "longest hold of the event loop by the spawner, s": longest_hold,
}
RESTART_FIGURES: dict[str, Callable[[dict[str, Any]], float]] = {
    "until `/hub/health` answers, s": lambda one: one["seconds"],
    "API calls until then": lambda one: sum(one["calls"].values()),
    "API calls in the 30 s after that": lambda one: sum(one["calls_in_30_s"].values()) - sum(one["calls"].values()),
    "API calls in the minute after those": lambda one: sum(one["calls_per_minute"].values()),
    "`/hub/health` longest in that minute, s": lambda one: one["health"]["max"],
    "longest hold of the event loop by the spawner, s": longest_hold,
    "servers that still run": lambda one: one["still_running"],
}


def table(records: list[dict[str, Any]]) -> str:
    """The medians of all rounds. What ran once is compared with what ran often."""
    lines = ["| | floor | ours | ancestor | ours/floor | ours/ancestor |", "| --- " * 6 + "|"]

    def add(title: str, kind: list[dict[str, Any]], figures: dict[str, Callable[[dict[str, Any]], float]]) -> None:
        of = {name: [one for one in kind if one["spawner"] == name] for name in SPAWNERS}
        if not of["ours"]:
            return
        rounds = "/".join(str(len(of[name])) for name in SPAWNERS)
        loads = [one["load"] for one in kind]
        lines.append(f"| **{title}** (rounds {rounds}; load {min(loads):.0f} to {max(loads):.0f}) | | | | | |")
        for name, figure in figures.items():
            values = [median_of(of[spawner], figure) for spawner in SPAWNERS]
            ratios = [
                values[1] / other if values[1] is not None and other else None for other in (values[0], values[2])
            ]
            cells = [f"{value:.3g}" if value is not None else "" for value in (*values, *ratios)]
            lines.append(f"| {name} | {' | '.join(cells)} |")

    storms = [one for one in records if one["what"] == "storm"]
    for latency, users in sorted({(one["latency"], one["users"]) for one in storms}):
        same = [one for one in storms if (one["latency"], one["users"]) == (latency, users)]
        title = f"{users} at once" + (f", {latency:g} s per call" if latency != LATENCY else "")
        warm = [one for one in same if one["is_warm"] or one["spawner"] == "ancestor"]
        cold = [one for one in same if not one["is_warm"]]
        add(title, warm, STORM_FIGURES)
        if cold:
            names = list(STORM_FIGURES)
            add(f"{title}, the first of their hub", cold, {name: STORM_FIGURES[name] for name in (names[0], names[4])})
    restarts = [one for one in records if one["what"] == "restart"]
    for users in sorted({one["users"] for one in restarts}):
        same = [one for one in restarts if one["users"] == users]
        add(f"hub restarted with {users} machines", same, RESTART_FIGURES)
    return "\n".join(lines)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spawners", type=lambda text: text.split(","), default=["floor", "ours"], help="floor,ours")
    parser.add_argument("--users", type=numbers, default=[1, 10, 50], help="1,10,50: so many at once")
    parser.add_argument("--slow", type=numbers, default=[10], help="10: so many at once where a call takes 10 s")
    parser.add_argument("--restart", type=numbers, default=[500], help="500: a restart with so many; each once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--records", type=Path, default=BUILD / "cloud.jsonl", help="where figures add up; the table is of all"
    )
    arguments = parser.parse_args()
    (BUILD / "logs").mkdir(parents=True, exist_ok=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(measure(arguments))
    print(table([json.loads(line) for line in arguments.records.read_text().splitlines()]))


if __name__ == "__main__":
    main()
