# SPDX-License-Identifier: BSD-3-Clause
"""The contract between the fleet and whatever carries instances.

A provider is synchronous and small; the fleet calls it from a bounded pool of threads, never from the event
loop. Every instance carries the hub, the user, the server and the request that made it, from its creation on;
a provider never shows or touches an instance of another hub.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class State(enum.Enum):
    """What is known of an instance. An instance that is in no complete listing is gone."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Limits:
    """The most that an instance may use; ``None`` is no limit."""

    memory_bytes: int | None = None
    cpus: float | None = None
    tasks: int | None = None


@dataclass(frozen=True)
class LaunchRequest:
    """All that a provider needs to create an instance."""

    name: str
    request_id: str
    user: str
    server: str
    account: str
    image: str
    size: str
    limits: Limits
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # holds the API token
    bind_address: str = "127.0.0.1"


@dataclass(frozen=True)
class Instance:
    """One instance as the last listing showed it.

    ``is_ready`` is true when the provider can tell that the server itself, and nobody else, listens at
    ``address`` and ``port``; ``detail`` says in a few words why an instance stopped or failed.
    """

    name: str
    user: str
    server: str
    request_id: str
    state: State
    address: str
    port: int
    is_ready: bool = False
    exit_status: int = 0
    detail: str = ""


class ProviderError(Exception):
    """A call failed. ``reason`` is one word for metrics; the text is for the user and the log."""

    def __init__(self, message: str, *, reason: str = "provider") -> None:
        super().__init__(message)
        self.reason = reason


class ProviderUnreachable(ProviderError):
    """The provider could not be asked, so nothing has changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="unreachable")


class OutcomeUnknown(ProviderError):
    """The provider was asked and did not answer: what was asked may have been done, or be done later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="unknown-outcome")


class Provider(ABC):
    """What carries instances. Every method may block, and may be called from several threads at once."""

    @abstractmethod
    def create(self, request: LaunchRequest) -> Instance:
        """Create the instance of ``request``, in place of one of the same name.

        Raises :class:`ProviderError` if it was not created, :class:`OutcomeUnknown` if it may have been.
        """

    @abstractmethod
    def list(self) -> dict[str, Instance]:
        """All instances of this hub by name. Raises rather than leave out one that may be there."""

    @abstractmethod
    def destroy(self, name: str, request_id: str | None = None) -> None:
        """Stop an instance and remove what belongs to it; it is no error if there is none.

        With ``request_id``, only the instance that this request made.
        """

    @abstractmethod
    def log(self, name: str, lines: int) -> Sequence[str]:
        """The last lines that the instance wrote, oldest first; empty if there are none."""
