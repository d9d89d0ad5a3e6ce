# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils import _singleuser as singleuser
from ansible_collections.libcloudspawner.jupyterhub.plugins.module_utils._hub_api import HubError

DEFAULTS = {
    "user": "alice",
    "name": "",
    "state": "started",
    "size": None,
    "environment": None,
    "user_options": None,
    "display_name": None,
    "wait": True,
    "wait_timeout": 300,
}
READY = {"ready": True, "pending": None, "user_options": {"userserver_size": "small"}, "display_name": "gpu"}
STOPPED = {**READY, "ready": False}
STARTING = {**STOPPED, "pending": "spawn"}
STOPPING = {**STOPPED, "pending": "stop"}
CHECKED = {**STOPPED, "pending": "check"}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {}),
        ({"size": "small", "environment": "ml"}, {"userserver_size": "small", "userserver_image": "ml"}),
        ({"size": "small", "user_options": {"userserver_size": "big", "x": 1}}, {"userserver_size": "small", "x": 1}),
    ],
)
def test_size_and_environment_are_options_of_the_spawner(params, expected):
    assert singleuser.read_wanted({**DEFAULTS, **params}).options == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"user": " "}, "user is empty"),
        ({"name": "Big"}, "The server name 'Big' is not valid"),
        ({"display_name": "Mine"}, "display_name is for named servers only"),
    ],
)
def test_what_cannot_be_wanted_is_refused(params, message):
    with pytest.raises(HubError, match=message):
        singleuser.read_wanted({**DEFAULTS, **params})


@pytest.mark.parametrize(
    ("state", "server", "default", "named"),
    [
        ("started", None, "start", "start"),
        ("started", STOPPED, "start", "start"),
        ("started", STARTING, "", ""),
        ("started", READY, "", ""),
        ("started", STOPPING, "start", "start"),
        ("started", CHECKED, "start", "start"),
        ("stopped", None, "", ""),
        ("stopped", STOPPED, "", ""),
        ("stopped", STARTING, "stop", "stop"),
        ("stopped", READY, "stop", "stop"),
        ("stopped", STOPPING, "", ""),
        ("stopped", CHECKED, "stop", "stop"),
        ("absent", None, "", ""),
        ("absent", STOPPED, "", "remove"),
        ("absent", STARTING, "stop", "remove"),
        ("absent", READY, "stop", "remove"),
        ("absent", STOPPING, "", "remove"),
    ],
)
def test_only_what_is_missing_is_asked_of_the_hub(state, server, default, named):
    assert singleuser.next_action(server, singleuser.Wanted("alice", "", state)) == default
    assert singleuser.next_action(server, singleuser.Wanted("alice", "gpu", state)) == named


@pytest.mark.parametrize(
    ("last", "wanted", "expected"),
    [
        (None, {}, {}),
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
    ],
)
def test_options_that_are_not_asked_for_stay(last, wanted, expected):
    server = {**STOPPED, "user_options": last}
    assert singleuser.next_options(server, singleuser.Wanted("alice", options=wanted)) == expected


@pytest.mark.parametrize(
    ("options", "display_name", "expected"),
    [
        ({}, "", {}),
        ({"x": 1}, "", {"user_options": {"userserver_size": "small", "x": 1}}),
        ({}, "Mine", {"display_name": "Mine"}),
    ],
)
def test_a_start_names_options_only_when_some_were_asked_for(options, display_name, expected):
    wanted = singleuser.Wanted("alice", "gpu", options=options, display_name=display_name)
    assert singleuser.start_request(STOPPED, wanted) == expected


@pytest.mark.parametrize(
    ("options", "display_name", "expected"),
    [
        ({"userserver_size": "small"}, "gpu", []),
        ({"missing": None}, "", []),
        ({"userserver_size": "big"}, "", ["size is 'small' (asked: 'big')"]),
        ({"userserver_image": "ml"}, "", ["environment is not set (asked: 'ml')"]),
        ({}, "Mine", ["display_name is 'gpu' (asked: 'Mine')"]),
    ],
)
def test_differences_of_a_running_server_are_told_in_the_words_of_the_module(options, display_name, expected):
    wanted = singleuser.Wanted("alice", "gpu", options=options, display_name=display_name)
    assert singleuser.differences(READY, wanted) == expected


def test_a_prediction_is_what_the_hub_would_show():
    wanted = singleuser.Wanted("alice", "gpu", options={"x": 1})
    assert singleuser.predict(READY, wanted, "") is READY
    assert singleuser.predict(READY, wanted, "remove") is None
    assert singleuser.predict(READY, wanted, "stop") == {**STOPPED, "started": None}
    started = singleuser.predict(None, wanted, "start")
    assert started == {"ready": True, "pending": None, "display_name": "gpu", "user_options": {"x": 1}}
