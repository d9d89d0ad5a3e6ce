# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import asyncio
import json
import socket
import threading

import pytest
from libcloudspawner import pamcheck
from libcloudspawner.pam import PAMAuthenticator
from libcloudspawner.pamcheck import OF_ALL, OF_ONE, SECONDS, Attempts, answer, is_right, serve
from tornado.web import HTTPError


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def attempts(clock):
    return Attempts(clock)


@pytest.fixture
def one_right(monkeypatch):
    """A PAM that knows one password of everybody."""
    monkeypatch.setattr(pamcheck, "is_right", lambda user, password, service: password == "right")


def ask(attempts, user, password):
    return answer(json.dumps({"user": user, "password": password}).encode(), attempts, "jupyterhub")


def test_after_too_many_wrong_ones_not_even_the_right_one_is_heard_until_the_minute_is_over(attempts, clock, one_right):
    assert [ask(attempts, "ada", "wrong") for _ in range(OF_ONE)] == ["no"] * OF_ONE
    assert ask(attempts, "ada", "right") == "later"
    assert ask(attempts, "bob", "right") == "yes"
    clock.now = SECONDS
    assert ask(attempts, "ada", "right") == "yes"


def test_the_right_one_makes_up_for_wrong_ones(attempts, one_right):
    for _ in range(3):
        assert [ask(attempts, "ada", "wrong") for _ in range(OF_ONE - 1)] == ["no"] * (OF_ONE - 1)
        assert ask(attempts, "ada", "right") == "yes"


def test_guesses_at_many_accounts_are_limited_too(attempts, one_right):
    said = [ask(attempts, f"student-{number}", "wrong") for number in range(OF_ALL + 1)]
    assert said == ["no"] * OF_ALL + ["later"]


def test_attempts_that_are_not_over_count(attempts):
    assert [attempts.begin("ada") for _ in range(OF_ONE + 1)] == [True] * OF_ONE + [False]


@pytest.mark.parametrize(
    "request_",
    [b"", b"no json", b"[]", b'{"user": "ada"}', b'{"user": "", "password": "right"}', b'{"user": 1, "password": 2}'],
)
def test_what_is_no_question_is_denied(attempts, one_right, request_):
    assert answer(request_, attempts, "jupyterhub") == "no"


@pytest.mark.parametrize("user", ["root", "daemon", "nobody-of-this-name", "ro\0ot"])
def test_pam_is_not_even_asked_of_accounts_of_the_system(monkeypatch, user):
    monkeypatch.setattr(pamcheck.pamela, "authenticate", lambda *_, **__: None)
    assert not is_right(user, "any", "jupyterhub")


@pytest.fixture
def checker(tmp_path, attempts, one_right):
    """The socket of a checker that is asked by two people."""
    path = str(tmp_path / "check.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def run():
        for _ in range(OF_ONE + 2):
            try:
                serve(listener.accept()[0], attempts, "jupyterhub")
            except OSError:
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield path
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_the_hub_is_told_yes_no_and_later(checker):
    authenticator = PAMAuthenticator(check_socket=checker)

    def enters(user, password):
        return asyncio.run(authenticator.authenticate(None, {"username": user, "password": password}))

    assert enters("Ada", "right") == {"name": "ada"}
    assert [enters("bob", "wrong") for _ in range(OF_ONE)] == [None] * OF_ONE
    with pytest.raises(HTTPError, match="Too many wrong passwords"):
        enters("bob", "right")


def test_without_the_checker_nobody_enters(tmp_path):
    authenticator = PAMAuthenticator(check_socket=str(tmp_path / "missing"))
    with pytest.raises(HTTPError, match="cannot be verified"):
        asyncio.run(authenticator.authenticate(None, {"username": "ada", "password": "right"}))
