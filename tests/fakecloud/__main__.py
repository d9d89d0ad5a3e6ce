# SPDX-License-Identifier: BSD-3-Clause
"""A cloud in a process of its own: says its auth URL once it listens, and ends with SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import resource
import signal
import threading
from dataclasses import fields
from typing import Any

from .cloud import FakeCloud
from .settings import Settings

TYPES = {"str": str, "int": int, "float": float, "int | None": int}


def parse(arguments: list[str] | None = None) -> dict[str, Any]:
    """Every setting is an option; what is not given keeps its default."""
    parser = argparse.ArgumentParser(prog="fakecloud", description="A fake OpenStack on the loopback.")
    for setting in fields(Settings):
        option = "--" + setting.name.replace("_", "-")
        if setting.type == "bool":
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        else:
            parser.add_argument(option, type=TYPES[str(setting.type)], default=argparse.SUPPRESS)
    return vars(parser.parse_args(arguments))


def main() -> None:
    settings = parse()
    # A guest is a socket, and so is each of its connections.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with FakeCloud(**settings) as cloud:
        print(cloud.auth_url, flush=True)
        stopping.wait()


if __name__ == "__main__":
    main()
