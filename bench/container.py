# SPDX-License-Identifier: GPL-3.0-or-later
"""From the start of a container to its login page, against a bare JupyterHub in the same image.

usage: python bench/container.py IMAGE
ROUNDS says how often; 10 times if it is not set.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
import uuid

from table import print_table

PORT = 18080
BARE = (
    "cd /tmp && PATH=/opt/jupyterhub/hub/bin:/opt/jupyterhub/proxy/node_modules/.bin:$PATH exec jupyterhub "
    "--JupyterHub.spawner_class=simple --JupyterHub.authenticator_class=dummy --Authenticator.allow_all=True"
)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def seconds(image: str, *command: str) -> float:
    """Until the login page of a new container answers."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    options = ("--detach", "--rm", "--name", name, "--read-only", "--tmpfs", "/tmp:mode=1777", "--user", "1001:0")
    volume = ("--tmpfs", "/var/lib/jupyterhub:mode=0777", "--publish", f"127.0.0.1:{PORT}:8000")
    began = time.monotonic()
    docker("run", *options, *volume, image, *command)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/hub/login", timeout=5).read()
            except OSError:
                if time.monotonic() - began > 60:
                    raise
                time.sleep(0.02)
            else:
                return time.monotonic() - began
    finally:
        docker("rm", "--force", name)


def main() -> None:
    image = sys.argv[1]
    pairs = [(seconds(image), seconds(image, "sh", "-c", BARE)) for _ in range(int(os.environ.get("ROUNDS", "10")))]
    ours, bare = zip(*pairs, strict=True)
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6
    print(f"The image has {size:.0f} MB.")
    rows = {
        "ours, s": ours,
        "a bare JupyterHub in the same image, s": bare,
        "ratio, pair by pair": [one / other for one, other in pairs],
    }
    print_table("from the start of a container to its login page", rows)


if __name__ == "__main__":
    main()
