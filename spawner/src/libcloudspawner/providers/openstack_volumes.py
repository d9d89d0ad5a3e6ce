# SPDX-License-Identifier: BSD-3-Clause
"""Volumes of an OpenStack cloud (Cinder) that hold homes: made once for each server of a user, found by their marks.

A volume carries hub, user and server from the request on that makes it. It outlives the machines that it is attached
to, and is deleted only on request.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from libcloud.compute.drivers.openstack import OpenStack_2_NodeDriver

from .base import LaunchRequest, OutcomeUnknown, ProviderError, ProviderUnreachable

T = TypeVar("T")

# Of what a catalogue calls it, Libcloud knows the first with one name alone.
SERVICE_TYPES = ("volumev3", "block-storage")
NO_SERVICE = "no-volumes"

# Marks of a volume; USED is there once a server that had it has answered, and DELETED, seconds since 1970, once its
# server or user was deleted.
HUB, USER, SERVER, USED, DELETED = (f"libcloudspawner-{word}" for word in ("hub", "user", "server", "used", "deleted"))

# How long a start waits for its volume to be made, or to be let go by the machine that had it.
_READY_SECONDS = 60.0
_POLL_SECONDS = 1.0
_GONE_SECONDS = 120.0
# How often to look for a volume whose making got no answer, and how long none is made in its place.
_LOOKS = 3
_UNCLEAR_SECONDS = 300.0
_GIB = 2**30
_ON_ITS_WAY = (
    *("creating", "reserved", "attaching", "in-use", "detaching"),
    # What an administrator has begun, and the cloud ends by itself.
    *("extending", "retyping", "backing-up", "restoring-backup", "uploading", "downloading", "maintenance"),
)
_MAY_GO = ("available", "error", "error_deleting")


class Call(Protocol):
    """How the cloud is called: :meth:`OpenStackProvider._call`."""

    def __call__(self, operation: str, work: Callable[[OpenStack_2_NodeDriver], T], *, changes: bool = False) -> T: ...


@dataclass(frozen=True)
class Volume:
    id: str
    user: str
    server: str
    status: str
    gibibytes: int
    zone: str
    machines: tuple[str, ...]
    deleted: str
    is_used: bool = False

    @property
    def whose(self) -> str:
        return f"{self.user}, server {self.server}" if self.server else self.user


class Volumes:
    """The volumes of one hub. ``holder`` says of a machine's id who holds it there, and whether it will let go."""

    def __init__(self, hub: str, call: Call, holder: Callable[[str, LaunchRequest], tuple[str, bool]]) -> None:
        self._hub = hub
        self._call = call
        self._holder = holder
        self._listing: list[Volume] = []
        self._listed_at = float("-inf")
        self._listing_lock = threading.Lock()
        self._locks: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)
        self._locks_lock = threading.Lock()
        # When it became unclear whether a volume was made, by user and server.
        self._unclear: dict[tuple[str, str], float] = {}

    def list(self, max_age: float = 0.0) -> Sequence[Volume]:
        """All volumes of this hub, as of at most ``max_age`` seconds ago. Those who ask at once share a listing."""
        oldest = time.monotonic() - max_age
        with self._listing_lock:
            if self._listed_at < oldest:
                began = time.monotonic()
                entries = self._call("list-volumes", _entries)
                marked = [entry for entry in entries if (entry.get("metadata") or {}).get(HUB) == self._hub]
                self._listing, self._listed_at = [_volume(entry) for entry in marked], began
            return self._listing

    def obtain(self, request: LaunchRequest, gibibytes: int, kind: str, zone: str) -> Volume:
        """The volume of the server of ``request``, made if there is none, once a machine can have it."""
        with self._lock_of(request.user, request.server):
            volume = self._find(request)
            if volume is None:
                request.report(22, f"Making a volume of {gibibytes} GiB for your files.")
                volume, is_new = self._make(request, gibibytes, kind, zone)
                return self._ready(volume, request, is_new=is_new)
            if zone and volume.zone != zone:
                raise ProviderError(
                    f"Your files are on the volume {volume.id} in the zone {volume.zone}, and your server would start "
                    f"in the zone {zone}, where it cannot have them. An administrator has to set the zone "
                    f"{volume.zone} (userserver_availability_zone), or to move the volume.",
                    reason="volume-zone",
                )
            return self._ready(volume, request, is_new=False)

    def notice_use(self, volume_id: str) -> None:
        """Mark a volume that holds files from now on, and so is never formatted."""
        if not any(volume.id == volume_id and volume.is_used for volume in self._listing):
            self._mark(volume_id, {USED: "yes"})

    def forget(self, user: str, server: str) -> None:
        """Mark the volume of a server that was deleted: who comes back by this name begins anew."""
        failed: list[ProviderError] = []
        for volume in self._of(user, server):
            try:
                self._mark(volume.id, {DELETED: str(int(time.time()))})
            except ProviderError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def rename(self, user: str, old: str, new: str) -> None:
        """Let the volume of one server be that of another, of which there must be none."""
        volumes = self._of(user, old)
        if volumes and (there := self._of(user, new)):
            raise ProviderError(
                f"There is a volume of {there[0].whose} already: {there[0].id}. An administrator has to look after it.",
                reason="volume-twice",
            )
        for volume in volumes:
            try:
                self._mark(volume.id, {SERVER: new})
            except OutcomeUnknown:
                if volume.id not in [one.id for one in self._of(user, new)]:
                    raise

    def tidy(self, days: int) -> None:
        """Delete the volumes of servers that were deleted more than so many days ago."""
        before = time.time() - days * 86400
        is_due = [one for one in self.list() if one.deleted.isdecimal() and int(one.deleted) <= before]
        if refused := self._delete_all([volume for volume in is_due if volume.status in _MAY_GO]):
            raise _cannot_be_deleted([volume for volume in is_due if volume.id in refused], refused)

    def remove(self, ids: Collection[str] | None = None) -> Sequence[Volume]:
        """Delete all volumes of this hub, or those of ``ids``; what a machine still holds is waited for.

        Returns those that were there.
        """
        volumes = [volume for volume in self.list() if ids is None or volume.id in ids]
        wanted = {volume.id for volume in volumes}
        refused = self._delete_all([volume for volume in volumes if volume.status in _MAY_GO])
        deadline = time.monotonic() + _GONE_SECONDS
        while left := [volume for volume in self.list() if volume.id in wanted]:
            if refused.keys() >= {volume.id for volume in left} or time.monotonic() > deadline:
                raise _cannot_be_deleted(left, refused)
            refused |= self._delete_all([one for one in left if one.status == "available" and one.id not in refused])
            time.sleep(_POLL_SECONDS)
        return volumes

    def _delete_all(self, volumes: Sequence[Volume]) -> dict[str, ProviderError]:
        """Why those stay that cannot be deleted, by their ids."""
        refused: dict[str, ProviderError] = {}
        for volume in volumes:
            try:
                self.delete(volume)
            except ProviderUnreachable:
                raise
            except ProviderError as error:
                refused[volume.id] = error
        return refused

    def delete(self, volume: Volume) -> None:
        try:
            self._request("delete-volume", f"/volumes/{volume.id}", "DELETE")
        except ProviderError as error:
            if error.reason != "cloud-404":
                raise

    def _of(self, user: str, server: str) -> Sequence[Volume]:
        return [one for one in self.list() if (one.user, one.server) == (user, server) and not one.deleted]

    def _mark(self, volume_id: str, marks: Mapping[str, str]) -> None:
        self._request("mark-volume", f"/volumes/{volume_id}/metadata", "POST", {"metadata": marks})

    def _find(self, request: LaunchRequest) -> Volume | None:
        found = self._of(request.user, request.server)
        if len(found) > 1 and len(used := [one for one in found if one.is_used]) == 1:
            # The other one was made by a request that nobody got an answer to, and was never anybody's home.
            return used[0]
        if len(found) > 1:
            raise ProviderError(
                f"There is more than one volume for your files: {', '.join(sorted(one.id for one in found))}. An "
                f"administrator has to take the metadata {HUB} from all but the right one.",
                reason="volume-twice",
            )
        return found[0] if found else None

    def _make(self, request: LaunchRequest, gibibytes: int, kind: str, zone: str) -> tuple[Volume, bool]:
        """A volume that was made now, and whether it is sure that this request has made it."""
        whose = (request.user, request.server)
        if time.monotonic() - self._unclear.get(whose, float("-inf")) < _UNCLEAR_SECONDS:
            return self._appearing(request, "The cloud has not said yet what became of it."), False
        wanted: dict[str, Any] = {
            "name": f"jupyter-{request.name}"[:63],
            "size": gibibytes,
            "metadata": {HUB: self._hub, USER: request.user, SERVER: request.server},
        }
        if kind:
            wanted["volume_type"] = kind
        if zone:
            wanted["availability_zone"] = zone
        try:
            # The driver's own create_volume takes no metadata.
            answer = self._request("create-volume", "/volumes", "POST", {"volume": wanted})
            try:
                return _volume(answer["volume"]), True
            except (LookupError, TypeError, ValueError):
                raise OutcomeUnknown("The cloud's answer to the creation of a volume makes no sense.") from None
        except OutcomeUnknown as error:
            # Not made once more for a while: what was made is found by its marks, now or by a later start.
            self._unclear[whose] = time.monotonic()
            return self._appearing(request, str(error)), False
        except ProviderError as error:
            if error.reason != "quota":
                raise
            raise ProviderError(
                "There is no room for a volume for your files. An administrator has to raise the quota of the cloud, "
                f"or to delete volumes that nobody needs. {error}",
                reason="quota",
            ) from error

    def _appearing(self, request: LaunchRequest, said: str) -> Volume:
        for attempt in range(_LOOKS):
            if attempt:
                time.sleep(_POLL_SECONDS)
            with contextlib.suppress(ProviderUnreachable):
                if volume := self._find(request):
                    return volume
        raise ProviderError(
            f"It is not clear whether a volume for your files was made. Try again in a few minutes. {said}",
            reason="unknown-outcome",
        )

    def _ready(self, volume: Volume, request: LaunchRequest, *, is_new: bool) -> Volume:
        deadline = time.monotonic() + _READY_SECONDS
        holders: dict[str, str] = {}
        while volume.status != "available":
            if not request.is_wanted():
                raise ProviderError("The server was stopped before it started.", reason="stopped")
            if volume.status == "error" and is_new:
                # Nobody has ever written to it.
                self.delete(volume)
                raise ProviderError(
                    f"The cloud could not make a volume of {volume.gibibytes} GiB for your files. An administrator "
                    "finds the reason in the log of Cinder.",
                    reason="volume-error",
                )
            if volume.status not in _ON_ITS_WAY:
                raise ProviderError(
                    f"The volume {volume.id}, which holds your files, is in the state {volume.status}. An "
                    "administrator has to look after it in the cloud; nothing was changed.",
                    reason="volume-error",
                )
            for machine in volume.machines:
                if machine not in holders:
                    holders[machine], lets_go = self._holder(machine, request)
                    if not lets_go:
                        raise ProviderError(
                            f"The volume {volume.id}, which holds your files, is attached to {holders[machine]}. Your "
                            "server can start once it was detached there; nothing was changed.",
                            reason="volume-attached",
                        )
                    request.report(25, "Waiting until the machine that you had before lets go of your files.")
            if time.monotonic() > deadline:
                where = "".join(f" It was attached to {holder}." for holder in holders.values())
                raise ProviderError(
                    f"The volume {volume.id}, which holds your files, is still in the state {volume.status}.{where} "
                    "Try again in a minute.",
                    reason="volume-busy",
                )
            time.sleep(_POLL_SECONDS)
            seen = [one for one in self.list(_POLL_SECONDS) if one.id == volume.id]
            if not seen and not is_new:
                raise ProviderError(f"The volume {volume.id}, which held your files, is gone.", reason="volume-gone")
            volume = seen[0] if seen else volume
        return volume

    def _request(self, operation: str, path: str, method: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._call(
            operation,
            lambda driver: driver.volumev3_connection.request(path, method=method, data=body).object,
            changes=True,
        )

    def _lock_of(self, user: str, server: str) -> threading.Lock:
        with self._locks_lock:
            return self._locks[user, server]


def _entries(driver: OpenStack_2_NodeDriver) -> Sequence[Mapping[str, Any]]:
    # Not list_volumes(), which asks the catalogue once more, and knows the state of a volume in words of its own.
    pages = driver._paginated_request("/volumes/detail", "volumes", driver.volumev3_connection)
    return list(pages["volumes"])


def _volume(entry: Mapping[str, Any]) -> Volume:
    marks = entry.get("metadata") or {}
    return Volume(
        id=str(entry["id"]),
        user=str(marks.get(USER, "")),
        server=str(marks.get(SERVER, "")),
        status=str(entry["status"]),
        gibibytes=int(entry["size"]),
        zone=str(entry.get("availability_zone") or ""),
        machines=tuple(str(one["server_id"]) for one in entry.get("attachments") or () if one.get("server_id")),
        deleted=str(marks.get(DELETED, "")),
        is_used=USED in marks,
    )


def _cannot_be_deleted(left: Sequence[Volume], refused: Mapping[str, ProviderError]) -> ProviderError:
    said = [f"{one.id} of {one.whose} ({refused.get(one.id) or one.status})" for one in left]
    return ProviderError(f"These volumes cannot be deleted: {', '.join(said)}.")


def gibibytes(size: int) -> int:
    """A size in the unit of the cloud, rounded up."""
    return max(1, -(-size // _GIB))
