# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong in a cloud, and what a hub makes of it: spawner, fleet, provider and driver are the real ones."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace

import fakes
import pytest
from fakecloud import FOREVER, FakeCloud, faults
from fakes import eventually
from jupyterhub.objects import Hub
from jupyterhub.spawner import SpawnException
from launch import launch_request
from libcloudspawner import fleet as fleet_module
from libcloudspawner import spawner as spawner_module
from libcloudspawner.fleet import Fleet
from libcloudspawner.providers import openstack
from libcloudspawner.providers.openstack import OpenStackProvider
from libcloudspawner.spawner import LibcloudSpawner

ORPHAN_SECONDS = 0.3


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Intervals and patience of seconds and minutes, made short."""
    for module, name, seconds in (
        (fleet_module, "_DESTROY_RETRY_SECONDS", 0.05),
        (fleet_module, "_DESTROY_RETRY_SECONDS_MAX", 0.2),
        (fleet_module, "_ADOPT_SECONDS", 0.05),
        (fleet_module, "_PROBE_SECONDS", 0.02),
        (fleet_module, "_PREDECESSOR_SECONDS", 0.3),
        (fleet_module, "_HOUSEKEEPING_SECONDS", 0.05),
        (fleet_module, "_ORPHAN_SECONDS", ORPHAN_SECONDS),
        (spawner_module, "_CLEANUP_SECONDS", 0.5),
        (spawner_module, "_STOP_SECONDS", 3),
        (OpenStackProvider, "POLL_LISTING_SECONDS", 0.05),
        (OpenStackProvider, "WATCH_LISTING_SECONDS", 0.1),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def impatient(monkeypatch):
    """A hub that waits no longer than a second for an answer: where nothing hangs, a busy machine may need more."""
    monkeypatch.setattr(openstack, "_TIMEOUT_SECONDS", 1.0)


@pytest.fixture
def cloud():
    with FakeCloud() as cloud:
        yield cloud


class OneHub:
    """One process of a hub: what it remembers when it is restarted is in ``states``."""

    def __init__(self, cloud: FakeCloud, hub_id: str = "hub", **settings):
        self.fleet = Fleet(OpenStackProvider(hub_id, cloud.driver_params()))
        self._settings = {
            "hub_id": hub_id,
            "libcloud_driver_params": cloud.driver_params(),
            "userserver_sizes": [("Small", "small")],
            "userserver_images": [("Jupyter", "jupyter")],
            "userserver_net": "private",
            "start_timeout": 10,
            **settings,
        }

    def spawner(self, user="alice", server="", state=None, **settings):
        spawner = LibcloudSpawner(
            user=fakes.user(user),
            hub=Hub(),
            orm_spawner=SimpleNamespace(name=server, server=None, user_options={}),
            api_token="a-token",
            user_options={},
            **{**self._settings, **settings},
        )
        spawner.__class__ = type("SpawnerOfOneHub", (LibcloudSpawner,), {"_fleet": self.fleet})
        spawner.clear_state()
        spawner.load_state(state or {})
        return spawner

    def die(self):
        """As after SIGKILL: nothing of it runs on."""
        for task in (self.fleet._housekeeping, *self.fleet._destroying.values()):
            if task:
                task.cancel()


@pytest.fixture
async def new_hub(cloud):
    hubs = []

    def new_hub(**settings):
        hubs.append(OneHub(cloud, **settings))
        return hubs[-1]

    yield new_hub
    for hub in hubs:
        hub.die()
    cloud.heal()
    await asyncio.sleep(0)


@pytest.fixture
def hub(new_hub):
    return new_hub()


async def start(spawner, seconds=10.0):
    """As JupyterHub starts a server: after a failure it stops what poll() says is there."""
    try:
        return await asyncio.wait_for(spawner.start(), seconds)
    except BaseException:
        await stop(spawner)
        raise


async def stop(spawner):
    """As JupyterHub stops a server: whatever comes of it, the state is forgotten."""
    try:
        if await spawner.poll() is None:
            await spawner.stop()
    finally:
        spawner.clear_state()


def state_of(spawner):
    """What the hub's database keeps."""
    return json.loads(json.dumps(spawner.get_state()))


def requests_of(cloud):
    return sorted(server.metadata["libcloudspawner-request"] for server in cloud.servers.values())


async def some_cycles():
    """Long enough for housekeeping to destroy what it takes for an orphan."""
    await asyncio.sleep(2 * ORPHAN_SECONDS)


