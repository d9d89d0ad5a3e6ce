# SPDX-License-Identifier: BSD-3-Clause
"""Keystone v3: tokens, and the catalogue that comes with them.

Its root is the cloud's own URL, so that the auth URL needs no path.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .resources import fixed_id, timestamp
from .web import UNAUTHORIZED, Answer, Request, Service, keystone_error

if TYPE_CHECKING:
    from .cloud import FakeCloud

ENDPOINTS = {
    "identity": ("keystone", "/v3"),
    "compute": ("nova", "/compute/v2.1"),
    "image": ("glance", "/image"),
    "network": ("neutron", "/networking"),
}
VOLUMES = ("cinderv3", "/volume/v3")

NOT_FOUND = Answer(404, keystone_error(404, "The resource could not be found."))


def show_version(cloud: FakeCloud, request: Request) -> Answer:
    links = [{"rel": "self", "href": f"{cloud.url}/v3/"}]
    return Answer(200, {"version": {"id": "v3.14", "status": "stable", "links": links}})


def issue_token(cloud: FakeCloud, request: Request) -> Answer:
    if "/v3/v3/" in request.path and cloud.refuses_doubled_version:
        return NOT_FOUND
    auth = request.body["auth"]
    identity = auth["identity"]
    if "application_credential" in identity:
        credential = identity["application_credential"]
        known = (cloud.application_credential, cloud.application_secret)
        method, has_project = "application_credential", True
        given = (credential.get("id"), credential.get("secret"))
    else:
        user = identity.get("password", {}).get("user", {})
        project = auth.get("scope", {}).get("project", {})
        known = (cloud.user, cloud.password)
        method, has_project = "password", bool(project)
        given = (user.get("name"), user.get("password"))
        if has_project and cloud.project != project.get("name") and cloud.project_id != project.get("id"):
            return UNAUTHORIZED
    if given != known:
        return UNAUTHORIZED
    token = cloud.new_id().replace("-", "")
    cloud.tokens[token] = time.time() + cloud.token_seconds
    return Answer(201, _describe(cloud, token, method, has_project), {"X-Subject-Token": token})


def show_token(cloud: FakeCloud, request: Request) -> Answer:
    if cloud.tokens.get(request.token, 0) <= time.time():
        return UNAUTHORIZED
    subject = str(request.headers.get("X-Subject-Token", ""))
    if cloud.tokens.get(subject, 0) <= time.time():
        return NOT_FOUND
    return Answer(200, _describe(cloud, subject, "password", has_project=True), {"X-Subject-Token": subject})


def _describe(cloud: FakeCloud, token: str, method: str, has_project: bool) -> dict[str, Any]:
    domain = {"id": "default", "name": "Default"}
    expires = cloud.tokens[token]
    description: dict[str, Any] = {
        "methods": [method],
        "user": {"id": fixed_id(cloud.user).replace("-", ""), "name": cloud.user, "domain": domain},
        "issued_at": timestamp(expires - cloud.token_seconds),
        "expires_at": timestamp(expires + cloud.clock_skew_seconds),
    }
    if has_project:
        description["project"] = {"id": cloud.project_id, "name": cloud.project, "domain": domain}
        description["roles"] = [{"id": fixed_id("member").replace("-", ""), "name": "member"}]
        description["catalog"] = [
            {"id": fixed_id(name), "type": kind, "name": name, "endpoints": _endpoints(cloud, path)}
            for kind, (name, path) in {**ENDPOINTS, cloud.volume_service: VOLUMES}.items()
            if kind
        ]
    return {"token": description}


def _endpoints(cloud: FakeCloud, path: str) -> list[dict[str, str]]:
    place = {"region": cloud.region, "region_id": cloud.region, "url": cloud.url + path}
    return [{"id": fixed_id(interface + path), "interface": interface, **place} for interface in ("public", "internal")]


SERVICE = Service(
    prefix="(?:/identity)?(?:/v3)?",
    operations={
        "GET /v3": show_version,
        "POST /v3/auth/tokens": issue_token,
        "GET /v3/auth/tokens": show_token,
    },
    error=keystone_error,
    asks_for_token=False,
)
