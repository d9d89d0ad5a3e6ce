# SPDX-License-Identifier: BSD-3-Clause
"""The instances of this hub: launch, find, watch, destroy. Asynchronous, and the only caller of providers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from .providers.base import Instance, LaunchRequest, OutcomeUnknown, Provider, ProviderError, State

T = TypeVar("T")

_CONCURRENT_CALLS = 16
_CONCURRENT_DESTROYS = 8
_LISTING_SECONDS = 5.0
_WATCH_LISTING_SECONDS = 1.0
_PROBE_SECONDS = 0.05
_PROBE_SECONDS_MAX = 0.1
_DESTROY_RETRY_SECONDS = 1.0
_DESTROY_RETRY_SECONDS_MAX = 60.0

log = logging.getLogger(__name__)


class InstanceFailed(Exception):
    """An instance ended, or did not answer in time, before its server was ready."""


class Fleet:
    """All instances of one hub at one provider.

    Calls run in threads, so that the hub's event loop never waits; destroying has threads of its own, so that
    a provider that hangs on creating cannot keep instances alive. One listing serves everybody who asks
    within a few seconds.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._calls = concurrent.futures.ThreadPoolExecutor(_CONCURRENT_CALLS, "fleet-call")
        self._destroys = concurrent.futures.ThreadPoolExecutor(_CONCURRENT_DESTROYS, "fleet-destroy")
        self._listing: dict[str, Instance] = {}
        self._listed_at = float("-inf")
        self._refresh: asyncio.Task[None] | None = None
        self._destroying: dict[str, asyncio.Task[None]] = {}

    async def launch(self, request: LaunchRequest) -> Instance:
        """Create an instance. When the caller gives up, or the outcome is unclear, it does not stay behind."""
        while pending := self._destroying.get(request.name):
            await asyncio.shield(pending)
        creation = self._calls.submit(self._provider.create, request)
        try:
            return await asyncio.wrap_future(creation)
        except asyncio.CancelledError:
            if not creation.cancel():
                self.destroy_in_background(request.name, request.request_id, creation)
            raise
        except OutcomeUnknown:
            self.destroy_in_background(request.name, request.request_id)
            raise

    async def find(self, name: str, max_age: float = _LISTING_SECONDS) -> Instance | None:
        """The instance as of a listing at most ``max_age`` seconds old; None if that listing lacks it.

        Raises :class:`ProviderError` when no such listing can be had: then nothing is known.
        """
        oldest = time.monotonic() - max_age
        while self._listed_at < oldest:
            if self._refresh is None or self._refresh.done():
                self._refresh = asyncio.create_task(self._list())
            await asyncio.shield(self._refresh)
        return self._listing.get(name)

    async def _list(self) -> None:
        asked_at = time.monotonic()
        self._listing = await self._in_thread(self._calls, self._provider.list)
        self._listed_at = asked_at

    async def wait_until_ready(self, instance: Instance, seconds: float) -> Instance:
        """Wait until the server of ``instance`` listens.

        Raises :class:`InstanceFailed`, with what the instance wrote last, when it ends or when ``seconds`` are over.
        """
        deadline = time.monotonic() + seconds
        pause = _PROBE_SECONDS
        while time.monotonic() < deadline:
            # A look at the listing costs a call, a look at the port does not: so the port says when to look.
            is_answering = await _answers(instance.address, instance.port)
            seen = await self._look(instance, 0.0 if is_answering else _WATCH_LISTING_SECONDS)
            if seen is not None and seen.request_id == instance.request_id:
                if seen.is_ready:
                    return seen
                if seen.state in (State.FAILED, State.STOPPED):
                    raise InstanceFailed(
                        await self._with_log(f"The server ended while it started ({seen.detail}).", instance)
                    )
            await asyncio.sleep(pause)
            pause = min(pause * 1.1, _PROBE_SECONDS_MAX)
        raise InstanceFailed(await self._with_log(f"The server did not answer within {seconds:.0f} seconds.", instance))

    async def _look(self, instance: Instance, max_age: float) -> Instance | None:
        try:
            return await self.find(instance.name, max_age)
        except ProviderError as error:
            log.warning("Nothing is known of %s at the moment: %s", instance.name, error)
            return None

    async def _with_log(self, message: str, instance: Instance) -> str:
        try:
            lines: Sequence[str] = await self._in_thread(self._calls, lambda: self._provider.log(instance.name, 20))
        except ProviderError as error:
            lines = [f"(its log cannot be read: {error})"]
        return "\n".join([message, *lines])

    def destroy_in_background(
        self, name: str, request_id: str | None = None, creation: concurrent.futures.Future[Instance] | None = None
    ) -> asyncio.Task[None]:
        """Destroy an instance, trying again until the provider says that it is gone.

        Begins when ``creation`` is over: cancelling a call does not stop its thread, so the instance may appear later.
        """
        task = self._destroying.get(name)
        if task is None:
            task = asyncio.create_task(self._destroy(name, request_id, creation))
            self._destroying[name] = task
            task.add_done_callback(lambda _: self._destroying.pop(name))
        return task

    async def _destroy(
        self, name: str, request_id: str | None, creation: concurrent.futures.Future[Instance] | None
    ) -> None:
        if creation is not None:
            with contextlib.suppress(Exception):
                await asyncio.wrap_future(creation)
        pause = _DESTROY_RETRY_SECONDS
        while True:
            try:
                await self._in_thread(self._destroys, lambda: self._provider.destroy(name, request_id))
            except Exception as error:  # noqa: BLE001 - whatever it is, the instance must not stay
                log.error("The instance %s could not be destroyed, next try in %.0f s: %s", name, pause, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _DESTROY_RETRY_SECONDS_MAX)
            else:
                self._listing.pop(name, None)
                return

    @staticmethod
    async def _in_thread(threads: concurrent.futures.Executor, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, call)


async def _answers(address: str, port: int) -> bool:
    try:
        reader_and_writer = await asyncio.wait_for(asyncio.open_connection(address, port), timeout=1)
    except (OSError, asyncio.TimeoutError):
        return False
    reader_and_writer[1].close()
    return True