# --- starting -----------------------------------------------------------------------------------------------


async def test_a_server_starts_on_a_machine_of_its_own_and_ends_with_it(hub, cloud):
    cloud.boot_seconds = 0.2
    spawner = hub.spawner()
    url = await start(spawner)
    (server,) = cloud.servers.values()
    assert url == f"http://{server.address}:8000"
    assert await spawner.poll() is None
    await stop(spawner)
    assert not cloud.servers
    assert cloud.counts["POST /servers"] == 1


@pytest.mark.parametrize("fault", [faults.delay, faults.late_answer])
async def test_f1_a_start_that_is_given_up_while_its_machine_is_made_leaves_none(hub, cloud, fault):
    cloud.inject(fault("POST", "/servers", 0.8))
    spawner = hub.spawner()
    with pytest.raises(asyncio.TimeoutError):
        await start(spawner, 0.4)
    assert await spawner.poll() == 0
    await eventually(lambda: cloud.deleted)
    assert not cloud.servers
    assert cloud.counts["POST /servers"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        faults.accept_then_cut("POST", "/servers"),
        faults.accept_then_status("POST", "/servers", 500),
        faults.accept_then_garble("POST", "/servers"),
        faults.accept_then_hang("POST", "/servers"),
        faults.accept_then_cut("POST", "/servers", misses_listings=1),
    ],
    ids=["cut", "500", "garbled", "hangs", "cut and late in listings"],
)
async def test_f2_a_machine_whose_creation_was_not_answered_is_adopted(impatient, hub, cloud, fault):
    cloud.inject(fault)
    spawner = hub.spawner()
    await start(spawner)
    await some_cycles()
    assert requests_of(cloud) == [spawner.request_id]
    assert await spawner.poll() is None
    assert cloud.counts["POST /servers"] == 1


async def test_f2_a_machine_that_appears_after_nobody_waits_any_more_is_destroyed(hub, cloud):
    cloud.inject(faults.accept_then_cut("POST", "/servers", misses_listings=12))
    with pytest.raises(SpawnException):
        await start(hub.spawner())
    assert len(cloud.servers) == 1
    await eventually(lambda: not cloud.servers)
    assert cloud.counts["POST /servers"] == 1


async def test_f2_a_creation_that_was_cut_before_it_did_anything_is_not_repeated(hub, cloud):
    cloud.inject(faults.cut("POST", "/servers"))
    with pytest.raises(SpawnException):
        await start(hub.spawner())
    assert not cloud.servers
    assert cloud.counts["POST /servers"] == 1


@pytest.mark.parametrize("status", [404, 503])
async def test_f3_what_cannot_be_looked_at_after_its_creation_is_kept(hub, cloud, status):
    spawner = hub.spawner()
    await start(hub.spawner("bob"))
    cloud.inject(faults.answer("GET", "/servers.*", status, times=4))
    await start(spawner)
    assert spawner.request_id in requests_of(cloud)
    assert cloud.counts["POST /servers"] == 2


async def test_f14_a_full_project_is_told_in_the_words_of_the_cloud(hub, cloud):
    cloud.quota_instances = 1
    first, second = hub.spawner(), hub.spawner("bob")
    await start(first)
    with pytest.raises(SpawnException) as caught:
        await start(second)
    assert "Quota exceeded for instances" in caught.value.message
    assert caught.value.reason == "quota"
    assert await first.poll() is None
    assert cloud.counts["POST /servers"] == 2
    await stop(first)
    await start(second)


async def test_f14_a_machine_in_error_ends_the_start_at_once_and_is_deleted(hub, cloud):
    cloud.boot_seconds = 60
    spawner = hub.spawner()
    starting = asyncio.create_task(start(spawner))
    await eventually(lambda: cloud.servers)
    await asyncio.sleep(0.3)
    cloud.clear_calls()
    cloud.fail_server(next(iter(cloud.servers)), "No valid host was found. There are not enough hosts available.")
    with pytest.raises(SpawnException) as caught:
        await starting
    assert "No valid host was found. There are not enough hosts available." in caught.value.message.split("\n")[0]
    calls = [call.kind for call in cloud.calls]
    assert calls[: calls.index("DELETE /servers/{id}")].count("GET /servers/detail") <= 3  # one may be under way
    assert not cloud.servers
    assert await spawner.poll() == 0


