# SPDX-License-Identifier: BSD-3-Clause
"""What happens to servers: counted for Prometheus, at ``/hub/metrics``, and told to the journal, a line an event."""

from __future__ import annotations

import json
from collections import Counter as Count
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    import logging

    from .providers.base import Instance

STARTS = Counter("libcloudspawner_starts_total", "Starts of servers that were begun.")
START_FAILURES = Counter("libcloudspawner_start_failures_total", "Starts of servers that failed.", ["reason"])
PHASE_SECONDS = Histogram(
    "libcloudspawner_phase_seconds",
    "Seconds that a phase of a server's life took: create, until there is an instance; answer, from then until its "
    "server answers; destroy, until the instance is gone.",
    ["phase"],
    buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800),
)
INSTANCES = Gauge("libcloudspawner_instances", "Instances of this hub in its last listing.", ["state"])
LISTED = Gauge("libcloudspawner_listing_timestamp_seconds", "When the instances were last listed, in Unix time.")
CALLS = Counter(
    "libcloudspawner_provider_calls_total",
    "Calls of what carries the instances, by the code of HTTP or the word that it answered.",
    ["operation", "code"],
)


def listed(states: Iterable[str], instances: Iterable[Instance]) -> None:
    """Count the instances of a whole listing, by each of the states that there are."""
    counts = Count(instance.state.value for instance in instances)
    for state in states:
        INSTANCES.labels(state).set(counts[state])
    LISTED.set_to_current_time()


def tell(log: logging.Logger, event: str, **what: Any) -> None:
    """Write one line of JSON about an event. ``what`` must hold no secret."""
    log.info("%s", json.dumps({"event": event, **what}))
