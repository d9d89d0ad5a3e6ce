# SPDX-License-Identifier: GPL-3.0-or-later
"""Inside the cloud's container, as its administrator: register what there is, and wait for it.

identity            services, endpoints, users and projects
content             the network and the flavors
images FOLDER       the images, and the kernel and initrd beside them; FOLDER has to stay
ready               wait until the cloud can start a machine
operator HUB        give the operator of a hub at this address new credentials, and print them as JSON
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import openstack
import openstack.exceptions
from keystoneauth1.exceptions import ClientException

if TYPE_CHECKING:
    from collections.abc import Callable

    from openstack.connection import Connection

T = TypeVar("T")
NotReady = (openstack.exceptions.SDKException, ClientException)

PROJECT = "class"
USER = "hub-operator"
NETWORK = "private-net"
KEYPAIR = "operator"
DISK_GIB = 3
# Name: processors, MiB of memory. Disks are as large as those of the images, so that nothing is resized.
FLAVORS = {"m1.small": (1, 1024), "c2.large": (2, 1536)}
KERNEL_OPTIONS = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 loglevel=5 mitigations=off audit=0 apparmor=0 nokaslr "
    "random.trust_cpu=on systemd.show_status=0"
)
BASE_IMAGES = Path("/var/lib/nova/instances/_base")
# Made by cloud-network.service when the container starts.
STARTED = Path("/run/cloud")


def patiently(what: str, look: Callable[[], T], seconds: int = 180) -> T:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return look()
        except NotReady as error:
            if time.monotonic() > deadline:
                raise
            print(f"waiting for {what}: {str(error).splitlines()[0][:100]}", flush=True)
            time.sleep(2)


def identity(cloud: Connection) -> None:
    keystone = cloud.identity
    patiently("keystone", cloud.authorize)
    roles = {role.name: role for role in keystone.roles()}
    if "service" not in roles:
        roles["service"] = keystone.create_role(name="service")
    address = os.environ["CLOUD_ADDRESS"]
    for name, kind, port in (
        ("glance", "image", "9292"),
        ("placement", "placement", "8778"),
        ("nova", "compute", "8774/v2.1"),
        ("neutron", "network", "9696"),
    ):
        service = keystone.create_service(name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            keystone.create_endpoint(
                service_id=service.id, interface=interface, url=f"http://{address}:{port}", region_id="RegionOne"
            )
    project = keystone.create_project(name="service", domain_id="default")
    for name in ("glance", "placement", "nova", "neutron"):
        user = keystone.create_user(
            name=name,
            password=os.environ["OS_PASSWORD"],
            domain_id="default",
            default_project_id=project.id,
        )
        for role in ("admin", "service"):
            keystone.assign_project_role_to_user(project, user, roles[role])

    project = keystone.create_project(name=PROJECT, domain_id="default")
    user = keystone.create_user(name=USER, domain_id="default", default_project_id=project.id)
    keystone.assign_project_role_to_user(project, user, roles["member"])


def content(cloud: Connection) -> None:
    network = patiently(
        "neutron",
        lambda: cloud.network.create_network(
            name=NETWORK, is_shared=True, provider_network_type="flat", provider_physical_network="physical"
        ),
    )
    cloud.network.create_subnet(
        name=NETWORK,
        network_id=network.id,
        ip_version=4,
        cidr=os.environ["CLOUD_SUBNET"],
        gateway_ip=os.environ["CLOUD_GATEWAY"],
        is_dhcp_enabled=True,
        allocation_pools=[{"start": os.environ["CLOUD_POOL_START"], "end": os.environ["CLOUD_POOL_END"]}],
    )
    patiently("nova", lambda: list(cloud.compute.flavors()))
    for name, (processors, memory) in FLAVORS.items():
        cloud.compute.create_flavor(name=name, vcpus=processors, ram=memory, disk=DISK_GIB)


def images(cloud: Connection, folder: str) -> None:
    patiently("glance", lambda: list(cloud.image.images()))
    BASE_IMAGES.mkdir(exist_ok=True)
    shutil.chown(BASE_IMAGES, "nova", "nova")

    def upload(name: str, path: Path, kind: str, **properties: object) -> str:
        made = cloud.create_image(
            name,
            filename=str(path),
            disk_format=kind,
            container_format="bare" if kind == "qcow2" else kind,
            wait=True,
            **properties,
        )
        # Glance, and Nova's cache of images, read the file where it lies: no copies in the container.
        stored = Path("/var/lib/glance/images") / made.id
        stored.unlink()
        for link in (stored, BASE_IMAGES / hashlib.sha1(made.id.encode(), usedforsecurity=False).hexdigest()):
            link.symlink_to(path)
        print("uploaded", name, flush=True)
        return made.id

    # Machines may use images of the community, and these are in nobody's list.
    kernel = upload("debian-12-kernel", Path(folder) / "vmlinuz", "aki", visibility="community")
    initrd = upload("debian-12-initrd", Path(folder) / "initrd.img", "ari", visibility="community")
    for path in sorted(Path(folder).glob("*.qcow2")):
        upload(
            f"debian-12-{path.stem}",
            path,
            "qcow2",
            visibility="public",
            kernel_id=kernel,
            ramdisk_id=initrd,
            min_disk=DISK_GIB,
            os_command_line=KERNEL_OPTIONS,
            hw_rng_model="virtio",
        )


def missing(cloud: Connection) -> list[str]:
    # What the database says of the time before the container started is not to be believed.
    started = STARTED.stat().st_mtime

    def is_new(when: str | None) -> bool:
        if not when:
            return False
        stamp = datetime.datetime.fromisoformat(when.rstrip("Z")).replace(tzinfo=datetime.timezone.utc)
        return stamp.timestamp() > started

    services = {
        service.binary for service in cloud.compute.services() if service.state == "up" and is_new(service.updated_at)
    }
    agents = {agent.binary for agent in cloud.network.agents() if agent.is_alive and is_new(agent.last_heartbeat_at)}
    wanted = {
        "nova-conductor",
        "nova-scheduler",
        "nova-compute",
        "neutron-linuxbridge-agent",
        "neutron-dhcp-agent",
        "neutron-metadata-agent",
    }
    lacking = sorted(wanted - services - agents)
    if not list(cloud.placement.resource_providers()):
        lacking.append("a resource provider")
    return lacking


def ready(cloud: Connection) -> None:
    deadline = time.monotonic() + 240
    said = 0.0
    while True:
        try:
            lacking = missing(cloud)
        except NotReady as error:
            lacking = [str(error).splitlines()[0][:100]]
        if not lacking:
            return
        if time.monotonic() > deadline:
            sys.exit("the cloud is not ready: " + ", ".join(lacking))
        if time.monotonic() > said + 10:
            print("waiting for", ", ".join(lacking), flush=True)
            said = time.monotonic()
        time.sleep(1)


def operator(cloud: Connection, hub: str) -> None:
    password = secrets.token_urlsafe(16)
    user = cloud.identity.find_user(USER)
    project = cloud.identity.find_project(PROJECT)
    cloud.identity.update_user(user, password=password)

    subnet = cloud.network.find_subnet(NETWORK)
    cloud.network.update_subnet(subnet, dns_nameservers=os.environ["CLOUD_NAMESERVERS"].split())

    own = openstack.connect(
        auth_url=os.environ["OS_AUTH_URL"],
        username=USER,
        password=password,
        project_name=PROJECT,
        user_domain_name="Default",
        project_domain_name="Default",
        region_name="RegionOne",
    )
    for credential in list(own.identity.application_credentials(user.id)):
        own.identity.delete_application_credential(user.id, credential)
    credential = own.identity.create_application_credential(user.id, name="hub")

    # The hub alone reaches its machines, and those on the one port.
    group = next(own.network.security_groups(name="default", project_id=project.id))
    for rule in list(own.network.security_group_rules(security_group_id=group.id, direction="ingress")):
        if rule.port_range_min == 8000:
            own.network.delete_security_group_rule(rule)
    own.network.create_security_group_rule(
        security_group_id=group.id,
        direction="ingress",
        ether_type="IPv4",
        protocol="tcp",
        port_range_min=8000,
        port_range_max=8000,
        remote_ip_prefix=f"{hub}/32",
    )
    if own.compute.find_keypair(KEYPAIR) is None:
        own.compute.create_keypair(name=KEYPAIR)

    json.dump(
        {
            "auth_url": os.environ["OS_AUTH_URL"].removesuffix("/v3"),
            "region": "RegionOne",
            "domain": "Default",
            "domain_id": "default",
            "project": PROJECT,
            "project_id": project.id,
            "user": USER,
            "user_id": user.id,
            "password": password,
            "application_credential": {
                "id": credential.id,
                "name": credential.name,
                "secret": credential.secret,
            },
            "network": NETWORK,
            "subnet": os.environ["CLOUD_SUBNET"],
            "keypair": KEYPAIR,
            "images": sorted(image.name for image in own.image.images()),
            "flavors": {
                name: {"processors": processors, "memory_mib": memory} for name, (processors, memory) in FLAVORS.items()
            },
            "cloud_address": os.environ["CLOUD_ADDRESS"],
            "hub_address": hub,
        },
        sys.stdout,
        indent=2,
    )
    print()


STEPS = {"identity": identity, "content": content, "images": images, "ready": ready, "operator": operator}

if __name__ == "__main__":
    STEPS[sys.argv[1]](openstack.connect(api_timeout=60), *sys.argv[2:])
