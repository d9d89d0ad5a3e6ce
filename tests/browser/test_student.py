# SPDX-License-Identifier: BSD-3-Clause
"""What a student sees and does."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta, timezone

import pytest
from conftest import PASSWORD
from people import run_cell
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
    run_cell(page, "print(6 * 7, __import__('numpy').__name__)", "42 numpy")
    expect(page.get_by_text("official Jupyter news")).to_have_count(0)
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
        "This node holds no environment not-there; it holds: course, default", timeout=30_000
    )
    expect(page.get_by_label("Nothing")).to_be_checked()
    expect(page.get_by_label("Small")).to_be_visible()


def test_the_last_choice_is_preselected_the_next_time(hub, student, page, screenshot):
    hub.start(student, userserver_size="small")
    hub.stop(student)
    log_in(page, student)
    page.goto("/hub/spawn")
    expect(page.get_by_label("Small")).to_be_checked()


PROFILES = """
c.LibcloudSpawner.userserver_sizes = []
c.LibcloudSpawner.userserver_images = []
c.LibcloudSpawner.profile_list = [
    {
        "display_name": "Course",
        "description": "What the exercises need.",
        "default": True,
        "kubespawner_override": {"mem_limit": "512M", "cpu_limit": 0.5, "node_selector": {"pool": "small"}},
    },
    {
        "display_name": "Project",
        "kubespawner_override": {"mem_limit": "1G", "environment": {"KIND": "project"}},
        "profile_options": {
            "image": {
                "display_name": "Environment",
                "choices": {"python": {"display_name": "Python", "kubespawner_override": {"image": "default"}}},
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Name of the environment",
                    "display_name_in_choices": "Another one...",
                    "validation_regex": "[a-z]+",
                    "validation_message": "Small letters.",
                    "kubespawner_override": {"image": "{value}"},
                },
            },
        },
    },
]
"""


def test_a_list_made_for_kubernetes_is_a_form_that_starts_what_it_says(drop_in, host, hub, student, page, screenshot):
    drop_in(PROFILES)
    log_in(page, student)
    expect(page.get_by_label("Course")).to_be_checked()
    expect(page.get_by_label("Environment", exact=True)).to_be_hidden()
    page.get_by_label("Project").check()
    page.get_by_label("Environment", exact=True).select_option("Another one...")
    typed = page.get_by_label("Name of the environment")
    typed.fill("../../etc")
    page.get_by_role("button", name="Start").click()
    expect(typed).to_be_focused()
    assert typed.evaluate("input => input.validity.patternMismatch")
    screenshot("profiles")

    typed.fill("nowhere")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("body")).to_contain_text("This node holds no environment nowhere", timeout=30_000)

    page.goto("/hub/spawn")
    expect(page.get_by_label("Name of the environment")).to_have_value("nowhere")
    page.get_by_label("Environment", exact=True).select_option("Python")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(f"/user/{student}/lab"), timeout=90_000)
    assert hub.server(student)["user_options"] == {"profile": "project", "image": "python"}
    unit = f"jupyterhub-singleuser@{student}.service"
    assert host.check_output("systemctl show --value --property=MemoryMax %s", unit) == str(2**30)
    assert "KIND=" in host.check_output("cat /etc/jupyterhub-singleuser/%s.env", student)


def test_a_profile_is_chosen_by_a_link(drop_in, hub, student, page, screenshot):
    drop_in(PROFILES)
    log_in(page, student)
    page.goto("/hub/spawn?opt-profile=project")
    page.wait_for_url(re.compile(f"/user/{student}/lab"), timeout=90_000)
    assert hub.server(student)["user_options"] == {"profile": "project"}


# Faster than the role could be run, with what it writes: another culler, which does not wait for minutes.
SHORT_LIFE = """
c.JupyterHub.last_activity_interval = 2
c.LibcloudSpawner.max_age = 90
c.LibcloudSpawner.max_age_delay = 1
culler = "jupyterhub_idle_culler --timeout=20 --max-age=90 --cull-every=1"
c.JupyterHub.services.append(
    {"name": "reaper", "admin": True, "command": ["/opt/jupyterhub/hub/bin/python", "-m", *culler.split()]}
)
"""


def test_a_page_that_is_open_keeps_its_server_until_the_age_that_it_tells_of(drop_in, hub, student, page, screenshot):
    drop_in(SHORT_LIFE)
    log_in(page, student)
    hub.request_start(student)
    stops = datetime.fromisoformat(hub.wait_for(student, ready=True)["started"]) + timedelta(seconds=90)
    notice = page.locator(".jp-toast-message")
    page.goto(f"/user/{student}/tree")
    expect(notice).to_be_visible()
    page.goto(f"/user/{student}/lab")
    expect(notice).to_contain_text(re.compile(f"^Your server stops (at|between) {stops.astimezone():%-I:%M %p}"))
    expect(notice).to_contain_text("servers run for 1.5 minutes at most. Save your work: kernels end.")
    hub.wait_for(student, ready=False)
    assert datetime.now(timezone.utc) >= stops
