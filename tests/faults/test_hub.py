# SPDX-License-Identifier: BSD-3-Clause
"""A hub in a process of its own that is killed, cut off and overrun, and the fake cloud beside it."""

from __future__ import annotations

import threading
import time

import pytest
import requests
from fakecloud import FOREVER, FakeCloud, faults
from hub_process import Hub, settle, starts, wait_until


def test_f4_a_hub_killed_while_a_machine_is_asked_for_leaves_none(hub: Hub, cloud: FakeCloud) -> None:
    hub.start()
    cloud.inject(faults.delay("POST", "/servers", 2))
    hub.begin("alice")
    wait_until(lambda: cloud.counts["POST /servers"])
    hub.restart()
    wait_until(lambda: cloud.deleted)
    settle(hub)
    assert hub.machines() == []
    starts(hub)
    settle(hub)


def test_f4_a_hub_killed_while_a_machine_boots_leaves_none(hub: Hub, cloud: FakeCloud) -> None:
    hub.start()
    cloud.boot_seconds = 60
    hub.begin("alice")
    hub.begin("alice", "gpu")
    wait_until(lambda: len(cloud.servers) == 2)
    hub.restart()
    settle(hub)
    assert hub.machines() == []


def test_f4_a_hub_killed_while_servers_run_finds_them_again(hub: Hub, cloud: FakeCloud) -> None:
    hub.start()
    for server in ("alice/", "alice/gpu", "bob/"):
        starts(hub, server)
    before = set(cloud.servers)
    hub.restart()
    settle(hub)
    assert hub.machines() == ["alice/", "alice/gpu", "bob/"]
    assert set(cloud.servers) == before
    hub.ask("DELETE", "/users/alice/servers/gpu")
    wait_until(lambda: hub.machines() == ["alice/", "bob/"])
    settle(hub)


def test_a_start_that_its_user_gives_up_is_over_though_the_machine_takes_its_time(hub: Hub, cloud: FakeCloud) -> None:
    hub.start(CLEANUP_SECONDS="5")
    cloud.boot_seconds = 60
    cloud.delete_seconds = 5
    hub.begin("alice")
    wait_until(lambda: cloud.servers)
    hub.ask("DELETE", "/users/alice/server")
    wait_until(lambda: not hub.servers() and not hub.tokens())
    cloud.boot_seconds = 0
    wait_until(lambda: not cloud.servers)
    starts(hub)
    settle(hub)


@pytest.mark.parametrize("is_deleted_meanwhile", [True, False])
def test_f4_a_hub_killed_during_a_stop_ends_it_or_keeps_the_server(
    hub: Hub, cloud: FakeCloud, is_deleted_meanwhile: bool
) -> None:
    hub.start()
    starts(hub)
    if is_deleted_meanwhile:
        cloud.delete_seconds = 2
    else:
        cloud.inject(faults.failed_delete(503, times=FOREVER))
    hub.ask("DELETE", "/users/alice/server")
    wait_until(lambda: cloud.counts["DELETE /servers/{id}"])
    hub.restart()
    cloud.heal()
    settle(hub)
    assert hub.machines() == ([] if is_deleted_meanwhile else ["alice/"])


def test_f4_what_a_hub_was_still_deleting_when_it_was_killed_is_deleted(hub: Hub, cloud: FakeCloud) -> None:
    """As soon as somebody looks in: the server was over for the hub, nothing of it was left in its database."""
    hub.start(START_TIMEOUT="2", STOP_SECONDS="0.5")
    cloud.guest = "never"
    cloud.inject(faults.failed_delete(503, times=FOREVER))
    hub.begin("alice")
    wait_until(lambda: cloud.servers)
    wait_until(lambda: not hub.servers() and not hub.tokens())
    assert len(cloud.servers) == 1
    hub.restart()
    cloud.heal()
    settle(hub)
    assert hub.machines() == []


@pytest.mark.parametrize("is_unplugged", [True, False])
def test_f5_a_hub_restarted_while_the_cloud_cannot_be_asked_keeps_its_servers(
    hub: Hub, cloud: FakeCloud, is_unplugged: bool
) -> None:
    hub.start()
    starts(hub)
    starts(hub, "bob/gpu")
    before = set(cloud.servers)
    if is_unplugged:
        cloud.unplug()
    else:
        cloud.inject(faults.answer(".*", ".*", 503, times=FOREVER))
    hub.restart()
    wait_until(lambda: hub.is_ready("alice/") and hub.is_ready("bob/gpu"))
    time.sleep(2)  # two polls
    assert hub.is_ready("alice/")
    cloud.heal()
    if is_unplugged:
        cloud.plug_in()
    settle(hub)
    assert set(cloud.servers) == before
    hub.ask("DELETE", "/users/alice/server")
    wait_until(lambda: hub.machines() == ["bob/gpu"])


@pytest.mark.parametrize(
    "fault",
    [
        faults.quota_exceeded(),
        faults.boot_fails(0.3),
        faults.cut("POST", "/servers"),
        faults.accept_then_cut("POST", "/servers", misses_listings=20),
        faults.hang("POST", "/servers"),
        faults.answer("GET", "/v2/images", 404),
    ],
    ids=["quota", "error", "cut", "cut after the work", "start_timeout", "no images"],
)
def test_a_start_that_failed_leaves_no_machine_and_no_token_and_a_hub_that_answers(
    hub: Hub, cloud: FakeCloud, fault: faults.Fault
) -> None:
    cloud.boot_seconds = 1
    cloud.inject(fault)
    hub.start(START_TIMEOUT="4", CLOUD_TIMEOUT="20")
    hub.begin("alice")
    wait_until(lambda: cloud.faults[0].hits and not hub.servers())
    settle(hub)
    assert hub.servers() == {}
    cloud.heal()
    starts(hub)
    settle(hub)


def test_stopping_a_server_that_is_still_starting_leaves_nothing(hub: Hub, cloud: FakeCloud) -> None:
    hub.start()
    cloud.inject(faults.delay("POST", "/servers", 2))
    hub.begin("alice")
    wait_until(lambda: cloud.counts["POST /servers"])
    hub.session.delete(f"{hub.url}/api/users/alice/server", timeout=20)
    wait_until(lambda: cloud.deleted)
    settle(hub)
    assert hub.servers() == {}


def test_f24_a_hub_answers_while_twenty_servers_start_on_a_slow_cloud(hub: Hub, cloud: FakeCloud) -> None:
    hub.start(CLOUD_TIMEOUT="20")
    starts(hub)
    users = [f"user-{number}" for number in range(20)]
    for user in users:
        hub.ask("POST", f"/users/{user}")
    cloud.latency = 3
    over = threading.Event()
    waits: list[float] = []

    def watch() -> None:
        with requests.Session() as session:
            while not over.is_set():
                began = time.monotonic()
                session.get(f"{hub.url}/health", timeout=20).raise_for_status()
                waits.append(time.monotonic() - began)
                time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for user in users:
            hub.ask("POST", f"/users/{user}/server")
        wait_until(lambda: sum(one["ready"] for one in hub.servers().values()) == 21, 40)
    finally:
        over.set()
        watcher.join()
    assert len(waits) > 20
    assert max(waits) < 2.5, "one call to the cloud takes three seconds"
    assert cloud.counts["POST /servers"] == len(cloud.servers) == 21
