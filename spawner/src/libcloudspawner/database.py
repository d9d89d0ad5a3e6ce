# SPDX-License-Identifier: BSD-3-Clause
"""A hub whose database goes away: it says so, and goes on when the database is back.

JupyterHub itself then takes everybody for a stranger and answers 403, from which servers and services conclude that
their tokens were revoked. Called from the hub's configuration, since JupyterHub has no hook for it.
ref: jupyterhub.handlers.base.BaseHandler.prepare
"""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers.base import BaseHandler
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError
from tornado.web import HTTPError

_AWAY = (InterfaceError, OperationalError, PendingRollbackError)
_SENTENCE = "The database of the hub does not answer. Servers that run go on; try again in a minute."

_find_user = BaseHandler.get_current_user
_send_error = BaseHandler.send_error


async def _find_user_or_say(handler: Any) -> Any:
    try:
        return await _find_user(handler)
    except SQLAlchemyError:
        # The connection may be one from before the database was restarted.
        handler.db.rollback()
        del handler._jupyterhub_user
    try:
        return await _find_user(handler)
    except _AWAY as error:
        handler.log.error("The database does not answer: %s", error)
        # For the page of the error: nobody, who may do nothing.
        handler._resolve_roles_and_scopes()
        handler.send_error(500, exc_info=(type(error), error, None))


def _send_error_or_say(handler: Any, status_code: int = 500, **named: Any) -> None:
    kind = (named.get("exc_info") or [None])[0]
    if kind is not None and issubclass(kind, _AWAY):
        handler.db.rollback()
        status_code = 503
        named["exc_info"] = (HTTPError, HTTPError(503, _SENTENCE), None)
    _send_error(handler, status_code, **named)


def say_when_it_is_away() -> None:
    """Have the hub of this process answer 503 and a sentence while its database is away."""
    BaseHandler.get_current_user = _find_user_or_say
    BaseHandler.send_error = _send_error_or_say
