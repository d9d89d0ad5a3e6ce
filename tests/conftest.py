# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of a whole hub share; `host` is the host that it runs on, from pytest-testinfra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub import Hub, hub_address

if TYPE_CHECKING:
    from testinfra.host import Host

# As molecule/default/molecule.yml sets them.
ADMIN_TOKEN = "0123456789abcdef0123456789abcdef"
PASSWORD = "molecule"


@pytest.fixture(scope="module")
def hub_url(host: Host) -> str:
    return hub_address(host)


@pytest.fixture(scope="module")
def hub(hub_url: str) -> Hub:
    return Hub(hub_url, ADMIN_TOKEN)
