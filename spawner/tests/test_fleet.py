# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest
from fakes import FakeProvider, eventually
from launch import launch_request
from libcloudspawner import fleet as fleet_module
from libcloudspawner import spawner
from libcloudspawner.fleet import Fleet, InstanceFailed
from libcloudspawner.providers import openstack
from libcloudspawner.providers.base import OutcomeUnknown, ProviderError, ProviderUnreachable, State


@pytest.fixture
def provider():
    provider = FakeProvider()
    yield provider
    provider.close()


@pytest.fixture
def fleet(provider, monkeypatch):
    monkeypatch.setattr(fleet_module, "_DESTROY_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(fleet_module, "_PROBE_SECONDS", 0.01)
    monkeypatch.setattr(fleet_module, "_ADOPT_SECONDS", 0.01)
    return Fleet(provider)


@pytest.fixture
def quick_house(monkeypatch):
    """Housekeeping that takes no minutes."""
    monkeypatch.setattr(fleet_module, "_HOUSEKEEPING_SECONDS", 0.02)
    monkeypatch.setattr(fleet_module, "_ORPHAN_SECONDS", 0.1)


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


# --- creating while others look -----------------------------------------------------------------------------


async def test_a_listing_from_while_an_instance_was_half_made_does_not_end_its_start(fleet, provider):
    create = provider._create

    def half_made(request):
        instance = create(request)
        provider.change(request.name, state=State.STOPPED, owns_port=False)
        return instance

    provider._create = half_made
    provider.is_ready_at_once = False
    creation = provider.befall("create", hangs=True, works_first=True)
    launch = asyncio.create_task(fleet.launch(launch_request("alice")))
    await eventually(creation.begun.is_set)
    listing = provider.befall("list", hangs=True, works_first=True)
    others = asyncio.create_task(fleet.find("r-bob", 0.0))
    await eventually(listing.begun.is_set)
    creation.release.set()
    instance = await launch
    provider.change("alice", state=State.RUNNING)
    listing.release.set()
    await others
    assert (await fleet.find("r-alice", 60)).state is State.RUNNING
    waiting = asyncio.create_task(fleet.wait_until_ready(instance, 5))
    await asyncio.sleep(0.05)
    provider.change("alice", owns_port=True)
    assert (await waiting).state is State.RUNNING


# --- the listing --------------------------------------------------------------------------------------------


async def test_one_listing_serves_everybody_who_asks_at_once(fleet, provider):
    provider.create(launch_request("alice"))
    provider.befall("list", seconds=0.05)
    found = await asyncio.gather(*(fleet.find(f"r-{name}") for name in ["alice", "bob"] * 25))
    assert [instance and instance.name for instance in found] == ["alice", None] * 25
    assert provider.count("list") == 1


async def test_a_listing_is_used_until_it_is_older_than_asked_for(fleet, provider):
    await fleet.find("r-alice")
    provider.create(launch_request("alice"))
    assert await fleet.find("r-alice", max_age=60) is None
    assert await fleet.find("r-alice", max_age=0) is not None
    assert provider.count("list") == 2


async def test_a_listing_under_way_that_began_before_is_older_than_asked_for(fleet, provider):
    trouble = provider.befall("list", hangs=True, works_first=True)
    early = asyncio.create_task(fleet.find("r-alice"))
    await eventually(trouble.begun.is_set)
    provider.create(launch_request("alice"))
    late = asyncio.create_task(fleet.find("r-alice", max_age=0))
    await asyncio.sleep(0.01)
    trouble.release.set()
    assert await early is None
    assert await late is not None


@pytest.mark.parametrize("error", [ProviderError("no"), ProviderUnreachable("cut off"), OutcomeUnknown("no answer")])
async def test_a_listing_that_fails_is_not_an_empty_one(fleet, provider, error):
    provider.create(launch_request("alice"))
    assert await fleet.find("r-alice") is not None
    provider.befall("list", seconds=0.05, error=error)
    failed = await asyncio.gather(*(fleet.find("r-alice", max_age=0) for _ in range(5)), return_exceptions=True)
    assert failed == [error] * 5
    assert await fleet.find("r-alice", max_age=0) is not None


async def test_who_gives_up_waiting_does_not_take_the_listing_from_others(fleet, provider):
    provider.create(launch_request("alice"))
    trouble = provider.befall("list", hangs=True)
    impatient, patient = asyncio.create_task(fleet.find("r-alice")), asyncio.create_task(fleet.find("r-alice"))
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
    launch = asyncio.create_task(fleet.launch(launch_request("alice")))
    await eventually(creation.begun.is_set)
    await cancel(launch)
    fleet.destroy_in_background("r-alice")
    await asyncio.sleep(0.05)
    creation.release.set()
    await asyncio.sleep(0.05)
    destruction.release.set()
    await eventually(lambda: not provider.names)


async def test_a_launch_waits_for_an_earlier_one_that_was_given_up(fleet, provider):
    trouble = provider.befall("create", hangs=True)
    first = asyncio.create_task(fleet.launch(launch_request("alice")))
    await eventually(trouble.begun.is_set)
    await cancel(first)
    second = asyncio.create_task(fleet.launch(launch_request("alice", "r2")))
    await asyncio.sleep(0.05)
    trouble.release.set()
    instance = await second
    await asyncio.sleep(0.05)
    assert await fleet.find("r2", max_age=0) == instance
    assert await fleet.find("r-alice", max_age=0) is None


async def test_a_launch_given_up_before_its_turn_creates_nothing(fleet, provider):
    trouble = provider.befall("create", times=fleet_module._CONCURRENT_CREATES, hangs=True)
    names = [f"user-{number}" for number in range(fleet_module._CONCURRENT_CREATES)]
    busy = [asyncio.create_task(fleet.launch(launch_request(name))) for name in names]
    await eventually(trouble.begun.is_set)
    launch = asyncio.create_task(fleet.launch(launch_request("alice")))
    await asyncio.sleep(0.01)
    await cancel(launch)
    provider.release_all()
    await asyncio.gather(*busy, return_exceptions=True)
    assert provider.count("create", "alice") == 0


async def test_a_launch_takes_the_place_of_what_is_listed_under_its_name(fleet, provider):
    provider.create(launch_request("alice", "r1"))
    await fleet.find("r1")
    await fleet.launch(launch_request("alice", "r2"))
    assert [instance.request_id for instance in provider.list()] == ["r2"]


@pytest.mark.parametrize("whose", [{"user": "bob"}, {"server": "lab"}])
async def test_a_launch_leaves_what_another_has_under_its_name_and_says_so(fleet, provider, whose):
    provider.create(launch_request("alice", "r1", **whose))
    await fleet.find("r1")
    with pytest.raises(ProviderError, match=r"The instance alice is that of (bob|alice, server lab)\. .*template"):
        await fleet.launch(launch_request("alice", "r2"))
    await fleet.destroy_in_background("r2")
    assert [instance.request_id for instance in provider.list()] == ["r1"]


async def test_a_destruction_that_just_ended_holds_up_nobody(fleet, provider):
    provider.create(launch_request("alice", "r1"))
    destruction = fleet.destroy_in_background("r1", "alice")
    launches = []
    destruction.add_done_callback(
        lambda _: launches.append(asyncio.create_task(fleet.launch(launch_request("alice", "r2"))))
    )
    await destruction
    await eventually(lambda: launches)
    assert (await asyncio.wait_for(launches[0], 5)).request_id == "r2"


async def test_an_instance_whose_creation_was_not_answered_is_taken_on(fleet, provider):
    provider.befall("create", works_first=True, error=OutcomeUnknown("the answer was lost"))
    assert (await fleet.launch(launch_request("alice"))).request_id == "r-alice"
    assert provider.count("create") == 1
    assert provider.count("destroy") == 0


async def test_a_creation_without_an_answer_and_without_an_instance_is_not_repeated(fleet, provider):
    provider.befall("create", error=OutcomeUnknown("no answer"))
    with pytest.raises(OutcomeUnknown):
        await fleet.launch(launch_request("alice"))
    assert provider.count("create") == 1


async def test_an_instance_that_appears_long_after_its_creation_failed_is_destroyed(fleet, provider, quick_house):
    provider.befall("create", error=OutcomeUnknown("no answer"))
    with pytest.raises(OutcomeUnknown):
        await fleet.launch(launch_request("alice"))
    provider.create(launch_request("alice"))
    await eventually(lambda: not provider.names)


@pytest.mark.parametrize("error", [ProviderError("the account is refused"), ProviderUnreachable("cut off")])
async def test_a_creation_that_failed_for_sure_needs_no_destroying(fleet, provider, error):
    provider.befall("create", error=error)
    with pytest.raises(type(error)):
        await fleet.launch(launch_request("alice"))
    await asyncio.sleep(0.02)
    assert provider.count("destroy") == 0


async def test_a_launch_waits_until_its_predecessor_is_gone(fleet, provider):
    provider.create(launch_request("alice"))
    trouble = provider.befall("destroy", hangs=True)
    fleet.destroy_in_background("r-alice", "alice")
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
    await fleet.destroy_in_background("r-alice")
    assert provider.count("destroy") == 4
    assert not provider.names


async def test_the_pauses_between_tries_grow_to_a_limit(fleet, provider, monkeypatch):
    monkeypatch.setattr(fleet_module, "_DESTROY_RETRY_SECONDS_MAX", 0.02)
    provider.create(launch_request("alice"))
    provider.befall("destroy", times=8, error=ProviderError("busy"))
    began = time.monotonic()
    await fleet.destroy_in_background("r-alice")
    # Its state is news to the first look, so the second follows as soon.
    assert 2 * 0.01 + 6 * 0.02 <= time.monotonic() - began < 2


async def test_an_instance_that_moves_on_is_looked_after_soon_again(fleet, provider, monkeypatch):
    """A machine that shuts down before it is deleted goes through several states."""
    instance = await fleet.launch(launch_request("alice"))
    states = [State.RUNNING, State.RUNNING, State.RUNNING, State.STOPPING, State.STOPPING, State.PAUSED]
    pauses = []

    async def look(request_id, pause):
        pauses.append(pause)
        if states:
            fleet._listing[request_id] = dataclasses.replace(instance, state=states.pop(0))
            return False
        return True

    monkeypatch.setattr(fleet, "_is_destroyed", look)
    await fleet.destroy_in_background("r-alice")
    assert [round(pause / fleet_module._DESTROY_RETRY_SECONDS) for pause in pauses] == [1, 1, 2, 4, 1, 2, 1]


async def test_an_instance_is_destroyed_once_at_a_time(fleet, provider):
    provider.create(launch_request("alice"))
    provider.befall("destroy", seconds=0.05)
    await asyncio.gather(*(fleet.destroy_in_background("r-alice") for _ in range(5)))
    assert provider.count("destroy") == 1
    await fleet.destroy_in_background("r-alice")
    assert provider.most_at_once["destroy", "alice"] == 1


async def test_destroying_goes_on_when_nobody_waits_for_it_any_more(fleet, provider):
    provider.create(launch_request("alice"))
    trouble = provider.befall("destroy", hangs=True)
    waiting = asyncio.create_task(fleet.launch(launch_request("alice", "r2")))
    fleet.destroy_in_background("r-alice", "alice")
    await eventually(trouble.begun.is_set)
    await cancel(waiting)
    trouble.release.set()
    await eventually(lambda: not provider.names)


async def test_a_destroyed_instance_is_not_found_although_the_listing_is_fresh(fleet, provider):
    provider.create(launch_request("alice"))
    assert await fleet.find("r-alice") is not None
    await fleet.destroy_in_background("r-alice")
    assert await fleet.find("r-alice", max_age=60) is None


async def test_creations_that_hang_keep_no_instance_alive(fleet, provider):
    provider.create(launch_request("alice"))
    trouble = provider.befall("create", times=2 * fleet_module._CONCURRENT_CREATES, hangs=True)
    launches = [asyncio.create_task(fleet.launch(launch_request(f"user-{number}"))) for number in range(80)]
    await asyncio.wait_for(fleet.destroy_in_background("r-alice"), 2)
    assert not provider.names
    assert not trouble.release.is_set()
    provider.release_all()
    await asyncio.gather(*launches)


# --- housekeeping -------------------------------------------------------------------------------------------


async def test_what_nobody_claims_is_destroyed_after_a_while(fleet, provider, quick_house, monkeypatch):
    monkeypatch.setattr(fleet_module, "_ORPHAN_SECONDS", 0.3)
    for name in ("alice", "bob"):
        provider.create(launch_request(name))
    fleet.claim("r-bob")
    fleet.keep_house()
    await asyncio.sleep(0.1)
    assert provider.names == {"alice", "bob"}
    await eventually(lambda: provider.names == {"bob"})
    await asyncio.sleep(0.5)
    assert provider.names == {"bob"}


async def test_a_claim_that_is_taken_back_protects_no_longer(fleet, provider, quick_house):
    await fleet.launch(launch_request("alice"))
    await asyncio.sleep(0.3)
    assert provider.names == {"alice"}
    fleet.release("r-alice")
    await eventually(lambda: not provider.names)


async def test_instances_of_another_hub_are_nobodys_orphans(fleet, provider, quick_house):
    other = FakeProvider("other", provider.cloud)
    other.create(launch_request("alice"))
    fleet.keep_house()
    await asyncio.sleep(0.3)
    assert other.names == {"alice"}


async def test_a_hub_that_has_forgotten_most_of_its_servers_destroys_none(fleet, provider, quick_house, caplog):
    for number in range(20):
        provider.create(launch_request(f"user-{number}"))
    for number in range(5):
        fleet.claim(f"r-user-{number}")
    fleet.keep_house()
    await asyncio.sleep(0.4)
    assert len(provider.names) == 20
    assert "15 of 20 instances belong to no server of this hub" in caplog.text


async def test_housekeeping_goes_on_after_listings_that_failed(fleet, provider, quick_house):
    provider.create(launch_request("alice"))
    provider.befall("list", times=3, error=ProviderUnreachable("cut off"))
    fleet.keep_house()
    await eventually(lambda: not provider.names)


# --- waiting ------------------------------------------------------------------------------------------------


async def test_an_instance_is_ready_when_its_own_server_listens(fleet, provider, squatter):
    provider.is_ready_at_once = False
    await fleet.launch(launch_request("alice"))
    provider.change("alice", port=squatter)
    instance = await fleet.find("r-alice", max_age=0)
    waiting = asyncio.create_task(fleet.wait_until_ready(instance, 10))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    provider.change("alice", owns_port=True)
    assert (await waiting).owns_port


@pytest.mark.parametrize(("state", "owns_port"), [(State.FAILED, False), (State.RUNNING, True)])
async def test_a_predecessor_in_the_listing_is_not_taken_for_the_new_instance(fleet, provider, state, owns_port):
    provider.create(launch_request("alice"))
    provider.change("alice", state=state, owns_port=owns_port)
    await fleet.find("r-alice")
    instance = await fleet.launch(launch_request("alice", "r2"))
    assert (await fleet.wait_until_ready(instance, 5)).request_id == "r2"


@pytest.mark.parametrize("state", [State.FAILED, State.STOPPED, State.PAUSED])
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


async def test_waiting_that_is_given_up_is_over_whatever_it_is_doing(fleet, provider, monkeypatch):
    monkeypatch.setattr(fleet_module, "_PROBE_SECONDS", 0)
    provider.is_ready_at_once = False
    instance = await fleet.launch(launch_request("alice"))
    for turns in range(200):
        waiting = asyncio.create_task(fleet.wait_until_ready(instance, 30))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=1)
        assert waiting.cancelled(), turns


