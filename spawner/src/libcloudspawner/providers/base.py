# SPDX-License-Identifier: BSD-3-Clause
"""The contract between the fleet and whatever carries instances.

A provider is synchronous and small; the fleet calls it from a bounded pool of threads, never from the event
loop. Every instance carries the hub, the user, the server and the request that made it, from its creation on;
a provider never shows or touches an instance of another hub.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


class State(enum.Enum):
    """What is known of an instance. An instance that is in no complete listing is gone."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    # It is there and does not run, and may again: for JupyterHub, it has not ended.
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Limits:
    """The most that an instance may use, and what is kept for it; ``None`` is no limit, or nothing."""

    memory_bytes: int | None = None
    cpus: float | None = None
    tasks: int | None = None
    memory_guarantee_bytes: int | None = None
    cpu_guarantee: float | None = None


@dataclass(frozen=True)
class LaunchRequest:
    """All that a provider needs to create an instance.

    ``groups`` are the hub's groups that the user is in; ``placement`` holds what only some providers know, such as a
    network; ``choices`` is what the user sent, checked.
    ``is_wanted`` says, to any thread, whether somebody still waits for it; a creation that waits has to ask.
    ``report`` takes a percentage and a sentence for the user, and may be called from any thread.
    """

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
    port: int = 0
    groups: tuple[str, ...] = ()
    placement: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_wanted: Callable[[], bool] = field(default=lambda: True, repr=False, compare=False)
    report: Callable[[int, str], None] = field(default=lambda percent, message: None, repr=False, compare=False)


@dataclass(frozen=True)
class Instance:
    """One instance as the last listing showed it.

    ``id`` is the provider's own name for it; ``address`` is empty until it has one. ``owns_port`` is true when whatever
    answers at ``address`` and ``port`` can only be this server. ``detail`` says why an instance stopped or failed.
    ``cpu_seconds`` is what its processes have used, where that is counted. ``volume`` is the id of the volume that
    holds its home, if one does; it outlives the instance.
    """

    id: str
    name: str
    user: str
    server: str
    request_id: str
    state: State
    address: str
    port: int
    owns_port: bool = False
    exit_status: int = 0
    detail: str = ""
    cpu_seconds: float | None = field(default=None, compare=False)
    volume: str = ""


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

    # The traits of the spawner that a provider is made with, those that come with each request, and those of the lists
    # of choices that must not be empty.
    SETTINGS: ClassVar[tuple[str, ...]]
    PLACEMENT: ClassVar[tuple[str, ...]] = ()
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    # Where a server listens, and the account that it runs under, unless the administrator says otherwise.
    BIND_ADDRESS: ClassVar[str] = "127.0.0.1"
    PORT: ClassVar[int] = 0
    ACCOUNT: ClassVar[str] = "jupyter-{USERNAME}"
    # The types of storage that it has, and whether what users write there is there again at the next start.
    STORAGE: ClassVar[Mapping[str, bool]] = {"home": True}
    # What is kept for a server unless the administrator says otherwise; nothing where a size has what it has.
    MEMORY_GUARANTEE_BYTES: ClassVar[int | None] = None
    # A listing this old, in seconds, will do for an instance that runs, and for one that is being started.
    POLL_LISTING_SECONDS: ClassVar[float] = 5.0
    WATCH_LISTING_SECONDS: ClassVar[float] = 1.0

    def may_wait(self, request: LaunchRequest) -> bool:
        """Whether the creation may have to wait for something, and so must not keep others from theirs."""
        return False

    @abstractmethod
    def create(self, request: LaunchRequest) -> Instance:
        """Create the instance of ``request``.

        Raises :class:`ProviderError` if it was not created, :class:`OutcomeUnknown` if it may have been.
        """

    @abstractmethod
    def list(self) -> list[Instance]:
        """All instances of this hub. Raises rather than leave out one that may be there."""

    @abstractmethod
    def get(self, instance_id: str) -> Instance | None:
        """The instance with this :attr:`Instance.id`; None if there is none any more."""

    @abstractmethod
    def destroy(self, instance: Instance) -> None:
        """Stop an instance and remove what belongs to it; it is no error if it is gone, and it may take a while."""

    def notice_use(self, instance: Instance) -> None:  # noqa: B027 - most need not know
        """The server of ``instance`` has answered, so from now on there may be files of its user."""

    def forget(self, user: str, server: str, account: str) -> None:  # noqa: B027 - most keep nothing
        """Take away what is kept of a server that was deleted, alone or with its user, as the node or the cloud has it.

        ``server`` is empty for the default server, which goes with its user only, and so with what is the user's own.
        What is kept for each server is taken away one by one.
        """

    def rename(self, user: str, old: str, new: str) -> None:  # noqa: B027 - most keep nothing for a server alone
        """Let what is kept of the user's server ``old`` be that of the server ``new``."""

    def tidy(self) -> None:  # noqa: B027 - most keep nothing
        """Take away what was kept for a time that is over."""

    @abstractmethod
    def log(self, instance: Instance, lines: int) -> Sequence[str]:
        """The last lines that the instance wrote, oldest first; empty if there are none."""
