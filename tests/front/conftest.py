# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from hub import Hub


@pytest.fixture(scope="module")
def configured(play: Callable[..., subprocess.CompletedProcess[str]], hub: Hub) -> Iterator[Callable[..., str]]:
    """Run the playbook with what is to stand before the hub, and what it said; in the end all is as it was."""

    def run(**variables: Any) -> str:
        done = play("--skip-tags", "node_install", **variables)
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    yield run
    run(hub_allow_new_database=True)
    hub.wait_until_up()
