# SPDX-License-Identifier: BSD-3-Clause
"""Homes on volumes: a hub in a process of its own that is killed and overrun, and the fake cloud beside it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from fakecloud import FOREVER, FakeCloud, Volume, faults
from hub_process import Hub, settle, starts, wait_until

if TYPE_CHECKING:
    from fakecloud import Server


@pytest.fixture(autouse=True)
def volumes(hub: Hub) -> None:
    hub.environment["STORAGE_TYPE"] = "volume"


def stop(hub: Hub, cloud: FakeCloud, user: str = "alice") -> None:
    hub.ask("DELETE", f"/users/{user}/server")
    wait_until(lambda: f"{user}/" not in hub.servers())
    wait_until(lambda: f"{user}/" not in hub.machines())


def only_volume(cloud: FakeCloud) -> Volume:
    (volume,) = cloud.volumes.values()
    return volume


def only_server(cloud: FakeCloud) -> Server:
    (server,) = cloud.servers.values()
    return server


def fails(hub: Hub, said: str, user: str = "alice") -> None:
    """A start fails, and says why."""
    before = hub.log.count(said)
    hub.begin(user)
    wait_until(lambda: f"{user}/" not in hub.servers())
    wait_until(lambda: hub.log.count(said) > before)


def test_a_volume_is_made_once_and_the_second_start_finds_it_also_after_a_restart(hub: Hub, cloud: FakeCloud) -> None:
    hub.start()
    starts(hub)
    volume = only_volume(cloud)
    assert (volume.status, volume.server) == ("in-use", only_server(cloud).id)
    wait_until(lambda: "libcloudspawner-used" in volume.metadata)
    stop(hub, cloud)
    wait_until(lambda: volume.status == "available")
    starts(hub)
    assert volume.server == only_server(cloud).id
    hub.restart()
    settle(hub)
    assert volume.server == only_server(cloud).id
    stop(hub, cloud)
    hub.restart()
    starts(hub)
    assert volume.server == only_server(cloud).id
    assert cloud.counts["POST /volumes"] == 1


def test_a_stop_shuts_the_machine_down_before_it_is_deleted_and_keeps_the_volume(hub: Hub, cloud: FakeCloud) -> None:
    hub.start()
    starts(hub)
    cloud.stop_seconds = 1
    cloud.clear_calls()
    stop(hub, cloud)
    kinds = [call.kind for call in cloud.calls if call.kind in ("POST /servers/{id}/action", "DELETE /servers/{id}")]
    assert kinds == ["POST /servers/{id}/action", "DELETE /servers/{id}"]
    assert list(cloud.volumes) == [only_volume(cloud).id]
    assert cloud.counts["DELETE /volumes/{id}"] == 0


def test_two_starts_at_once_make_one_volume(hub: Hub, cloud: FakeCloud) -> None:
    """The first is stopped while its volume is being made; the second comes while the first goes on in its thread."""
    cloud.volume_seconds = 1
    cloud.inject(faults.late_answer("POST", "/volumes", 1))
    hub.start()
    hub.begin("alice")
    wait_until(lambda: cloud.counts["POST /volumes"])
    hub.session.delete(f"{hub.url}/api/users/alice/server", timeout=20)
    wait_until(lambda: "alice/" not in hub.servers())
    cloud.volume_seconds = 0
    starts(hub)
    settle(hub)
    assert cloud.counts["POST /volumes"] == 1
    assert only_volume(cloud).server == only_server(cloud).id


def test_a_hub_killed_while_the_volume_is_made_finds_it_again(hub: Hub, cloud: FakeCloud) -> None:
    cloud.inject(faults.delay("POST", "/volumes", 1))
    hub.start()
    hub.begin("alice")
    wait_until(lambda: cloud.counts["POST /volumes"])
    hub.restart()
    wait_until(lambda: cloud.volumes)
    starts(hub)
    settle(hub)
    assert cloud.counts["POST /volumes"] == 1
    assert only_volume(cloud).server == only_server(cloud).id


def test_a_hub_killed_between_the_volume_and_its_machine_finds_the_volume_again(hub: Hub, cloud: FakeCloud) -> None:
    cloud.inject(faults.delay("POST", "/servers", 1))
    cloud.boot_seconds = 30
    hub.start()
    hub.begin("alice")
    wait_until(lambda: cloud.volumes and cloud.counts["POST /servers"])
    hub.restart()
    wait_until(lambda: cloud.deleted)  # the machine that was still made
    cloud.boot_seconds = 0
    wait_until(lambda: only_volume(cloud).status == "available")
    starts(hub)
    settle(hub)
    assert cloud.counts["POST /volumes"] == 1
    assert only_volume(cloud).server == only_server(cloud).id


def test_a_hub_killed_during_a_stop_loses_nothing(hub: Hub, cloud: FakeCloud) -> None:
    hub.start()
    starts(hub)
    cloud.stop_seconds = 2
    hub.ask("DELETE", "/users/alice/server")
    wait_until(lambda: cloud.counts["POST /servers/{id}/action"])
    hub.restart()
    wait_until(lambda: hub.servers() or not hub.machines())
    if hub.servers():
        stop(hub, cloud)
    wait_until(lambda: only_volume(cloud).status == "available")
    starts(hub)
    assert cloud.counts["POST /volumes"] == 1
    assert only_volume(cloud).server == only_server(cloud).id


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults.answer("POST", "/servers", 400, message="Invalid volume: it is busy"), "Invalid volume: it is busy"),
        (faults.boot_fails(0.2, message="Failed to attach the volume"), "Failed to attach the volume"),
    ],
    ids=["refused", "while it boots"],
)
def test_a_volume_that_cannot_be_attached_is_told_and_kept(
    hub: Hub, cloud: FakeCloud, fault: faults.Fault, said: str
) -> None:
    cloud.boot_seconds = 0.5
    cloud.inject(fault)
    hub.start()
    fails(hub, said)
    settle(hub)
    volume = only_volume(cloud)
    assert volume.status == "available"
    starts(hub)
    assert volume.server == only_server(cloud).id


def test_a_volume_that_is_attached_elsewhere_stays_there_and_its_machine_is_named(hub: Hub, cloud: FakeCloud) -> None:
    hub.start()
    starts(hub)
    stop(hub, cloud)
    volume = only_volume(cloud)
    disks = [{"source_type": "image", "boot_index": 0}, {"source_type": "volume", "uuid": volume.id}]
    server = cloud.seed_server("rescue", block_devices=disks)
    fails(hub, f"is attached to the machine rescue ({server.id}). Your server can start once it was detached there")
    assert (volume.status, volume.server) == ("in-use", server.id)
    cloud.delete_server(server.id)
    wait_until(lambda: volume.status == "available")
    starts(hub)
    assert volume.server == only_server(cloud).id


def test_a_quota_that_is_full_is_told_at_once_and_a_volume_that_is_there_is_no_new_one(
    hub: Hub, cloud: FakeCloud
) -> None:
    hub.start()
    starts(hub)
    stop(hub, cloud)
    cloud.quota_volumes = 1
    began = time.monotonic()
    fails(hub, "An administrator has to raise the quota of the cloud", "bob")
    assert time.monotonic() - began < 10
    assert hub.machines() == []
    starts(hub)


def test_a_machine_that_switches_itself_off_for_want_of_its_home_is_a_start_that_failed(
    hub: Hub, cloud: FakeCloud
) -> None:
    cloud.guest = "never"
    hub.start()
    hub.begin("alice")
    wait_until(lambda: cloud.servers)
    said = "jupyterhub-singleuser: the volume cannot be the home of alice: it holds something else (xfs)"
    cloud.write_console(only_server(cloud).id, said)
    cloud.stop_server(only_server(cloud).id)
    wait_until(lambda: "alice/" not in hub.servers(), 10)
    assert said in hub.log
    wait_until(lambda: not cloud.servers)
    assert only_volume(cloud).status == "available"


def test_the_volume_of_a_deleted_user_is_kept_unless_the_administrator_says_otherwise(
    hub: Hub, cloud: FakeCloud
) -> None:
    hub.start()
    starts(hub)
    starts(hub, "alice/gpu")
    starts(hub, "bob/")
    stop(hub, cloud)
    hub.ask("DELETE", "/users/alice/servers/gpu")
    wait_until(lambda: hub.machines() == list(hub.servers()) == ["bob/"])
    hub.ask("DELETE", "/users/alice")
    assert len(cloud.volumes) == 3
    starts(hub)
    assert cloud.counts["POST /volumes"] == 3
    stop(hub, cloud)
    hub.restart(VOLUME_RETENTION_DAYS="0")
    settle(hub)
    hub.ask("DELETE", "/users/alice")
    wait_until(lambda: len(cloud.volumes) == 2)
    left = {
        (one.metadata["libcloudspawner-user"], one.metadata["libcloudspawner-server"]) for one in cloud.volumes.values()
    }
    assert left == {("alice", "gpu"), ("bob", "")}, "that of a server which was deleted when all were kept stays"


def test_a_user_who_cannot_be_deleted_since_a_server_runs_keeps_all_volumes(hub: Hub, cloud: FakeCloud) -> None:
    hub.start(VOLUME_RETENTION_DAYS="30")
    for server in ("alice/", "alice/first", "alice/second"):
        starts(hub, server)
    hub.ask("DELETE", "/users/alice/servers/first")
    wait_until(lambda: hub.machines() == ["alice/", "alice/second"])
    assert not hub.session.delete(f"{hub.url}/api/users/alice", timeout=20).ok
    time.sleep(6)
    assert not [one for one in cloud.volumes.values() if "libcloudspawner-deleted" in one.metadata]


def test_a_server_that_is_renamed_keeps_its_volume_or_its_name(hub: Hub, cloud: FakeCloud) -> None:
    hub.start(CLOUD_TIMEOUT="1")
    starts(hub, "alice/gpu")
    hub.ask("DELETE", "/users/alice/servers/gpu")
    wait_until(lambda: only_volume(cloud).status == "available" and not hub.servers())
    url = f"{hub.url}/api/users/alice/servers"
    cloud.unplug()
    refused = hub.session.patch(f"{url}/gpu", json={"name": "cpu"}, timeout=20)
    assert (refused.status_code, "cannot go with it" in refused.json()["message"]) == (503, True)
    cloud.plug_in()
    hub.session.patch(f"{url}/gpu", json={"name": "cpu"}, timeout=20).raise_for_status()
    starts(hub, "alice/cpu")
    assert only_volume(cloud).server == only_server(cloud).id


def test_a_server_that_is_deleted_while_another_runs_loses_its_volume_alone(hub: Hub, cloud: FakeCloud) -> None:
    hub.start(VOLUME_RETENTION_DAYS="0")
    starts(hub)
    starts(hub, "alice/gpu")
    hub.ask("DELETE", "/users/alice/servers/gpu")
    wait_until(lambda: hub.machines() == ["alice/"])
    hub.session.delete(f"{hub.url}/api/users/alice/servers/gpu", json={"remove": True}, timeout=20).raise_for_status()
    wait_until(lambda: len(cloud.volumes) == 1)
    assert only_volume(cloud).metadata["libcloudspawner-server"] == ""


def test_a_user_who_is_deleted_while_the_cloud_is_away_is_forgotten_when_it_is_back(hub: Hub, cloud: FakeCloud) -> None:
    hub.start(VOLUME_RETENTION_DAYS="30", CLOUD_TIMEOUT="1")
    starts(hub)
    stop(hub, cloud)
    volume = only_volume(cloud)
    wait_until(lambda: volume.status == "available")
    cloud.unplug()
    hub.ask("DELETE", "/users/alice")
    fails(hub, "could not be put away yet")
    assert "libcloudspawner-deleted" not in volume.metadata
    cloud.plug_in()
    wait_until(lambda: "libcloudspawner-deleted" in volume.metadata)
    starts(hub)
    assert [one.id for one in cloud.volumes.values() if one.server] != [volume.id]


def test_a_hub_answers_while_volumes_are_slow(hub: Hub, cloud: FakeCloud) -> None:
    hub.start(CLOUD_TIMEOUT="20")
    cloud.inject(faults.delay(".*", "/volumes.*", 3, times=FOREVER))
    users = [f"user-{number}" for number in range(10)]
    for user in users:
        hub.begin(user)
    waits = []
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        began = time.monotonic()
        assert hub.is_healthy()
        waits.append(time.monotonic() - began)
    assert max(waits) < 2.5, "one call to the cloud takes three seconds"
    wait_until(lambda: sum(one["ready"] for one in hub.servers().values()) == 10, 40)
    assert len(cloud.volumes) == 10
