# SPDX-License-Identifier: BSD-3-Clause
"""What people do in a browser at a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "correct horse battery"


def sign_up(page: Page, user: str) -> None:
    page.goto("/hub/signup")
    page.fill("#username_input", user)
    page.fill("#password_input", PASSWORD)
    page.fill("#password_confirmation_input", PASSWORD)
    page.get_by_role("button", name="Create User").click()


def log_in(page: Page, user: str) -> None:
    page.goto("/hub/login")
    page.fill("#username_input", user)
    page.fill("#password_input", PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def run_cell(page: Page, code: str, output: str) -> None:
    """In a new notebook of the JupyterLab that is open."""
    page.get_by_text("Python 3 (ipykernel)").first.click()
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    page.locator(".jp-Notebook .cm-content").first.click()
    page.keyboard.type(code)
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text(output, timeout=60_000)


def approve(page: Page, user: str) -> None:
    """As an administrator."""
    page.goto("/hub/authorize")
    page.get_by_role("row", name=user).get_by_text("Authorize", exact=True).click()


def signed_in(hub_url: str, user: str, password: str, browser: requests.Session | None = None) -> requests.Session:
    """A browser without a screen, after the hub's form; whoever was refused is at the form still."""
    browser = browser or requests.Session()
    browser.get(f"{hub_url}/hub/login", timeout=60)
    token = browser.cookies.get("_xsrf", path=f"{urlsplit(hub_url).path}/hub/")
    form = {"_xsrf": token, "username": user, "password": password}
    browser.post(f"{hub_url}/hub/login", data=form, timeout=60)
    return browser
