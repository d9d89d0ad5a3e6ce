# SPDX-License-Identifier: BSD-3-Clause
"""What a student sees and does."""

from __future__ import annotations

import re
import secrets

import pytest
from conftest import PASSWORD
from playwright.sync_api import expect


def log_in(page, user, password=PASSWORD):
    page.goto("/")
    page.fill("#username_input", user)
    page.fill("#password_input", password)
    page.click("#login_submit")


@pytest.fixture
def student(hub):
    # A name of its own each time: JupyterLab opens what was open last.
    name = f"student-{secrets.token_hex(3)}"
    yield name
    hub.stop(name)


def test_a_student_logs_in_chooses_works_and_logs_out(hub, student, page, screenshot):
    log_in(page, student)

    sizes = page.get_by_role("group", name="Size of your server")
    expect(sizes.get_by_role("radio")).to_have_count(2)
    expect(sizes.get_by_label("Large")).to_be_checked()
    expect(sizes).to_contain_text("512 MB of memory, half a processor")
    expect(sizes).to_contain_text("For work that computes 🎓.")
    screenshot("form")
    sizes.get_by_label("Large").check()
    page.get_by_role("button", name="Start").click()

    expect(page.locator("#progress-message")).to_contain_text(re.compile("server"))
    screenshot("progress")

    page.wait_for_url(re.compile(f"/user/{student}/lab"), timeout=90_000)
    page.get_by_text("Python 3 (ipykernel)").first.click()
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    cell = page.locator(".jp-Notebook .cm-content").first
    cell.click()
    page.keyboard.type("print(6 * 7, __import__('numpy').__name__)")
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text("42 numpy", timeout=60_000)
    screenshot("notebook")
    assert hub.server(student)["user_options"] == {"userserver_size": "large", "userserver_image": "default"}

    page.goto("/hub/logout")
    page.goto("/hub/home")
    expect(page.locator("#username_input")).to_be_visible()
    screenshot("logged-out")


def test_a_wrong_password_is_refused(page, screenshot):
    log_in(page, "student", "wrong")
    expect(page.locator(".login_error")).to_contain_text("Invalid username or password")


def test_a_start_that_fails_says_why_on_the_page(page, screenshot, hub):
    hub.call("DELETE", "/users/unlucky")
    log_in(page, "unlucky")
    page.get_by_label("Nothing").check()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("body")).to_contain_text(
        "This node holds no environment not-there; it holds: default", timeout=30_000
    )


def test_the_last_choice_is_preselected_the_next_time(hub, student, page, screenshot):
    hub.start(student, userserver_size="small")
    hub.stop(student)
    log_in(page, student)
    page.goto("/hub/spawn")
    expect(page.get_by_label("Small")).to_be_checked()
