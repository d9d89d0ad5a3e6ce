# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import json

import pytest
from fakes import HelperStub
from launch import launch_request
from libcloudspawner.providers import systemd
from libcloudspawner.providers.base import OutcomeUnknown, ProviderError, ProviderUnreachable, State
from libcloudspawner.providers.systemd import SystemdProvider


@pytest.fixture
def helper(tmp_path):
    helper = HelperStub(tmp_path / "control.sock")
    yield helper
    helper.close()


@pytest.fixture
def provider(helper):
    return SystemdProvider("hub", str(helper.path))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"state": "starting"}, {"state": State.STARTING, "owns_port": False}),
        ({"state": "running", "listening": True}, {"state": State.RUNNING, "owns_port": True}),
        (
            {"state": "failed", "exit_status": 137, "result": "oom-kill"},
            {"state": State.FAILED, "exit_status": 137, "detail": "oom-kill"},
        ),
    ],
)
def test_what_the_helper_says_of_an_instance_is_what_the_fleet_sees(helper, provider, record, expected):
    provider.create(launch_request("alice"))
    helper.records["alice"].update(record)
    (instance,) = provider.list()
    assert {name: getattr(instance, name) for name in expected} == expected


@pytest.mark.parametrize("code", ["invalid", "refused", "foreign", "failed", "internal"])
def test_the_code_of_a_refusal_is_its_reason(helper, provider, code):
    helper.refuse_next("no", code)
    with pytest.raises(ProviderError, match=r"^no$") as caught:
        provider.list()
    assert caught.value.reason == f"node-{code}"


def test_an_image_that_the_node_has_to_pull_is_told_to_who_waits(helper, provider):
    told = []
    request = launch_request("ada", report=lambda percent, message: told.append(message))
    provider.create(request)
    assert told == []
    helper.answers.append(
        json.dumps({"ok": True, "instance": {**helper.records["ada"], "pulling": "example.org/lab@sha256:7"}}).encode()
        + b"\n"
    )
    provider.create(request)
    assert told == ["Pulling the image example.org/lab@sha256:7, which the node does not hold. That may take minutes."]


def test_what_a_deleted_user_had_is_taken_away_by_the_helper(helper, provider):
    asked = []
    helper.answer = lambda request: asked.append(request) or b'{"ok": true, "forgotten": true}\n'
    provider.forget("ada", "gpu", "jupyter-ada")
    assert asked == []
    provider.forget("ada", "", "jupyter-ada")
    assert asked == [{"hub": "hub", "action": "forget", "user": "ada", "account": "jupyter-ada"}]


def test_a_helper_that_hangs_leaves_the_outcome_unknown(helper, provider, monkeypatch):
    monkeypatch.setattr(systemd, "_ANSWER_SECONDS", 0.05)
    with helper.lock, pytest.raises(OutcomeUnknown, match="timed out"):
        provider.list()


def test_a_helper_that_hangs_up_leaves_the_outcome_unknown(helper, provider):
    helper.answers.append(None)
    with pytest.raises(OutcomeUnknown, match="without an answer"):
        provider.list()


def test_a_missing_socket_is_named(tmp_path):
    with pytest.raises(ProviderUnreachable, match=f"{tmp_path}/control.sock.*No such file") as caught:
        SystemdProvider("hub", f"{tmp_path}/control.sock").list()
    assert caught.value.reason == "unreachable"


@pytest.mark.parametrize(
    "answer",
    [
        b"\n",
        b"not json\n",
        b"\xff\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b'{"ok": true}\n',
        b'{"ok": false}\n',
        b'{"ok": true, "instances": [{}]}\n',
    ],
)
def test_an_answer_that_is_none_leaves_the_outcome_unknown(helper, provider, answer):
    helper.answers.append(answer)
    with pytest.raises(OutcomeUnknown):
        provider.list()