async def test_f14_a_cloud_without_room_fails_every_start_and_keeps_nothing(hub, cloud):
    cloud.boot_seconds = 60
    cloud.inject(faults.boot_fails(0.1, times=FOREVER))
    outcomes = await asyncio.gather(*(start(hub.spawner(f"user-{n}")) for n in range(5)), return_exceptions=True)
    assert all("No valid host" in outcome.message for outcome in outcomes)
    await eventually(lambda: not cloud.servers)


async def test_f15_a_machine_that_boots_and_never_answers_shows_its_console(hub, cloud):
    cloud.guest = "never"
    starting = asyncio.create_task(start(hub.spawner(start_timeout=2)))
    await eventually(lambda: cloud.servers)
    cloud.write_console(
        next(iter(cloud.servers)), *(f"line {number}" for number in range(40)), "Kernel panic - <not> syncing"
    )
    with pytest.raises(SpawnException) as caught:
        await starting
    first, *tail = caught.value.message.split("\n")
    assert "did not answer" in first
    assert tail == [*(f"line {number}" for number in range(21, 40)), "Kernel panic - <not> syncing"]
    assert "Kernel panic - &lt;not&gt; syncing" in caught.value.message_html
    assert not cloud.servers


async def test_f15_the_console_is_shown_also_when_the_machine_takes_its_time_to_go(hub, cloud, monkeypatch):
    monkeypatch.setattr(spawner_module, "_CLEANUP_SECONDS", 1)
    cloud.guest, cloud.delete_seconds = "never", 1.5
    with pytest.raises(SpawnException, match="login:"):
        await start(hub.spawner(start_timeout=2), seconds=2)


async def test_f13_a_cloud_that_throttles_gets_each_request_once(hub, cloud):
    cloud.inject(faults.rate_limit(10, burst=3, retry_after=0.2))
    spawners = [hub.spawner(f"user-{number}") for number in range(6)]
    await asyncio.gather(*map(start, spawners))
    assert requests_of(cloud) == sorted(spawner.request_id for spawner in spawners)
    assert sum(call.kind == "POST /servers" and call.status == 202 for call in cloud.calls) == 6
    assert any(call.status == 429 for call in cloud.calls)
    assert [await spawner.poll() for spawner in spawners] == [None] * 6


async def test_f20_a_start_and_a_stop_live_through_the_end_of_a_token(hub, cloud):
    cloud.boot_seconds = 0.3
    spawner = hub.spawner()
    cloud.token_seconds, cloud.clock_skew_seconds = 0.2, 60
    await start(spawner)
    await asyncio.sleep(0.2)
    assert await spawner.poll() is None
    cloud.expire_tokens()
    await stop(spawner)
    assert not cloud.servers
    assert cloud.counts["POST /servers"] == 1


async def test_two_servers_of_one_user_at_once_are_two_machines(hub, cloud):
    cloud.boot_seconds = 0.1
    first, second = hub.spawner(), hub.spawner(server="gpu")
    urls = await asyncio.gather(start(first), start(second))
    assert len(cloud.servers) == len(set(urls)) == 2
    await stop(first)
    assert requests_of(cloud) == [second.request_id]
    assert await second.poll() is None


# --- running ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_unplugged", [True, False])
async def test_f5_a_restart_while_the_cloud_cannot_be_asked_drops_no_server(new_hub, cloud, is_unplugged):
    first = new_hub()
    before = [first.spawner(f"user-{number}") for number in range(3)]
    await asyncio.gather(*map(start, before))
    first.die()
    if is_unplugged:
        cloud.unplug()
    else:
        cloud.inject(faults.answer(".*", ".*", 503, times=FOREVER))
    second = new_hub()
    after = [second.spawner(f"user-{number}", state=state_of(one)) for number, one in enumerate(before)]
    assert [await spawner.poll() for spawner in after] == [None] * 3
    cloud.heal()
    if is_unplugged:
        cloud.plug_in()
    await some_cycles()
    assert [await spawner.poll() for spawner in after] == [None] * 3
    assert requests_of(cloud) == sorted(spawner.request_id for spawner in before)
    assert not cloud.deleted


async def test_f6_a_cloud_that_fails_now_and_then_drops_no_server(hub, cloud):
    spawners = [hub.spawner(f"user-{number}") for number in range(4)]
    await asyncio.gather(*map(start, spawners))
    fault = cloud.inject(faults.answer("GET", ".*", 500, probability=0.3, times=FOREVER))
    for _ in range(20):
        assert [await spawner.poll() for spawner in spawners] == [None] * 4
        await asyncio.sleep(0.06)
    assert 0 < cloud.faults[0].hits == fault.hits
    assert not cloud.deleted


