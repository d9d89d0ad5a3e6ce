# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import hashlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from hub import Hub, hub_address
from playbook import ROOT, run_playbook
from two_hubs import HUBS, NAME

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from testinfra.host import Host


@pytest.fixture(scope="module", autouse=True)
def _name(host: Host) -> Iterator[None]:
    """The one name leads to the host, and its certificate is trusted."""
    address = hub_address(host).split("//")[1].split(":")[0]
    look_up = socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda host, *rest: look_up(address if host == NAME else host, *rest))
        patch.setenv("REQUESTS_CA_BUNDLE", str(ROOT / "build/hubs/front.crt"))
        yield


@pytest.fixture(scope="module")
def hubs() -> dict[str, Hub]:
    tokens = {name: hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() for name in HUBS}
    return {name: Hub(f"https://{NAME}/{name}", token) for name, token in tokens.items()}


@pytest.fixture(scope="module")
def play() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a playbook by its name on the hub of a name, as converge.yml does."""

    def run(name: str, playbook: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        common = (
            "--inventory",
            f"{ROOT}/molecule/hubs/inventory",
            "--extra-vars",
            f"@{ROOT}/molecule/hubs/vars/tests.yml",
        )
        inventory = str(ROOT / "inventories/hubs" / name)
        # What stands last wins.
        return run_playbook(inventory, playbook, *common, "--extra-vars", json.dumps(variables), *arguments)

    return run
