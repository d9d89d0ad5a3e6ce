# SPDX-License-Identifier: BSD-3-Clause
"""What JupyterHub talks to."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from jupyterhub.spawner import Spawner
from sqlalchemy.orm import object_session
from traitlets import Enum, Integer, List, TraitError, Unicode, default, validate

from . import naming, options
from .errors import StartRefused
from .fleet import Fleet, InstanceFailed
from .providers.base import Instance, LaunchRequest, Limits, ProviderError, ProviderUnreachable, State
from .providers.systemd import SystemdProvider

STATE_VERSION = 1

# What is left of start_timeout for reading the log and cleaning up once a start has failed.
_CLEANUP_SECONDS = 5
# Longer than a unit may take to stop; after that a user must be able to start anew.
_STOP_SECONDS = 60


@cache
def _systemd_fleet(hub_id: str, control_socket: str) -> Fleet:
    return Fleet(SystemdProvider(hub_id, control_socket))


class LibcloudSpawner(Spawner):
    """Gives every user an instance of their own."""

    provider = Enum(
        ["systemd"],
        default_value="systemd",
        help="""
        What carries the instances.

        `systemd`: a service of this host, started through the host's control helper.
        """,
    ).tag(config=True)

    hub_id = Unicode(
        "jupyterhub",
        help="""
        What marks an instance as this hub's.

        Two hubs that share a host or a cloud project need different ones. Lower case letters, digits and
        dashes. Instances of another hub are never shown or touched; so changing it leaves running ones alone.
        """,
    ).tag(config=True)

    control_socket = Unicode(
        "/run/jupyterhub-singleuserctl.sock",
        help="""
        Path of the socket of the host's control helper, for the provider `systemd`.
        """,
    ).tag(config=True)

    username_template = Unicode(
        "jupyter-{USERNAME}",
        help="""
        Name of the Unix account that a user's servers run under, for the provider `systemd`.

        `{USERNAME}` becomes the user's name, made valid and kept distinct; `{USERID}` the hub's number of the
        user. The host refuses new accounts that do not begin with the prefix it was given.
        """,
    ).tag(config=True)

    userserver_sizes: List[Any] = List(
        help="""
        Sizes that a user chooses from.

        A list of pairs `("Display name", "name")`, or of dictionaries with the keys `name`, `display_name`,
        `description`, `default` (one of them may be true; else the first is preselected), `mem_limit`
        (bytes, or text such as "2G"), `cpu_limit` (processors, such as 0.5) and `tasks_limit`. Limits that a
        size leaves out are those of the settings `mem_limit`, `cpu_limit` and `tasks_limit`. An empty list
        leaves no choice.
        """,
    ).tag(config=True)

    userserver_images: List[Any] = List(
        help="""
        Environments or images that a user chooses from.

        A list of pairs `("Display name", "name")`, or of dictionaries with the keys `name`, `display_name`,
        `description` and `default`. With the provider `systemd` the name is that of an environment of the
        node; an empty list means the environment `default`.
        """,
    ).tag(config=True)

    tasks_limit = Integer(
        2048,
        min=0,
        help="""
        Most processes and threads that an instance may have; 0 is no limit. A size may say otherwise.
        """,
    ).tag(config=True)

    instance_name = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._is_starting = False
        self._progress = _Progress()

    @validate("userserver_sizes")
    def _check_sizes(self, proposal: Any) -> Any:
        options.parse_sizes(proposal.value)
        return proposal.value

    @validate("userserver_images")
    def _check_images(self, proposal: Any) -> Any:
        options.parse_images(proposal.value)
        return proposal.value

    @validate("username_template")
    def _check_username_template(self, proposal: Any) -> Any:
        naming.check_account_template(proposal.value)
        return proposal.value

    @validate("hub_id")
    def _check_hub_id(self, proposal: Any) -> str:
        if naming.slug(proposal.value) != proposal.value:
            raise TraitError(f"hub_id must be lower case letters, digits and single dashes, but is {proposal.value!r}.")
        return str(proposal.value)

    @default("options_form")
    def _default_options_form(self) -> Any:
        return self._render_options_form

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return options.from_form

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        return lambda spawner, user_options: spawner._choose(user_options)

    @property
    def _fleet(self) -> Fleet:
        return _systemd_fleet(self.hub_id, self.control_socket)

    def _choose(self, user_options: Any) -> options.Choice:
        return options.choose(
            user_options,
            options.parse_sizes(self.userserver_sizes),
            options.parse_images(self.userserver_images),
        )

    def _render_options_form(self, spawner: Spawner) -> str:
        try:
            current = self._choose(self.orm_spawner.user_options or {})
        except StartRefused:
            # What was chosen last time is no longer offered; kept, it would fail every start that shows no form.
            self.orm_spawner.user_options = {}
            current = self._choose({})
        return options.render_form(
            options.parse_sizes(self.userserver_sizes), options.parse_images(self.userserver_images), current
        )

    def _limits(self, choice: options.Choice) -> Limits:
        size = choice.size or options.Size(name="", display_name="")
        return Limits(
            memory_bytes=size.mem_limit or self.mem_limit or None,
            cpus=size.cpu_limit or self.cpu_limit or None,
            tasks=size.tasks_limit or self.tasks_limit or None,
        )

    def get_env(self) -> dict[str, str]:
        """JupyterHub's variables, with the limits of the chosen size in place of the general ones."""
        env: dict[str, str] = super().get_env()
        limits = self._limits(self._choose(self.user_options))
        for name, value in (("MEM_LIMIT", limits.memory_bytes), ("CPU_LIMIT", limits.cpus)):
            if value and name not in self.environment:
                env[name] = str(value)
        return {name: str(value) for name, value in env.items()}

    def _request(self, choice: options.Choice) -> LaunchRequest:
        return LaunchRequest(
            name=naming.instance_name(self.user.name, self.name),
            request_id=uuid.uuid4().hex,
            user=self.user.name,
            server=self.name,
            account=naming.account_name(self.username_template, self.user.name, self.user.id),
            image=choice.image.name if choice.image else "default",
            size=choice.size.name if choice.size else "",
            limits=self._limits(choice),
            command=(*(self.cmd or ["jupyterhub-singleuser"]), *self.get_args()),
            environment=self.get_env(),
            bind_address=self.ip or "0.0.0.0",
        )

    async def start(self) -> str:
        """Launch an instance, wait until its server listens, and return its URL.

        Whatever goes wrong, nothing of it stays behind.
        """
        # Checked here once more: an administrator may have replaced apply_user_options.
        request = self._request(self._choose(self.user_options))
        self._is_starting = True
        if self._progress.is_over:
            self._progress = _Progress()
        self.instance_name = request.name
        try:
            return await self._start(request)
        except BaseException:
            await self._clean_up(request.request_id)
            raise
        finally:
            self._is_starting = False
            self._progress.end()

    async def _start(self, request: LaunchRequest) -> str:
        began = time.monotonic()
        self._progress.add(10, f"Preparing your server: {_in_words(request)}.")
        try:
            instance = await self._fleet.launch(request)
            self._progress.add(40, "Your server was started. Waiting until it answers.")
            seconds = max(self.start_timeout - _CLEANUP_SECONDS, self.start_timeout / 2)
            instance = await self._fleet.wait_until_ready(instance, seconds - (time.monotonic() - began))
        except ProviderUnreachable as error:
            # Nothing was created, so there is nothing that a stop could wait for.
            self.instance_name = ""
            self.log.error("%s cannot be started: %s", self._log_name, error)
            message = "The host of your server cannot be reached. Try again in a minute."
            raise StartRefused(message, reason=error.reason, status_code=503) from error
        except ProviderError as error:
            raise StartRefused(str(error), reason=error.reason, status_code=500) from error
        except InstanceFailed as error:
            raise StartRefused(str(error), reason="instance-failed", status_code=500) from error
        self._progress.add(90, "Your server answers. Opening it.")
        return _url(instance)

    async def stop(self, now: bool = False) -> None:
        """Destroy the instance; its home stays. Returns when it is gone, or goes on trying in the background."""
        if not self.instance_name:
            return
        destruction = self._fleet.destroy_in_background(self.instance_name)
        await asyncio.wait([destruction], timeout=_STOP_SECONDS)
        if not destruction.done():
            self.log.error("%s is not gone after %d s; trying on in the background.", self._log_name, _STOP_SECONDS)
        self._revoke_forgotten_token()

    async def poll(self) -> int | None:
        """None unless the instance is known to be gone: whatever is unclear counts as running."""
        if not self.instance_name:
            return 0
        if self._is_starting:
            return None
        try:
            instance = await self._fleet.find(self.instance_name)
        except ProviderError as error:
            self.log.warning("Nothing is known of %s, so it counts as running: %s", self._log_name, error)
            return None
        except Exception:
            self.log.exception("Nothing is known of %s, so it counts as running", self._log_name)
            return None
        if instance and instance.state not in (State.STOPPED, State.FAILED):
            return None
        # JupyterHub does not call stop() for what is gone, yet files of it may be left.
        try:
            await self._clean_up()
            self._revoke_forgotten_token()
        except Exception:
            self.log.exception("%s is gone, but something of it may be left", self._log_name)
        return instance.exit_status if instance else 0

    async def _clean_up(self, request_id: str | None = None) -> None:
        """Destroy the instance; what takes longer goes on in the background."""
        if self.instance_name:
            destruction = self._fleet.destroy_in_background(self.instance_name, request_id)
            await asyncio.wait([destruction], timeout=_CLEANUP_SECONDS)

    def _revoke_forgotten_token(self) -> None:
        """Delete the server's API token, which JupyterHub itself cannot find again after a restart of the hub."""
        if self.api_token or not self.server:
            return
        note = f"Server at {self.server.base_url}"
        tokens = [token for token in self.user.orm_user.api_tokens if token.note == note]
        for token in tokens:
            if session := object_session(token):
                session.delete(token)
                session.commit()

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """The steps of the start, as they happen; ends when the start ends."""
        async for event in self._progress.events():
            yield event

    def get_state(self) -> dict[str, Any]:
        """The name of the instance: enough to find it again, whatever the settings say by then."""
        state: dict[str, Any] = super().get_state()
        if self.instance_name:
            state.update(version=STATE_VERSION, instance_name=self.instance_name)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.instance_name = state.get("instance_name", "")

    def clear_state(self) -> None:
        super().clear_state()
        self.instance_name = ""
        # JupyterHub clears the state before a start and a while before start() itself, and may have readers by then.
        self._progress = _Progress()


class _Progress:
    """What happened so far, for any number of readers."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self.is_over = False
        self._news = asyncio.Event()

    def add(self, percent: int, message: str) -> None:
        self._events.append({"progress": percent, "message": message})
        self._notify()

    def end(self) -> None:
        self.is_over = True
        self._notify()

    def _notify(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        position = 0
        while True:
            news = self._news
            while position < len(self._events):
                yield self._events[position]
                position += 1
            if self.is_over:
                return
            if news is self._news:
                await news.wait()


def _in_words(request: LaunchRequest) -> str:
    size = options.Size("", "", mem_limit=request.limits.memory_bytes, cpu_limit=request.limits.cpus)
    return options.in_words(size) or "no limits"


def _url(instance: Instance) -> str:
    address = f"[{instance.address}]" if ":" in instance.address else instance.address
    return f"http://{address}:{instance.port}"
