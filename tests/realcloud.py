# SPDX-License-Identifier: BSD-3-Clause
"""The OpenStack of the scenario, as its tests see it from outside of the hub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider
from playbook import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from libcloud.compute.drivers.openstack import OpenStack_2_NodeDriver

CLOUD = json.loads((ROOT / "build/openstack.json").read_text())


def connect(credential: str = "password") -> OpenStack_2_NodeDriver:
    """A driver that signs in by the password of the project's user, or by the ``application credential``."""
    common = {
        "ex_force_auth_url": CLOUD["auth_url"],
        "ex_force_service_region": CLOUD["region"],
        "api_version": "2.2",
    }
    driver = get_driver(Provider.OPENSTACK)
    if credential == "application credential":
        application = CLOUD["application_credential"]
        return driver(application["id"], application["secret"], ex_force_auth_version="3.x_appcred", **common)
    return driver(
        CLOUD["user"],
        CLOUD["password"],
        ex_force_auth_version="3.x_password",
        ex_tenant_name=CLOUD["project"],
        ex_domain_name=CLOUD["domain"],
        ex_tenant_domain_id=CLOUD["domain_id"],
        **common,
    )


def upload(name: str, disk: Path) -> None:
    """Register a disk as an image, as ``openstack image create`` does; Libcloud has no call for it."""
    driver = connect()
    driver.list_nodes()
    glance = f"http://{urlsplit(CLOUD['auth_url']).hostname}:9292/v2/images"
    headers = {"X-Auth-Token": driver.connection.auth_token}
    made = requests.post(
        glance, headers=headers, json={"name": name, "disk_format": "qcow2", "container_format": "bare"}, timeout=60
    )
    made.raise_for_status()
    with disk.open("rb") as file:
        sent = requests.put(
            f"{glance}/{made.json()['id']}/file",
            headers={**headers, "Content-Type": "application/octet-stream"},
            data=file,
            timeout=600,
        )
    sent.raise_for_status()
