# SPDX-License-Identifier: BSD-3-Clause
"""Tell the hub whether the password of an account is right: ``python -m libcloudspawner.pamcheck SERVICE``.

Runs as root behind a socket of systemd's that the hub alone may open. Asked for a user and a password by a line of
JSON, it says ``yes``, ``no``, or ``later`` after too many wrong ones, and nothing else; so a hub that was taken over
learns no password that nobody types, and guesses no faster than anybody.
"""

from __future__ import annotations

import json
import pwd
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pamela

#: Those below are accounts of the system, root among them.
LEAST_UID = 1000
#: Wrong passwords of one account, and of all, that are heard within so many seconds.
OF_ONE, OF_ALL, SECONDS = 5, 100, 60.0
_THREADS = 8
_LONGEST = 4096
_PATIENCE_SECONDS = 10


class Attempts:
    """Who gave wrong passwords lately. An attempt counts as wrong until it turned out right."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._times: list[tuple[float, str]] = []

    def begin(self, user: str) -> bool:
        """Whether ``user`` may try; then it counts."""
        with self._lock:
            since = self._clock() - SECONDS
            self._times = [(when, who) for when, who in self._times if when > since]
            if len(self._times) >= OF_ALL or [who for when, who in self._times].count(user) >= OF_ONE:
                return False
            self._times.append((self._clock(), user))
            return True

    def succeed(self, user: str) -> None:
        with self._lock:
            self._times = [(when, who) for when, who in self._times if who != user]


def is_right(user: str, password: str, service: str) -> bool:
    """Whether PAM lets the account ``user`` in with ``password``."""
    # Programs in C would end the text there.
    if "\0" in user + password:
        return False
    try:
        if pwd.getpwnam(user).pw_uid < LEAST_UID:
            return False
        pamela.authenticate(user, password, service=service, resetcred=0)
    except (KeyError, pamela.PAMError):
        return False
    return True


def answer(request: bytes, attempts: Attempts, service: str) -> str:
    try:
        asked = json.loads(request)
        user, password = asked["user"], asked["password"]
        if not (isinstance(user, str) and isinstance(password, str) and user):
            return "no"
    except (ValueError, KeyError, TypeError):
        return "no"
    if not attempts.begin(user):
        return "later"
    if not is_right(user, password, service):
        return "no"
    attempts.succeed(user)
    return "yes"


def serve(connection: socket.socket, attempts: Attempts, service: str) -> None:
    with connection:
        connection.settimeout(_PATIENCE_SECONDS)
        try:
            request = connection.makefile("rb").readline(_LONGEST)
            said = answer(request, attempts, service)
            connection.sendall(f"{said}\n".encode())
        except OSError as error:
            said = f"nothing: {error}"
        # Not who: a password may have been typed in the place of the name.
        print(f"A password was asked for; the answer was {said}.", flush=True)


def main() -> None:
    (service,) = sys.argv[1:]
    attempts = Attempts()
    # The first that systemd hands over.
    with socket.socket(fileno=3) as listener, ThreadPoolExecutor(_THREADS) as threads:
        while True:
            connection = listener.accept()[0]
            threads.submit(serve, connection, attempts, service)


if __name__ == "__main__":
    main()
