# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of a whole hub share; `host` is the host that it runs on, from pytest-testinfra.

The browser is Debian's Chromium, driven by Playwright; screenshots go to build/screenshots/.
"""

from __future__ import annotations

import contextlib
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hub import Hub, hub_address
from playbook import run_playbook

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page
    from testinfra.host import Host

# As molecule/default/molecule.yml sets them.
ADMIN_TOKEN = "0123456789abcdef0123456789abcdef"
PASSWORD = "molecule"

ROOT = Path(__file__).parents[1]
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
]


@pytest.fixture(scope="module")
def hub_url(host: Host) -> str:
    return hub_address(host)


@pytest.fixture(scope="module")
def hub(hub_url: str) -> Hub:
    return Hub(hub_url, ADMIN_TOKEN)


@pytest.fixture(scope="module")
def run(pytestconfig: pytest.Config) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a playbook of the collection on the host, by its name."""
    return partial(run_playbook, pytestconfig.option.ansible_inventory)


@pytest.fixture(scope="module")
def play(run: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the playbook on the host again, with other variables."""
    return partial(run, "site")


@pytest.fixture
def drop_in(host: Host, hub: Hub) -> Iterator[Callable[[str], None]]:
    """Configure the hub beyond what the scenario says, for one test."""
    path = "/etc/jupyterhub/jupyterhub_config.d/test.py"

    def write(text: str) -> None:
        host.check_output("printf %%s %s > %s && systemctl restart jupyterhub", textwrap.dedent(text), path)
        hub.wait_until_up()

    yield write
    host.check_output("rm -f %s && systemctl restart jupyterhub", path)
    hub.wait_until_up()


# For a module alone: as long as Playwright runs, no other event loop can.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    # On a busy machine five seconds, as by default, are few.
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(chromium: Browser, hub_url: str) -> Iterator[Page]:
    context = chromium.new_context(base_url=hub_url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(chromium: Browser, hub_url: str) -> Iterator[Page]:
    with opened(chromium, hub_url) as page:
        yield page


@pytest.fixture
def another_page(chromium: Browser, hub_url: str) -> Iterator[Page]:
    """That of another person."""
    with opened(chromium, hub_url) as page:
        yield page


@pytest.fixture
def screenshot(page: Page, request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Keep what the page shows under a name; what it shows at the end is kept by itself."""
    from playwright.sync_api import Error

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def take(name: str) -> None:
        # On a busy machine Chromium may have nothing to show yet.
        with contextlib.suppress(Error):
            page.screenshot(path=SCREENSHOTS / f"{name}.png")
            return
        page.wait_for_timeout(2000)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    yield take
    take(f"{request.node.originalname}-end")
