# SPDX-License-Identifier: BSD-3-Clause
"""From the request for a server to its first answer: ours, SystemdSpawner, the bare start of jupyterhub-singleuser.

Runs on the hub's host with its own python3; bench/run.sh has put the hub of SystemdSpawner beside ours. All are
measured in turn, until ``/api`` answers over HTTP, looking every 10 ms, with the same environment and account, and
no limit of processors that could be felt. Then many users at once, and what the hub answers meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

HUBS = {"ours": "http://127.0.0.1:8000", "SystemdSpawner": "http://127.0.0.1:8100"}
USER = "bench"
ACCOUNT = f"jupyter-{USER}"
ENVIRONMENT = "/opt/jupyterhub-singleuser/environments/default"
PORT = 19999
BARE = [f"{ENVIRONMENT}/bin/python", "-s", f"{ENVIRONMENT}/bin/jupyterhub-singleuser"]
BARE_VARIABLES = {
    "PATH": f"{ENVIRONMENT}/bin:/usr/bin:/bin",
    "HOME": f"/home/{ACCOUNT}",
    "JUPYTERHUB_API_TOKEN": "none",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_BASE_URL": "/",
    "JUPYTERHUB_CLIENT_ID": f"jupyterhub-user-{USER}",
    "JUPYTERHUB_DEFAULT_URL": "/lab",
    "JUPYTERHUB_HOST": "",
    "JUPYTERHUB_OAUTH_CALLBACK_URL": f"/user/{USER}/oauth_callback",
    "JUPYTERHUB_SERVICE_PREFIX": f"/user/{USER}/",
    "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{PORT}/user/{USER}/",
    "JUPYTERHUB_USER": USER,
}


def call(hub: str, method: str, path: str, body: object = None) -> int:
    request = urllib.request.Request(
        HUBS[hub] + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"token {os.environ['TOKEN']}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def wait_for_answer(url: str, every: float = 0.01) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.headers.get("X-JupyterHub-Version") and answer.url == url:
                return
        time.sleep(every)
    raise SystemExit(f"{url} does not answer")


def wait_for_hub(hub: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if call(hub, "GET", "/hub/health") == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"The hub of {hub} does not answer")


def start(hub: str, user: str, every: float = 0.01) -> float:
    began = time.monotonic()
    options = {"user_options": {"userserver_size": "large"}} if hub == "ours" else None
    status = call(hub, "POST", f"/hub/api/users/{user}/server", options)
    if status not in (201, 202):
        raise SystemExit(f"The hub refused to start a server: HTTP {status}")
    wait_for_answer(f"{HUBS[hub]}/user/{user}/api", every)
    return time.monotonic() - began


def stop(hub: str, user: str) -> None:
    while call(hub, "DELETE", f"/hub/api/users/{user}/server") == 202:
        time.sleep(0.2)


def spawned(hub: str) -> float:
    seconds = start(hub, USER)
    stop(hub, USER)
    return seconds


def bare() -> float:
    began = time.monotonic()
    process = subprocess.Popen(
        BARE, user=ACCOUNT, group=ACCOUNT, cwd=f"/home/{ACCOUNT}", env=BARE_VARIABLES, stderr=subprocess.DEVNULL
    )
    wait_for_answer(f"http://127.0.0.1:{PORT}/user/{USER}/api")
    seconds = time.monotonic() - began
    process.send_signal(signal.SIGTERM)
    process.wait()
    return seconds


def crowd(hub: str, users: list[str]) -> tuple[list[float], list[float]]:
    """All start at once: how long each took, and how long the hub took to answer each 50 ms."""
    is_over = threading.Event()
    answers: list[float] = []

    def probe() -> None:
        while not is_over.wait(0.05):
            began = time.monotonic()
            call(hub, "GET", "/hub/health")
            answers.append(time.monotonic() - began)

    prober = threading.Thread(target=probe)
    prober.start()
    with ThreadPoolExecutor(len(users)) as threads:
        # Ten who look a hundred times a second would take the processors that servers start on.
        seconds = list(threads.map(lambda user: start(hub, user, every=0.5), users))
        is_over.set()
        prober.join()
        list(threads.map(lambda user: stop(hub, user), users))
    return seconds, answers


def row(name: str, values: list[float]) -> None:
    print(f"| {name} | {len(values)} | {statistics.median(values):.3g} | {min(values):.3g} | {max(values):.3g} |")


def main() -> None:
    users = [f"bench{number}" for number in range(10)]
    for hub in HUBS:
        wait_for_hub(hub)
        for user in (USER, *users):
            call(hub, "POST", f"/hub/api/users/{user}")
        spawned(hub)  # the account, and caches
        crowd(hub, users)
    bare()
    count = int(os.environ["ROUNDS"])
    rounds = []
    for number in range(count):
        rounds.append({**{hub: spawned(hub) for hub in HUBS}, "bare": bare()})
        print(f"round {number + 1}: {', '.join(f'{one} {seconds:.2f} s' for one, seconds in rounds[-1].items())}")
    crowds = [{hub: crowd(hub, users) for hub in HUBS} for _ in range(count)]
    print("\n| one user | n | median | min | max |\n| --- | --- | --- | --- | --- |")
    for one in (*HUBS, "bare"):
        row(f"{one}, s", [each[one] for each in rounds])
    for one in HUBS:
        row(f"{one} / bare", [each[one] / each["bare"] for each in rounds])
    row("ours / SystemdSpawner", [each["ours"] / each["SystemdSpawner"] for each in rounds])
    print("\n| ten users at once | n | median | min | max |\n| --- | --- | --- | --- | --- |")
    for hub in HUBS:
        row(f"{hub}: time to ready, s", [seconds for each in crowds for seconds in each[hub][0]])
        row(f"{hub}: `/hub/health` meanwhile, s", [seconds for each in crowds for seconds in each[hub][1]])
    medians = [{hub: statistics.median(each[hub][0]) for hub in HUBS} for each in crowds]
    row("time to ready, ours / SystemdSpawner", [each["ours"] / each["SystemdSpawner"] for each in medians])


main()
