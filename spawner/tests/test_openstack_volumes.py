# SPDX-License-Identifier: BSD-3-Clause
"""Homes on volumes of a cloud: made once, attached with the machine, kept; and never the wrong one."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from fakecloud import Volume, faults
from launch import launch_request
from libcloudspawner import volumes as command
from libcloudspawner.providers import openstack, openstack_volumes
from libcloudspawner.providers.base import ProviderError, ProviderUnreachable, State
from libcloudspawner.providers.openstack import OpenStackProvider

PLACEMENT = {"storage_type": "volume", "storage_capacity": 10 * 2**30}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(openstack_volumes, "_POLL_SECONDS", 0.02)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(openstack_volumes, "_READY_SECONDS", 0.2)


@pytest.fixture
def provider(cloud):
    return OpenStackProvider("hub", cloud.driver_params())


def request(name="alice", request_id="", **values):
    placement = {**PLACEMENT, **values.pop("placement", {})}
    return launch_request(name, request_id, **{"image": "jupyter", "port": 8000, "placement": placement, **values})


def end(provider, request_id):
    """As the fleet ends an instance: until no listing has it."""
    for _ in range(200):
        found = [one for one in provider.list() if one.request_id == request_id]
        if not found:
            return
        provider.destroy(found[0])
        time.sleep(0.01)
    pytest.fail("it is still there")


def only(collection):
    (one,) = collection.values()
    return one


# --- made once ----------------------------------------------------------------------------------------------


def test_a_volume_bears_its_marks_from_the_request_that_makes_it(cloud, provider):
    created = provider.create(request("alice-gpu", user="Alice Ä", server="gpu"))
    volume = only(cloud.volumes)
    assert volume.metadata == {
        "libcloudspawner-hub": "hub",
        "libcloudspawner-user": "Alice Ä",
        "libcloudspawner-server": "gpu",
    }
    assert (volume.name, volume.size, volume.volume_type) == ("jupyter-alice-gpu", 10, "__DEFAULT__")
    assert cloud.counts["POST /volumes/{id}/metadata"] == 0
    assert created.volume == provider.get(created.id).volume == volume.id


def test_a_volume_is_attached_by_the_request_that_makes_the_machine_and_outlives_it(cloud, provider):
    provider.create(request())
    server, volume = only(cloud.servers), only(cloud.volumes)
    assert (volume.status, volume.server) == ("in-use", server.id)
    assert [disk["delete_on_termination"] for disk in server.block_devices] == [True, False]
    end(provider, "r-alice")
    assert (volume.status, volume.server) == ("available", "")
    assert cloud.volumes == {volume.id: volume}


def test_the_next_start_has_the_same_volume_also_after_a_restart_of_the_hub(cloud, provider):
    first = provider.create(request(request_id="r-1"))
    end(provider, "r-1")
    again = OpenStackProvider("hub", cloud.driver_params())
    larger = {"storage_capacity": 99 * 2**30}
    assert again.create(request(request_id="r-2", placement=larger)).volume == first.volume
    assert only(cloud.volumes).size == 10
    assert cloud.counts["POST /volumes"] == 1


def test_each_server_of_a_user_and_each_hub_has_a_volume_of_its_own(cloud, provider):
    other = OpenStackProvider("other", cloud.driver_params())
    created = [
        provider.create(request("alice")),
        provider.create(request("alice-gpu", user="alice", server="gpu")),
        provider.create(request("bob")),
        other.create(request("alice")),
    ]
    assert len({one.volume for one in created}) == len(cloud.volumes) == 4


def test_two_starts_at_once_make_one_volume(cloud, provider, monkeypatch):
    cloud.volume_seconds = 0.1

    def start(number):
        try:
            return provider.create(request(request_id=f"r-{number}")).volume
        except ProviderError as error:
            return error.reason

    monkeypatch.setattr(openstack_volumes, "_READY_SECONDS", 0.5)
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(start, range(4)))
    assert cloud.counts["POST /volumes"] == 1
    assert len(cloud.servers) == said.count(only(cloud.volumes).id) == 1


def test_volumes_of_twenty_starts_at_once_cost_few_listings(cloud, provider):
    cloud.volume_seconds = 0.2
    provider.create(request("first"))
    cloud.clear_calls()
    with ThreadPoolExecutor(20) as threads:
        made = list(threads.map(lambda number: provider.create(request(f"user-{number}")).volume, range(20)))
    assert len(set(made)) == 20
    assert cloud.counts["GET /volumes/{id}"] == 0
    assert cloud.counts["GET /volumes/detail"] < 40


@pytest.mark.parametrize("name", ["volumev3", "block-storage"])
def test_volumes_are_found_whatever_the_catalogue_calls_them(cloud, name):
    cloud.volume_service = name
    assert OpenStackProvider("hub", cloud.driver_params()).create(request()).volume == only(cloud.volumes).id


def test_a_volume_is_found_on_any_page(cloud, provider):
    first = provider.create(request(request_id="r-1"))
    end(provider, "r-1")
    for number in range(5):
        cloud.volumes[f"v{number}"] = Volume(f"v{number}", "another", 1, created=time.time() + number)
    cloud.page_size = 2
    assert provider.create(request(request_id="r-2")).volume == first.volume


@pytest.mark.parametrize(
    "fault",
    [
        faults.accept_then_cut("POST", "/volumes"),
        faults.accept_then_status("POST", "/volumes", 500),
        faults.accept_then_garble("POST", "/volumes"),
    ],
    ids=["cut", "500", "garbled"],
)
def test_the_making_of_a_volume_is_never_repeated_blindly(cloud, provider, fault):
    cloud.inject(fault)
    created = provider.create(request())
    assert created.volume == only(cloud.volumes).id
    assert cloud.counts["POST /volumes"] == 1


def test_a_volume_that_was_not_made_makes_no_machine_and_a_later_start_tries_again(cloud, provider, monkeypatch):
    cloud.inject(faults.answer("POST", "/volumes", 500))
    for _try in range(2):
        with pytest.raises(ProviderError, match=r"not clear whether a volume for your files was made\. Try again"):
            provider.create(request())
    assert not cloud.servers
    assert cloud.counts["POST /volumes"] == 1
    monkeypatch.setattr(openstack_volumes, "_UNCLEAR_SECONDS", 0)
    provider.create(request())
    assert len(cloud.volumes) == 1


def test_a_volume_that_appears_after_an_unclear_answer_is_found_by_the_next_start_and_is_no_new_one(cloud, provider):
    cloud.inject(faults.answer("POST", "/volumes", 500))
    with pytest.raises(ProviderError, match="not clear"):
        provider.create(request())
    marks = {"libcloudspawner-hub": "hub", "libcloudspawner-user": "alice", "libcloudspawner-server": ""}
    cloud.volumes["late"] = Volume("late", "late", 10, marks, status="available")
    assert provider.create(request()).volume == "late"
    assert cloud.counts["POST /volumes"] == 1


def test_a_volume_in_trouble_that_is_found_after_an_unclear_answer_is_not_deleted(cloud, provider):
    cloud.inject(faults.Fault(method="POST", path="/volumes", fails_after=0, works_first=True, cut=True))
    with pytest.raises(ProviderError, match="is in the state error"):
        provider.create(request())
    assert only(cloud.volumes).status == "error"


def test_of_two_volumes_the_one_is_taken_that_a_server_has_had(cloud, provider):
    first = provider.create(request(request_id="r-1"))
    end(provider, "r-1")
    cloud.volumes["copy"] = Volume("copy", "copy", 10, dict(cloud.volumes[first.volume].metadata), status="available")
    provider.notice_use(first)
    assert provider.create(request(request_id="r-2")).volume == first.volume
    assert set(cloud.volumes) == {first.volume, "copy"}


def test_an_answer_that_makes_no_sense_is_an_unclear_one(cloud, provider):
    cloud.inject(faults.answer("POST", "/volumes", 202))
    with pytest.raises(ProviderError, match="not clear whether a volume") as caught:
        provider.create(request())
    assert caught.value.reason == "unknown-outcome"


def test_the_volume_is_of_the_type_and_in_the_zone_of_the_machine(cloud, provider):
    provider.create(request(placement={"storage_volume_type": "fast", "userserver_availability_zone": "west"}))
    volume = only(cloud.volumes)
    assert (volume.volume_type, volume.availability_zone) == ("fast", "west")
    assert volume.status == "in-use"


@pytest.mark.parametrize(
    ("placement", "said"),
    [
        ({"storage_volume_type": "slow"}, "Volume type with name slow could not be found"),
        ({"userserver_availability_zone": "east"}, "Availability zone 'east' is invalid"),
    ],
)
def test_a_type_or_zone_that_the_cloud_does_not_have_is_refused_in_its_words(cloud, provider, placement, said):
    with pytest.raises(ProviderError, match=said):
        provider.create(request(placement=placement))
    assert not cloud.volumes
    assert not cloud.servers


def test_without_storage_of_type_volume_nobody_asks_for_volumes(cloud, provider):
    cloud.volume_service = ""
    created = provider.create(request(placement={"storage_type": "home"}))
    assert created.volume == ""
    assert only(cloud.servers).block_devices == []
    provider.destroy(created)
    assert not cloud.servers
    assert cloud.counts["POST /servers/{id}/action"] == 0


@pytest.mark.parametrize("call", ["create", "forget"])
def test_a_cloud_without_volumes_says_so(cloud, call):
    cloud.volume_service = ""
    provider = OpenStackProvider("hub", cloud.driver_params(), volume_retention_days=0)
    calls = {"create": lambda: provider.create(request()), "forget": lambda: provider.forget("alice", "", "alice")}
    with pytest.raises(ProviderError, match=r"offers no volumes \(Cinder\) in the region RegionOne") as caught:
        calls[call]()
    assert caught.value.reason == "no-volumes"


# --- what keeps a volume from a machine -----------------------------------------------------------------------


def test_a_full_quota_is_told_at_once_with_what_to_do(cloud, provider):
    cloud.quota_volumes = 0
    began = time.monotonic()
    with pytest.raises(ProviderError, match=r"raise the quota .* exceeded for quota 'volumes'") as caught:
        provider.create(request())
    assert caught.value.reason == "quota"
    assert cloud.counts["POST /volumes"] == 1
    assert time.monotonic() - began < 10
    assert not cloud.servers


def test_a_volume_that_is_larger_than_the_cloud_allows_is_refused_in_its_words(cloud, provider):
    said = "VolumeSizeExceedsLimit: Requested volume size 10G is larger than maximum allowed limit 5G."
    cloud.inject(faults.answer("POST", "/volumes", 413, message=said))
    with pytest.raises(ProviderError, match=r"The cloud refused: .*larger than maximum allowed limit 5G") as caught:
        provider.create(request())
    assert caught.value.reason == "cloud-413"
    assert cloud.counts["POST /volumes"] == 1


def test_who_asks_too_often_is_throttled_whatever_is_said(cloud, provider):
    cloud.inject(faults.throttle("POST", "/volumes", 0, message="The quota of requests is used up"))
    assert provider.create(request()).volume
    assert cloud.counts["POST /volumes"] == 2


def attached_elsewhere(cloud, provider, **metadata):
    first = provider.create(request(request_id="r-1"))
    end(provider, "r-1")
    server = cloud.seed_server("elsewhere", metadata=metadata, block_devices=disks_with(first.volume))
    assert cloud.volumes[first.volume].status == "in-use"
    return server, cloud.volumes[first.volume]


def disks_with(volume):
    return [{"source_type": "image", "boot_index": 0}, {"source_type": "volume", "uuid": volume}]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"libcloudspawner-hub": "other", "libcloudspawner-request": "r", "libcloudspawner-user": "alice"},
        {"libcloudspawner-hub": "hub", "libcloudspawner-request": "r", "libcloudspawner-user": "bob"},
    ],
    ids=["by hand", "another hub", "another user"],
)
def test_a_volume_that_a_foreign_machine_has_is_left_there_and_the_machine_is_named(cloud, provider, metadata):
    server, volume = attached_elsewhere(cloud, provider, **metadata)
    servers = set(cloud.servers)
    began = time.monotonic()
    with pytest.raises(ProviderError, match=rf"attached to the machine elsewhere \({server.id}\)") as caught:
        provider.create(request(request_id="r-2"))
    assert time.monotonic() - began < 10
    assert caught.value.reason == "volume-attached"
    assert (volume.status, volume.server) == ("in-use", server.id)
    assert set(cloud.servers) == servers
    assert len(cloud.volumes) == 1


def test_a_volume_that_a_machine_has_which_the_hub_cannot_see_is_left_there(cloud, provider, impatient):
    server, volume = attached_elsewhere(cloud, provider)
    with cloud._lock:
        del cloud._servers[server.id]
    said = rf"in-use\. It was attached to the machine {server.id}, which the hub cannot see"
    with pytest.raises(ProviderError, match=said):
        provider.create(request(request_id="r-2"))
    assert volume.server == server.id


def test_a_start_waits_until_the_earlier_machine_of_the_server_lets_go(cloud, provider):
    said = []
    first = provider.create(request(request_id="r-1"))
    provider.list()
    cloud.delete_seconds = cloud.volume_seconds = 0.2
    cloud.delete_server(first.id)
    again = provider.create(request(request_id="r-2", report=lambda percent, message: said.append(message)))
    assert again.volume == first.volume
    assert cloud.volumes[first.volume].server == again.id
    assert "Waiting until the machine that you had before lets go of your files." in said


def test_a_machine_that_does_not_let_go_is_named_in_the_end(cloud, provider, impatient):
    provider.create(request(request_id="r-1"))
    with pytest.raises(ProviderError, match=r"still in the state in-use. It was attached to the machine jupyter-alice"):
        provider.create(request(request_id="r-2"))
    assert len(cloud.servers) == 1


def test_a_start_that_nobody_waits_for_any_more_ends(cloud, provider):
    provider.create(request(request_id="r-1"))
    wanted = threading.Event()
    wanted.set()
    with ThreadPoolExecutor(1) as thread:
        started = thread.submit(provider.create, request(request_id="r-2", is_wanted=wanted.is_set))
        time.sleep(0.1)
        assert not started.done()
        wanted.clear()
        with pytest.raises(ProviderError, match="stopped before it started"):
            started.result(10)
    assert len(cloud.servers) == 1


def test_a_volume_in_another_zone_is_told_and_none_is_made_in_its_place(cloud, provider):
    provider.create(request(request_id="r-1"))
    end(provider, "r-1")
    with pytest.raises(ProviderError, match="in the zone nova, and your server would start in the zone west") as caught:
        provider.create(request(request_id="r-2", placement={"userserver_availability_zone": "west"}))
    assert caught.value.reason == "volume-zone"
    assert len(cloud.volumes) == 1
    assert not cloud.servers


def test_a_volume_that_could_not_be_made_is_taken_away_again(cloud, provider):
    cloud.inject(faults.Fault(method="POST", path="/volumes", fails_after=0))
    with pytest.raises(ProviderError, match="could not make a volume of 10 GiB"):
        provider.create(request())
    assert not cloud.volumes
    assert provider.create(request()).volume


@pytest.mark.parametrize("status", ["error", "error_deleting", "error_restoring", "awaiting-transfer"])
def test_a_volume_with_files_that_is_in_trouble_is_left_alone(cloud, provider, status):
    first = provider.create(request(request_id="r-1"))
    end(provider, "r-1")
    cloud.volumes[first.volume].status = status
    with pytest.raises(ProviderError, match=f"{first.volume}, which holds your files, is in the state {status}"):
        provider.create(request(request_id="r-2"))
    assert list(cloud.volumes) == [first.volume]
    assert not cloud.servers


@pytest.mark.parametrize(
    "status", ["extending", "retyping", "backing-up", "restoring-backup", "uploading", "maintenance"]
)
def test_a_state_that_passes_is_waited_for(cloud, provider, status):
    first = provider.create(request(request_id="r-1"))
    end(provider, "r-1")
    volume = cloud.volumes[first.volume]
    volume.status = status
    with ThreadPoolExecutor(1) as thread:
        started = thread.submit(provider.create, request(request_id="r-2"))
        wait_until_asked = cloud.counts["GET /volumes/detail"] + 3
        while cloud.counts["GET /volumes/detail"] < wait_until_asked and not started.done():
            time.sleep(0.01)
        volume.status = "available"
        assert started.result(10).volume == volume.id


def test_of_two_volumes_for_one_server_none_is_taken(cloud, provider):
    first = provider.create(request(request_id="r-1"))
    end(provider, "r-1")
    cloud.volumes["copy"] = Volume("copy", "copy", 10, dict(cloud.volumes[first.volume].metadata), status="available")
    with pytest.raises(ProviderError, match=rf"more than one volume for your files: .*{first.volume}") as caught:
        provider.create(request(request_id="r-2"))
    assert caught.value.reason == "volume-twice"
    assert len(cloud.volumes) == 2
    assert not cloud.servers


def test_a_cloud_that_does_not_attach_refuses_the_machine_and_keeps_the_volume(cloud, provider):
    cloud.inject(faults.answer("POST", "/servers", 400, message="Block Device Mapping is Invalid."))
    with pytest.raises(ProviderError, match="Block Device Mapping is Invalid"):
        provider.create(request(request_id="r-1"))
    volume = only(cloud.volumes)
    assert provider.create(request(request_id="r-2")).volume == volume.id


# --- the end of a machine ---------------------------------------------------------------------------------------


def test_a_machine_writes_what_it_has_in_memory_before_it_is_deleted(cloud, provider):
    cloud.stop_seconds = 0.2
    provider.create(request())
    cloud.clear_calls()
    (running,) = provider.list()
    provider.destroy(running)
    (stopping,) = provider.list()
    assert stopping.state is State.STOPPING
    provider.destroy(stopping)
    assert cloud.counts["DELETE /servers/{id}"] == 0
    end(provider, "r-alice")
    changes = [call.kind for call in cloud.calls if call.method in ("POST", "DELETE")]
    assert changes == ["POST /servers/{id}/action", "DELETE /servers/{id}"]


def test_a_machine_that_does_not_shut_down_is_deleted_all_the_same(cloud, provider, monkeypatch):
    monkeypatch.setattr(openstack, "_SHUTDOWN_SECONDS", 0.1)
    cloud.stop_seconds = 60
    provider.create(request())
    end(provider, "r-alice")
    assert only(cloud.volumes).status == "available"


def test_a_machine_that_may_have_booted_by_now_is_looked_at_first(cloud, provider):
    cloud.boot_seconds = 60
    booted, booting = provider.create(request("alice")), provider.create(request("bob"))
    cloud._activate(cloud.servers[booted.id])
    for stale in (booted, booting):
        provider.destroy(stale)
    assert len(cloud.servers) == 2
    for fresh in provider.list():
        provider.destroy(fresh)
    assert list(cloud.servers) == [booted.id]
    assert provider.get(booted.id).state is State.PAUSED, "it was shut down"


@pytest.mark.parametrize("status", ["ERROR", "SHUTOFF"])
def test_a_machine_that_does_not_run_is_deleted_at_once(cloud, provider, status):
    cloud.boot_seconds = 60
    created = provider.create(request())
    cloud._set_status(cloud.servers[created.id], status)
    (listed,) = provider.list()
    provider.destroy(listed)
    assert not cloud.servers
    assert cloud.counts["POST /servers/{id}/action"] == 0


def test_what_a_stale_listing_takes_for_running_is_no_error(cloud, provider):
    provider.create(request())
    (listed,) = provider.list()
    cloud.stop_server(listed.id)
    provider.destroy(listed)
    cloud.delete_server(listed.id)
    provider.destroy(listed)
    assert provider.list() == []


# --- users and servers that are deleted ---------------------------------------------------------------------------


def stopped(cloud, provider, *servers):
    made = {}
    for server in servers:
        name = f"alice-{server}" if server else "alice"
        made[server] = provider.create(request(name, user="alice", server=server)).volume
        end(provider, f"r-{name}")
    return made


def keeping(cloud, days):
    return OpenStackProvider("hub", cloud.driver_params(), volume_retention_days=days)


def test_by_default_the_volume_of_a_deleted_user_stays_theirs(cloud, provider):
    made = stopped(cloud, provider, "")
    cloud.clear_calls()
    provider.forget("alice", "", "alice")
    provider.tidy()
    assert not cloud.calls
    assert provider.create(request(request_id="r-2")).volume == made[""]


@pytest.mark.parametrize(("old", "new"), [("", "gpu"), ("gpu", "cpu")])
def test_a_server_that_is_renamed_keeps_its_volume(cloud, provider, old, new):
    made = stopped(cloud, provider, old, "other")
    provider.rename("alice", old, new)
    assert provider.create(request("alice-2", user="alice", server=new)).volume == made[old]
    assert provider.create(request("alice-3", user="alice", server="other")).volume == made["other"]
    assert provider.create(request("alice-4", user="alice", server=old)).volume not in made.values()


def test_a_server_is_not_renamed_where_its_volume_cannot_go_along(cloud, provider):
    made = stopped(cloud, provider, "", "gpu")
    with pytest.raises(ProviderError, match=f"a volume of alice, server gpu already: {made['gpu']}"):
        provider.rename("alice", "", "gpu")
    cloud.inject(faults.answer("POST", "/volumes/.*/metadata", 500))
    with pytest.raises(ProviderError):
        provider.rename("alice", "", "cpu")
    cloud.inject(faults.accept_then_cut("POST", "/volumes/.*/metadata"))
    provider.rename("alice", "", "cpu")
    assert cloud.volumes[made[""]].metadata["libcloudspawner-server"] == "cpu"
    cloud.volume_service = ""
    OpenStackProvider("hub", cloud.driver_params()).rename("alice", "cpu", "")


def test_a_volume_goes_at_once_where_none_is_kept_and_others_stay(cloud):
    provider = keeping(cloud, 0)
    made = stopped(cloud, provider, "", "gpu")
    bob = provider.create(request("bob")).volume
    foreign = OpenStackProvider("other", cloud.driver_params()).create(request("alice")).volume
    provider.forget("alice", "gpu", "alice")
    assert set(cloud.volumes) == {made[""], bob, foreign}
    provider.forget("alice", "", "alice")
    assert set(cloud.volumes) == {bob, foreign}


def test_only_the_volume_of_the_very_server_that_is_deleted_is_taken(cloud):
    provider = keeping(cloud, 0)
    made = stopped(cloud, provider, "", "gpu")
    provider.forget("alice", "", "alice")
    assert set(cloud.volumes) == {made["gpu"]}


def test_a_volume_that_cannot_be_marked_keeps_no_other_from_it_and_is_told(cloud):
    provider = keeping(cloud, 30)
    first = stopped(cloud, provider, "")[""]
    cloud.volumes["copy"] = Volume("copy", "copy", 10, dict(cloud.volumes[first].metadata), status="available")
    cloud.inject(faults.answer("POST", "/volumes/.*/metadata", 400, message="Invalid volume"))
    with pytest.raises(ProviderUnreachable, match=r"marked as deleted yet.*Invalid volume"):
        provider.forget("alice", "", "alice")
    assert sum("libcloudspawner-deleted" in volume.metadata for volume in cloud.volumes.values()) == 1
    provider.forget("alice", "", "alice")
    assert all("libcloudspawner-deleted" in volume.metadata for volume in cloud.volumes.values())


def test_a_volume_is_kept_for_its_days_and_who_comes_back_begins_anew(cloud, monkeypatch):
    provider = keeping(cloud, 30)
    made = stopped(cloud, provider, "")
    provider.forget("alice", "", "alice")
    assert cloud.volumes[made[""]].metadata["libcloudspawner-deleted"].isdecimal()
    new = provider.create(request(request_id="r-2")).volume
    assert new != made[""]
    provider.tidy()
    assert set(cloud.volumes) == {made[""], new}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 31 * 86400)
    cloud.tokens = dict.fromkeys(cloud.tokens, now + 99 * 86400)
    provider.tidy()
    assert set(cloud.volumes) == {new}


def test_a_volume_that_a_machine_still_has_goes_when_it_is_free(cloud):
    provider = keeping(cloud, 0)
    created = provider.create(request())
    provider.forget("alice", "", "alice")
    assert list(cloud.volumes) == [created.volume]
    end(provider, "r-alice")
    provider.tidy()
    assert not cloud.volumes


def test_removal_takes_the_volumes_of_this_hub_alone(cloud, provider):
    stopped(cloud, provider, "", "gpu")
    foreign = OpenStackProvider("other", cloud.driver_params()).create(request("alice")).volume
    cloud.volumes["by-hand"] = Volume("by-hand", "by-hand", 1, status="available")
    assert len(provider.volumes.list()) == 2
    assert len(provider.volumes.remove()) == 2
    assert set(cloud.volumes) == {foreign, "by-hand"}


@pytest.mark.parametrize("how", ["remove", "tidy"])
def test_a_volume_that_cannot_be_deleted_keeps_no_other_from_it_and_is_named(cloud, how):
    provider = keeping(cloud, 0)
    made = stopped(cloud, provider, "", "gpu", "cpu")
    stuck = made["gpu"]
    cloud.inject(faults.answer("DELETE", "/volumes/{id}", 400, message="It has snapshots", id=stuck, times=None))
    for volume in cloud.volumes.values():
        volume.metadata["libcloudspawner-deleted"] = "1"
    with pytest.raises(ProviderError, match=rf"deleted: {stuck} of alice, server gpu \(.*It has snapshots\)\."):
        getattr(provider.volumes if how == "remove" else provider, how)()
    assert set(cloud.volumes) == {stuck}


def test_a_volume_that_cannot_be_removed_is_named(cloud, provider, monkeypatch):
    monkeypatch.setattr(openstack_volumes, "_GONE_SECONDS", 0.1)
    created = provider.create(request())
    with pytest.raises(ProviderError, match=rf"cannot be deleted: {created.volume} of alice \(in-use\)"):
        provider.volumes.remove()


@pytest.fixture
def say(cloud, tmp_path, monkeypatch, capsys):
    """Call the command for a hub with these settings."""

    def say(verb, *ids, **settings):
        known = {"provider": "openstack", "hub_id": "hub", "libcloud_driver_params": cloud.driver_params()}
        settings = known | settings
        config = tmp_path / "jupyterhub_config.py"
        lines = ["c.JupyterHub.spawner_class = 'libcloudspawner.spawner.LibcloudSpawner'"]
        lines += [f"c.LibcloudSpawner.{name} = {value!r}" for name, value in settings.items()]
        config.write_text("\n".join(lines))
        monkeypatch.setattr(sys, "argv", ["volumes", verb, str(config), *ids])
        monkeypatch.chdir(tmp_path)
        code = command.main()
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return say


def test_the_command_lists_and_removes(cloud, provider, say):
    made = stopped(cloud, provider, "", "gpu")
    OpenStackProvider("other", cloud.driver_params()).create(request("bob"))
    listed = json.loads(say("list")[1])
    assert {(one["id"], one["user"], one["server"]) for one in listed} == {
        (made[""], "alice", ""),
        (made["gpu"], "alice", "gpu"),
    }
    assert say("remove", made["gpu"]) == (0, f"{made['gpu']} of alice, server gpu", "")
    assert set(cloud.volumes) >= {made[""]}
    made["gpu"] = provider.create(request("alice-gpu", "r-2", user="alice", server="gpu")).volume
    end(provider, "r-2")
    code, said, _ = say("remove")
    assert (code, set(said.splitlines())) == (0, {f"{made['']} of alice", f"{made['gpu']} of alice, server gpu"})
    assert say("remove") == (0, "", "")
    assert len(cloud.volumes) == 1


def test_the_command_finds_nothing_in_a_cloud_without_volumes(cloud, say):
    cloud.volume_service = ""
    assert say("list") == (0, "[]", "")
    assert say("remove") == (0, "", "")


def test_the_command_says_what_went_wrong(cloud, say):
    cloud.unplug()
    code, _, error = say("list")
    assert code == 1
    assert "cloud" in error
    assert say("list", provider="systemd")[::2] == (1, "The hub does not make machines of an OpenStack cloud.")
    assert say("nonsense")[0] == 2


# --- what the machine is told ---------------------------------------------------------------------------------------


def test_the_machine_gets_the_volume_as_its_home(cloud, provider):
    provider.create(request(account="ada"))
    config = yaml.safe_load(base64.b64decode(only(cloud.servers).user_data))
    files = {file["path"]: base64.b64decode(file["content"]).decode() for file in config["write_files"]}
    volume = only(cloud.volumes).id
    unit = files["/etc/systemd/system/jupyterhub-singleuser-home.service"]
    assert f'ExecStart=/usr/local/libexec/jupyterhub-singleuser-home "{volume}" ada\n' in unit
    drop_in = files["/etc/systemd/system/jupyterhub-singleuser@alice.service.d/instance.conf"]
    assert "Requires=jupyterhub-singleuser-home.service\nAfter=jupyterhub-singleuser-home.service\n" in drop_in
    assert "RequiresMountsFor=/home/ada\n" in drop_in
    assert config["runcmd"][0][-1] == "jupyterhub-singleuser-home.service"


def test_a_volume_that_a_server_has_had_is_never_formatted(cloud, provider):
    def home_unit():
        config = yaml.safe_load(base64.b64decode(only(cloud.servers).user_data))
        files = {file["path"]: base64.b64decode(file["content"]).decode() for file in config["write_files"]}
        return files["/etc/systemd/system/jupyterhub-singleuser-home.service"]

    created = provider.create(request(request_id="r-1"))
    end(provider, "r-1")
    provider.create(request(request_id="r-2"))
    assert f'"{created.volume}" jupyter-alice\n' in home_unit()
    provider.notice_use(created)
    end(provider, "r-2")
    again = provider.create(request(request_id="r-3"))
    assert f'"{created.volume}" jupyter-alice used\n' in home_unit()
    provider.notice_use(again)
    assert cloud.counts["POST /volumes/{id}/metadata"] == 1
