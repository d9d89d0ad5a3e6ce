# SPDX-License-Identifier: BSD-3-Clause
"""That the cloud is one: what the other tests of this scenario build on."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from libcloud.compute.types import NodeState
from realcloud import CLOUD, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libcloud.compute.base import Node, NodeDriver
    from testinfra.host import Host


# What a machine finds, told on port 8000.
USER_DATA = """#!/bin/sh
mkdir /srv/facts
cp /etc/image-name /srv/facts/image
mount -o ro LABEL=config-2 /mnt && cp /mnt/openstack/latest/meta_data.json /srv/facts/drive
curl --silent http://169.254.169.254/openstack/latest/meta_data.json >/srv/facts/service
systemd-run --working-directory=/srv/facts python3 -m http.server 8000
"""


@pytest.fixture(scope="module")
def driver() -> NodeDriver:
    return connect("application credential")


@pytest.fixture
def create(driver: NodeDriver) -> Iterator[Callable[..., Node]]:
    made = []

    def create(**options: Any) -> Node:
        sizes = {size.name: size for size in driver.list_sizes()}
        images = {image.name: image for image in driver.list_images()}
        networks = {network.name: network for network in driver.ex_list_networks()}
        node = driver.create_node(
            name="test-cloud",
            size=sizes["m1.small"],
            image=images["debian-12-jupyter-r"],
            networks=[networks[CLOUD["network"]]],
            ex_keyname=CLOUD["keypair"],
            **options,
        )
        made.append(node)
        return node

    yield create
    for node in made:
        driver.destroy_node(node)
    deadline = time.monotonic() + 60
    while {node.id for node in driver.list_nodes()} & {node.id for node in made}:
        assert time.monotonic() < deadline, "a machine does not go"
        time.sleep(0.5)


def running(driver: NodeDriver, node: Node) -> Node:
    deadline = time.monotonic() + 120
    while (node := driver.ex_get_node_details(node.id)).state != NodeState.RUNNING:
        assert node.state != NodeState.ERROR, node.extra["fault"]
        assert time.monotonic() < deadline, f"the machine is {node.state}"
        time.sleep(1)
    return node


@pytest.mark.parametrize("credential", ["password", "application credential"])
def test_libcloud_lists_what_there_is(credential):
    driver = connect(credential)
    assert {image.name for image in driver.list_images()} == {
        "debian-12-jupyter",
        "debian-12-jupyter-r",
        "debian-12-vanilla",
    }
    assert {size.name: (size.vcpus, size.ram) for size in driver.list_sizes()} == {
        "m1.small": (1, 1024),
        "c2.large": (2, 1536),
    }
    assert [network.name for network in driver.ex_list_networks()] == ["private-net"]
    assert [pair.name for pair in driver.list_key_pairs()] == ["operator"]


def test_the_hub_alone_reaches_a_machine_that_runs_its_user_data(host: Host, driver, create):
    node = running(driver, create(ex_userdata=USER_DATA, ex_config_drive=True, ex_metadata={"hub": "test"}))
    [address] = node.private_ips

    def fetch(path: str) -> str:
        code = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode(), end='')"
        result = host.run("python3 -c %s %s", code, f"http://{address}:8000/{path}")
        return result.stdout if result.rc == 0 else ""

    deadline = time.monotonic() + 600
    while not fetch("service"):
        assert time.monotonic() < deadline, driver.ex_get_console_output(node)["output"][-3000:]
        time.sleep(1)
    assert fetch("image") == "debian-12-jupyter-r\n"
    for source in ("drive", "service"):
        assert json.loads(fetch(source))["meta"] == {"hub": "test"}
    with pytest.raises(OSError, match="timed out"):
        urlopen(f"http://{address}:8000/", timeout=3)
