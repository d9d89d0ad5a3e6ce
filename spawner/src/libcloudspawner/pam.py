# SPDX-License-Identifier: BSD-3-Clause
"""Users who are accounts of the hub's host, with the passwords that they have there.

PAM verifies them for root alone, and the hub is not root: it asks a checker, :mod:`libcloudspawner.pamcheck`.
"""

from __future__ import annotations

import asyncio
import grp
import json
import os
import pwd
from typing import Any

import jupyterhub.auth
from jupyterhub.traitlets import Unicode
from tornado.web import HTTPError

_SECONDS = 30


class PAMAuthenticator(jupyterhub.auth.PAMAuthenticator):
    """Users are accounts of the hub's host."""

    check_socket = Unicode(
        "/run/jupyterhub-pam.sock",
        config=True,
        help="""Socket of the checker that verifies passwords for the hub.

        A path. The default is where the role hub has systemd listen.
        """,
    )

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        # It is the account of this name that signs in, however the name was typed.
        user = self.normalize_username(data["username"])
        try:
            answer = await asyncio.wait_for(self._ask(user, data["password"]), _SECONDS)
        except (OSError, TimeoutError, asyncio.TimeoutError) as error:
            self.log.error("The checker of passwords at %s does not answer: %s", self.check_socket, error)
            raise HTTPError(503, "Passwords cannot be verified at the moment. Tell the administrator.") from None
        if answer == "later":
            raise HTTPError(429, "Too many wrong passwords. Wait a minute, and try again.")
        if answer != "yes":
            return None
        return {"name": user, "groups": _groups(user)} if self.manage_groups else {"name": user}

    async def _ask(self, user: str, password: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self.check_socket)
        try:
            writer.write(json.dumps({"user": user, "password": password}).encode() + b"\n")
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()


def _groups(user: str) -> list[str]:
    """The groups of an account, by their names."""
    numbers = os.getgrouplist(user, pwd.getpwnam(user).pw_gid)
    return sorted(group.gr_name for group in grp.getgrall() if group.gr_gid in numbers)