async def test_an_instance_that_vanishes_is_reported_at_once(fleet, provider):
    provider.is_ready_at_once = False
    instance = await fleet.launch(launch_request("alice"))
    waiting = asyncio.create_task(fleet.wait_until_ready(instance, 30))
    await asyncio.sleep(0.1)
    provider.lose("alice")
    began = time.monotonic()
    with pytest.raises(InstanceFailed, match="vanished"):
        await waiting
    assert time.monotonic() - began < 10


async def test_an_instance_that_a_listing_lacks_is_asked_for_by_itself(fleet, provider):
    created = provider.create(launch_request("alice"))
    fleet._listing, fleet._listed_at = {}, time.monotonic()
    assert await fleet.find("r-alice") is None
    assert await fleet.exists("r-alice", created.id) == created
    provider.lose("alice")
    assert await fleet.exists("r-alice", created.id) is None


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
    assert (await fleet.wait_until_ready(instance, 5)).owns_port


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
        await fleet.destroy_in_background("r-alice")

    for _ in range(3):  # a busy machine may hold up any one of them
        if (longest := await longest_block(live())) < 0.05:
            break
    assert longest < 0.05


# --- what is kept of those who were deleted ------------------------------------------------------------------


async def test_what_could_not_be_forgotten_is_forgotten_later_and_nobody_gets_it_meanwhile(
    fleet, provider, monkeypatch
):
    monkeypatch.setattr(fleet_module, "_FORGET_SECONDS", 0.01)
    provider.befall("forget", error=ProviderUnreachable("The cloud cannot be reached"))
    last = provider.befall("forget", hangs=True)
    await fleet.forget("alice", "gpu", "jupyter-alice")
    with pytest.raises(ProviderError, match="could not be put away yet"):
        await fleet.launch(launch_request("alice"))
    await fleet.launch(launch_request("bob"))
    last.release.set()
    await eventually(lambda: not fleet._forgetting)
    assert provider.count("forget", "alice/gpu") == 2
    await fleet.launch(launch_request("alice", "r-2"))


