# SPDX-License-Identifier: BSD-3-Clause
"""From a request to its answer: what is counted, held, cut or spoiled on the way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from tornado.web import RequestHandler

from .faults import Fault

if TYPE_CHECKING:
    from .cloud import FakeCloud


@dataclass
class Request:
    """What a service gets to see."""

    path: str
    id: str
    query: dict[str, str]
    headers: Any
    body: dict[str, Any]
    fault: Fault

    @property
    def token(self) -> str:
        return str(self.headers.get("X-Auth-Token", ""))


@dataclass
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Operation = Callable[["FakeCloud", Request], Answer]


class Service(NamedTuple):
    """``prefix`` is what its paths begin with on this host; ``error`` makes an error in its own shape."""

    prefix: str
    operations: dict[str, Operation]
    error: Callable[[int, str], Any]
    asks_for_token: bool = True


TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


def keystone_error(status: int, message: str) -> dict[str, Any]:
    """Also what every other service answers to a token that it does not know."""
    return {"error": {"code": status, "title": TITLES.get(status, "Error"), "message": message}}


UNAUTHORIZED = Answer(401, keystone_error(401, "The request you have made requires authentication."))


class Handler(RequestHandler):
    """One path template of one service."""

    def initialize(self, cloud: FakeCloud, service: Service, path: str, operations: dict[str, Operation]) -> None:
        self.cloud = cloud
        self.service = service
        self.path = path
        self.operations = operations

    async def _serve(self, subject: str = "") -> None:
        cloud, method = self.cloud, str(self.request.method)
        if method not in self.operations:
            self._send(Answer(405, self.service.error(405, "The method is not allowed for this resource.")))
            return
        subject = unquote(subject)
        with cloud.in_flight(method, self.path, subject) as call:
            fault = cloud.next_fault(method, self.path, subject, self.request.query)
            answer = None
            if cloud.latency:
                await asyncio.sleep(cloud.latency)
            if fault.works_first:
                answer = self._work(subject, fault)
            if fault.delay:
                await cloud.hold(fault.delay)
            if fault.cut:
                self.request.connection.stream.close()  # type: ignore[union-attr]
                return
            if fault.status is not None:
                answer = self._spoiled(fault, fault.status)
            elif answer is None:
                answer = self._work(subject, fault)
            call.status = answer.status
            self._send(answer)

    get = post = put = delete = _serve

    def _work(self, subject: str, fault: Fault) -> Answer:
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        body = json.loads(self.request.body or b"{}")
        request = Request(self.request.path, subject, query, self.request.headers, body, fault)
        if self.service.asks_for_token and self.cloud.tokens.get(request.token, 0) <= time.time():
            return UNAUTHORIZED
        return self.operations[str(self.request.method)](self.cloud, request)

    def _spoiled(self, fault: Fault, status: int) -> Answer:
        if fault.garbled:
            return Answer(status, '{"serv')
        if status < 400:
            return Answer(status)
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return Answer(status, self.service.error(status, fault.message), headers)

    def _send(self, answer: Answer) -> None:
        self.set_status(answer.status)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        if answer.body is None:
            self.clear_header("Content-Type")
            self.finish()
        else:
            self.set_header("Content-Type", "application/json")
            self.finish(answer.body if isinstance(answer.body, str) else json.dumps(answer.body))

    def prepare(self) -> None:
        # Nagle's algorithm would add 40 ms to an answer that does not fit into one segment.
        self.request.connection.stream.set_nodelay(True)  # type: ignore[union-attr]

    def compute_etag(self) -> None:
        return None


def routes(cloud: FakeCloud, service: Service) -> Iterable[tuple[str, type[Handler], dict[str, Any]]]:
    """What Tornado needs to know of a service. Fixed paths come before those with an id in them."""
    paths: dict[str, dict[str, Operation]] = {}
    for kind, operation in service.operations.items():
        method, path = kind.split(" ")
        paths.setdefault(path, {})[method] = operation
    for path, operations in sorted(paths.items(), key=lambda item: "{" in item[0]):
        arguments = {"cloud": cloud, "service": service, "path": path, "operations": operations}
        yield service.prefix + path.replace("{id}", "([^/]+)"), Handler, arguments
