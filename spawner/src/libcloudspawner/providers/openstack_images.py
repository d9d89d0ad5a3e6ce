# SPDX-License-Identifier: BSD-3-Clause
"""Images of an OpenStack cloud that were built for this hub, and the machines that they are built on.

An image is called by its name and its tag, ``jupyter-3f2a91c0d4e5``. Image and machine carry the hub's mark from the
request on that makes them, so that what a broken build has left is found. The machine carries another mark than those
of users, to which the hub is blind.
"""

from __future__ import annotations

import base64
import ipaddress
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from libcloud.compute.base import Node
from libcloud.compute.drivers.openstack import OpenStack_2_NodeDriver

from .base import ProviderError
from .openstack import OpenStackProvider, _address, _gone_is_fine, _status

T = TypeVar("T")

_BUILDER, _BUILT_FOR, _IMAGE, _TAG = (f"libcloudspawner-{word}" for word in ("builder", "built-for", "image", "tag"))
_SSH_PORT = 22
_POLL_SECONDS = 3.0
_BOOT_SECONDS = 600.0
_SHUTDOWN_SECONDS = 300.0
_SNAPSHOT_SECONDS = 3600.0
_GONE_SECONDS = 300.0


@dataclass(frozen=True)
class BuiltImage:
    id: str
    name: str
    tag: str
    created: str
    is_whole: bool

    @property
    def full_name(self) -> str:
        return f"{self.name}-{self.tag}"


def newest(images: Sequence[BuiltImage]) -> dict[str, str]:
    """The tag of the newest whole image, by name."""
    return {image.name: image.tag for image in sorted(images, key=lambda one: one.created) if image.is_whole}


def superfluous(images: Sequence[BuiltImage], name: str, kept: int, offered: Collection[str]) -> list[BuiltImage]:
    """The images of a name beyond the newest and ``kept`` former ones, without those that the hub offers."""
    whole = sorted((one for one in images if one.name == name and one.is_whole), key=lambda one: one.created)
    return [one for one in whole[: -(kept + 1)] if not {one.full_name, one.id} & set(offered)]


