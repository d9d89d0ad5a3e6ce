# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong, and when.

A :class:`Fault` is data. The functions below make the usual ones; each takes the rest of a fault's fields as keywords:
``times``, ``spares``, ``probability``, ``query``, ``id``, ``message``. Through /control they are known by their names.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FOREVER = None


@dataclass(kw_only=True)
class Fault:
    """What befalls the requests that match; the first fault that does is the only one that acts.

    ``method`` and ``path`` are regular expressions, for the whole of a method and of a path template such as
    ``/servers/{id}``; ``query`` and ``id`` are looked for within what was asked. The request is held for ``delay``
    seconds and then goes on, unless it ends with ``cut`` or ``status``. With ``works_first`` it is done before all
    that, and only the answer suffers.
    """

    method: str = ".*"
    path: str = ".*"
    query: str = ""
    id: str = ""
    times: int | None = 1
    spares: int = 0
    """How many matching requests pass unharmed first."""
    probability: float = 1.0
    per_second: float | None = None
    """Requests pass at this rate, or ``burst`` at once; the fault strikes those above it."""
    burst: int = 1

    works_first: bool = False
    delay: float = 0.0
    cut: bool = False
    status: int | None = None
    garbled: bool = False
    """Answer with the beginning of an answer."""
    message: str = "An unexpected error prevented the server from fulfilling your request."
    retry_after: float | None = None

    misses_listings: int = 0
    """For POST /servers: how many listings leave out the new server."""
    fails_after: float | None = None
    """For POST /servers: after how many seconds the new server is in ERROR, with ``message`` as its fault."""

    hits: int = 0
    spent: float = 0.0
    spent_at: float = 0.0

    def __post_init__(self) -> None:
        for pattern in (self.method, self.path):
            re.compile(pattern)

    @property
    def ends(self) -> bool:
        """Whether the request is not answered as it would be."""
        return self.cut or self.status is not None

    def matches(self, method: str, path: str, subject: str, query: str) -> bool:
        return bool(
            self.times != 0
            and re.fullmatch(self.method, method)
            and re.fullmatch(self.path, path)
            and self.query in query
            and self.id in subject
        )

    def strikes(self, chance: float) -> bool:
        """Whether it acts on a request that matches; ``chance`` is the throw of the dice."""
        if self.spares:
            self.spares -= 1
            return False
        if self.per_second is not None:
            now = time.monotonic()
            self.spent = max(0.0, self.spent - (now - self.spent_at) * self.per_second)
            self.spent_at = now
            if self.spent + 1 <= self.burst:
                self.spent += 1
                return False
        if chance >= self.probability:
            return False
        self.hits += 1
        if self.times is not None:
            self.times -= 1
        return True


def answer(method: str, path: str, status: int, **fields: Any) -> Fault:
    """Answer with an error, and do nothing."""
    return Fault(method=method, path=path, status=status, **fields)


def throttle(method: str = ".*", path: str = ".*", retry_after: float = 1, **fields: Any) -> Fault:
    """Answer 429 with Retry-After."""
    fields.setdefault("message", "This request was rate-limited.")
    return Fault(method=method, path=path, status=429, retry_after=retry_after, **fields)


def rate_limit(per_second: float, burst: int = 1, **fields: Any) -> Fault:
    """Throttle what comes faster, of all requests or of those that ``method`` and ``path`` name."""
    retry_after = math.ceil(1 / per_second)
    return throttle(per_second=per_second, burst=burst, **{"retry_after": retry_after, "times": FOREVER, **fields})


def delay(method: str, path: str, seconds: float, **fields: Any) -> Fault:
    """Begin late. The work is done even if nobody waits for the answer any more."""
    return Fault(method=method, path=path, delay=seconds, **fields)


def hang(method: str, path: str, seconds: float = 3600, **fields: Any) -> Fault:
    """Do nothing and say nothing, then hang up."""
    return Fault(method=method, path=path, delay=seconds, cut=True, **fields)


def cut(method: str, path: str, **fields: Any) -> Fault:
    """Hang up before anything is done."""
    return Fault(method=method, path=path, cut=True, **fields)


def accept_then_cut(method: str, path: str, **fields: Any) -> Fault:
    """Do the work, then hang up without an answer."""
    return Fault(method=method, path=path, works_first=True, cut=True, **fields)


def accept_then_hang(method: str, path: str, seconds: float = 3600, **fields: Any) -> Fault:
    """Do the work, and let the client wait in vain."""
    return Fault(method=method, path=path, works_first=True, delay=seconds, cut=True, **fields)


def accept_then_status(method: str, path: str, status: int = 500, **fields: Any) -> Fault:
    """Do the work, then answer that it failed."""
    return Fault(method=method, path=path, works_first=True, status=status, **fields)


def accept_then_garble(method: str, path: str, **fields: Any) -> Fault:
    """Do the work, then answer with half an answer."""
    return Fault(method=method, path=path, works_first=True, status=200, garbled=True, **fields)


def late_answer(method: str, path: str, seconds: float, **fields: Any) -> Fault:
    """Do the work at once, and answer late."""
    return Fault(method=method, path=path, works_first=True, delay=seconds, **fields)


def late_in_listings(listings: int, **fields: Any) -> Fault:
    """Leave the next new server out of so many listings."""
    return Fault(method="POST", path="/servers", misses_listings=listings, **fields)


def second_page_fails(status: int = 500, **fields: Any) -> Fault:
    """Answer the first page of a listing of servers, and fail on what follows."""
    return Fault(method="GET", path="/servers/detail", query="marker=", status=status, **fields)


def ignored_delete(**fields: Any) -> Fault:
    """Answer 204 to a deletion, and keep the server."""
    return Fault(method="DELETE", path="/servers/{id}", status=204, **fields)


def failed_delete(status: int = 500, **fields: Any) -> Fault:
    """Refuse to delete."""
    return Fault(method="DELETE", path="/servers/{id}", status=status, **fields)


def boot_fails(seconds: float = 0.0, **fields: Any) -> Fault:
    """Accept a server, and have it in ERROR after so many seconds."""
    fields.setdefault("message", "No valid host was found. There are not enough hosts available.")
    return Fault(method="POST", path="/servers", fails_after=seconds, **fields)


def quota_exceeded(**fields: Any) -> Fault:
    """Refuse a server for want of quota, whatever is there."""
    fields.setdefault("message", "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances")
    return Fault(method="POST", path="/servers", status=403, **fields)


KINDS: dict[str, Callable[..., Fault]] = {
    kind.__name__: kind
    for kind in (
        answer,
        throttle,
        rate_limit,
        delay,
        hang,
        cut,
        accept_then_cut,
        accept_then_hang,
        accept_then_status,
        accept_then_garble,
        late_answer,
        late_in_listings,
        second_page_fails,
        ignored_delete,
        failed_delete,
        boot_fails,
        quota_exceeded,
    )
}
