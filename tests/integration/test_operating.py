# SPDX-License-Identifier: BSD-3-Clause
"""What an operator does with a running hub: the playbooks status and logs, and the guide on classes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pages import ROOT, blocks, commands_run_by
from playbook import run_playbook

HERE = f"tests/integration/{Path(__file__).name}"


@pytest.fixture
def run(run):
    def run_without_a_change(playbook, **variables):
        result = run(playbook, **variables)
        assert "changed=0" in result.stdout
        return result

    return run_without_a_change


@pytest.fixture
def servers(hub):
    hub.start("ada", userserver_size="small")
    hub.start("ada", "lab", userserver_size="large")
    yield hub
    hub.stop("ada", "lab", remove=True)
    hub.stop("ada")


def row(output, *words):
    """The line of the status that holds these words, as its cells."""
    lines = re.findall(r'^ +"(.*?)",?$', output, re.M)
    (found,) = [line for line in lines if all(word in line for word in words)]
    return re.split(r"  +", found)


def test_the_status_shows_services_and_who_runs_what_with_limits_and_use(servers, host, run):
    output = run("status").stdout
    assert "jupyterhub.service              loaded active running" in output
    user, state, account, memory, memory_limit, seconds, processors, _ = row(output, "ada  ", "512")
    assert (user, state, account) == ("ada", "active", "jupyter-ada")
    assert (memory_limit, processors) == ("512.00 MB", "0.5")
    assert 20 < float(memory.removesuffix(" MB")) < 512
    assert 0.5 < float(seconds) < 600
    assert row(output, "lab")[1:4] == ["lab", "active", "jupyter-ada"]
    assert "1.00 GB" in row(output, "lab")


def test_the_log_of_one_users_server_is_shown_and_of_no_other(servers, run):
    for server in ("", "lab"):
        output = run("logs", user="ada", server=server, lines=50).stdout
        assert f"/user/ada/{server + '/' if server else ''}" in output
        assert ("/user/ada/lab/api" in output) == (server == "lab")
    assert "No entries" in run("logs", user="nobody-ever").stdout


def test_a_command_of_the_pages_tells_of_a_server_on_its_host(servers, host):
    commands = commands_run_by(f"{HERE}::test_a_command_of_the_pages_tells_of_a_server_on_its_host")
    assert commands
    for command in commands:
        assert re.search(r"\bada\b", host.check_output(command)), command


def test_the_log_of_a_server_that_has_stopped_is_still_shown(hub, run):
    hub.start("ada")
    hub.stop("ada")
    assert "/user/ada/" in run("logs", user="ada").stdout


def test_a_log_is_found_whatever_units_are_called(hub, run, drop_in):
    drop_in('c.LibcloudSpawner.unit_name_template = "nb-{USERNAME}-{USERID}"\n')
    hub.start("numbered")
    hub.stop("numbered")
    assert "/user/numbered/" in run("logs", user="numbered").stdout


def test_a_log_of_nobody_is_refused_with_what_to_do(run):
    result = run("logs")
    assert result.returncode != 0
    assert "-e user=ada" in result.stdout


@pytest.fixture
def newcomers(hub):
    """Users who have chosen nothing yet, and who are gone afterwards."""
    users = []

    def newcomers(names):
        users.extend(names)
        for name in names:
            hub.call("DELETE", f"/users/{name}")
            assert hub.call("POST", f"/users/{name}").ok

    yield newcomers
    for name in users:
        hub.call("DELETE", f"/users/{name}")


def test_the_guide_on_classes_starts_a_class_and_stops_it(hub, newcomers, tmp_path, pytestconfig):
    start, stop = map(yaml.safe_load, blocks(ROOT / "docs/howto/class.md", "yaml"))
    students = start[0]["vars"]["students"]
    newcomers(students)
    for name, play, ready in (("start", start, True), ("stop", stop, False)):
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(play))
        result = run_playbook(pytestconfig.option.ansible_inventory, str(tmp_path / f"{name}.yml"))
        assert result.returncode == 0, result.stdout
        assert [hub.server(student)["ready"] for student in students] == [ready] * len(students)
