# SPDX-License-Identifier: BSD-3-Clause
"""Users sign up with a password and come in once an administrator approved them."""

from __future__ import annotations

import re
import secrets

from people import approve, log_in, sign_up
from playwright.sync_api import expect


def test_an_administrator_signs_up_and_approves_a_student_who_then_works(page, another_page, screenshot):
    administrator, student = page, another_page
    newcomer = f"bob-{secrets.token_hex(3)}"
    sign_up(administrator, "ada")
    screenshot("signed-up")
    log_in(administrator, "ada")
    expect(administrator).not_to_have_url(re.compile("login"))

    sign_up(student, newcomer)
    log_in(student, newcomer)
    expect(student).to_have_url(re.compile("login"))

    administrator.goto("/hub/authorize")
    screenshot("authorize")
    approve(administrator, newcomer)
    log_in(student, newcomer)
    student.wait_for_url(re.compile(f"/user/{newcomer}/lab"), timeout=120_000)


def test_nobody_comes_in_without_a_password(page, screenshot):
    log_in(page, "mallory")
    expect(page).to_have_url(re.compile("login"))
