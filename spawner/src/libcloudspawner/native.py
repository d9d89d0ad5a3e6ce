# SPDX-License-Identifier: BSD-3-Clause
"""The native authenticator, whose release 1.3.0 calls what JupyterHub 6 no longer has.

Goes as soon as there is a release that knows JupyterHub 6.
ref: https://github.com/jupyterhub/jupyterhub/blob/main/docs/source/howto/upgrading-v6.md (statsd is gone)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import nativeauthenticator
from nativeauthenticator import handlers


class _NoStatistics:
    """Stands where JupyterHub's statsd client was."""

    def timer(self, name: str) -> _NoStatistics:
        return self

    def start(self) -> _NoStatistics:
        return self

    def stop(self, send: bool) -> None:
        pass


class LoginHandler(handlers.LoginHandler):
    """The login page, also when JupyterHub renders it to show an error."""

    statsd = _NoStatistics()
    _page_values: Mapping[str, Any] = MappingProxyType({})

    def _render(self, login_error: str | None = None, username: str | None = None, **page_values: Any) -> Any:
        self._page_values = page_values
        return super()._render(login_error=login_error, username=username)

    def render_template(self, name: str, **values: Any) -> Any:
        return super().render_template(name, **{**self._page_values, **values})


class NativeAuthenticator(nativeauthenticator.NativeAuthenticator):
    """Users sign up with a password; an administrator lets them in."""

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        replaced = {handlers.LoginHandler: LoginHandler}
        return [(path, replaced.get(handler, handler)) for path, handler in super().get_handlers(app)]
