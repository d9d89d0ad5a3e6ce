# SPDX-License-Identifier: BSD-3-Clause
"""Two people sign up at a hub in a container and work, and find everything again when it was restarted."""

from __future__ import annotations

import re
import secrets

from container_sites import PHYSICS, docker
from people import approve, log_in, run_cell, sign_up
from playwright.sync_api import expect


def work(page, user, text):
    """In a notebook, leave a file behind."""
    page.wait_for_url(re.compile(f"/user/{user}/tree"), timeout=90_000)
    page.goto(f"/user/{user}/lab")
    run_cell(page, f"import humanize; open('{text}.txt', 'w').write(humanize.ordinal(6 * 7)); print(6 * 7)", "42")


def test_two_people_work_and_find_everything_again_after_a_restart(hub, page, another_page, screenshot):
    student = f"bob-{secrets.token_hex(3)}"
    sign_up(page, "ada")
    log_in(page, "ada")
    screenshot("container-announcement")
    work(page, "ada", "of-ada")
    sign_up(another_page, student)
    approve(page, student)
    log_in(another_page, student)
    work(another_page, student, "of-bob")
    screenshot("container-notebook")

    docker("restart", "--time", "30", PHYSICS)
    hub.wait_until_up()
    for person, user, kept, other in ((page, "ada", "of-ada", "of-bob"), (another_page, student, "of-bob", "of-ada")):
        person.context.clear_cookies()
        log_in(person, user)
        person.wait_for_url(re.compile(f"/user/{user}/tree"), timeout=90_000)
        expect(person.get_by_text(f"{kept}.txt")).to_be_visible()
        expect(person.get_by_text(f"{other}.txt")).not_to_be_visible()
    screenshot("container-tree")
    for user in ("ada", student):
        hub.stop(user)
