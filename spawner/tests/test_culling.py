# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from datetime import timedelta

import pytest
from libcloudspawner.culling import ProfileCuller


@pytest.fixture
def is_due():
    culler = ProfileCuller()
    culler.parse_command_line(
        ["--timeout=60", "--ProfileCuller.profile_timeouts=project=600", "--ProfileCuller.profile_timeouts=exam=0"]
    )

    def is_due(seconds, **server):
        hook = culler.cull_arbiter_hook
        return hook(inactive=timedelta(seconds=seconds), inactive_limit=culler.timeout, server=server)

    return is_due


@pytest.mark.parametrize(
    ("profile", "seconds", "due"),
    [
        ("project", 599, False),
        ("project", 600, True),
        ("exam", 1_000_000, False),
        ("course", 59, False),
        ("course", 60, True),
    ],
)
def test_each_profile_has_its_own_time(is_due, profile, seconds, due):
    assert is_due(seconds, user_options={"profile": profile}) is due


def test_who_chooses_no_profile_has_the_time_of_the_one_that_is_preselected():
    culler = ProfileCuller(profile_timeouts={"project": 600}, default_profile="project")
    hook = culler.cull_arbiter_hook
    assert not hook(inactive=timedelta(seconds=599), inactive_limit=60, server={"user_options": {}})
    assert hook(inactive=timedelta(seconds=60), inactive_limit=60, server={"user_options": {"profile": "course"}})


@pytest.mark.parametrize("options", [None, {}, {"userserver_size": "small"}])
def test_a_server_without_a_profile_has_the_time_of_all(is_due, options):
    assert is_due(61, user_options=options)
    assert not is_due(59, user_options=options)
