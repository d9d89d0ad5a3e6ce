# SPDX-License-Identifier: BSD-3-Clause
"""What raising the hub's release does to servers that run, and to what an older release has stored."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

OLDER = Path(__file__).parent / "older/requirements.txt"
CURRENT = Path(__file__).parents[2] / "roles/hub/files/requirements.txt"
OF_THE_HUB = ("--skip-tags", "node_install,node_configure,node_service")
DATABASE = "/var/lib/jupyterhub/jupyterhub.sqlite"

FILL = """
import sys
from jupyterhub import orm, roles
session = orm.new_session_factory(sys.argv[1])()
for role in roles.get_default_roles():
    roles.create_role(session, role)
user = orm.User(name="from-five", admin=True)
session.add_all([user, orm.OAuthClient(identifier="jupyterhub")])
session.commit()
roles.assign_default_roles(session, user)
user.new_api_token(token=sys.argv[2], note="kept")
"""
TOKEN = "fedcba9876543210fedcba9876543210"


def release(hub):
    return hub.call("GET", "/").json()["version"]


def pinned(requirements):
    lines = requirements.read_text().splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith("jupyterhub=="))


def test_an_upgrade_leaves_servers_and_what_their_kernels_hold(hub, play):
    older = play(hub_requirements=str(OLDER))
    assert older.returncode == 0, older.stdout
    hub.wait_until_up()
    assert release(hub) == pinned(OLDER) != pinned(CURRENT)
    hub.start("grace")
    kernel = hub.kernel("grace")
    kernel.run("answer = 42")

    raised = play()
    assert raised.returncode == 0, raised.stdout
    hub.wait_until_up()
    assert release(hub) == pinned(CURRENT)
    hub.wait_for("grace", ready=True)
    assert kernel.run("print(answer)") == "42"
    hub.stop("grace")


def test_a_release_that_cannot_be_had_is_named_and_leaves_the_hub_as_it_is(hub, host, play, tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(CURRENT.read_text().replace(f"jupyterhub=={pinned(CURRENT)}", "jupyterhub==6.999.0"))
    before = host.service("jupyterhub").systemd_properties["MainPID"]
    result = play(*OF_THE_HUB, hub_requirements=str(requirements))
    assert result.returncode != 0
    assert "jupyterhub==6.999.0" in result.stdout
    assert release(hub) == pinned(CURRENT)
    assert host.service("jupyterhub").systemd_properties["MainPID"] == before
    # What was begun is cleared away by the next run.
    assert play(*OF_THE_HUB).returncode == 0
    assert host.service("jupyterhub").systemd_properties["MainPID"] == before


def test_a_release_that_passes_the_check_and_does_not_start_gives_way_to_the_one_before(hub, host, play, drop_in):
    unit = host.file("/etc/systemd/system/jupyterhub.service").content_string
    drop_in(
        f"""
        import sys
        import jupyterhub
        if jupyterhub.__version__ == "{pinned(OLDER)}" and "checkconfig" not in sys.argv[0]:
            sys.exit("this release does not start")
        """
    )
    result = play(*OF_THE_HUB, hub_requirements=str(OLDER))
    assert result.returncode != 0
    assert "this release does not start" in result.stdout
    assert "started again from the unit and the environment of before" in result.stdout
    hub.wait_until_up()
    assert release(hub) == pinned(CURRENT)
    assert host.file("/etc/systemd/system/jupyterhub.service").content_string == unit
    assert play(*OF_THE_HUB).returncode == 0
    assert release(hub) == pinned(CURRENT)


@pytest.fixture
def from_five(tmp_path):
    """A database that JupyterHub 5 has made."""
    python = tmp_path / "venv/bin/python"
    subprocess.run(["uv", "venv", "--quiet", tmp_path / "venv"], check=True)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, "jupyterhub==5.5.4"], check=True)
    database = tmp_path / "jupyterhub.sqlite"
    subprocess.run([python, "-c", FILL, f"sqlite:///{database}", TOKEN], check=True)
    return database


def test_the_users_and_tokens_of_a_database_of_release_5_are_taken_over(hub, host, play, from_five):
    host.check_output("systemctl stop jupyterhub && mv %s %s.kept", DATABASE, DATABASE)
    try:
        host.ansible("copy", f"src={from_five} dest={DATABASE} owner=jupyterhub mode=0600", check=False)
        taken = play(*OF_THE_HUB)
        assert taken.returncode == 0, taken.stdout
        hub.wait_until_up()
        assert hub.call("GET", "/users/from-five").json()["admin"]
        assert type(hub)(hub.url, TOKEN).call("GET", "/user").json()["name"] == "from-five"
        hub.start("from-five")
        hub.stop("from-five")
    finally:
        host.check_output("systemctl stop jupyterhub && mv %s.kept %s", DATABASE, DATABASE)
        host.check_output("systemctl start jupyterhub")
        hub.wait_until_up()
