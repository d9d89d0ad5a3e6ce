# SPDX-License-Identifier: BSD-3-Clause
"""Repositories that environments are made from, and where those lie on a node."""

from __future__ import annotations

import subprocess

ENVIRONMENTS = "/opt/jupyterhub-singleuser/environments"


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def commit(folder, tag):
    git = ("git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", tag), ("tag", tag)):
        subprocess.run([*git, *words], check=True)
    return subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
