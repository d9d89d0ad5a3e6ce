# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from hub import Hub


@pytest.fixture(scope="module")
def configured(play: Callable[..., subprocess.CompletedProcess[str]], hub: Hub) -> Iterator[Callable[..., None]]:
    """Run the playbook with what is to stand before the hub; in the end it is as the scenario has it."""

    def run(**variables: Any) -> None:
        done = play("--skip-tags", "node_install", **variables)
        assert done.returncode == 0, done.stdout[-6000:]

    yield run
    run(hub_allow_new_database=True)
    hub.wait_until_up()
