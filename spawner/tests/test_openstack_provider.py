# SPDX-License-Identifier: BSD-3-Clause
"""What only the provider for OpenStack does."""

from __future__ import annotations

import libcloud.pricing
import pytest
from libcloudspawner.providers.openstack import OpenStackProvider


def test_sizes_are_read_without_the_prices_of_other_clouds(monkeypatch):
    def read_all_prices(**_: object) -> str:
        pytest.fail("Libcloud would parse 4 MB of prices")

    monkeypatch.setattr(libcloud.pricing, "PRICING_DATA", {"compute": {}, "storage": {}})
    monkeypatch.setattr(libcloud.pricing, "get_pricing_file_path", read_all_prices)
    parameters = {"arg_user_id": "hub", "arg_key": "secret", "ex_tenant_name": "hub"}
    provider = OpenStackProvider("hub", {**parameters, "ex_force_auth_url": "http://127.0.0.1:1"})
    flavour = {"id": "1", "name": "small", "ram": 2048, "disk": 10, "vcpus": 1, "swap": ""}
    (size,) = provider._driver()._to_sizes({"flavors": [flavour]})
    assert size.id == "1"
