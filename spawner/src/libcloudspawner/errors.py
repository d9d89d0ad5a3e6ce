# SPDX-License-Identifier: BSD-3-Clause
"""Failures that users see."""

from __future__ import annotations

import html

from jupyterhub.spawner import SpawnException


class StartRefused(SpawnException):
    """A start that fails for a reason which the user can understand.

    The first line of ``message`` is a sentence; lines after it, such as a log, are shown as they are. ``reason`` is
    one word for metrics.
    """

    def __init__(self, message: str, *, reason: str, status_code: int = 400) -> None:
        sentence, *lines = message.split("\n")
        message_html = f"<p>{html.escape(sentence)}</p>"
        if lines:
            message_html += f"<pre>{html.escape(chr(10).join(lines))}</pre>"
        super().__init__(message, reason=reason, message_html=message_html, status_code=status_code)
        # The page that shows a start's progress knows these names alone.
        self.jupyterhub_message = message
        self.jupyterhub_html_message = message_html
