# SPDX-License-Identifier: BSD-3-Clause
"""Settings under the names that they had before; each warns once and names the new one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from traitlets import Dict, List, TraitError, Unicode
from traitlets.config import LoggingConfigurable

# A name with a dot is a key of a dictionary.
_SUCCESSORS = {
    "libcloudparams": "libcloud_driver_params",
    "machine_sizes": "userserver_sizes",
    "machine_images": "userserver_images",
    "machine_net": "userserver_net",
    "cloud_region": "libcloud_driver_params.ex_force_service_region",
    "cloud_url": "libcloud_driver_params.ex_force_auth_url",
    "cloud_user": "libcloud_driver_params.arg_user_id",
    "cloud_userpassword": "libcloud_driver_params.arg_key",
    "cloud_project": "libcloud_driver_params.ex_tenant_name",
    "notebookargs": "args",
}
_SECTION = "spawner_conf"

_warned: set[str] = set()


def _former(kind: Any, name: str) -> Any:
    return kind(help=f"Former name of `{_SUCCESSORS.get(name, 'nothing: it has no effect any more')}`.").tag(
        config=True
    )


class FormerNames(LoggingConfigurable):
    """Takes over what is set under a former name."""

    libcloudparams = _former(Dict, "libcloudparams")
    machine_sizes = _former(List, "machine_sizes")
    machine_images = _former(List, "machine_images")
    machine_net = _former(Unicode, "machine_net")
    cloud_region = _former(Unicode, "cloud_region")
    cloud_url = _former(Unicode, "cloud_url")
    cloud_user = _former(Unicode, "cloud_user")
    cloud_userpassword = _former(Unicode, "cloud_userpassword")
    cloud_project = _former(Unicode, "cloud_project")
    notebookargs = _former(List, "notebookargs")
    statsdparams = _former(Dict, "statsdparams")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._take_section()
        for former, successor in _SUCCESSORS.items():
            if value := getattr(self, former):
                self._warn(f"c.LibcloudSpawner.{former}", f"c.LibcloudSpawner.{successor}")
                self._take(former, successor, value)
        if self.statsdparams:
            self._warn("c.LibcloudSpawner.statsdparams", "the hub's own metrics for Prometheus, at /hub/metrics")

    def _take_section(self) -> None:
        """``c.spawner_conf.name = value``, which is no section that JupyterHub would read.

        Traitlets takes a name in lower case for a value to be extended, and keeps what is set on that as attributes.
        """
        section = self.config.get(_SECTION, {})
        settings = section if isinstance(section, Mapping) else vars(section)
        for name, value in settings.items():
            if name.startswith("_"):
                continue
            if not self.has_trait(name):
                raise TraitError(f"c.{_SECTION}.{name} is not a setting of LibcloudSpawner.")
            self._warn(f"c.{_SECTION}.{name}", f"c.LibcloudSpawner.{name}")
            current = getattr(self, name)
            if name in self.config.get("LibcloudSpawner", {}) and current and current != value:
                raise TraitError(f"c.{_SECTION}.{name} and c.LibcloudSpawner.{name} contradict each other.")
            setattr(self, name, value)

    def _take(self, former: str, successor: str, value: Any) -> None:
        name, _dot, key = successor.partition(".")
        given = getattr(self, name)
        if former == "libcloudparams" and "ex_keyname" in value:
            value = dict(value)
            self._warn("c.LibcloudSpawner.libcloudparams['ex_keyname']", "c.LibcloudSpawner.userserver_keyname")
            self._take("libcloudparams['ex_keyname']", "userserver_keyname", value.pop("ex_keyname"))
        present = given.get(key) if key else given
        if present and present != value:
            raise TraitError(
                f"c.LibcloudSpawner.{former} and its successor {successor} contradict each other. Remove {former}."
            )
        setattr(self, name, {**given, key: value} if key else value)

    def _warn(self, former: str, successor: str) -> None:
        if former not in _warned:
            _warned.add(former)
            log = self.log if isinstance(self.log, logging.Logger) else logging.getLogger(__name__)
            log.warning("%s is a former name; use %s instead.", former, successor)