class OpenStackImages(OpenStackProvider):
    """The images that carry this hub's mark, and what builds them."""

    def images(self) -> list[BuiltImage]:
        # A snapshot that somebody makes of a user's machine inherits the marks, and not the name.
        return [
            BuiltImage(
                id=entry["id"],
                name=entry.get(_IMAGE, ""),
                tag=entry.get(_TAG, ""),
                created=entry["created_at"],
                is_whole=entry["status"] == "active",
            )
            for entry in self._call("list-images", _entries)
            if entry.get(_BUILT_FOR) == self._hub and entry["name"] == f"{entry.get(_IMAGE)}-{entry.get(_TAG)}"
        ]

    def sources(self) -> dict[str, str]:
        """The id of each image that there is, by its name; empty for a name that several have."""
        ids: dict[str, str] = {}
        for entry in self._call("list-images", _entries):
            ids[entry["name"]] = "" if entry["name"] in ids else entry["id"]
        return ids

    def boot(
        self,
        name: str,
        tag: str,
        *,
        source: str,
        size: str,
        user_data: str,
        reached_from: str,
        network: str = "",
        zone: str = "",
        config_drive: bool = False,
    ) -> str:
        """Boot a machine to build an image on, open for SSH to the addresses ``reached_from``, and say its address."""
        try:
            network_of_ansible = str(ipaddress.ip_network(reached_from, strict=False))
        except ValueError as error:
            raise ProviderError(f"Nobody could log in to the machine from {reached_from!r}: {error}.") from None
        self.open_to(self._group, network_of_ansible, _SSH_PORT)
        server: dict[str, Any] = {
            "name": f"{name}-{tag}-builder",
            "flavorRef": self._id_of("size", size),
            "imageRef": self._id_of("image", source),
            "metadata": {_BUILDER: self._hub, _IMAGE: name, _TAG: tag},
            "user_data": base64.b64encode(user_data.encode()).decode(),
            "config_drive": config_drive,
            "security_groups": [{"name": self._group}],
        }
        if network:
            server["networks"] = [{"uuid": self._id_of("network", network)}]
        if zone:
            server["availability_zone"] = zone
        self._call(
            "create",
            lambda driver: driver.connection.request("/servers", method="POST", data={"server": server}),
            changes=True,
        )

        def has_address() -> str:
            builder = self._builder(name)
            if _status(builder) == "ERROR":
                fault = (builder.extra.get("fault") or {}).get("message") or "no reason"
                raise ProviderError(f"The cloud could not start the machine; it says: {fault}.")
            return _address(builder.extra["addresses"], network) if _status(builder) == "ACTIVE" else ""

        return _wait_until(has_address, _BOOT_SECONDS, "The machine did not start")

    def snapshot(self, name: str) -> BuiltImage:
        """Make an image of the machine that was booted for it and has shut itself down."""

        def is_off() -> bool:
            return _status(self._builder(name)) == "SHUTOFF"

        _wait_until(is_off, _SHUTDOWN_SECONDS, "The machine did not shut down")
        builder = self._builder(name)
        tag = builder.extra["metadata"].get(_TAG, "")
        marks = {_BUILT_FOR: self._hub, _IMAGE: name, _TAG: tag}
        made = self._call("snapshot", lambda driver: driver.create_image(builder, f"{name}-{tag}", marks), changes=True)

        def whole_image() -> BuiltImage | None:
            found = [image for image in self.images() if image.id == made.id]
            if not found:
                raise ProviderError(f"The cloud gave up the snapshot {name}-{tag}.")
            return found[0] if found[0].is_whole else None

        return _wait_until(whole_image, _SNAPSHOT_SECONDS, "The snapshot was not made")

    def discard(self) -> list[str]:
        """Destroy the machines that images are built on, and images that are not whole; their names."""
        broken = [image for image in self.images() if not image.is_whole]
        names = [image.full_name for image in broken if self.delete(image)]
        builders = self._builders()
        for builder in builders:
            self._destroy(builder)
        if builders:
            _wait_until(lambda: not self._builders(), _GONE_SECONDS, "The machine was not destroyed")
        for group in self._call("list-groups", lambda driver: driver.ex_list_security_groups()):
            if group.name == self._group:
                self._call("delete-group", _deleting_group(group), changes=True)
        return names + [builder.name for builder in builders]

    def delete(self, image: BuiltImage) -> bool:
        """False if the cloud does not let it go, as where a machine that runs needs it."""

        def delete(driver: OpenStack_2_NodeDriver) -> None:
            with _gone_is_fine():
                driver.image_connection.request(f"/v2/images/{image.id}", method="DELETE")

        try:
            self._call("delete-image", delete, changes=True)
        except ProviderError as error:
            if error.reason != "cloud-409":
                raise
            return False
        return True

    @property
    def _group(self) -> str:
        return f"jupyterhub-builder-{self._hub}"

    def _builders(self) -> list[Node]:
        nodes = self._call("list", lambda driver: driver.list_nodes())
        return [node for node in nodes if node.extra["metadata"].get(_BUILDER) == self._hub]

    def _builder(self, name: str) -> Node:
        for builder in self._builders():
            if builder.extra["metadata"].get(_IMAGE) == name:
                return builder
        raise ProviderError(f"The machine that {name} is built on is gone.")

    def _destroy(self, builder: Node) -> None:
        def delete(driver: OpenStack_2_NodeDriver) -> None:
            with _gone_is_fine():
                driver.connection.request(f"/servers/{builder.id}", method="DELETE")

        self._call("destroy", delete, changes=True)


def _entries(driver: OpenStack_2_NodeDriver) -> list[dict[str, Any]]:
    # Of what an image bears, Libcloud's own objects hold nothing.
    return list(
        driver._paginated_request_next(
            path="/v2/images", request_method=driver.image_connection.request, response_key="images"
        )
    )


def _deleting_group(group: Any) -> Callable[[OpenStack_2_NodeDriver], Any]:
    def delete(driver: OpenStack_2_NodeDriver) -> None:
        with _gone_is_fine():
            driver.ex_delete_security_group(group)

    return delete


def _wait_until(look: Callable[[], T | None], seconds: float, otherwise: str) -> T:
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise ProviderError(f"{otherwise} within {seconds:.0f} s.")
        time.sleep(_POLL_SECONDS)
