# SPDX-License-Identifier: BSD-3-Clause
"""A JupyterHub Spawner that gives every user an instance of their own."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("jupyter-libcloudspawner")
