# SPDX-License-Identifier: BSD-3-Clause
"""How to sign in to an OpenStack: from settings, a ``clouds.yaml`` or the environment, in the words of Libcloud."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_CONFIG_FILES = ("clouds.yaml", "~/.config/openstack/clouds.yaml", "/etc/openstack/clouds.yaml")

# The names of clouds.yaml and, after OS_, of the environment.
# ref: https://docs.openstack.org/python-openstackclient/latest/cli/man/openstack.html
_AUTH = (
    "auth_url",
    "username",
    "password",
    "project_name",
    "user_domain_name",
    "project_domain_id",
    "application_credential_id",
    "application_credential_secret",
)


class CredentialsError(ValueError):
    """What signing in needs is missing or contradicts itself."""


def driver_parameters(
    given: Mapping[str, Any], cloud_name: str = "", config_file: str = ""
) -> tuple[dict[str, Any], str | bool]:
    """What Libcloud's OpenStack driver is made with, and the file of certificates to trust, or False to trust all.

    ``given`` goes before the cloud ``cloud_name`` of a ``clouds.yaml``; without one, variables such as ``OS_AUTH_URL``
    fill in what it lacks.
    Raises :class:`CredentialsError`.
    """
    parameters = dict(given)
    verify = parameters.pop("verify_ssl_cert", None)
    found = _from_file(cloud_name, config_file) if cloud_name or config_file else _from_environment()
    is_application = "application_credential_id" in found and "arg_user_id" not in parameters
    defaults = {
        "arg_user_id": found.get("application_credential_id" if is_application else "username"),
        "arg_key": found.get("application_credential_secret" if is_application else "password"),
        "ex_force_auth_url": found.get("auth_url"),
        "ex_force_auth_version": "3.x_appcred" if is_application else None,
        "ex_tenant_name": None if is_application else found.get("project_name"),
        "ex_domain_name": None if is_application else found.get("user_domain_name"),
        "ex_tenant_domain_id": None if is_application else found.get("project_domain_id"),
        "ex_force_service_region": found.get("region_name"),
    }
    parameters = {**{key: value for key, value in defaults.items() if value}, **parameters}
    parameters.pop("api_version", None)  # the old drivers lack pages, so machines would be missing from a listing
    parameters.setdefault("ex_force_auth_version", "3.x_password")

    wanted = {
        "arg_user_id": "the user, or the id of an application credential",
        "arg_key": "the password, or the secret of an application credential",
        "ex_force_auth_url": "the address of the identity service",
    }
    if "password" in parameters["ex_force_auth_version"]:
        wanted["ex_tenant_name"] = "the project"
    if missing := [f"{key} ({meaning})" for key, meaning in wanted.items() if not parameters.get(key)]:
        raise CredentialsError(
            f"libcloud_driver_params lacks {', '.join(missing)}. Set it there, in a clouds.yaml (cloud_name, "
            "cloud_config_file), or by variables such as OS_AUTH_URL in the hub's environment."
        )
    parameters["ex_force_auth_url"] = _without_version(str(parameters["ex_force_auth_url"]))
    parameters["key"] = parameters.pop("arg_user_id")
    parameters["secret"] = parameters.pop("arg_key")
    if verify is None:
        verify = found.get("verify", True)
    certificates = found.get("cacert") or os.environ.get("REQUESTS_CA_BUNDLE") or str(_SYSTEM_CERTIFICATES)
    if isinstance(verify, str):
        verify, certificates = True, verify
    return parameters, (certificates if Path(certificates).is_file() else True) if verify else False


def _without_version(url: str) -> str:
    """The address without a path such as /v3: Libcloud adds one itself."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise CredentialsError(f"ex_force_auth_url must be like https://cloud.example.org:5000, but is {url!r}.")
    path = parts.path.rstrip("/")
    for ending in ("/auth/tokens", "/v3", "/v2.0"):
        path = path.removesuffix(ending)
    return f"{parts.scheme}://{parts.netloc}{path}"


def _from_file(cloud_name: str, config_file: str) -> dict[str, Any]:
    named = config_file or os.environ.get("OS_CLIENT_CONFIG_FILE", "")
    candidates = [Path(name).expanduser() for name in ([named] if named else _CONFIG_FILES)]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise CredentialsError(f"There is no file {' or '.join(map(str, candidates))}.")
    try:
        clouds = yaml.safe_load(path.read_text(encoding="utf-8"))["clouds"]
        names = sorted(clouds)
    except (yaml.YAMLError, OSError, KeyError, TypeError) as error:
        raise CredentialsError(f"{path} is no clouds.yaml that can be read ({type(error).__name__}).") from None
    if not cloud_name and len(names) == 1:
        cloud_name = names[0]
    if cloud_name not in clouds:
        raise CredentialsError(f"{path} has no cloud {cloud_name!r}; it has: {', '.join(names) or 'none'}.")
    cloud = clouds[cloud_name]
    auth = cloud.get("auth") or {}
    return {**{key: auth[key] for key in _AUTH if key in auth}, **_rest(cloud)}


def _rest(cloud: Mapping[str, Any]) -> dict[str, Any]:
    return {key: cloud[key] for key in ("region_name", "cacert", "verify") if key in cloud}


def _from_environment() -> dict[str, Any]:
    names = (*_AUTH, "region_name", "cacert")
    return {name: os.environ[f"OS_{name.upper()}"] for name in names if os.environ.get(f"OS_{name.upper()}")}
