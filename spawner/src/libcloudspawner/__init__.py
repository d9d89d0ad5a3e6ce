# SPDX-License-Identifier: BSD-3-Clause
"""A JupyterHub Spawner that gives every user an instance of their own."""

from __future__ import annotations

__version__ = "0.1.0"
