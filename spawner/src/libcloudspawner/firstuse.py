# SPDX-License-Identifier: BSD-3-Clause
"""The authenticator firstuse, whose release 1.1.1 has a login page that cannot show the errors of JupyterHub 5 and 6.

Goes as soon as there is a release that can.
"""

from __future__ import annotations

from typing import Any

import firstuseauthenticator
from firstuseauthenticator import firstuseauthenticator as release


class LoginHandler(release.CustomLoginHandler):
    """The login page, also when JupyterHub renders it to show an error."""

    def _render(self, login_error: str | None = None, username: str | None = None, **page_values: Any) -> Any:
        # Not the release's own, which takes no further values.
        render = super(release.CustomLoginHandler, self)._render
        return render(login_error=self.custom_login_error or login_error, username=username, **page_values)


class FirstUseAuthenticator(firstuseauthenticator.FirstUseAuthenticator):
    """The password that a user gives first is theirs from then on."""

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        replaced = {release.CustomLoginHandler: LoginHandler}
        return [(path, replaced.get(handler, handler)) for path, handler in super().get_handlers(app)]
