# SPDX-License-Identifier: BSD-3-Clause
"""Users sign up with a password and come in once an administrator approved them."""

from __future__ import annotations

import re
import secrets

import pytest
from playwright.sync_api import expect

PASSWORD = "correct horse battery"


def sign_up(page, user):
    page.goto("/hub/signup")
    page.fill("#username_input", user)
    page.fill("#password_input", PASSWORD)
    page.fill("#password_confirmation_input", PASSWORD)
    page.get_by_role("button", name="Create User").click()


def log_in(page, user):
    page.goto("/hub/login")
    page.fill("#username_input", user)
    page.fill("#password_input", PASSWORD)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture
def another_page(chromium, hub_url):
    context = chromium.new_context(base_url=hub_url)
    yield context.new_page()
    context.close()


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
    administrator.get_by_role("row", name=newcomer).get_by_text("Authorize", exact=True).click()
    log_in(student, newcomer)
    student.wait_for_url(re.compile(f"/user/{newcomer}/lab"), timeout=120_000)


def test_nobody_comes_in_without_a_password(page, screenshot):
    log_in(page, "mallory")
    expect(page).to_have_url(re.compile("login"))
