# SPDX-License-Identifier: GPL-3.0-or-later
"""Let one run at a time work on a folder."""

from __future__ import annotations

import contextlib
import fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Hold the lock ``file``, which is made with its folder; raises BlockingIOError where another run holds it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
