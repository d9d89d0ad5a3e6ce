# SPDX-License-Identifier: BSD-3-Clause
"""Instances as machines of an OpenStack cloud, through Apache Libcloud."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import libcloud.security
import requests
import urllib3.exceptions
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.openstack import OpenStackBaseConnection
from libcloud.common.openstack_identity import OpenStackServiceCatalog
from libcloud.common.types import InvalidCredsError, LibcloudError
from libcloud.compute.base import Node
from libcloud.compute.drivers.openstack import OpenStack_2_NodeDriver, OpenStackNodeDriver

from .. import userdata
from ..observability import CALLS
from .base import Instance, LaunchRequest, OutcomeUnknown, Provider, ProviderError, ProviderUnreachable, State
from .openstack_credentials import driver_parameters
from .openstack_volumes import NO_SERVICE, SERVICE_TYPES, Volumes, gibibytes

T = TypeVar("T")

_TIMEOUT_SECONDS = 20
_CATALOGUE_SECONDS = 600.0
_REFUSES = re.compile(r"quota|larger than|LimitExceeded|ExceedsLimit", re.IGNORECASE)
_THROTTLED_TRIES = 6
_THROTTLED_SECONDS = 30.0
# Nova itself waits a minute, and then pulls the plug.
_SHUTDOWN_SECONDS = 90.0

# Marks of a machine. Whoever is inside the machine can read them.
_HUB, _USER, _SERVER, _NAME, _REQUEST, _NETWORK, _PORT, _VOLUME = (
    f"libcloudspawner-{word}" for word in ("hub", "user", "server", "name", "request", "network", "port", "volume")
)

_STATES = {
    "BUILD": State.STARTING,
    "ACTIVE": State.RUNNING,
    "ERROR": State.FAILED,
    "DELETED": State.STOPPED,
    "SOFT_DELETED": State.STOPPED,
}


class _Flavour(NamedTuple):
    id: str
    name: str


def _flavours(driver: OpenStack_2_NodeDriver) -> Sequence[_Flavour]:
    # Libcloud's list_sizes reads its prices, megabytes of JSON, anew for each size; meanwhile no other thread runs.
    answer = driver.connection.request("/flavors/detail").object
    return [_Flavour(one["id"], one["name"]) for one in answer["flavors"]]


_ENTRIES: dict[str, Callable[[Any], Iterable[Any]]] = {
    "size": _flavours,
    "image": lambda driver: driver.list_images(),
    "network": lambda driver: driver.ex_list_networks(),
}


class OpenStackProvider(Provider):
    """Machines that carry this hub's mark in their metadata, from their creation on."""

    SETTINGS = ("hub_id", "libcloud_driver_params", "cloud_name", "cloud_config_file", "volume_retention_days")
    REQUIRED = ("userserver_sizes", "userserver_images")
    PLACEMENT = (
        "forceuser",
        "userserver_net",
        "userserver_keyname",
        "userserver_security_groups",
        "userserver_availability_zone",
        "userserver_config_drive",
        "storage_type",
        "storage_capacity",
        "storage_volume_type",
        "userdata_template_module",
        "userdata_template_name",
    )
    BIND_ADDRESS = "0.0.0.0"
    PORT = 8000
    ACCOUNT = "{USERNAME}"
    # What is on the disk of a machine ends with it.
    STORAGE: ClassVar[Mapping[str, bool]] = {"home": False, "none": False, "volume": True}
    POLL_LISTING_SECONDS = 10.0
    WATCH_LISTING_SECONDS = 2.0

    def __init__(
        self,
        hub_id: str,
        libcloud_driver_params: Mapping[str, Any],
        cloud_name: str = "",
        cloud_config_file: str = "",
        volume_retention_days: int = -1,
    ) -> None:
        self._hub = hub_id
        self._parameters, certificates = driver_parameters(libcloud_driver_params, cloud_name, cloud_config_file)
        # Libcloud knows one trust for the whole process.
        libcloud.security.VERIFY_SSL_CERT = certificates is not False
        libcloud.security.CA_CERTS_PATH = certificates or None
        self._session = _Session(self._new_driver())
        self._threads = threading.local()
        self._catalogue = _Catalogue()
        self._preparing = threading.Lock()
        self._retention_days = volume_retention_days
        self._volumes = Volumes(hub_id, self._call, self._holder)
        # Since when machines are being shut down.
        self._shutdowns: dict[str, float] = {}

    def may_wait(self, request: LaunchRequest) -> bool:
        return request.placement.get("storage_type") == "volume"

    def create(self, request: LaunchRequest) -> Instance:
        placement = request.placement
        self._prepare([kind for kind in _ENTRIES if kind != "network" or placement.get("userserver_net")])
        flavour = self._id_of("size", request.size)
        image = self._id_of("image", request.image)
        request.report(10, f"Image {request.image} found.")
        server: dict[str, Any] = {
            "name": f"jupyter-{request.name}"[:63],
            "flavorRef": flavour,
            "imageRef": image,
            "metadata": {
                _HUB: self._hub,
                _USER: request.user,
                _SERVER: request.server,
                _NAME: request.name,
                _REQUEST: request.request_id,
                _NETWORK: str(placement.get("userserver_net", "")),
                _PORT: str(request.port),
            },
            "config_drive": bool(placement.get("userserver_config_drive")),
        }
        if network := placement.get("userserver_net"):
            server["networks"] = [{"uuid": self._id_of("network", network)}]
            request.report(20, f"Network {network} found.")
        if key_name := placement.get("userserver_keyname"):
            server["key_name"] = key_name
        if groups := placement.get("userserver_security_groups"):
            server["security_groups"] = [{"name": name} for name in groups]
        if zone := placement.get("userserver_availability_zone"):
            server["availability_zone"] = zone
        volume, is_used = "", False
        if placement.get("storage_type") == "volume":
            capacity = gibibytes(placement["storage_capacity"])
            # Administrators may write a host behind a colon.
            zone_of_volume = str(zone or "").partition(":")[0]
            kind = placement.get("storage_volume_type", "")
            obtained = self._volumes.obtain(request, capacity, kind, zone_of_volume)
            volume, is_used = obtained.id, obtained.is_used
            server["metadata"][_VOLUME] = volume
            server["block_device_mapping_v2"] = _disks(image, volume)
            request.report(28, "Your files are ready.")
        server["user_data"] = base64.b64encode(userdata.render(request, volume, is_used=is_used).encode()).decode()

        # The driver's own create_node looks at the machine once more, and forgets that it exists when that fails.
        answer = self._call(
            "create",
            lambda driver: driver.connection.request("/servers", method="POST", data={"server": server}).object,
            changes=True,
        )
        try:
            machine_id = answer["server"]["id"]
        except (TypeError, LookupError):
            raise OutcomeUnknown("The cloud's answer to the creation of a machine makes no sense.") from None
        request.report(30, "The machine is being built.")
        return Instance(
            id=machine_id,
            name=request.name,
            user=request.user,
            server=request.server,
            request_id=request.request_id,
            state=State.STARTING,
            address="",
            port=request.port,
            volume=volume,
        )

    def list(self) -> list[Instance]:
        nodes = self._call("list", lambda driver: driver.list_nodes())
        return [self._instance(node) for node in nodes if self._is_own(node)]

    def get(self, instance_id: str) -> Instance | None:
        node = self._call("get", lambda driver: driver.ex_get_node_details(instance_id))
        if node is None or not self._is_own(node):
            return None
        if node.id != instance_id:
            raise ProviderError(f"The cloud was asked for the machine {instance_id} and answered with {node.id}.")
        return self._instance(node)

    def destroy(self, instance: Instance) -> None:
        if instance.volume and self._is_shutting_down(instance):
            return
        self._shutdowns.pop(instance.id, None)

        def delete(driver: OpenStack_2_NodeDriver) -> None:
            with _gone_is_fine():
                driver.connection.request(f"/servers/{instance.id}", method="DELETE")

        self._call("destroy", delete, changes=True)

    def _is_shutting_down(self, instance: Instance) -> bool:
        """Whether a machine is about to end by itself, and so to write what it has in memory.

        Its deletion is like pulling the plug, which a volume that stays must not suffer. Nova detaches it by then.
        """
        is_first_look = instance.id not in self._shutdowns
        began = self._shutdowns.setdefault(instance.id, time.monotonic())
        if instance.state is State.STARTING:
            # What is known of it may be old, and by now it may be making a file system.
            return is_first_look
        if time.monotonic() - began > _SHUTDOWN_SECONDS or instance.state not in (State.RUNNING, State.STOPPING):
            return False

        def stop(driver: OpenStack_2_NodeDriver) -> None:
            driver.connection.request(f"/servers/{instance.id}/action", method="POST", data={"os-stop": None})

        if instance.state is State.RUNNING:
            try:
                self._call("shut-down", stop, changes=True)
            except ProviderError as error:
                # It is gone, or in a state in which it cannot be shut down: the next listing tells.
                if error.reason not in ("cloud-404", "cloud-409"):
                    raise
        return True

    def notice_use(self, instance: Instance) -> None:
        if instance.volume:
            self._volumes.notice_use(instance.volume)

    def forget(self, user: str, server: str, account: str) -> None:
        if self._retention_days < 0:
            return
        try:
            self._volumes.forget(user, server)
        except ProviderError as error:
            if error.reason == NO_SERVICE:
                raise
            # Whatever it is: unmarked, it would be that of who comes next by this name.
            raise ProviderUnreachable(f"the cloud does not have its volume marked as deleted yet. {error}") from error
        with contextlib.suppress(ProviderError):
            self.tidy()  # else it is done later

    def rename(self, user: str, old: str, new: str) -> None:
        try:
            self._volumes.rename(user, old, new)
        except ProviderError as error:
            if error.reason != NO_SERVICE:
                raise

    def tidy(self) -> None:
        if self._retention_days >= 0:
            self._volumes.tidy(self._retention_days)

    @property
    def volumes(self) -> Volumes:
        """The volumes that this hub has made for its users."""
        return self._volumes

    def _holder(self, machine_id: str, request: LaunchRequest) -> tuple[str, bool]:
        """What a machine is called that holds a volume, and whether to wait for its end."""
        node = self._call("get", lambda driver: driver.ex_get_node_details(machine_id))
        if node is None:
            # Mostly it has just been deleted.
            return f"the machine {machine_id}, which the hub cannot see", True
        marks = node.extra["metadata"]
        is_same = self._is_own(node) and (marks.get(_USER), marks.get(_SERVER)) == (request.user, request.server)
        return f"the machine {node.name} ({node.id})", is_same

    def log(self, instance: Instance, lines: int) -> Sequence[str]:
        def console(driver: OpenStack_2_NodeDriver) -> str:
            with _gone_is_fine():
                body = {"os-getConsoleOutput": {"length": lines}}
                path = f"/servers/{instance.id}/action"
                return str(driver.connection.request(path, method="POST", data=body).object["output"] or "")
            return ""

        return self._call("log", console).splitlines()[-lines:]

    def open_to(self, group: str, cidr: str, port: int) -> bool:
        """Let ``cidr`` in on ``port`` by a security group, made when it is not there. True if that changed it."""
        groups = [
            one
            for one in self._call("list-groups", lambda driver: driver.ex_list_security_groups())
            if one.name == group
        ]
        if not groups:
            text = "Lets the hub reach the machines of its users"
            groups = [
                self._call("create-group", lambda driver: driver.ex_create_security_group(group, text), changes=True)
            ]
        for rule in groups[0].rules:
            if (rule.ip_protocol, rule.from_port, rule.to_port, rule.ip_range) == ("tcp", port, port, cidr):
                return False
        self._call(
            "create-rule",
            lambda driver: driver.ex_create_security_group_rule(groups[0], "tcp", port, port, cidr=cidr),
            changes=True,
        )
        return True

    def _is_own(self, node: Node) -> bool:
        return bool(node.extra["metadata"].get(_HUB) == self._hub and node.extra["metadata"].get(_REQUEST))

    def _instance(self, node: Node) -> Instance:
        marks, fault = node.extra["metadata"], node.extra.get("fault") or {}
        state = _STATES.get(_status(node), State.PAUSED)
        if node.extra.get("task_state") in ("deleting", "powering-off"):
            state = State.STOPPING
        address = _address(node.extra["addresses"], marks.get(_NETWORK, ""))
        return Instance(
            id=node.id,
            name=marks.get(_NAME, ""),
            user=marks.get(_USER, ""),
            server=marks.get(_SERVER, ""),
            request_id=marks[_REQUEST],
            state=state,
            address=address,
            port=int(marks.get(_PORT) or self.PORT),
            owns_port=bool(address) and state is not State.STOPPING,
            exit_status=1 if state is State.FAILED else 0,
            detail=str(fault.get("message") or _status(node)),
            volume=marks.get(_VOLUME, ""),
        )

    def _prepare(self, kinds: Sequence[str]) -> None:
        """Read side by side what is not known or too old: a start then waits for one answer rather than three."""
        with self._preparing:
            missing = [kind for kind in kinds if not self._catalogue.is_fresh(kind)]
            if len(missing) < 2:
                return
            self._sign_in()  # once for all
            with concurrent.futures.ThreadPoolExecutor(len(missing), "catalogue") as readers:
                list(readers.map(self._read, missing))

    def _read(self, what: str) -> None:
        self._catalogue.read(what, lambda: self._entries(what))

    def _entries(self, what: str) -> Iterable[Any]:
        return self._call(f"list-{what}s", _ENTRIES[what])

    def _id_of(self, what: str, name: str) -> str:
        ids = self._catalogue.ids(what, name, lambda: self._entries(what))
        if len(ids) != 1:
            known = ", ".join(sorted(self._catalogue.names(what))) or "none"
            problem = f"no {what} {name}" if not ids else f"more than one {what} {name}"
            raise ProviderError(f"The cloud has {problem}; it has: {known}.", reason=f"unknown-{what}")
        return ids[0]

    def _new_driver(self) -> Any:
        return OpenStackNodeDriver(**self._parameters, api_version="2.2", timeout=_TIMEOUT_SECONDS)

    def _driver(self) -> Any:
        """The driver of this thread: one that threads share hands out the machines of others."""
        if not hasattr(self._threads, "driver"):
            driver = self._new_driver()
            for connection in (driver.connection, driver.image_connection, driver.network_connection):
                self._session.lend(connection)
            self._session.lend(driver.volumev3_connection, SERVICE_TYPES)
            self._threads.driver = driver
        return self._threads.driver

    def _sign_in(self) -> str:
        try:
            return self._session.refresh()
        except Exception as error:
            raise ProviderUnreachable(f"The cloud does not let the hub in: {_in_words(error)}") from error

    def _call(self, operation: str, work: Callable[[OpenStack_2_NodeDriver], T], *, changes: bool = False) -> T:
        """What ``work`` finds, with errors in the words of the contract.

        Tries again only after answers that mean that nothing was done: an expired token, and throttling.
        """
        renewals = 1
        for attempt in range(_THROTTLED_TRIES):
            token = self._sign_in()
            code = "ok"
            try:
                return work(self._driver())
            except BaseHTTPError as error:
                code = str(error.code)
                if error.code == 401 and renewals:
                    renewals -= 1
                    self._session.discard(token)
                elif _is_throttled(error) and attempt < _THROTTLED_TRIES - 1:
                    wait = _asked_wait(error) or 2**attempt * random.uniform(0.5, 1)
                    time.sleep(min(wait, _THROTTLED_SECONDS))
                else:
                    raise _refusal(error, changes) from error
            except InvalidCredsError as error:
                code = "401"
                if not renewals:
                    raise ProviderUnreachable(f"The cloud does not let the hub in: {_in_words(error)}") from error
                renewals -= 1
                self._session.discard(token)
            except requests.RequestException as error:
                code = "none"
                if changes and not _was_never_sent(error):
                    raise OutcomeUnknown(f"The cloud did not answer: {_in_words(error)}") from error
                raise ProviderUnreachable(f"The cloud cannot be reached: {_in_words(error)}") from error
            except (LibcloudError, ValueError, LookupError, TypeError, AttributeError) as error:
                code = "senseless"
                raise OutcomeUnknown(f"The cloud's answer makes no sense: {_in_words(error)}") from error
            finally:
                CALLS.labels(operation, code).inc()
        raise ProviderError("The cloud is asked too often; it refuses to answer for now.", reason="throttled")


