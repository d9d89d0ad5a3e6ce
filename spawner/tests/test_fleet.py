# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import asyncio
import time

import pytest
from fakes import FakeProvider, eventually, launch_request
from libcloudspawner import fleet as fleet_module
from libcloudspawner.fleet import Fleet, InstanceFailed
from libcloudspawner.providers.base import OutcomeUnknown, ProviderError, ProviderUnreachable, State


@pytest.fixture
def provider():
    provider = FakeProvider()
    yield provider
    provider.release_all()


@pytest.fixture
def fleet(provider, monkeypatch):
    monkeypatch.setattr(fleet_module, "_DESTROY_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(fleet_module, "_PROBE_SECONDS", 0.01)
    monkeypatch.setattr(fleet_module, "_WATCH_LISTING_SECONDS", 0.02)
    return Fleet(provider)


@pytest.fixture
async def squatter():
    """A port that somebody else's program answers at."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1")
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def cancel(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- the listing --------------------------------------------------------------------------------------------


async def test_one_listing_serves_everybody_who_asks_at_once(fleet, provider):
    provider.create(launch_request("alice"))
    provider.befall("list", seconds=0.05)
    found = await asyncio.gather(*(fleet.find(name) for name in ["alice", "bob"] * 25))
    assert [instance and instance.name for instance in found] == ["alice", None] * 25
    assert provider.count("list") == 1


async def test_a_listing_is_used_until_it_is_older_than_asked_for(fleet, provider):
    await fleet.find("alice")
    provider.create(launch_request("alice"))
    assert await fleet.find("alice", max_age=60) is None
    assert await fleet.find("alice", max_age=0) is not None
    assert provider.count("list") == 2


async def test_a_listing_under_way_that_began_before_is_older_than_asked_for(fleet, provider):
    trouble = provider.befall("list", hangs=True, works_first=True)
    early = asyncio.create_task(fleet.find("alice"))
    await eventually(trouble.begun.is_set)
    provider.create(launch_request("alice"))
    late = asyncio.create_task(fleet.find("alice", max_age=0))
    await asyncio.sleep(0.01)
    trouble.release.set()
    assert await early is None
    assert await late is not None


@pytest.mark.parametrize("error", [ProviderError("no"), ProviderUnreachable("cut off"), OutcomeUnknown("no answer")])
async def test_a_listing_that_fails_is_not_an_empty_one(fleet, provider, error):
    provider.create(launch_request("alice"))
    assert await fleet.find("alice") is not None
    provider.befall("list", seconds=0.05, error=error)
    failed = await asyncio.gather(*(fleet.find("alice", max_age=0) for _ in range(5)), return_exceptions=True)
    assert failed == [error] * 5
    assert await fleet.find("alice", max_age=0) is not None


async def test_who_gives_up_waiting_does_not_take_the_listing_from_others(fleet, provider):
    provider.create(launch_request("alice"))
    trouble = provider.befall("list", hangs=True)
    impatient, patient = asyncio.create_task(fleet.find("alice")), asyncio.create_task(fleet.find("alice"))
    await eventually(trouble.begun.is_set)
    await cancel(impatient)
    trouble.release.set()
    assert await patient is not None
    assert provider.count("list") == 1


# --- launching ----------------------------------------------------------------------------------------------


async def test_an_instance_whose_launch_is_given_up_is_destroyed_when_it_appears(fleet, provider):
    trouble = provider.befall("create", hangs=True)
    launch = asyncio.create_task(fleet.launch(launch_request("alice")))
    await eventually(trouble.begun.is_set)
    await cancel(launch)
    trouble.release.set()
    await eventually(lambda: provider.count("destroy"))
    await eventually(lambda: not provider.names)


async def test_an_instance_that_appears_while_its_destroying_is_under_way_is_destroyed_too(fleet, provider):
    creation = provider.befall("create", hangs=True)
    destruction = provider.befall("destroy", hangs=True, works_first=True)
    launch = asyncio.create_task(fleet.launch(launch_request("alice", "r1")))
    await eventually(creation.begun.is_set)
    await cancel(launch)
    fleet.destroy_in_background("alice", "r1")
    await asyncio.sleep(0.05)
    creation.release.set()
    await asyncio.sleep(0.05)
    destruction.release.set()
    await eventually(lambda: not provider.names)


async def test_a_launch_waits_for_an_earlier_one_that_was_given_up(fleet, provider):
    trouble = provider.befall("create", hangs=True)
    first = asyncio.create_task(fleet.launch(launch_request("alice", "r1")))
    await eventually(trouble.begun.is_set)
    await cancel(first)
    second = asyncio.create_task(fleet.launch(launch_request("alice", "r2")))
    await asyncio.sleep(0.05)
    trouble.release.set()
    instance = await second
    await asyncio.sleep(0.05)
    assert await fleet.find("alice", max_age=0) == instance
    assert instance.request_id == "r2"


async def test_a_launch_given_up_before_its_turn_creates_nothing(fleet, provider, monkeypatch):
    trouble = provider.befall("log", times=fleet_module._CONCURRENT_CALLS, hangs=True)
    busy = [
        asyncio.create_task(fleet.wait_until_ready(provider.create(launch_request(f"u{number}")), 0))
        for number in range(fleet_module._CONCURRENT_CALLS)
    ]
    await eventually(trouble.begun.is_set)
    launch = asyncio.create_task(fleet.launch(launch_request("alice")))
    await asyncio.sleep(0.01)
    await cancel(launch)
    provider.release_all()
    await asyncio.gather(*busy, return_exceptions=True)
    assert provider.count("create", "alice") == 0


async def test_an_instance_is_destroyed_when_its_creation_ended_unclearly(fleet, provider):
    provider.befall("create", works_first=True, error=OutcomeUnknown("the answer was lost"))
    with pytest.raises(OutcomeUnknown):
        await fleet.launch(launch_request("alice"))
    await eventually(lambda: provider.count("destroy"))
    await eventually(lambda: not provider.names)


@pytest.mark.parametrize("error", [ProviderError("the account is refused"), ProviderUnreachable("cut off")])
async def test_a_creation_that_failed_for_sure_needs_no_destroying(fleet, provider, error):
    provider.befall("create", error=error)
    with pytest.raises(type(error)):
        await fleet.launch(launch_request("alice"))
    await asyncio.sleep(0.02)
    assert provider.count("destroy") == 0


async def test_a_creation_is_never_repeated(fleet, provider):
    provider.befall("create", error=OutcomeUnknown("no answer"))
    with pytest.raises(OutcomeUnknown):
        await fleet.launch(launch_request("alice"))
    await eventually(lambda: provider.count("destroy"))
    assert provider.count("create") == 1


async def test_a_launch_waits_until_its_predecessor_is_gone(fleet, provider):
    provider.create(launch_request("alice", "r1"))
    trouble = provider.befall("destroy", hangs=True)
    fleet.destroy_in_background("alice")
    await eventually(trouble.begun.is_set)
    launch = asyncio.create_task(fleet.launch(launch_request("alice", "r2")))
    other = await fleet.launch(launch_request("bob"))
    assert other.name == "bob"
    assert not launch.done()
    trouble.release.set()
    assert (await launch).request_id == "r2"
    assert provider.names == {"alice", "bob"}


# --- destroying ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ProviderError("busy"), OutcomeUnknown("no answer"), ValueError("a bug")])
async def test_destroying_goes_on_until_it_works(fleet, provider, error):
    provider.create(launch_request("alice"))
    provider.befall("destroy", times=3, error=error)
    await fleet.destroy_in_background("alice")
    assert provider.count("destroy") == 4
    assert not provider.names


async def test_the_pauses_between_tries_grow_to_a_limit(fleet, provider, monkeypatch):
    monkeypatch.setattr(fleet_module, "_DESTROY_RETRY_SECONDS_MAX", 0.02)
    provider.befall("destroy", times=8, error=ProviderError("busy"))
    began = time.monotonic()
    await fleet.destroy_in_background("alice")
    assert 0.01 + 7 * 0.02 <= time.monotonic() - began < 2


async def test_an_instance_is_destroyed_once_at_a_time(fleet, provider):
    provider.create(launch_request("alice"))
    provider.befall("destroy", seconds=0.05)
    await asyncio.gather(*(fleet.destroy_in_background("alice") for _ in range(5)))
    assert provider.count("destroy") == 1
    await fleet.destroy_in_background("alice")
    assert provider.most_at_once["destroy", "alice"] == 1


async def test_destroying_goes_on_when_nobody_waits_for_it_any_more(fleet, provider):
    provider.create(launch_request("alice"))
    trouble = provider.befall("destroy", hangs=True)
    waiting = asyncio.create_task(fleet.launch(launch_request("alice")))
    fleet.destroy_in_background("alice")
    await eventually(trouble.begun.is_set)
    await cancel(waiting)
    trouble.release.set()
    await eventually(lambda: not provider.names)


async def test_a_destroyed_instance_is_not_found_although_the_listing_is_fresh(fleet, provider):
    provider.create(launch_request("alice"))
    assert await fleet.find("alice") is not None
    await fleet.destroy_in_background("alice")
    assert await fleet.find("alice", max_age=60) is None


async def test_creations_that_hang_keep_no_instance_alive(fleet, provider):
    provider.create(launch_request("alice"))
    trouble = provider.befall("create", times=2 * fleet_module._CONCURRENT_CALLS, hangs=True)
    launches = [asyncio.create_task(fleet.launch(launch_request(f"user-{number}"))) for number in range(40)]
    await asyncio.wait_for(fleet.destroy_in_background("alice"), 2)
    assert not provider.names
    assert not trouble.release.is_set()
    provider.release_all()
    await asyncio.gather(*launches)


# --- waiting ------------------------------------------------------------------------------------------------


async def test_an_instance_is_ready_when_its_own_server_listens(fleet, provider, squatter):
    provider.is_ready_at_once = False
    await fleet.launch(launch_request("alice"))
    provider.change("alice", port=squatter)
    instance = await fleet.find("alice", max_age=0)
    waiting = asyncio.create_task(fleet.wait_until_ready(instance, 10))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    provider.change("alice", is_ready=True)
    assert (await waiting).is_ready


@pytest.mark.parametrize(("state", "is_ready"), [(State.FAILED, False), (State.RUNNING, True)])
async def test_a_predecessor_in_the_listing_is_not_taken_for_the_new_instance(fleet, provider, state, is_ready):
    provider.create(launch_request("alice", "r1"))
    provider.change("alice", state=state, is_ready=is_ready)
    await fleet.find("alice")
    instance = await fleet.launch(launch_request("alice", "r2"))
    assert (await fleet.wait_until_ready(instance, 5)).request_id == "r2"


@pytest.mark.parametrize("state", [State.FAILED, State.STOPPED])
async def test_an_instance_that_ends_is_reported_at_once_with_its_log(fleet, provider, state):
    provider.is_ready_at_once = False
    instance = await fleet.launch(launch_request("alice"))
    provider.cloud.logs["alice"] = [f"line {number}" for number in range(50)]
    provider.change("alice", state=state, detail="exit-code")
    began = time.monotonic()
    with pytest.raises(InstanceFailed) as caught:
        await fleet.wait_until_ready(instance, 30)
    first, *log = str(caught.value).split("\n")
    assert "exit-code" in first
    assert log == [f"line {number}" for number in range(30, 50)]
    assert time.monotonic() - began < 5


async def test_an_instance_that_never_answers_is_reported_with_its_log(fleet, provider):
    provider.is_ready_at_once = False
    instance = await fleet.launch(launch_request("alice"))
    provider.cloud.logs["alice"] = ["Waiting for a lock"]
    with pytest.raises(InstanceFailed, match="did not answer within 0 seconds") as caught:
        await fleet.wait_until_ready(instance, 0.1)
    assert str(caught.value).split("\n")[1:] == ["Waiting for a lock"]


async def test_a_log_that_cannot_be_read_does_not_hide_the_failure(fleet, provider):
    provider.is_ready_at_once = False
    instance = await fleet.launch(launch_request("alice"))
    provider.change("alice", state=State.FAILED, detail="oom-kill")
    provider.befall("log", error=OutcomeUnknown("no answer"))
    with pytest.raises(InstanceFailed, match="oom-kill"):
        await fleet.wait_until_ready(instance, 5)


async def test_a_while_without_listings_does_not_end_a_start(fleet, provider):
    instance = await fleet.launch(launch_request("alice"))
    provider.befall("list", times=3, error=OutcomeUnknown("no answer"))
    assert (await fleet.wait_until_ready(instance, 5)).is_ready


# --- the event loop -----------------------------------------------------------------------------------------


async def longest_block(work):
    """How long the event loop stood still at the most while ``work`` went on."""
    longest, task = 0.0, asyncio.ensure_future(work)
    while not task.done():
        began = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - began - 0.005)
    await task
    return longest


@pytest.mark.parametrize("method", ["create", "list", "destroy", "log"])
async def test_the_event_loop_goes_on_while_a_provider_takes_its_time(fleet, provider, method):
    provider.begins_as, provider.is_ready_at_once = State.FAILED, False

    async def live():
        provider.befall(method, seconds=0.3)
        instance = await fleet.launch(launch_request("alice"))
        with pytest.raises(InstanceFailed):
            await fleet.wait_until_ready(instance, 5)
        await fleet.destroy_in_background("alice")

    for _ in range(3):  # a busy machine may hold up any one of them
        if (longest := await longest_block(live())) < 0.05:
            break
    assert longest < 0.05
