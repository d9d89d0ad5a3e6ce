# SPDX-License-Identifier: BSD-3-Clause
"""From the request for a server to its first answer, in turn with the bare start of jupyterhub-singleuser.

Runs on the hub's host with its own python3. Both measure until ``/api`` answers over HTTP, looking every 10 ms, with
the same environment and account, and no limit on processors that could be felt.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import time
import urllib.error
import urllib.request

HUB = "http://127.0.0.1:8000"
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


def call(method: str, path: str, body: object = None) -> int:
    request = urllib.request.Request(
        HUB + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"token {os.environ['TOKEN']}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def wait_for_answer(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.headers.get("X-JupyterHub-Version") and answer.url == url:
                return
        time.sleep(0.01)
    raise SystemExit(f"{url} does not answer")


def spawned() -> float:
    began = time.monotonic()
    status = call("POST", f"/hub/api/users/{USER}/server", {"user_options": {"userserver_size": "large"}})
    if status not in (201, 202):
        raise SystemExit(f"The hub refused to start a server: HTTP {status}")
    wait_for_answer(f"{HUB}/user/{USER}/api")
    seconds = time.monotonic() - began
    while call("DELETE", f"/hub/api/users/{USER}/server") == 202:
        time.sleep(0.2)
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


def main() -> None:
    call("POST", f"/hub/api/users/{USER}")
    spawned(), bare()  # the account, and caches
    pairs = []
    for number in range(int(os.environ["ROUNDS"])):
        pairs.append((spawned(), bare()))
        print(f"round {number + 1}: spawned {pairs[-1][0]:.2f} s, bare {pairs[-1][1]:.2f} s", flush=True)
    print("\n| | n | median | min | max |\n| --- | --- | --- | --- | --- |")
    rows = {
        "request to first answer, s": [pair[0] for pair in pairs],
        "bare start, s": [pair[1] for pair in pairs],
        "ratio, pair by pair": [pair[0] / pair[1] for pair in pairs],
    }
    for name, values in rows.items():
        print(f"| {name} | {len(values)} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")


main()