async def test_f6_a_slow_cloud_drops_no_server(impatient, hub, cloud):
    spawner = hub.spawner()
    await start(spawner)
    cloud.latency = 2 * openstack._TIMEOUT_SECONDS
    await asyncio.sleep(0.1)
    assert await spawner.poll() is None
    cloud.latency = 0
    assert not cloud.deleted


async def test_f7_a_machine_that_listings_lack_at_first_is_waited_for(hub, cloud):
    cloud.boot_seconds = 0.2
    cloud.inject(faults.late_in_listings(5))
    spawner = hub.spawner()
    await start(spawner)
    assert cloud.counts["GET /servers/detail"] > 5
    assert cloud.counts["POST /servers"] == 1
    assert requests_of(cloud) == [spawner.request_id]


async def test_f7_a_machine_that_listings_lack_for_a_while_still_runs(hub, cloud):
    spawner = hub.spawner()
    await start(spawner)
    (server,) = cloud.servers.values()
    server.listings_to_miss = 5
    while server.listings_to_miss:
        await asyncio.sleep(0.06)
        assert await spawner.poll() is None
    assert await spawner.poll() is None
    assert not cloud.deleted


async def test_f8_a_listing_that_is_cut_short_drops_no_server_and_deletes_nothing(hub, cloud):
    spawners = [hub.spawner(f"user-{number}") for number in range(5)]
    await asyncio.gather(*map(start, spawners))
    cloud.page_size = 2
    cloud.inject(faults.second_page_fails(times=FOREVER))
    await some_cycles()
    assert [await spawner.poll() for spawner in spawners] == [None] * 5
    assert len(cloud.servers) == 5
    assert cloud.counts["DELETE /servers/{id}"] == 0


async def test_f8_what_is_stopped_is_deleted_also_while_no_listing_is_complete(hub, cloud):
    spawners = [hub.spawner(f"user-{number}") for number in range(5)]
    await asyncio.gather(*map(start, spawners))
    cloud.page_size = 2
    cloud.inject(faults.second_page_fails(times=FOREVER))
    stopping = asyncio.create_task(stop(spawners[0]))
    await eventually(lambda: len(cloud.servers) == 4)
    cloud.heal()
    await stopping


# --- stopping -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        faults.failed_delete(500, times=3),
        faults.failed_delete(409, times=3),
        faults.cut("DELETE", "/servers/{id}", times=3),
        faults.accept_then_cut("DELETE", "/servers/{id}"),
        faults.ignored_delete(times=3),
    ],
    ids=["500", "409", "cut", "cut after the work", "ignored"],
)
async def test_f16_a_deletion_that_fails_is_tried_until_the_machine_is_gone(hub, cloud, fault):
    spawner, other = hub.spawner(), hub.spawner("bob")
    await start(spawner)
    await start(other)
    cloud.inject(fault)
    await stop(spawner)
    assert requests_of(cloud) == [other.request_id]


async def test_f16_a_machine_that_will_not_go_is_in_nobodys_way(hub, cloud, monkeypatch):
    monkeypatch.setattr(spawner_module, "_STOP_SECONDS", 0.3)
    cloud.inject(faults.failed_delete(500, times=FOREVER))
    spawner = hub.spawner()
    await start(spawner)
    old = spawner.request_id
    await stop(spawner)
    await start(spawner)
    assert requests_of(cloud) == sorted([old, spawner.request_id])
    cloud.heal()
    await eventually(lambda: requests_of(cloud) == [spawner.request_id])
    assert await spawner.poll() is None


async def test_f16_a_machine_that_takes_its_time_to_go_is_waited_for(hub, cloud):
    cloud.delete_seconds = 0.5
    spawner = hub.spawner()
    await start(spawner)
    await stop(spawner)
    assert not cloud.servers


async def test_f17_stopping_twice_at_once_is_stopping(hub, cloud):
    spawner = hub.spawner()
    await start(spawner)
    cloud.delete_seconds = 0.2
    await asyncio.gather(spawner.stop(), spawner.stop())
    await spawner.stop()
    assert not cloud.servers
    assert await spawner.poll() == 0


async def test_f17_stopping_what_is_gone_is_no_error(hub, cloud):
    spawner = hub.spawner()
    await start(spawner)
    cloud.delete_server(next(iter(cloud.servers)))
    await spawner.stop()
    assert await spawner.poll() == 0


