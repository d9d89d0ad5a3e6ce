# SPDX-License-Identifier: BSD-3-Clause
"""Instances as systemd services on a prepared host, through the host's control helper."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..observability import CALLS
from .base import Instance, LaunchRequest, OutcomeUnknown, Provider, ProviderError, ProviderUnreachable, State

T = TypeVar("T")

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
_HELPERS_WORDS = {"user_workingdir": "working_directory"}


class SystemdProvider(Provider):
    """Asks ``jupyterhub-singleuserctl`` at its socket; each call is one connection, one request, one answer."""

    SETTINGS = ("hub_id", "control_socket")
    PLACEMENT = (
        "unit_extra_properties",
        "isolate_tmp",
        "isolate_devices",
        "readonly_paths",
        "readwrite_paths",
        "slice",
        "user_workingdir",
        "storage_type",
    )
    STORAGE: ClassVar[Mapping[str, bool]] = {"home": True, "none": False}
    MEMORY_GUARANTEE_BYTES = 1024**3

    def __init__(self, hub_id: str, control_socket: str) -> None:
        self._hub = hub_id
        self._control_socket = control_socket

    def create(self, request: LaunchRequest) -> Instance:
        sandbox = {_HELPERS_WORDS.get(name, name): value for name, value in request.placement.items()}
        return self._ask(
            lambda answer: _created(answer["instance"], request),
            action="start",
            instance=request.name,
            request=request.request_id,
            user=request.user,
            server=request.server,
            groups=list(request.groups),
            account=request.account,
            address=request.bind_address,
            environment=request.image,
            command=list(request.command),
            variables=dict(request.environment),
            limits=asdict(request.limits),
            properties=sandbox.pop("unit_extra_properties", {}),
            sandbox=sandbox,
        )

    def list(self) -> list[Instance]:
        return self._ask(lambda answer: [_instance(record) for record in answer["instances"]], action="list")

    def get(self, instance_id: str) -> Instance | None:
        return self._ask(
            lambda answer: _instance(answer["instance"]) if answer["instance"] else None,
            action="status",
            instance=instance_id,
        )

    def destroy(self, instance: Instance) -> None:
        self._ask(lambda answer: None, action="stop", instance=instance.name, request=instance.request_id)

    def forget(self, user: str, server: str, account: str) -> None:
        # The home is the user's, whatever servers there are.
        if not server:
            self._ask(lambda answer: None, action="forget", user=user, account=account)

    def log(self, instance: Instance, lines: int) -> Sequence[str]:
        return self._ask(
            lambda answer: [str(line) for line in answer["lines"]], action="log", instance=instance.name, lines=lines
        )

    def _ask(self, read: Callable[[dict[str, Any]], T], **request: Any) -> T:
        code = "ok"
        try:
            return self._answer(read, request)
        except ProviderError as error:
            code = error.reason
            raise
        finally:
            CALLS.labels(request["action"], code).inc()

    def _answer(self, read: Callable[[dict[str, Any]], T], request: dict[str, Any]) -> T:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_CONNECT_SECONDS)
            try:
                connection.connect(self._control_socket)
            except OSError as error:
                raise ProviderUnreachable(
                    f"The control socket {self._control_socket} cannot be reached ({error.strerror or error}). "
                    f"Is {Path(self._control_socket).stem}.socket running, and is the hub in its group?"
                ) from error
            connection.settimeout(_ANSWER_SECONDS)
            try:
                connection.sendall(json.dumps({"hub": self._hub, **request}).encode() + b"\n")
                with connection.makefile("rb") as reply:
                    line = reply.readline()
            except OSError as error:
                raise OutcomeUnknown(f"The control helper did not answer: {error.strerror or error}.") from error
        if not line:
            raise OutcomeUnknown("The control helper ended without an answer; its journal says why.")
        try:
            answer = json.loads(line)
            if answer["ok"]:
                return read(answer)
            refusal = ProviderError(answer["error"], reason=f"node-{answer['code']}")
        except (ValueError, LookupError, TypeError) as error:
            raise OutcomeUnknown(f"The control helper's answer makes no sense ({type(error).__name__}).") from error
        raise refusal


def _created(record: dict[str, Any], request: LaunchRequest) -> Instance:
    if image := record.get("pulling"):
        request.report(20, f"Pulling the image {image}, which the node does not hold. That may take minutes.")
    return _instance(record)


def _instance(record: dict[str, Any]) -> Instance:
    return Instance(
        id=record["instance"],
        name=record["instance"],
        user=record["user"],
        server=record["server"],
        request_id=record["request"],
        state=State(record["state"]),
        address=record["address"],
        port=record["port"],
        owns_port=record["listening"],
        exit_status=record["exit_status"],
        detail=record["result"],
        cpu_seconds=record.get("cpu_seconds"),
    )
