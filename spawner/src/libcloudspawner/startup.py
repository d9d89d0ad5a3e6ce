# SPDX-License-Identifier: BSD-3-Clause
"""What is done when a hub starts, for which JupyterHub has no hook."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from jupyterhub.app import JupyterHub
from traitlets import TraitError


def in_hub(begin: Callable[[Any], None]) -> None:
    """Call ``begin(app)`` as soon as the hub of this process has read its configuration; where there is none, never.

    A TraitError or ValueError of it ends the hub, with its sentence as the message.
    """
    # The hub reads its configuration without a pause, so what is called soon is called after that.
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop().call_soon(_run, begin)


def _run(begin: Callable[[Any], None]) -> None:
    app: Any = getattr(JupyterHub, "_instance", None)
    if not isinstance(app, JupyterHub):
        return
    try:
        begin(app)
    except (TraitError, ValueError) as error:
        app.log.critical("The hub cannot start with this configuration: %s", error)
        app.exit(1)