async def test_f17_a_machine_that_was_removed_elsewhere_is_noticed(hub, cloud):
    spawner = hub.spawner()
    await start(spawner)
    cloud.delete_server(next(iter(cloud.servers)))
    await asyncio.sleep(0.1)
    assert await spawner.poll() == 0


@pytest.mark.parametrize("moment", ["while it is asked for", "while it boots"])
async def test_f17_stopping_during_the_start_leaves_nothing(hub, cloud, monkeypatch, moment):
    monkeypatch.setattr(fleet_module, "_ORPHAN_SECONDS", 60)
    if moment == "while it boots":
        cloud.boot_seconds = 60
    else:
        cloud.inject(faults.delay("POST", "/servers", 0.5))
    spawner = hub.spawner()
    starting = asyncio.create_task(start(spawner))
    await eventually(lambda: cloud.counts["POST /servers"])
    await asyncio.sleep(0.1)
    await stop(spawner)
    with pytest.raises(SpawnException, match="stopped while it started"):
        await asyncio.wait_for(starting, 5)
    assert len(cloud.deleted) == 1
    assert not cloud.servers


async def test_f17_stopping_while_a_predecessor_is_waited_for_starts_nothing(hub, cloud, monkeypatch):
    monkeypatch.setattr(spawner_module, "_STOP_SECONDS", 0.1)
    cloud.inject(faults.failed_delete(500, times=FOREVER))
    spawner = hub.spawner()
    await start(spawner)
    await stop(spawner)
    starting = asyncio.create_task(start(spawner))
    await asyncio.sleep(0.1)
    await stop(spawner)
    with pytest.raises(SpawnException, match="stopped before it started"):
        await starting
    assert cloud.counts["POST /servers"] == 1


async def test_f18_only_what_is_this_hubs_and_nobodys_is_destroyed(hub, new_hub, cloud, monkeypatch):
    monkeypatch.setattr(fleet_module, "_ORPHAN_SECONDS", 1.5)
    foreign = [
        cloud.seed_server("by-hand"),
        cloud.seed_server("jupyter-bob", metadata={"libcloudspawner-hub": "hub"}),
        cloud.seed_server("jupyter-eve", metadata={"libcloudspawner-request": "r-eve"}),
    ]
    other = new_hub(hub_id="other").spawner()
    await start(other)
    spawner = hub.spawner("carol")
    await start(spawner)
    leaked = OpenStackProvider("hub", cloud.driver_params()).create(launch_request(image="jupyter", port=8000))
    await asyncio.sleep(0.3)
    assert leaked.id in cloud.servers
    await eventually(lambda: leaked.id not in cloud.servers)
    await some_cycles()
    assert [server.id for server in cloud.deleted] == [leaked.id]
    assert {server.id for server in foreign} < set(cloud.servers)
    assert (await other.poll(), await spawner.poll()) == (None, None)


# --- the hub itself -----------------------------------------------------------------------------------------


async def longest_block(work):
    """What comes of ``work``, and how long the event loop stood still at the most meanwhile."""
    longest, task = 0.0, asyncio.ensure_future(work)
    while not task.done():
        began = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - began)
    return await task, longest


async def test_f24_the_event_loop_goes_on_while_the_cloud_is_slow(hub, cloud):
    cloud.latency = 1.0
    spawner = hub.spawner()

    async def live():
        await start(spawner)
        await spawner.poll()
        await stop(spawner)

    _, longest = await longest_block(live())
    assert longest < cloud.latency, "no call to the cloud may be waited for in the event loop"


async def test_f25_calls_that_hang_hold_up_neither_a_poll_nor_a_deletion(impatient, hub, cloud):
    spawners = [hub.spawner(f"user-{number}") for number in range(12)]
    await asyncio.gather(*map(start, spawners))
    cloud.inject(faults.hang("GET", ".*", times=FOREVER))
    cloud.inject(faults.hang("POST", "/servers", times=FOREVER))
    await asyncio.sleep(0.1)
    starts = [asyncio.create_task(start(hub.spawner(f"late-{number}"), 5)) for number in range(3)]
    polls = asyncio.gather(*(spawner.poll() for spawner in spawners))
    stopping = asyncio.create_task(stop(spawners[0]))
    await eventually(lambda: len(cloud.servers) == 11)
    assert await asyncio.wait_for(polls, 5) == [None] * 12
    cloud.heal()
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    assert all(isinstance(outcome, (str, SpawnException)) for outcome in outcomes)
    await stopping
    assert [await spawner.poll() for spawner in spawners[1:]] == [None] * 11
    await start(hub.spawner("latest"))
