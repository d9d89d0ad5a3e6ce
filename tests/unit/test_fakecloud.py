# SPDX-License-Identifier: BSD-3-Clause
"""The fake cloud, as Libcloud's own driver finds it."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from fakecloud import FOREVER, FakeCloud, Image, Network, Server, Volume, faults
from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import InvalidCredsError, MalformedResponseError
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider

TESTS = Path(__file__).parents[1]
LOST = requests.exceptions.ConnectionError


@pytest.fixture
def cloud() -> Iterator[FakeCloud]:
    with FakeCloud() as cloud:
        yield cloud


def connect(cloud: FakeCloud, auth_url: str = "", **arguments: Any) -> Any:
    """Libcloud's driver, with the cloud's password unless told otherwise."""
    defaults = {
        "ex_force_auth_url": auth_url or cloud.auth_url,
        "ex_tenant_name": cloud.project,
        "ex_force_service_region": cloud.region,
        "timeout": 5,
    }
    key, secret = arguments.pop("login", (cloud.user, cloud.password))
    return get_driver(Provider.OPENSTACK)(key, secret, api_version="2.2", **{**defaults, **arguments})


@pytest.fixture
def driver(cloud: FakeCloud) -> Any:
    return connect(cloud)


def create(cloud: FakeCloud, driver: Any, name: str = "alice", **arguments: Any) -> Any:
    size, image = SimpleNamespace(id="1"), SimpleNamespace(id=next(iter(cloud.images)))
    return driver.create_node(name=name, size=size, image=arguments.pop("image", image), **arguments)


def address(node: Any) -> str:
    """Libcloud takes 127.0.0.0/8 for public."""
    return next(iter(node.public_ips), "")


def guest_answers(cloud: FakeCloud, host: str) -> bool:
    try:
        return requests.get(f"http://{host}:{cloud.guest_port}/user/alice/api", timeout=1).ok
    except LOST:
        return False


def disks(cloud: FakeCloud, volume: Any) -> list[dict[str, Any]]:
    image = {"source_type": "image", "destination_type": "local", "boot_index": 0, "uuid": next(iter(cloud.images))}
    return [image, {"source_type": "volume", "destination_type": "volume", "boot_index": -1, "uuid": volume.id}]


class TestCinder:
    def test_makes_shows_lists_and_deletes_volumes(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.volume_seconds = 0.05
        made = driver.create_volume(3, "home", location="west", ex_volume_type="fast")
        assert (made.size, made.extra["state"], made.extra["location"]) == (3, "creating", "west")
        cloud.wait_until(lambda: driver.ex_get_volume(made.id).extra["state"] == "available")
        assert [volume.name for volume in driver.list_volumes()] == ["home"]
        assert driver.destroy_volume(made)
        assert driver.list_volumes() == []
        with pytest.raises(BaseHTTPError) as caught:
            driver.ex_get_volume(made.id)
        assert caught.value.code == 404

    def test_lists_in_pages(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.page_size = 2
        names = {driver.create_volume(1, f"home-{number}").name for number in range(5)}
        assert {volume.name for volume in driver.list_volumes()} == names

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            ({"location": "east"}, 400, "Availability zone 'east' is invalid"),
            ({"ex_volume_type": "slow"}, 404, "Volume type with name slow could not be found"),
            ({"size": 0}, 400, "Invalid input for field/attribute size"),
        ],
    )
    def test_refuses_what_it_does_not_have(self, driver: Any, arguments: dict[str, Any], code: int, said: str) -> None:
        with pytest.raises(BaseHTTPError, match=said) as caught:
            driver.create_volume(**{"size": 1, "name": "home", **arguments})
        assert caught.value.code == code

    def test_tells_of_a_full_quota_by_413(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.quota_volumes = 1
        driver.create_volume(1, "home")
        with pytest.raises(BaseHTTPError, match="exceeded for quota 'volumes'") as caught:
            driver.create_volume(1, "another")
        assert caught.value.code == 413

    def test_a_machine_has_its_volume_from_its_boot_to_its_end(self, cloud: FakeCloud, driver: Any) -> None:
        volume = cloud.volumes[driver.create_volume(1, "home").id]
        cloud.boot_seconds = cloud.volume_seconds = 0.05
        node = create(cloud, driver, ex_blockdevicemappings=disks(cloud, volume))
        assert volume.status == "reserved"
        cloud.wait_until(lambda: volume.status == "in-use")
        assert driver.ex_get_volume(volume.id).extra["attachments"][0]["server_id"] == node.id
        with pytest.raises(BaseHTTPError, match="must not be attached"):
            driver.destroy_volume(volume)
        node.destroy()
        assert volume.status == "detaching"
        cloud.wait_until(lambda: volume.status == "available")
        assert not volume.server

    def test_no_two_machines_have_one_volume(self, cloud: FakeCloud, driver: Any) -> None:
        volume = cloud.volumes[driver.create_volume(1, "home").id]
        create(cloud, driver, ex_blockdevicemappings=disks(cloud, volume))
        with pytest.raises(BaseHTTPError, match=r"must be 'available'\. Currently in 'in-use'"):
            create(cloud, driver, "bob", ex_blockdevicemappings=disks(cloud, volume))
        assert len(cloud.servers) == 1

    def test_a_machine_and_its_volume_are_in_one_zone(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.volumes["v"] = Volume("v", "home", 1, availability_zone="west", status="available")
        with pytest.raises(BaseHTTPError, match="not in the same availability_zone"):
            create(cloud, driver, ex_blockdevicemappings=disks(cloud, cloud.volumes["v"]))

    def test_a_machine_shuts_down_in_its_time_and_once(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.stop_seconds = 0.05
        node = create(cloud, driver)
        assert driver.ex_stop_node(node)
        assert driver.ex_get_node_details(node.id).extra["task_state"] == "powering-off"
        cloud.wait_until(lambda: driver.ex_get_node_details(node.id).extra["vm_state"] == "stopped")
        with pytest.raises(BaseHTTPError, match="while it is in vm_state stopped"):
            driver.ex_stop_node(node)

    def test_may_not_be_there(self, cloud: FakeCloud) -> None:
        cloud.volume_service = ""
        with pytest.raises(Exception, match="Could not find specified endpoint"):
            connect(cloud).list_volumes()


class TestKeystone:
    @pytest.mark.parametrize("path", ["", "/", "/v3", "/identity", "/identity/v3"])
    def test_takes_an_auth_url_with_and_without_version(self, cloud: FakeCloud, path: str) -> None:
        assert connect(cloud, cloud.auth_url + path).list_nodes() == []

    def test_refuses_a_doubled_version_when_told_to(self, cloud: FakeCloud) -> None:
        cloud.refuses_doubled_version = True
        assert connect(cloud).list_nodes() == []
        with pytest.raises((BaseHTTPError, MalformedResponseError)):
            connect(cloud, cloud.auth_url + "/v3").list_nodes()

    def test_takes_an_application_credential(self, cloud: FakeCloud) -> None:
        login = (cloud.application_credential, cloud.application_secret)
        arguments = {"ex_force_auth_version": "3.x_appcred", "ex_tenant_name": None}
        assert connect(cloud, login=login, **arguments).list_nodes() == []
        with pytest.raises(InvalidCredsError):
            connect(cloud, login=(login[0], "wrong"), **arguments).list_nodes()

    def test_refuses_a_wrong_password_and_a_wrong_project(self, cloud: FakeCloud) -> None:
        with pytest.raises(InvalidCredsError):
            connect(cloud, login=("hub", "wrong")).list_nodes()
        with pytest.raises(InvalidCredsError):
            connect(cloud, ex_tenant_name="other").list_nodes()

    def test_a_token_serves_many_requests_and_a_short_one_only_until_it_expires(
        self, cloud: FakeCloud, driver: Any
    ) -> None:
        for _ in range(3):
            driver.list_nodes()
        assert cloud.counts["POST /v3/auth/tokens"] == 1
        cloud.token_seconds = 3  # Libcloud renews five seconds before the end.
        short = connect(cloud)
        for _ in range(3):
            short.list_nodes()
        assert cloud.counts["POST /v3/auth/tokens"] == 4

    def test_an_expired_token_costs_libcloud_one_call(self, cloud: FakeCloud, driver: Any) -> None:
        driver.list_nodes()
        cloud.expire_tokens()
        with pytest.raises(BaseHTTPError, match="401"):
            driver.list_nodes()
        assert driver.list_nodes() == []

    def test_a_skewed_clock_makes_short_tokens_look_long(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.token_seconds, cloud.clock_skew_seconds = 3, 60
        for _ in range(3):
            driver.list_nodes()
        assert cloud.counts["POST /v3/auth/tokens"] == 1

    def test_tells_what_a_token_is_worth(self, cloud: FakeCloud, driver: Any) -> None:
        driver.list_nodes()
        identity = driver.connection.get_auth_class()
        answer = identity.authenticated_request("/v3/auth/tokens", headers={"X-Subject-Token": identity.auth_token})
        assert answer.object["token"]["project"]["name"] == cloud.project
        lost = requests.get(f"{cloud.url}/v3/auth/tokens", headers={"X-Auth-Token": "unknown"}, timeout=5)
        assert lost.status_code == 401


class TestServers:
    def test_keeps_what_was_asked_for(self, cloud: FakeCloud, driver: Any) -> None:
        driver.import_key_pair_from_string("key", "ssh-ed25519 AAAA alice")
        node = create(
            cloud,
            driver,
            ex_metadata={"hub": "one"},
            ex_userdata="#cloud-config\nü: 1\n",
            ex_config_drive=True,
            ex_keyname="key",
            ex_availability_zone="west",
            ex_security_groups=driver.ex_list_security_groups(),
            networks=driver.ex_list_networks(),
        )
        server = cloud.servers[node.id]
        assert base64.b64decode(server.user_data).decode() == "#cloud-config\nü: 1\n"
        assert (server.name, server.key_name, server.availability_zone) == ("alice", "key", "west")
        assert (server.config_drive, server.security_groups) == (True, ["default"])
        assert server.networks == list(cloud.networks)
        (listed,) = driver.list_nodes()
        assert listed.extra["metadata"] == {"hub": "one"}
        assert address(listed) == server.address

    def test_build_first_and_are_active_later(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.boot_seconds = 0.3
        node = create(cloud, driver)
        assert (node.state, address(node)) == (NodeState.PENDING, "")
        assert node.extra["vm_state"] == "building"
        cloud.wait_until(lambda: driver.ex_get_node_details(node.id).state == NodeState.RUNNING)
        assert address(driver.ex_get_node_details(node.id))

    def test_show_their_address_while_they_build_when_told_to(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.boot_seconds, cloud.addresses_in_build = 60, True
        assert address(create(cloud, driver))

    def test_are_gone_once_deleted(self, cloud: FakeCloud, driver: Any) -> None:
        node = create(cloud, driver)
        assert driver.destroy_node(node)
        assert driver.list_nodes() == []
        assert driver.ex_get_node_details(node.id) is None
        assert [server.id for server in cloud.deleted] == [node.id]
        with pytest.raises(BaseHTTPError, match="could not be found") as caught:
            driver.destroy_node(node)
        assert caught.value.code == 404

    def test_take_their_time_to_go(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.delete_seconds = 0.3
        node = create(cloud, driver)
        driver.destroy_node(node)
        assert driver.ex_get_node_details(node.id).extra["task_state"] == "deleting"
        assert not guest_answers(cloud, address(node))
        cloud.wait_until(lambda: not cloud.servers)

    def test_are_listed_in_pages(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.page_size, cloud.guest = 2, "never"
        names = [cloud.seed_server(f"s{number}").name for number in range(4)]
        assert [node.name for node in driver.list_nodes()] == names[::-1]
        # The last page is empty: Nova cannot know that a full page was the last one.
        assert cloud.counts["GET /servers/detail"] == 3

    def test_have_metadata_that_can_be_changed(self, cloud: FakeCloud, driver: Any) -> None:
        node = create(cloud, driver, ex_metadata={"a": "1"})
        driver.ex_set_metadata(node, {"b": "2"})
        assert cloud.servers[node.id].metadata == {"b": "2"}

    def test_have_a_console(self, cloud: FakeCloud, driver: Any) -> None:
        node = create(cloud, driver)
        cloud.servers[node.id].console.extend(["panic", "the end"])
        assert driver.ex_get_console_output(node, 2)["output"] == "panic\nthe end"

    def test_can_be_switched_off_and_on(self, cloud: FakeCloud, driver: Any) -> None:
        node = create(cloud, driver)
        assert driver.stop_node(node)
        assert driver.ex_get_node_details(node.id).state == NodeState.STOPPED
        assert not guest_answers(cloud, address(node))
        assert driver.start_node(node)
        assert guest_answers(cloud, address(node))
        assert driver.reboot_node(node)
        assert guest_answers(cloud, address(node))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"image": SimpleNamespace(id="none")}, "Image none"),
            ({"networks": [SimpleNamespace(id="none")]}, "Network none"),
            ({"ex_security_groups": [SimpleNamespace(name="none")]}, "Security group none"),
            ({"ex_keyname": "none"}, "key_name"),
            ({"ex_metadata": {"key": "x" * 256}}, "metadata"),
            ({"ex_userdata": "x" * 50000}, "user_data"),
        ],
    )
    def test_that_make_no_sense_are_refused(
        self, cloud: FakeCloud, driver: Any, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(BaseHTTPError, match=message) as caught:
            create(cloud, driver, **arguments)
        assert caught.value.code == 400
        assert not cloud.servers

    def test_need_a_network_named_where_there_are_two(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.networks["other"] = Network("other", "other")
        with pytest.raises(BaseHTTPError, match="Multiple possible networks"):
            create(cloud, driver)
        assert create(cloud, driver, networks=[SimpleNamespace(id="other")]).extra["addresses"].keys() == {"other"}

    def test_are_the_same_in_every_run(self) -> None:
        def ids() -> list[str]:
            with FakeCloud(guest="never", seed=7) as cloud:
                return [create(cloud, connect(cloud), name).id for name in ("a", "b")]

        assert ids() == ids()


class TestCatalogue:
    def test_has_sizes_images_networks_and_groups(self, cloud: FakeCloud, driver: Any) -> None:
        assert [size.name for size in driver.list_sizes()] == ["small", "large"]
        assert driver.ex_get_size("2").ram == 8192
        assert driver.get_image(next(iter(cloud.images))).name == "debian-12"
        assert [network.name for network in driver.ex_list_networks()] == ["private"]
        assert [subnet.cidr for subnet in driver.ex_list_subnets()] == [cloud.network]
        assert [group.name for group in driver.ex_list_security_groups()] == ["default"]
        assert driver.ex_get_quota_set("hub").instances.limit == -1

    def test_lists_images_in_pages(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.page_size = 1
        assert [image.name for image in driver.list_images()] == ["debian-12", "jupyter"]
        assert cloud.counts["GET /v2/images"] == 3

    def test_keeps_key_pairs(self, cloud: FakeCloud, driver: Any) -> None:
        pair = driver.import_key_pair_from_string("key", "ssh-ed25519 AAAA alice")
        assert [known.fingerprint for known in driver.list_key_pairs()] == [pair.fingerprint]
        assert driver.delete_key_pair(driver.get_key_pair("key"))
        assert cloud.keypairs == {}


class TestGuest:
    def test_answers_as_the_hub_expects_until_its_server_goes(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.jupyterhub_version = "9.8.7"
        nodes = [create(cloud, driver, name) for name in ("alice", "bob")]
        for node in nodes:
            answer = requests.get(f"http://{address(node)}:8000/user/x/", timeout=1)
            assert (answer.status_code, answer.headers["X-JupyterHub-Version"]) == (200, "9.8.7")
            assert answer.json() == {"server": node.id}
        driver.destroy_node(nodes[0])
        assert not guest_answers(cloud, address(nodes[0]))
        assert guest_answers(cloud, address(nodes[1]))

    def test_needs_its_time_after_the_boot(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.guest_seconds = 0.3
        node = create(cloud, driver)
        assert node.state == NodeState.RUNNING
        assert not guest_answers(cloud, address(node))
        cloud.wait_until(lambda: guest_answers(cloud, address(node)))

    def test_of_a_broken_image_never_listens(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.images["broken"] = Image("broken", "broken", guest="never")
        node = create(cloud, driver, image=SimpleNamespace(id="broken"))
        assert node.state == NodeState.RUNNING
        assert not guest_answers(cloud, address(node))
        assert guest_answers(cloud, address(create(cloud, driver)))

    def test_can_die_while_its_machine_lives(self, cloud: FakeCloud) -> None:
        server = cloud.seed_server("alice")
        cloud.close_guest(server.id)
        assert not guest_answers(cloud, server.address)
        assert server.status == "ACTIVE"

    def test_can_change_places_with_another(self, cloud: FakeCloud) -> None:
        one, other = cloud.seed_server("one"), cloud.seed_server("other")
        place = one.address
        cloud.swap_addresses(one.id, other.id)
        assert requests.get(f"http://{place}:8000/", timeout=1).json() == {"server": other.id}

    def test_can_be_a_function(self) -> None:
        seen: list[str] = []

        def boot(server: Server) -> Callable[[], None]:
            seen.append(f"{server.name} boots")
            return lambda: seen.append(f"{server.name} ends")

        with FakeCloud(on_boot=boot) as cloud:
            cloud.delete_server(cloud.seed_server("alice").id)
        assert seen == ["alice boots", "alice ends"]

    def test_can_be_a_process_that_ends_with_its_server(self, tmp_path: Path) -> None:
        report = tmp_path / "report"
        command = (
            f'{{ echo $$ $FAKECLOUD_ADDRESS; cat "$FAKECLOUD_USER_DATA"; }} >{report}.new; mv {report}.new {report}'
        )
        with FakeCloud(guest_command=f"{command}; sleep 60") as cloud:
            user_data = base64.b64encode(b"#cloud-config").decode()
            server = cloud.seed_server("alice", user_data=user_data)
            cloud.wait_until(report.exists)
            process, place, given = report.read_text().split()
            assert (place, given) == (server.address, "#cloud-config")
            assert Path(f"/proc/{process}").exists()
            cloud.delete_server(server.id)
            assert not Path(f"/proc/{process}").exists()

    def test_has_an_address_that_no_other_cloud_gives(self, cloud: FakeCloud) -> None:
        with FakeCloud() as other:
            assert other.seed_server("x").address != cloud.seed_server("x").address
        assert cloud.seed_server("y").address.startswith("127.")


class TestFaults:
    def test_answers_an_error_in_the_service_s_own_shape(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.inject(faults.answer("GET", "/servers/detail", 503, message="Nova is tired."))
        cloud.inject(faults.answer("GET", "/v2.0/networks", 500, message="Neutron is tired."))
        with pytest.raises(BaseHTTPError, match=r"Nova is tired\.") as caught:
            driver.list_nodes()
        assert caught.value.code == 503
        with pytest.raises(BaseHTTPError, match=r"Neutron is tired\."):
            driver.ex_list_networks()
        assert driver.list_nodes() == []

    def test_throttles(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.inject(faults.throttle("GET", "/servers/detail", retry_after=7))
        with pytest.raises(RateLimitReachedError) as caught:
            driver.list_nodes()
        assert caught.value.retry_after == 7

    def test_limits_the_rate(self, cloud: FakeCloud, driver: Any) -> None:
        driver.list_nodes()
        cloud.inject(faults.rate_limit(2, path="/servers.*"))
        driver.list_nodes()
        with pytest.raises(RateLimitReachedError):
            driver.list_nodes()
        time.sleep(0.51)
        driver.list_nodes()

    def test_begins_late_and_works_although_nobody_waits(self, cloud: FakeCloud) -> None:
        driver = connect(cloud, timeout=0.3)
        driver.list_nodes()
        cloud.inject(faults.delay("POST", "/servers", 0.5))
        with pytest.raises(requests.exceptions.Timeout):
            create(cloud, driver)
        assert not cloud.servers
        cloud.wait_until(lambda: cloud.servers)

    def test_hangs_and_does_nothing(self, cloud: FakeCloud) -> None:
        driver = connect(cloud, timeout=0.3)
        driver.list_nodes()
        cloud.inject(faults.hang("POST", "/servers"))
        with pytest.raises(requests.exceptions.Timeout):
            create(cloud, driver)
        cloud.heal()
        assert driver.list_nodes() == []
        assert cloud.calls[-2].status is None

    def test_lets_go_of_what_hangs_once_healed(self, cloud: FakeCloud, driver: Any) -> None:
        driver.list_nodes()
        cloud.inject(faults.delay("GET", "/servers/detail", 3600))
        with ThreadPoolExecutor(1) as pool:
            listing = pool.submit(driver.list_nodes)
            cloud.wait_until(lambda: cloud.counts["GET /servers/detail"] == 2)
            cloud.heal()
            assert listing.result(1) == []

    def test_cuts_before_anything_is_done(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.inject(faults.cut("POST", "/servers"))
        with pytest.raises(LOST):
            create(cloud, driver)
        assert not cloud.servers
        assert create(cloud, driver)

    def test_cuts_after_the_work(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.inject(faults.accept_then_cut("POST", "/servers"))
        with pytest.raises(LOST):
            create(cloud, driver)
        assert [node.name for node in driver.list_nodes()] == ["alice"]

    def test_fails_after_the_work(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.inject(faults.accept_then_status("POST", "/servers"))
        with pytest.raises(BaseHTTPError) as caught:
            create(cloud, driver)
        assert caught.value.code == 500
        assert len(cloud.servers) == 1

    def test_hangs_after_the_work(self, cloud: FakeCloud) -> None:
        driver = connect(cloud, timeout=0.3)
        cloud.inject(faults.accept_then_hang("POST", "/servers"))
        with pytest.raises(requests.exceptions.Timeout):
            create(cloud, driver)
        assert len(cloud.servers) == 1

    def test_answers_late(self, cloud: FakeCloud, driver: Any) -> None:
        driver.list_nodes()
        cloud.inject(faults.late_answer("POST", "/servers", 0.1))
        started = time.monotonic()
        create(cloud, driver)
        assert time.monotonic() - started >= 0.1

    def test_fails_the_second_request_of_a_creation(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.inject(faults.answer("GET", "/servers/{id}", 404))
        with pytest.raises(BaseHTTPError):
            create(cloud, driver)
        assert len(cloud.servers) == 1

    def test_hides_a_new_server_from_listings_alone(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.inject(faults.late_in_listings(2))
        node = create(cloud, driver)
        assert [len(driver.list_nodes()) for _ in range(3)] == [0, 0, 1]
        assert driver.ex_get_node_details(node.id)

    def test_fails_on_the_second_page(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.page_size, cloud.guest = 2, "never"
        for name in "abc":
            cloud.seed_server(name)
        cloud.inject(faults.second_page_fails())
        with pytest.raises(BaseHTTPError):
            driver.list_nodes()
        assert [call.status for call in cloud.calls if call.path == "/servers/detail"] == [200, 500]
        assert len(driver.list_nodes()) == 3

    def test_ignores_a_deletion(self, cloud: FakeCloud, driver: Any) -> None:
        node = create(cloud, driver)
        cloud.inject(faults.ignored_delete())
        assert driver.destroy_node(node)
        assert len(driver.list_nodes()) == 1
        assert driver.destroy_node(node)
        assert driver.list_nodes() == []

    def test_refuses_a_deletion_as_often_as_told(self, cloud: FakeCloud, driver: Any) -> None:
        node, other = create(cloud, driver), create(cloud, driver, "bob")
        fault = cloud.inject(faults.failed_delete(times=2, id=node.id))
        for _ in range(2):
            with pytest.raises(BaseHTTPError):
                driver.destroy_node(node)
        assert driver.destroy_node(other)
        assert driver.destroy_node(node)
        assert fault.hits == 2

    @pytest.mark.parametrize("seconds", [0, 0.05])
    def test_finds_no_host(self, cloud: FakeCloud, driver: Any, seconds: float) -> None:
        cloud.boot_seconds = 0.1
        cloud.inject(faults.boot_fails(seconds))
        node = create(cloud, driver)
        cloud.wait_until(lambda: cloud.servers[node.id].status == "ERROR")
        node = driver.ex_get_node_details(node.id)
        assert node.state == NodeState.ERROR
        assert node.extra["fault"]["message"].startswith("No valid host was found")

    def test_fails_a_server_that_has_booted(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.inject(faults.boot_fails(0.3, message="The host burnt down."))
        node = create(cloud, driver)
        assert node.state == NodeState.RUNNING
        cloud.wait_until(lambda: driver.ex_get_node_details(node.id).state == NodeState.ERROR)
        assert not guest_answers(cloud, address(node))

    def test_has_a_quota(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.quota_instances = 1
        node = create(cloud, driver)
        with pytest.raises(BaseHTTPError, match="Quota exceeded for instances") as caught:
            create(cloud, driver)
        assert caught.value.code == 403
        driver.destroy_node(node)
        assert create(cloud, driver)

    def test_strikes_by_chance_but_the_same_in_every_run(self) -> None:
        def statuses() -> list[int | None]:
            with FakeCloud(seed=3) as cloud:
                driver = connect(cloud)
                cloud.inject(faults.answer("GET", "/v2.0/networks", 500, probability=0.5, times=FOREVER))
                for _ in range(10):
                    with ThreadPoolExecutor(1) as pool:
                        pool.submit(driver.ex_list_networks).exception()
                return [call.status for call in cloud.calls if call.path == "/v2.0/networks"]

        assert set(statuses()) == {200, 500}
        assert statuses() == statuses()

    def test_spares_the_first_ones(self, cloud: FakeCloud, driver: Any) -> None:
        cloud.inject(faults.cut("GET", "/v2.0/networks", spares=1))
        driver.ex_list_networks()
        with pytest.raises(LOST):
            driver.ex_list_networks()
        driver.ex_list_networks()

    def test_is_out_of_reach_while_unplugged(self, cloud: FakeCloud, driver: Any) -> None:
        node = create(cloud, driver)
        cloud.unplug()
        with pytest.raises(LOST):
            driver.list_nodes()
        assert guest_answers(cloud, address(node))
        cloud.plug_in()
        assert [listed.id for listed in driver.list_nodes()] == [node.id]


class TestRecord:
    def test_has_every_call_with_its_kind_and_status(self, cloud: FakeCloud, driver: Any) -> None:
        node = create(cloud, driver)
        assert [(call.kind, call.status) for call in cloud.calls] == [
            ("POST /v3/auth/tokens", 201),
            ("POST /servers", 202),
            ("GET /servers/{id}", 200),
        ]
        assert cloud.calls[-1].id == node.id
        cloud.clear_calls()
        assert cloud.calls == []

    def test_has_how_many_were_under_way_at_once(self, cloud: FakeCloud) -> None:
        drivers = [connect(cloud) for _ in range(4)]
        drivers[0].list_nodes()
        assert cloud.max_in_flight == 1
        cloud.latency = 0.3
        barrier = threading.Barrier(4)

        def list_nodes(driver: Any) -> None:
            barrier.wait()
            driver.list_nodes()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(list_nodes, drivers))
        assert cloud.max_in_flight == 4

    def test_answers_in_one_segment(self, cloud: FakeCloud) -> None:
        """Two would cost each call 40 ms, for Nagle and a delayed acknowledgement."""
        with socket.create_connection((cloud.host, cloud.port)) as client:
            client.sendall(b"GET /v3 HTTP/1.1\r\nHost: x\r\n\r\n")
            head, _, body = client.recv(65536).partition(b"\r\n\r\n")
        assert b"200 OK" in head
        assert json.loads(body)["version"]


class TestProcess:
    def test_is_controlled_over_http(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "fakecloud", "--quota-instances", "5", "--addresses-in-build", "--latency", "0"],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            control = f"{url}/control"
            fault = {"kind": "throttle", "path": "/servers/detail", "retry_after": 3}
            wanted = {"settings": {"boot_seconds": 60}, "faults": [fault], "seed_servers": [{"name": "foreign"}]}
            state = requests.post(control, json=wanted, timeout=5).json()
            assert (state["settings"]["boot_seconds"], state["settings"]["quota_instances"]) == (60, 5)
            assert [server["name"] for server in state["servers"]] == ["foreign"]

            driver = connect(FakeCloud(), url)
            with pytest.raises(RateLimitReachedError):
                driver.list_nodes()
            (node,) = driver.list_nodes()
            driver.destroy_node(node)
            state = requests.get(control, timeout=5).json()
            assert [server["id"] for server in state["deleted"]] == [node.id]
            assert state["counts"]["GET /servers/detail"] == 2
            assert [fault["hits"] for fault in state["faults"]] == [1]

            assert requests.delete(control, timeout=5).status_code == 204
            assert requests.get(control, timeout=5).json()["calls"] == []
            refused = requests.post(control, data=json.dumps({"settings": {"colour": "red"}}), timeout=5)
            assert refused.status_code == 400
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            process.stdout.close()
