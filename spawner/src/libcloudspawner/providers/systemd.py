# SPDX-License-Identifier: BSD-3-Clause
"""Instances as systemd services on a prepared host, through the host's control helper."""

from __future__ import annotations

import json
import socket
from typing import Any

from .base import Instance, LaunchRequest, OutcomeUnknown, Provider, ProviderError, ProviderUnreachable, State

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0


class SystemdProvider(Provider):
    """Asks ``jupyterhub-singleuserctl`` at its socket; each call is one connection, one request, one answer."""

    def __init__(self, hub: str, control_socket: str) -> None:
        self._hub = hub
        self._control_socket = control_socket

    def create(self, request: LaunchRequest) -> Instance:
        answer = self._ask(
            action="start",
            instance=request.name,
            request=request.request_id,
            user=request.user,
            server=request.server,
            account=request.account,
            address=request.bind_address,
            environment=request.image,
            command=list(request.command),
            variables=dict(request.environment),
            limits={
                "memory_bytes": request.limits.memory_bytes,
                "cpus": request.limits.cpus,
                "tasks": request.limits.tasks,
            },
        )
        return _instance(answer["instance"])

    def list(self) -> dict[str, Instance]:
        found = (_instance(record) for record in self._ask(action="list")["instances"])
        return {instance.name: instance for instance in found}

    def destroy(self, name: str, request_id: str | None = None) -> None:
        self._ask(action="stop", instance=name, request=request_id)

    def log(self, name: str, lines: int) -> list[str]:
        answer: list[str] = self._ask(action="log", instance=name, lines=lines)["lines"]
        return answer

    def _ask(self, **request: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_CONNECT_SECONDS)
            try:
                connection.connect(self._control_socket)
            except OSError as error:
                raise ProviderUnreachable(
                    f"The control socket {self._control_socket} cannot be reached ({error.strerror or error}). "
                    "Is jupyterhub-singleuserctl.socket running, and is the hub in its group?"
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
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise ProviderError(answer["error"], reason=f"node-{answer['code']}")
        return answer


def _instance(record: dict[str, Any]) -> Instance:
    return Instance(
        name=record["instance"],
        user=record["user"],
        server=record["server"],
        request_id=record["request"],
        state=State(record["state"]),
        address=record["address"],
        port=record["port"],
        is_ready=record["listening"],
        exit_status=record["exit_status"],
        detail=record["result"],
    )
