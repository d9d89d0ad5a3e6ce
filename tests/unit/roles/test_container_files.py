# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that deploy a hub in a container hold what the published schemas ask for."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import kubernetes_validate
import pytest
import yaml
from role_settings import ROOT, templar
from role_settings import rendered as text_of

COMPOSE_SCHEMA = json.loads(
    files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text(encoding="utf-8")
)


def rendered(name, **variables):
    known = templar("container", **{"__container_parts": ["a"], "container_name": "physics", **variables})
    return list(yaml.safe_load_all(text_of(ROOT / "templates" / f"{name}.j2", known)))


VARIANTS = {
    "plain": {},
    "elsewhere": {
        "container_address": "::1",
        "container_memory": "4g",
        "container_hostname": "hub.example.org",
        "container_user": "1000620000:0",
        "hub_base_url": "/class/",
    },
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def variables(request):
    return request.param


def test_the_compose_file_is_one(variables):
    (compose,) = rendered("compose.yaml", **variables)
    jsonschema.validate(compose, COMPOSE_SCHEMA)


@pytest.mark.parametrize("platform", ["kubernetes", "openshift"])
@pytest.mark.parametrize("version", ["1.30", "1.35"])
def test_the_manifest_holds_objects_of_kubernetes(variables, platform, version):
    objects = rendered("kubernetes.yaml", container_platform=platform, **variables)
    kinds = [one["kind"] for one in objects]
    assert kinds[:3] == ["PersistentVolumeClaim", "Deployment", "Service"]
    # A Route is OpenShift's own, and there is no published schema of it in a package.
    for one in objects:
        if one["kind"] != "Route":
            kubernetes_validate.validate(one, version, strict=True)


def test_a_schema_is_strict_enough_to_see_a_slip_of_the_pen():
    claim, *_ = rendered("kubernetes.yaml")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**claim, "specs": claim["spec"]}, "1.30", strict=True)
    (compose,) = rendered("compose.yaml")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**compose, "service": {}}, COMPOSE_SCHEMA)


@pytest.mark.parametrize("platform", ["kubernetes", "openshift"])
def test_everything_carries_the_label_that_it_is_removed_by(variables, platform):
    for one in rendered("kubernetes.yaml", container_platform=platform, **variables):
        assert one["metadata"]["labels"] == {"app": "physics"}
    (compose,) = rendered("compose.yaml", **variables)
    assert compose["services"]["hub"]["labels"] == compose["volumes"]["state"]["labels"] == {"app": "physics"}


def test_openshift_chooses_accounts_itself_and_kubernetes_is_told_the_group_of_the_volume():
    deployments = [rendered("kubernetes.yaml", container_platform=name)[1] for name in ("kubernetes", "openshift")]
    kubernetes, openshift = [one["spec"]["template"]["spec"]["securityContext"] for one in deployments]
    assert kubernetes["fsGroup"] == 1001
    assert not {"fsGroup", "runAsUser"} & set(openshift)
    assert kubernetes["runAsNonRoot"]
    assert openshift["runAsNonRoot"]


def test_a_route_and_an_ingress_lead_to_the_service():
    published = {"container_hostname": "hub.example.org"}
    *_, service, route = rendered("kubernetes.yaml", container_platform="openshift", **published)
    assert route["spec"]["to"] == {"kind": "Service", "name": service["metadata"]["name"]}
    assert route["spec"]["host"] == "hub.example.org"
    *_, ingress = rendered("kubernetes.yaml", **published)
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "physics", "port": {"name": "http"}}


def test_memory_is_said_as_each_platform_has_it():
    for given, wanted in (("4g", "4Gi"), ("512M", "512Mi"), ("2GiB", "2Gi")):
        container = rendered("kubernetes.yaml", container_memory=given)[1]["spec"]["template"]["spec"]["containers"][0]
        assert container["resources"]["limits"]["memory"] == wanted
