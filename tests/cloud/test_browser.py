# SPDX-License-Identifier: BSD-3-Clause
"""What a student sees of a machine of their own. It is left running, for what else there is to see of it."""

from __future__ import annotations

import re

from conftest import PASSWORD
from playwright.sync_api import expect

BOOT_SECONDS = 1200


def test_a_student_gets_a_machine_of_their_own(hub, page, screenshot):
    page.goto("/")
    page.fill("#username_input", "ada")
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")
    page.get_by_label("4vcpu 64Go RAM").check()
    page.get_by_label("debian-12-jupyter-r", exact=True).check()
    screenshot("cloud-form")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#progress-message")).to_contain_text(re.compile("machine|built|running"), timeout=30_000)
    screenshot("cloud-progress")
    page.wait_for_url(re.compile("/user/ada/lab"), timeout=BOOT_SECONDS * 1000)
    expect(page.get_by_text("Python 3 (ipykernel)").first).to_be_visible(timeout=180_000)
    screenshot("cloud-lab")
