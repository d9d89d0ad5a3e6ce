# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change in any release.

"""A small client of JupyterHub's REST API: users' servers, and what the hub says about them."""

from __future__ import annotations

import json
import os
import re
import stat
import typing as t
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit

from ansible.module_utils.urls import open_url

CONNECTION_SPEC: dict[str, dict[str, t.Any]] = {
    "hub_name": {"type": "str", "default": ""},
    "api_url": {"type": "str"},
    "token_file": {"type": "path"},
    "token": {"type": "str", "no_log": True},
    "timeout": {"type": "int", "default": 30},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
}

ETC = Path("/etc")
USUAL_API_URL = "http://127.0.0.1:8081/hub/api"
OPTION_KEYS = {"size": "userserver_size", "environment": "userserver_image"}

_PAGE_TYPE = "application/jupyterhub-pagination+json"
_SERVER_NAME = re.compile(r"[a-z](?:-?[a-z0-9])*")
_FAILURE_PREFIX = re.compile(r"(?:Spawn failed: )?(?:\d{3} SpawnException\(reason=[^)]*\): )?")

Server = dict[str, t.Any]


class HubError(Exception):
    """What went wrong, what was expected and what to do, in words for the operator.

    ``reason`` is what the hub itself said, if it said anything.
    """

    def __init__(self, message: str, status: int = 0, reason: str = "", retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class HubTimeoutError(HubError):
    """The hub did not answer in time; it may have done what it was asked to do."""


def check_server_name(name: str) -> None:
    """Refuse a server name that the hub would refuse; the empty name is the default server's."""
    if name and (len(name) > 30 or not _SERVER_NAME.fullmatch(name)):
        raise HubError(
            f"The server name {name!r} is not valid. Expected 1 to 30 characters: small letters a-z, digits and single "
            "hyphens, first a letter, last a letter or digit. Choose such a name, or leave it empty for the default "
            "server."
        )


def check_token(token: str, source: str) -> str:
    if not token.isascii() or len(token.split()) != 1:
        raise HubError(
            f"There is no token in {source}. Expected one word, the hub's API token, and nothing else. Run the hub "
            "role again to write one."
        )
    return token


def check_token_file(path: str, owner: int, mode: int, own_uid: int) -> None:
    """Refuse a file that somebody else than root or this account may have read or written."""
    if owner not in (0, own_uid):
        raise HubError(f"token_file {path} belongs to uid {owner}. Expected root's. Run: chown root: {path}")
    if mode & 0o077:
        raise HubError(
            f"token_file {path} is open to group or others (mode {mode:04o}). Expected mode 0600. Run: chmod 0600 "
            f"{path} - and replace the token if somebody may have read it."
        )


def read_token_file(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            check_token_file(path, status.st_uid, stat.S_IMODE(status.st_mode), os.geteuid())
            return check_token(file.read().strip(), f"token_file {path}")
    except FileNotFoundError:
        raise HubError(
            f"token_file {path} does not exist. The hub role writes it: run this on the hub's host, or set token_file."
        ) from None
    except PermissionError:
        raise HubError(
            f"token_file {path} cannot be read by this account. Run the task as root: become: true."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise HubError(f"token_file {path} cannot be read: {error}.") from error


def parse_events(text: str) -> list[dict[str, t.Any]]:
    """The events of a ``text/event-stream`` whose data is JSON, as the hub's progress page sends it."""
    return [json.loads(line[len("data:") :]) for line in text.splitlines() if line.startswith("data:")]


def failure_message(message: str) -> str:
    """What the spawner said, without what JupyterHub puts before it."""
    return _FAILURE_PREFIX.sub("", message, count=1).strip()


def server_state(server: Server | None, name: str) -> str:
    if server is None:
        return "absent" if name else "stopped"
    if server.get("pending"):
        return "pending"
    return "started" if server.get("ready") else "stopped"


def describe(user: str, name: str, server: Server | None) -> dict[str, t.Any]:
    """One server as both modules return it."""
    model = server or {}
    options = model.get("user_options") or {}
    return {
        "user": user,
        "name": name,
        "display_name": model.get("display_name") or "",
        "state": server_state(server, name),
        "ready": bool(model.get("ready")),
        "pending": model.get("pending"),
        "url": model.get("url"),
        "full_url": model.get("full_url"),
        "started": model.get("started"),
        "last_activity": model.get("last_activity"),
        "size": options.get(OPTION_KEYS["size"]),
        "environment": options.get(OPTION_KEYS["environment"]),
        "user_options": options,
        "instance": (model.get("state") or {}).get("instance_name"),
    }


class HubAPI:
    def __init__(
        self,
        api_url: str,
        token: str,
        token_source: str = "the token option",
        timeout: int = 30,
        validate_certs: bool = True,
        ca_path: str | None = None,
    ) -> None:
        parts = urlsplit(api_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HubError(
                f"api_url {api_url!r} is not a URL of the hub. Expected one such as http://127.0.0.1:8081/hub/api."
            )
        self.api_url = api_url.rstrip("/")
        self.token = token
        self.token_source = token_source
        self.timeout = timeout
        self.validate_certs = validate_certs
        self.ca_path = ca_path

    def servers(self, user: str) -> dict[str, Server] | None:
        """The user's servers by name, stopped ones too; None when the hub knows no such user."""
        try:
            model = self._json("GET", f"{_user_path(user)}?include_stopped_servers=1")
        except HubError as error:
            if error.status == 404:
                return None
            raise
        return self._servers_of(model)

    def all_servers(self, only_active: bool = False) -> t.Iterator[tuple[str, dict[str, Server]]]:
        """Every user's name with their servers by name; the hub hands the users out in pages."""
        query = "state=active" if only_active else "include_stopped_servers=1"
        seen: set[str] = set()
        offset: int | None = 0
        while offset is not None:
            page = self._json("GET", f"/users?{query}&offset={offset}", accept=_PAGE_TYPE)
            for user in page["items"]:
                # A user deleted between two pages moves the others by one.
                if user["name"] not in seen:
                    seen.add(user["name"])
                    yield user["name"], self._servers_of(user)
            following = page["_pagination"]["next"]
            offset = following["offset"] if following else None

    def _servers_of(self, user: dict[str, t.Any]) -> dict[str, Server]:
        if "servers" not in user:
            raise HubError(
                f"The token from {self.token_source} may not read the servers of {user['name']!r}. Grant its service "
                "the scope servers."
            )
        return user["servers"]

    def start(self, user: str, name: str, body: dict[str, t.Any]) -> None:
        self._request("POST", _server_path(user, name), body)

    def stop(self, user: str, name: str, remove: bool = False) -> None:
        self._request("DELETE", _server_path(user, name), {"remove": True} if remove else None)

    def start_failure(self, user: str, name: str) -> str:
        """Why the last start failed, in the words of the spawner; empty when the hub does not say."""
        try:
            events = parse_events(
                self._request("GET", f"{_server_path(user, name)}/progress", accept="text/event-stream")
            )
        except (HubError, ValueError):
            return ""
        if not events or not events[-1].get("failed"):
            return ""
        return failure_message(events[-1].get("message") or "")

    def _json(self, method: str, path: str, accept: str = "application/json") -> dict[str, t.Any]:
        answer = _json_object(self._request(method, path, accept=accept))
        if answer is None:
            raise self._not_the_api(f"{method} {self.api_url}{path}", "something other than JSON")
        return answer

    def _request(
        self, method: str, path: str, body: dict[str, t.Any] | None = None, accept: str = "application/json"
    ) -> str:
        url = self.api_url + path
        try:
            # A .netrc would replace the token, a proxy would see it, and a redirect would carry it elsewhere.
            with open_url(
                url,
                method=method,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Authorization": f"token {self.token}", "Accept": accept, "Content-Type": "application/json"},
                timeout=self.timeout,
                validate_certs=self.validate_certs,
                ca_path=self.ca_path,
                http_agent="libcloudspawner.jupyterhub",
                use_proxy=False,
                use_netrc=False,
                follow_redirects="none",
            ) as response:
                return response.read().decode(errors="replace")
        except HTTPError as error:
            raise self._refusal(f"{method} {url}", error) from error
        except (URLError, OSError, HTTPException) as error:
            cause = getattr(error, "reason", None) or error
            if isinstance(cause, TimeoutError):
                raise HubTimeoutError(
                    f"The hub gave no answer to {method} {url} within {self.timeout} seconds. It may be overloaded: "
                    "look at journalctl -u jupyterhub, or raise timeout."
                ) from error
            raise HubError(
                f"The hub cannot be reached at {url}: {cause}. Check that it runs (systemctl status jupyterhub) and "
                "that api_url is right."
            ) from error

    def _refusal(self, request: str, error: HTTPError) -> HubError:
        answer = _json_object(error.read().decode(errors="replace"))
        if error.code >= 500 and answer is None:
            return HubError(
                f"{request} was answered with status {error.code}, and not by the hub itself. Check that the hub runs "
                "(systemctl status jupyterhub).",
                error.code,
            )
        if error.code < 400 or answer is None or "message" not in answer:
            return self._not_the_api(request, f"status {error.code}")
        reason = str(answer["message"] or "")
        text = f"{request}: the hub answered {error.code}: {reason or 'without a reason'}"
        if error.code in (401, 403):
            # ref: jupyterhub/handlers/base.py, "Missing or invalid credentials."
            if "credentials" in reason:
                text = (
                    f"The hub does not accept the token from {self.token_source}. Expected the token of a service of "
                    "this hub. Run the hub role again, which writes the token and tells the hub."
                )
            else:
                text = (
                    f"The token from {self.token_source} may not do this: {reason}. Grant its service the scopes "
                    "servers and list:users."
                )
        after = (error.headers.get("Retry-After") or "") if error.headers else ""
        return HubError(text, error.code, reason, int(after) if after.isdigit() else 0)

    def _not_the_api(self, request: str, answer: str) -> HubError:
        return HubError(
            f"{request} was answered with {answer}, which a hub's REST API does not do. Expected api_url to be the "
            "hub's, such as http://127.0.0.1:8081/hub/api (with the hub's base URL before hub/api); it is "
            f"{self.api_url}."
        )


def hub_folder(hub_name: str) -> Path:
    """Where the role hub keeps the settings of the hub of this name."""
    return ETC / "-".join(filter(None, ("jupyterhub", hub_name)))


def noted_api_url(hub_name: str) -> str:
    """Where the hub of this name has its API, as the role hub noted it."""
    path = hub_folder(hub_name) / "hub.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["api_url"]
    except FileNotFoundError:
        if hub_name:
            raise HubError(
                f"There is no hub named {hub_name} here: {path} does not exist. Correct hub_name, run this on the "
                "hub's host, or set api_url."
            ) from None
        return USUAL_API_URL
    except (OSError, ValueError, KeyError) as error:
        raise HubError(f"{path} cannot be read: {error}. Run the hub role again, which writes it.") from error


def connect(params: dict[str, t.Any], hide: t.Callable[[str], t.Any]) -> HubAPI:
    """A client after the options of the module; ``hide`` learns the token that must not appear in any output."""
    api_url = params["api_url"] or noted_api_url(params["hub_name"])
    if params["token"]:
        source = "the token option"
        token = check_token(params["token"], source)
    else:
        path = params["token_file"] or str(hub_folder(params["hub_name"]) / "secrets/singleuser.token")
        source = f"token_file {path}"
        token = read_token_file(path)
        hide(token)
    return HubAPI(api_url, token, source, params["timeout"], params["validate_certs"], params["ca_path"])


def _user_path(user: str) -> str:
    return f"/users/{quote(user, safe='')}"


def _server_path(user: str, name: str) -> str:
    return f"{_user_path(user)}/servers/{quote(name, safe='')}" if name else f"{_user_path(user)}/server"


def _json_object(text: str) -> dict[str, t.Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
