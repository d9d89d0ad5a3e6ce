# SPDX-License-Identifier: BSD-3-Clause
"""What Prometheus and the journal are told of a real server's life."""

from __future__ import annotations

import json
import re

import requests
from prometheus_client.parser import text_string_to_metric_families


def metrics(hub):
    """Each value that the hub tells a service that may read them, by its name and labels."""
    answer = requests.get(f"{hub.url}/hub/metrics", headers=hub.headers, timeout=30)
    answer.raise_for_status()
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_metrics_are_for_those_alone_who_may_read_them(hub):
    assert requests.get(f"{hub.url}/hub/metrics", timeout=30).status_code in (401, 403)


def test_a_life_of_a_server_is_counted_and_stands_in_the_journal(hub, host):
    before = metrics(hub)
    hub.start("ida", userserver_size="small")
    hub.stop("ida")
    after = metrics(hub)
    for name in (
        ("libcloudspawner_starts_total",),
        ("libcloudspawner_phase_seconds_count", "create"),
        ("libcloudspawner_phase_seconds_count", "answer"),
        ("libcloudspawner_phase_seconds_count", "destroy"),
        ("libcloudspawner_provider_calls_total", "ok", "start"),
        ("libcloudspawner_provider_calls_total", "ok", "stop"),
    ):
        assert after[name] == before.get(name, 0) + 1, name
    assert ("libcloudspawner_instances", "running") in after

    journal = host.check_output("journalctl --unit=jupyterhub --output=cat --lines=200")
    events = [json.loads(line) for line in re.findall(r'\{"event": .*\}', journal)]
    of_ida = [event for event in events if event["user"] == "ida"]
    assert [event["event"] for event in of_ida][-4:] == ["start", "ready", "stop", "stopped"]
    assert of_ida[-3]["seconds"] > 0
