# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils._hub_api import HubError, HubTimeoutError
from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils._singleuser import Wanted
from ansible_collections.libcloudspawner.jupyterhub.plugins.modules import singleuser

READY = {"ready": True, "pending": None, "user_options": {"userserver_size": "small"}}
STOPPED = {**READY, "ready": False}
STARTING = {**STOPPED, "pending": "spawn"}
STOPPING = {**STOPPED, "pending": "stop"}


class FakeHub:
    """A hub with one server; each look at it shows the next of ``views``, the last one for ever."""

    def __init__(self, *views, failure="", refusals=()):
        self.views = list(views)
        self.failure = failure
        self.refusals = list(refusals)
        self.asked = []

    def servers(self, user):
        if user == "nobody":
            return None
        view = self.views.pop(0) if len(self.views) > 1 else self.views[0]
        return {} if view is None else {"": view, "gpu": view}

    def start(self, user, name, body):
        self.asked.append(("start", user, name, body))
        self._refuse()

    def stop(self, user, name, remove=False):
        self.asked.append(("stop", user, name, remove))
        self._refuse()

    def start_failure(self, user, name):
        return self.failure

    def _refuse(self):
        if self.refusals:
            raise self.refusals.pop(0)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time that passes only in sleep; the seconds slept."""
    slept = []
    monkeypatch.setattr(singleuser.time, "monotonic", lambda: sum(slept))
    monkeypatch.setattr(singleuser.time, "sleep", slept.append)
    return slept


def wanted(**values):
    return Wanted("alice", **values)


def test_a_stopped_server_is_started_and_waited_for():
    hub = FakeHub(STOPPED, STARTING, STARTING, READY)
    result, warnings = singleuser.apply(hub, wanted(options={"x": 1}))
    assert hub.asked == [("start", "alice", "", {"user_options": {"userserver_size": "small", "x": 1}})]
    assert result["changed"] is True
    assert result["singleuser"]["state"] == "started"
    assert result["diff"]["before"]["state"] == "stopped"
    assert result["diff"]["after"]["state"] == "started"
    assert not warnings


@pytest.mark.parametrize(
    ("values", "views"),
    [
        ({}, [READY]),
        ({"options": {"userserver_size": "small"}}, [READY]),
        ({"state": "stopped"}, [STOPPED]),
        ({"state": "absent"}, [STOPPED]),
        ({"state": "stopped", "name": "gpu"}, [None]),
        ({"state": "absent", "name": "gpu"}, [None]),
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_what_is_as_wanted_is_not_changed(values, views, check_mode):
    hub = FakeHub(*views)
    result, warnings = singleuser.apply(hub, wanted(**values), check_mode)
    assert (hub.asked, result["changed"], warnings) == ([], False, [])
    assert result["diff"]["before"] == result["diff"]["after"]


@pytest.mark.parametrize(
    ("values", "view", "state"),
    [
        ({}, STOPPED, "started"),
        ({"name": "gpu"}, None, "started"),
        ({"state": "stopped"}, READY, "stopped"),
        ({"state": "stopped"}, STARTING, "stopped"),
        ({"state": "absent"}, READY, "stopped"),
        ({"state": "absent", "name": "gpu"}, STOPPED, "absent"),
    ],
)
def test_check_mode_predicts_and_asks_nothing(values, view, state):
    hub = FakeHub(view)
    result, _warnings = singleuser.apply(hub, wanted(**values), check_mode=True)
    assert (hub.asked, result["changed"], result["singleuser"]["state"]) == ([], True, state)


def test_a_start_that_is_under_way_is_waited_for_and_is_no_change(clock):
    hub = FakeHub(STARTING, STARTING, STARTING, READY)
    result, _warnings = singleuser.apply(hub, wanted())
    assert (hub.asked, result["changed"], result["singleuser"]["state"]) == ([], False, "started")
    assert len(clock) == 2


def test_a_running_server_with_other_options_is_left_alone_with_a_warning():
    hub = FakeHub(READY)
    result, warnings = singleuser.apply(hub, wanted(options={"userserver_size": "big"}))
    assert (hub.asked, result["changed"]) == ([], False)
    assert len(warnings) == 1
    assert "size is 'small' (asked: 'big'). Stop it" in warnings[0]


def test_without_waiting_a_pending_start_is_the_result():
    hub = FakeHub(STOPPED, STARTING)
    result, _warnings = singleuser.apply(hub, wanted(wait=False))
    assert (result["changed"], result["singleuser"]["state"]) == (True, "pending")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("no unit", "The default server of 'alice' could not be started: no unit"),
        ("", "could not be started: the hub gives no reason. Look at journalctl -u jupyterhub"),
    ],
)
def test_a_start_that_fails_says_why(failure, message):
    with pytest.raises(HubError, match=message):
        singleuser.apply(FakeHub(STOPPED, STARTING, STOPPED, failure=failure), wanted())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (HubError("x", 400, "There is no size 'huge' here."), "could not be started: There is no size 'huge' here."),
        (HubError("x", 500, "Internal Server Error"), "could not be started: no unit"),
        (HubError("the token may not", 403, "Action is not authorized"), "^the token may not$"),
        (HubError("cannot be reached"), "^cannot be reached$"),
        (HubError("x", 429, "Active user limit exceeded."), "could not be started: Active user limit exceeded."),
        (HubError("x", 429, "Too many users.", 400), "could not be started: Too many users."),
    ],
)
def test_a_start_that_the_hub_refuses_is_asked_for_once_and_says_why(error, message):
    hub = FakeHub(STOPPED, failure="no unit", refusals=[error])
    with pytest.raises(HubError, match=message):
        singleuser.apply(hub, wanted())
    assert len(hub.asked) == 1


def test_a_start_refused_because_the_hub_is_busy_is_asked_for_again(clock):
    busy = HubError("x", 429, "Too many users.", 40)
    hub = FakeHub(STOPPED, READY, refusals=[busy, busy])
    result, _warnings = singleuser.apply(hub, wanted())
    assert (len(hub.asked), clock, result["changed"]) == (3, [40, 40], True)


def test_a_start_whose_answer_is_lost_is_not_repeated_but_waited_for():
    hub = FakeHub(STOPPED, STARTING, READY, refusals=[HubTimeoutError("no answer")])
    result, _warnings = singleuser.apply(hub, wanted())
    assert (len(hub.asked), result["changed"]) == (1, True)


@pytest.mark.parametrize("state", ["started", "stopped"])
def test_without_waiting_a_lost_answer_is_an_error(state):
    hub = FakeHub(STOPPED if state == "started" else READY, refusals=[HubTimeoutError("no answer")])
    with pytest.raises(HubTimeoutError):
        singleuser.apply(hub, wanted(state=state, wait=False))


def test_a_start_that_takes_too_long_says_that_the_hub_goes_on(clock):
    hub = FakeHub(STOPPED, STARTING)
    with pytest.raises(HubError, match=r"still pending \(spawn\) after 5 seconds. The hub goes on"):
        singleuser.apply(hub, wanted(wait_timeout=5))
    assert sum(clock) == 5


def test_a_server_that_still_stops_is_waited_for_before_it_is_started():
    hub = FakeHub(STOPPING, STOPPING, STOPPED, STARTING)
    result, _warnings = singleuser.apply(hub, wanted(wait=False))
    assert hub.asked == [("start", "alice", "", {})]
    assert result["singleuser"]["state"] == "pending"


def test_a_running_server_is_stopped_and_waited_for():
    hub = FakeHub(READY, STOPPING, STOPPED)
    result, _warnings = singleuser.apply(hub, wanted(state="stopped"))
    assert hub.asked == [("stop", "alice", "", False)]
    assert (result["changed"], result["singleuser"]["state"]) == (True, "stopped")


def test_a_server_that_runs_on_after_a_stop_is_an_error():
    with pytest.raises(HubError, match="still runs although the hub was asked to stop it"):
        singleuser.apply(FakeHub(READY), wanted(state="stopped"))


@pytest.mark.parametrize("refusals", [[], [HubError("x", 404, "alice has no server named 'gpu'")]])
def test_a_named_server_is_removed_and_waited_for(refusals):
    hub = FakeHub(READY, STOPPING, STOPPED, None, refusals=refusals)
    result, _warnings = singleuser.apply(hub, wanted(name="gpu", state="absent"))
    assert hub.asked == [("stop", "alice", "gpu", True)]
    assert (result["changed"], result["singleuser"]["state"]) == (True, "absent")


def test_a_removal_that_somebody_else_asked_for_is_not_asked_for_twice():
    hub = FakeHub(STOPPING, STOPPING, None)
    result, _warnings = singleuser.apply(hub, wanted(name="gpu", state="absent", wait=False))
    assert (hub.asked, result["changed"]) == ([], False)


def test_a_removal_that_the_hub_refuses_is_an_error():
    hub = FakeHub(READY, refusals=[HubError("Named servers are not enabled.", 400)])
    with pytest.raises(HubError, match="Named servers are not enabled"):
        singleuser.apply(hub, wanted(name="gpu", state="absent"))


def test_an_unknown_user_is_an_error_that_says_what_to_do():
    with pytest.raises(HubError, match=r"knows no user 'nobody'.*add the user on the hub's admin page"):
        singleuser.apply(FakeHub(None), Wanted("nobody"))
