# SPDX-License-Identifier: GPL-3.0-or-later
"""An extension of Jupyter Server: gives its pages what the spawner said of when the server is stopped for its age."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _load_jupyter_server_extension(app: Any) -> None:
    told = os.environ.get("LIBCLOUDSPAWNER_STOP")
    if told:
        app.web_app.settings.setdefault("page_config_data", {})["libcloudspawnerStop"] = told