class _Session:
    """The token and the list of services, shared by the drivers of all threads."""

    def __init__(self, driver: OpenStack_2_NodeDriver) -> None:
        self._identity = driver.connection.get_auth_class()
        self._version = driver.connection._auth_version
        self._lock = threading.Lock()
        self._services: OpenStackServiceCatalog | None = None
        self._is_refused = False

    def refresh(self) -> str:
        """The token; a new one when the last is at its end."""
        with self._lock:
            if self._is_refused or not self._identity.is_token_valid():
                code = "refused"
                try:
                    self._identity.authenticate(force=True)
                    code = "ok"
                finally:
                    CALLS.labels("sign-in", code).inc()
                self._services = OpenStackServiceCatalog(self._identity.urls, auth_version=self._version)
                self._is_refused = False
            return str(self._identity.auth_token)

    def discard(self, refused_token: str) -> None:
        """Have a new token from now on, unless another thread saw to that since this one was refused."""
        with self._lock:
            self._is_refused |= self._identity.auth_token == refused_token

    def lend(self, connection: OpenStackBaseConnection, service_types: Sequence[str] = ()) -> None:
        """Let a connection use this session instead of one of its own; of a service that has several names, all."""

        def populate() -> None:
            connection.auth_token = self.refresh()
            connection.service_catalog = self._services
            url = self._endpoint(connection, service_types) if service_types else connection.get_endpoint()
            connection._set_up_connection_info(url=url)

        connection._populate_hosts_and_request_paths = populate
        # What Libcloud clears after a 401 is not the token of everybody.
        connection._ex_force_auth_token = ""

    def _endpoint(self, connection: OpenStackBaseConnection, service_types: Sequence[str]) -> str:
        assert self._services is not None
        region = connection._ex_force_service_region or connection.service_region
        for service_type in service_types:
            with contextlib.suppress(LibcloudError):
                return str(self._services.get_endpoint(service_type=service_type, region=region).url)
        raise ProviderError(
            f"The cloud offers no volumes (Cinder) in the region {region}. An administrator has to choose another "
            "storage_type.",
            reason=NO_SERVICE,
        )