async def test_what_is_refused_is_not_forgotten_time_and_again(fleet, provider):
    provider.befall("forget", error=ProviderError("No volumes", reason="no-volumes"))
    await fleet.forget("alice", "", "jupyter-alice")
    await asyncio.sleep(0.05)
    assert provider.count("forget") == 1
    assert not fleet._forgetting


async def test_a_machine_that_shuts_down_is_looked_at_often(fleet, provider, monkeypatch):
    monkeypatch.setattr(fleet_module, "_DESTROY_STOPPING_SECONDS", 0.02)
    instance = await fleet.launch(launch_request("alice"))
    provider.destroy = lambda one: provider.calls.append(("destroy", one.name))
    provider.change("alice", state=State.STOPPING)
    fleet.destroy_in_background(instance.request_id)
    await eventually(lambda: provider.count("destroy") > 50)
    provider.lose("alice")
    await eventually(lambda: not fleet._destroying)


def test_a_stop_outlasts_the_shutdown_of_a_machine():
    assert spawner._STOP_SECONDS > openstack._SHUTDOWN_SECONDS + fleet_module._DESTROY_STOPPING_SECONDS


async def test_starts_that_wait_for_their_volumes_hold_up_no_others(fleet, provider):
    provider.may_wait = lambda request: request.user.startswith("user-")
    provider.befall("create", times=64, hangs=True)
    waiting = [asyncio.create_task(fleet.launch(launch_request(f"user-{number}"))) for number in range(65)]
    await eventually(lambda: provider.count("create") == 64)
    assert (await fleet.launch(launch_request("bob"))).name == "bob"
    provider.release_all()
    assert len(await asyncio.gather(*waiting)) == 65


async def test_a_creation_knows_when_nobody_waits_for_it_any_more(fleet, provider):
    requests = []
    create = provider._create
    provider._create = lambda request: requests.append(request) or create(request)
    instance = await fleet.launch(launch_request("alice"))
    assert requests[0].is_wanted()
    await fleet.destroy_in_background(instance.request_id)
    assert not requests[0].is_wanted()
