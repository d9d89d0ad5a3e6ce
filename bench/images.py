# SPDX-License-Identifier: GPL-3.0-or-later
"""From the request for a server to its readiness, on machines of a real cloud that start from different images.

usage: TOKEN=... python bench/images.py [--hub URL] [--size NAME] [--rounds N] IMAGE...
  IMAGE  as hub_userserver_images names it; all are measured in turn, one machine at a time
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from table import print_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from hub import Hub

BOOT_SECONDS = 1800
USER = "bench"


def measure(hub: Hub, image: str, size: str) -> float:
    asked = time.monotonic()
    answer = hub.request_start(USER, userserver_image=image, userserver_size=size)
    if not answer.ok:
        sys.exit(f"{image}: {answer.text}")
    hub.wait_for(USER, seconds=BOOT_SECONDS, ready=True)
    seconds = time.monotonic() - asked
    print(f"{image}: {seconds:.0f} s, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    hub.stop(USER)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hub", default="http://10.87.0.20:8000")
    parser.add_argument("--size", default="c2.large")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    given = parser.parse_args()
    hub = Hub(given.hub, os.environ["TOKEN"])
    seen: dict[str, list[float]] = {image: [] for image in given.images}
    for _ in range(given.rounds):
        for image, seconds in seen.items():
            seconds.append(measure(hub, image, given.size))
    print_table("from request to ready, s", seen)


if __name__ == "__main__":
    main()