class _Catalogue:
    """Ids by name, of what changes seldom. A name that is not there is looked for anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._known: dict[str, tuple[float, dict[str, list[str]]]] = {}

    def ids(self, what: str, name: str, entries: Callable[[], Iterable[Any]]) -> list[str]:
        with self._lock_of(what):
            if not self.is_fresh(what) or name not in self._known[what][1]:
                self._read(what, entries)
            return self._known[what][1].get(name, [])

    def read(self, what: str, entries: Callable[[], Iterable[Any]]) -> None:
        with self._lock_of(what):
            if not self.is_fresh(what):
                self._read(what, entries)

    def is_fresh(self, what: str) -> bool:
        read_at = self._known.get(what, (float("-inf"), {}))[0]
        return time.monotonic() - read_at <= _CATALOGUE_SECONDS

    def _lock_of(self, what: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(what, threading.Lock())

    def _read(self, what: str, entries: Callable[[], Iterable[Any]]) -> None:
        known: dict[str, list[str]] = {}
        for entry in entries():
            known.setdefault(entry.name, []).append(str(entry.id))
            known.setdefault(str(entry.id), [str(entry.id)])
        self._known[what] = (time.monotonic(), known)

    def names(self, what: str) -> set[str]:
        return {name for name, ids in self._known[what][1].items() if ids != [name]}


def _disks(image: str, volume: str) -> Sequence[Mapping[str, Any]]:
    """The disks of a machine: a copy of the image, which ends with it, and a volume, which does not."""
    # Part of the request that makes the machine, so Nova lets no two machines have the volume.
    return [
        {
            "boot_index": 0,
            "source_type": "image",
            "destination_type": "local",
            "uuid": image,
            "delete_on_termination": True,
        },
        {
            "boot_index": -1,
            "source_type": "volume",
            "destination_type": "volume",
            "uuid": volume,
            "delete_on_termination": False,
        },
    ]


@contextlib.contextmanager
def _gone_is_fine() -> Any:
    try:
        yield
    except BaseHTTPError as error:
        if error.code != 404:
            raise


def _status(node: Node) -> str:
    # Libcloud keeps the state of a machine in words of its own, which lack some.
    state = str(node.extra.get("vm_state") or node.state).upper()
    return {"BUILDING": "BUILD", "STOPPED": "SHUTOFF"}.get(state, state)


def _address(networks: Mapping[str, Sequence[Mapping[str, Any]]], wanted: str) -> str:
    """The address on the network that is wanted, else on any: an IPv4 one where there is one, and no floating one."""
    entries = networks.get(wanted) or [entry for network in networks.values() for entry in network]
    by_preference = sorted(
        entries, key=lambda entry: (entry.get("OS-EXT-IPS:type") == "floating", entry.get("version", 4))
    )
    return str(by_preference[0]["addr"]) if by_preference else ""


def _is_throttled(error: BaseHTTPError) -> bool:
    # Cinder tells of a quota, and of a volume that is too large, with a number that once meant throttling.
    return error.code == 429 or (error.code == 413 and not _REFUSES.search(_in_words(error)))


def _asked_wait(error: BaseHTTPError) -> float:
    """The seconds that the cloud asks for; 0 if it does not say. Libcloud tells them of a 429 alone."""
    try:
        return float((error.headers or {}).get("retry-after") or 0)
    except ValueError:
        return 0.0


def _was_never_sent(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        reason = getattr(seen.args[0], "reason", None) if seen.args else None
        if isinstance(reason or seen, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)):
            return True
        seen = seen.__context__
    return False


def _refusal(error: BaseHTTPError, changes: bool) -> ProviderError:
    words = _in_words(error)
    if error.code >= 500:
        if changes:
            return OutcomeUnknown(f"The cloud failed: {words}")
        return ProviderUnreachable(f"The cloud failed: {words}")
    if _is_throttled(error):
        return ProviderError("The cloud is asked too often; it refuses to answer for now.", reason="throttled")
    reason = "quota" if error.code in (403, 413) and "quota" in words.lower() else f"cloud-{error.code}"
    return ProviderError(f"The cloud refused: {words}", reason=reason)


def _in_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
