# SPDX-License-Identifier: BSD-3-Clause
"""The cloud's own controls over HTTP, for a cloud in a process of its own.

    GET /control        everything, as JSON
    POST /control       {"settings": {"latency": 0.1},
                         "faults": [{"kind": "cut", "method": "POST", "path": "/servers", "times": 2}],
                         "heal": true, "expire_tokens": true,
                         "seed_servers": [{"name": "foreign"}], "delete_servers": ["<id>"], "close_guests": ["<id>"]}
    DELETE /control     forget the calls so far

What a POST wants is done in this order: settings, heal, faults, the rest. It answers as GET does.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from tornado.escape import json_decode
from tornado.web import RequestHandler

from .faults import KINDS, Fault
from .settings import Settings

if TYPE_CHECKING:
    from .cloud import FakeCloud

SETTINGS = tuple(setting.name for setting in fields(Settings))
PRIVATE = ("close_guest", "timers")


def state(cloud: FakeCloud) -> dict[str, Any]:
    """The cloud as JSON."""
    return {
        "settings": {name: getattr(cloud, name) for name in SETTINGS},
        "images": [asdict(image) for image in cloud.images.values()],
        "flavors": [asdict(flavor) for flavor in cloud.flavors.values()],
        "networks": [asdict(network) for network in cloud.networks.values()],
        "volumes": [asdict(volume) for volume in cloud.volumes.values()],
        "servers": [_server(server) for server in cloud.servers.values()],
        "deleted": [_server(server) for server in cloud.deleted],
        "calls": [asdict(call) for call in cloud.calls],
        "counts": cloud.counts,
        "max_in_flight": cloud.max_in_flight,
        "faults": [asdict(fault) for fault in cloud.faults],
    }


def _server(server: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(server).items() if name not in PRIVATE}


def change(cloud: FakeCloud, wanted: dict[str, Any]) -> None:
    """Do what a POST wants. Raises TypeError or ValueError for what there is not, before anything is done."""
    settings = wanted.get("settings", {})
    unknown = [name for name in settings if name not in SETTINGS]
    if unknown:
        raise ValueError(f"no such setting: {', '.join(unknown)}")
    faults = [_fault(dict(fault)) for fault in wanted.get("faults", [])]
    for name, value in settings.items():
        setattr(cloud, name, value)
    if wanted.get("heal"):
        cloud.heal()
    for fault in faults:
        cloud.inject(fault)
    if wanted.get("expire_tokens"):
        cloud.expire_tokens()
    for server in wanted.get("seed_servers", []):
        cloud.seed_server(**server)
    for server_id in wanted.get("delete_servers", []):
        cloud.delete_server(server_id)
    for server_id in wanted.get("close_guests", []):
        cloud.close_guest(server_id)


def _fault(description: dict[str, Any]) -> Fault:
    kind = description.pop("kind", None)
    if kind is not None and kind not in KINDS:
        raise ValueError(f"no such kind of fault: {kind}")
    return (KINDS[kind] if kind else Fault)(**description)


class Handler(RequestHandler):
    def initialize(self, cloud: FakeCloud) -> None:
        self.cloud = cloud

    def get(self) -> None:
        self.write(state(self.cloud))

    def post(self) -> None:
        try:
            change(self.cloud, json_decode(self.request.body))
        except (KeyError, TypeError, ValueError) as error:
            self.set_status(400)
            self.write({"error": str(error)})
        else:
            self.write(state(self.cloud))

    def delete(self) -> None:
        self.cloud.clear_calls()
        self.set_status(204)
