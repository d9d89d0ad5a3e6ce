# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakecloud import FakeCloud
from hub_process import Hub


@pytest.fixture
def cloud() -> Iterator[FakeCloud]:
    with FakeCloud() as cloud:
        yield cloud


@pytest.fixture
def hub(tmp_path: Path, cloud: FakeCloud) -> Iterator[Hub]:
    hub = Hub(tmp_path, cloud)
    yield hub
    hub.kill()
    print(hub.log)
