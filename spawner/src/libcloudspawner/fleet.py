# SPDX-License-Identifier: BSD-3-Clause
"""The instances of this hub: launch, find, watch, destroy. Asynchronous, and the only caller of providers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from . import observability
from .providers.base import Instance, LaunchRequest, OutcomeUnknown, Provider, ProviderError, ProviderUnreachable, State

T = TypeVar("T")

_CONCURRENT_CREATES = 64
_CONCURRENT_DESTROYS = 16
_CONCURRENT_LOOKS = 8
_PREDECESSOR_SECONDS = 10.0
_PROBE_SECONDS = 0.05
# How often to look for the address of an instance: at first this often, and then each tenth of the time it took so far.
_ADDRESS_SECONDS = 0.5
_ADOPT_TRIES = 3
_ADOPT_SECONDS = 1.0
_DESTROY_RETRY_SECONDS = 1.0
_DESTROY_RETRY_SECONDS_MAX = 60.0
# What is shutting down ends soon, and somebody waits for it.
_DESTROY_STOPPING_SECONDS = 5.0
# How long the deletion of a user, and a start under their name, waits for what is taken away with them.
_FORGET_SECONDS = 10.0
# Failures after which the same call may succeed.
_PASSING = ("unreachable", "unknown-outcome", "throttled")
# JupyterHub deletes a server right after it has said so.
_DELETED_TRIES = 5
_DELETED_SECONDS = 1.0
_HOUSEKEEPING_SECONDS = 20.0
_TIDY_SECONDS = 3600.0
# An instance that nobody claims for this long is destroyed.
_ORPHAN_SECONDS = 60.0
# More orphans than this, and most of all instances: then the hub's memory is wrong, rather than the instances.
_ORPHANS_BELIEVED = 10

log = logging.getLogger(__name__)


class InstanceFailed(Exception):
    """An instance ended, or did not answer in time, before its server was ready."""


class Fleet:
    """All instances of one hub at one provider.

    Calls run in threads, so that the hub's event loop never waits; creating, destroying and looking have threads of
    their own, so that a provider that hangs on creating cannot keep instances alive. One listing serves everybody who
    asks within a few seconds. Every instance belongs to a claim, the id of the request that made it: what nobody
    claims for a while is destroyed.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._creates = concurrent.futures.ThreadPoolExecutor(_CONCURRENT_CREATES, "fleet-create")
        self._waiting_creates = concurrent.futures.ThreadPoolExecutor(_CONCURRENT_CREATES, "fleet-create-waiting")
        self._destroys = concurrent.futures.ThreadPoolExecutor(_CONCURRENT_DESTROYS, "fleet-destroy")
        self._looks = concurrent.futures.ThreadPoolExecutor(_CONCURRENT_LOOKS, "fleet-look")
        self._listing: dict[str, Instance] = {}
        self._listed_at = float("-inf")
        # What was created, and when: a listing that was asked for before shows it half made, or not at all.
        self._created: dict[str, tuple[float, Instance]] = {}
        self._refresh: asyncio.Task[None] | None = None
        self._creating: dict[str, concurrent.futures.Future[Instance]] = {}
        self._destroying: dict[str, asyncio.Task[None]] = {}
        self._forgetting: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._noticing: set[asyncio.Task[None]] = set()
        self._claims: set[str] = set()
        self._unclaimed_since: dict[str, float] = {}
        self._housekeeping: asyncio.Task[None] | None = None
        self._tidied_at = float("-inf")

    def claim(self, request_id: str) -> None:
        """Say that the instance of this request is wanted, so that it is left alone until :meth:`release`."""
        self._claims.add(request_id)

    def release(self, request_id: str) -> None:
        """Take a claim back."""
        self._claims.discard(request_id)

    def keep_house(self) -> None:
        """Begin to look for instances that nobody claims, if that has not begun yet."""
        if self._housekeeping is None or self._housekeeping.done():
            self._housekeeping = asyncio.create_task(self._keep_house())

    async def launch(self, request: LaunchRequest) -> Instance:
        """Create an instance, in place of any other of its name that the same user's server had.

        When the caller gives up, it does not stay behind. When the outcome is unclear, it is looked for, and taken on.
        """
        self.keep_house()
        self.claim(request.request_id)
        namesakes = [one for one in self._listing.values() if one.name == request.name]
        for other in namesakes:
            if (other.user, other.server) != (request.user, request.server):
                whose = f"{other.user}, server {other.server}" if other.server else other.user
                raise ProviderError(
                    f"The instance {request.name} is that of {whose}. "
                    "An administrator has to give each server a name of its own by LibcloudSpawner.unit_name_template.",
                    reason="name-taken",
                )
        for other in namesakes:
            self.destroy_in_background(other.request_id)
        earlier = [task for task in self._destroying.values() if task.get_name() == request.name]
        if earlier:
            await asyncio.wait(earlier, timeout=_PREDECESSOR_SECONDS)
        await self._wait_until_forgotten(request.user)
        if request.request_id not in self._claims:
            raise ProviderError("The server was stopped before it started.", reason="stopped")
        threads = self._waiting_creates if self._provider.may_wait(request) else self._creates
        wanted = dataclasses.replace(request, is_wanted=lambda: request.request_id in self._claims)
        creation = self._creating[request.request_id] = threads.submit(self._provider.create, wanted)
        creation.add_done_callback(lambda _: self._creating.pop(request.request_id, None))
        try:
            instance = await asyncio.wrap_future(creation)
        except asyncio.CancelledError:
            if not creation.cancel():
                self.destroy_in_background(request.request_id, request.name)
            raise
        except OutcomeUnknown as error:
            instance = await self._adopt(request, error)
        self._created[request.request_id] = (time.monotonic(), instance)
        self._listing[request.request_id] = instance
        return instance

    async def _adopt(self, request: LaunchRequest, error: OutcomeUnknown) -> Instance:
        """The instance that a creation without an answer made; what appears later is an orphan."""
        log.warning("It is not clear whether %s was created, looking for it: %s", request.name, error)
        try:
            for _try in range(_ADOPT_TRIES):
                with contextlib.suppress(ProviderError):
                    if instance := await self.find(request.request_id, 0.0):
                        return instance
                await asyncio.sleep(_ADOPT_SECONDS)
        except asyncio.CancelledError:
            self.destroy_in_background(request.request_id, request.name)
            raise
        self.destroy_in_background(request.request_id, request.name)
        raise error

    async def find(self, request_id: str, max_age: float | None = None) -> Instance | None:
        """The instance as of a listing at most ``max_age`` seconds old; None if that listing lacks it.

        Raises :class:`ProviderError` when no such listing can be had: then nothing is known.
        """
        await self._list(self._provider.POLL_LISTING_SECONDS if max_age is None else max_age)
        return self._listing.get(request_id)

    async def exists(self, request_id: str, instance_id: str) -> Instance | None:
        """As :meth:`find`, but what a listing lacks is asked for by itself, for a listing may lag behind."""
        if instance := await self.find(request_id):
            return instance
        if not instance_id:
            return None
        instance = await self._in_thread(self._looks, lambda: self._provider.get(instance_id))
        return instance if instance is not None and instance.request_id == request_id else None

    async def _list(self, max_age: float) -> None:
        oldest = time.monotonic() - max_age
        while self._listed_at < oldest:
            if self._refresh is None or self._refresh.done():
                self._refresh = asyncio.create_task(self._list_now())
            await asyncio.shield(self._refresh)

    async def _list_now(self) -> None:
        asked_at = time.monotonic()
        listed = await self._in_thread(self._looks, self._provider.list)
        self._created = {key: (at, instance) for key, (at, instance) in self._created.items() if at > asked_at}
        self._listing = {instance.request_id: instance for instance in listed}
        self._listing.update({key: instance for key, (_at, instance) in self._created.items()})
        self._listed_at = asked_at
        observability.listed([state.value for state in State], self._listing.values())

    async def wait_until_ready(
        self, instance: Instance, seconds: float, on_change: Callable[[Instance], None] = lambda instance: None
    ) -> Instance:
        """Wait until the server of ``instance`` listens.

        Raises :class:`InstanceFailed`, with what the instance wrote last, when it ends or when ``seconds`` are over.
        """
        began = time.monotonic()
        deadline = began + seconds
        was_listed = False
        while time.monotonic() < deadline:
            if instance.request_id not in self._claims:
                raise InstanceFailed("The server was stopped while it started.")
            # A look at the listing costs a call, a look at the port does not: so the port says when to look.
            is_answering = await _answers(instance.address, instance.port)
            if is_answering and instance.owns_port:
                return instance
            max_age = self._provider.WATCH_LISTING_SECONDS
            if not instance.address:
                max_age = min(max_age, max(_ADDRESS_SECONDS, (time.monotonic() - began) / 10))
            seen = await self._look(instance, 0.0 if is_answering else max_age)
            if seen is not None:
                was_listed = was_listed or self._listed_at >= began
                if seen != instance:
                    instance = seen
                    on_change(seen)
                # What is paused does not go on by itself: a machine switches itself off when it cannot have its home.
                if seen.state in (State.FAILED, State.STOPPED, State.PAUSED):
                    raise InstanceFailed(
                        await self._with_log(f"The server ended while it started ({seen.detail}).", instance)
                    )
                if is_answering and seen.owns_port:
                    return seen
            elif was_listed and await self._is_gone(instance):
                raise InstanceFailed("The server vanished while it started: somebody or something removed it.")
            look_at = 0.0 if instance.address else min(self._listed_at + max_age, deadline)
            await asyncio.sleep(max(_PROBE_SECONDS, look_at - time.monotonic()))
        raise InstanceFailed(await self._with_log(f"The server did not answer within {seconds:.0f} seconds.", instance))

    async def _look(self, instance: Instance, max_age: float) -> Instance | None:
        try:
            return await self.find(instance.request_id, max_age)
        except ProviderError as error:
            log.warning("Nothing is known of %s at the moment: %s", instance.name, error)
            return instance

    async def _is_gone(self, instance: Instance) -> bool:
        try:
            return await self.exists(instance.request_id, instance.id) is None
        except ProviderError:
            return False

    async def _with_log(self, message: str, instance: Instance) -> str:
        try:
            lines: Sequence[str] = await self._in_thread(self._looks, lambda: self._provider.log(instance, 20))
        except ProviderError as error:
            lines = [f"(its log cannot be read: {error})"]
        return "\n".join([message, *lines])

    def destroy_in_background(self, request_id: str, name: str = "") -> asyncio.Task[None]:
        """Destroy an instance, trying again until a listing lacks it.

        Begins when its creation is over: cancelling a call does not stop its thread, so it may appear later.
        """
        self.release(request_id)
        task = self._destroying.get(request_id)
        if task is None:
            known = self._listing.get(request_id)
            task = asyncio.create_task(self._destroy(request_id), name=known.name if known else name)
            self._destroying[request_id] = task
        return task

    async def forget(self, user: str, server: str, account: str) -> None:
        """Take away what is kept of a server that was deleted."""
        task = self._forget_in_background(user, server, account)
        await asyncio.wait([task], timeout=_FORGET_SECONDS)

    def notice_use(self, instance: Instance) -> None:
        """Have it noted, in the background, that the server of an instance answered."""
        task = asyncio.create_task(self._notice_use(instance))
        self._noticing.add(task)
        task.add_done_callback(self._noticing.discard)

    async def _notice_use(self, instance: Instance) -> None:
        try:
            await self._in_thread(self._looks, functools.partial(self._provider.notice_use, instance))
        except Exception as error:  # noqa: BLE001 - the next start tries again
            log.warning("It could not be noted that %s answered: %s", instance.name, error)

    async def rename(self, user: str, old: str, new: str) -> None:
        """Let what is kept of a server be that of its new name. Raises :class:`ProviderError` if that failed."""
        await self._wait_until_forgotten(user)
        await self._in_thread(self._destroys, functools.partial(self._provider.rename, user, old, new))

    def forget_once(self, is_deleted: Callable[[], bool], user: str, server: str, account: str) -> None:
        """As :meth:`forget`, in the background, if the hub goes through with the deletion that it has begun."""
        self._forget_in_background(user, server, account, is_deleted)

    def _forget_in_background(
        self, user: str, server: str, account: str, is_deleted: Callable[[], bool] = lambda: True
    ) -> asyncio.Task[None]:
        whose = (user, server)
        if whose not in self._forgetting:
            self._forgetting[whose] = asyncio.create_task(self._forget(user, server, account, is_deleted))
            self._forgetting[whose].add_done_callback(lambda _: self._forgetting.pop(whose))
        return self._forgetting[whose]

    async def _forget(self, user: str, server: str, account: str, is_deleted: Callable[[], bool]) -> None:
        for _try in range(_DELETED_TRIES):
            if is_deleted():
                break
            await asyncio.sleep(_DELETED_SECONDS)
        else:
            log.error("Nothing of the server %r of %s is taken away: it was not deleted after all.", server, user)
            return
        pause = _DESTROY_RETRY_SECONDS
        while True:
            try:
                await self._in_thread(self._destroys, functools.partial(self._provider.forget, user, server, account))
            except ProviderError as error:
                log.error("What is kept of the server %r of %s, who was deleted, stays: %s", server, user, error)
                if error.reason not in _PASSING:
                    return
            except Exception:
                log.exception("What is kept of the server %r of %s, who was deleted, stays", server, user)
                return
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _DESTROY_RETRY_SECONDS_MAX)

    async def _wait_until_forgotten(self, user: str) -> None:
        """Who comes back by the name of somebody who was deleted must not find what was theirs."""
        if tasks := [task for whose, task in self._forgetting.items() if whose[0] == user]:
            _done, pending = await asyncio.wait(tasks, timeout=_FORGET_SECONDS)
            if pending:
                raise ProviderUnreachable("The files of who had this name before could not be put away yet.")

    async def _destroy(self, request_id: str) -> None:
        began = time.monotonic()
        try:
            if creation := self._creating.get(request_id):
                await asyncio.gather(asyncio.wrap_future(creation), return_exceptions=True)
            pause, state = _DESTROY_RETRY_SECONDS, None
            while not await self._is_destroyed(request_id, pause):
                await asyncio.sleep(pause)
                known = self._listing.get(request_id)
                has_moved = known is not None and known.state is not state
                state = known.state if known else None
                is_ending = state is State.STOPPING
                longest = _DESTROY_STOPPING_SECONDS if is_ending else _DESTROY_RETRY_SECONDS_MAX
                pause = _DESTROY_RETRY_SECONDS if has_moved else min(pause * 2, longest)
            observability.PHASE_SECONDS.labels("destroy").observe(time.monotonic() - began)
        finally:
            del self._destroying[request_id]

    async def _is_destroyed(self, request_id: str, pause: float) -> bool:
        try:
            # What is known is destroyed without a listing, which may be what fails.
            instance = self._listing.get(request_id) or await self.find(request_id, 0.0)
            if instance is not None:
                await self._in_thread(self._destroys, functools.partial(self._provider.destroy, instance))
                instance = await self.find(request_id, 0.0)
        except Exception as error:  # noqa: BLE001 - whatever it is, the instance must not stay
            log.error("An instance could not be destroyed, next try in %.0f s: %s", pause, error)
            return False
        return instance is None

    async def _keep_house(self) -> None:
        while True:
            try:
                await self._list(_HOUSEKEEPING_SECONDS)
            except ProviderError as error:
                log.warning("The instances cannot be listed: %s", error)
            except Exception:
                log.exception("The instances cannot be listed")
            else:
                self._destroy_orphans()
            await self._tidy()
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)

    async def _tidy(self) -> None:
        if time.monotonic() - self._tidied_at < _TIDY_SECONDS:
            return
        self._tidied_at = time.monotonic()
        try:
            await self._in_thread(self._destroys, self._provider.tidy)
        except Exception as error:  # noqa: BLE001 - it is tried again
            log.warning("What was kept for a time that is over stays for now: %s", error)

    def _destroy_orphans(self) -> None:
        now = time.monotonic()
        unclaimed = [
            one for one in self._listing.values() if one.request_id not in self._claims | set(self._destroying)
        ]
        self._unclaimed_since = {one.request_id: self._unclaimed_since.get(one.request_id, now) for one in unclaimed}
        orphans = [one for one in unclaimed if now - self._unclaimed_since[one.request_id] >= _ORPHAN_SECONDS]
        if len(orphans) > _ORPHANS_BELIEVED and len(orphans) > len(self._listing) / 2:
            log.error(
                "%d of %d instances belong to no server of this hub. Is its database an old one? None is destroyed; "
                "destroy by hand what nobody needs.",
                len(orphans),
                len(self._listing),
            )
            return
        for orphan in orphans:
            log.warning("Destroying %s of %s, which belongs to no server of this hub", orphan.name, orphan.user)
            self.destroy_in_background(orphan.request_id)

    @staticmethod
    async def _in_thread(threads: concurrent.futures.Executor, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, call)


async def _answers(address: str, port: int) -> bool:
    if not address:
        return False
    # Not by wait_for(), which before Python 3.12 loses a cancellation that comes as the attempt ends.
    attempt = asyncio.ensure_future(asyncio.open_connection(address, port))
    attempt.add_done_callback(_close)
    try:
        await asyncio.wait({attempt}, timeout=1)
        return attempt.done() and attempt.exception() is None
    finally:
        attempt.cancel()


def _close(attempt: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result()[1].close()
