# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub that changes its database, as root on a host whose systemd is a script that notes what it is told."""

from __future__ import annotations

import re
import shlex
import sys

import pytest
import sqlalchemy
from jupyterhub import orm
from libcloudspawner import copydatabase
from playbook import run_playbook
from role_settings import ROOT

PLAY = """
- name: Change the database
  hosts: localhost
  connection: local
  gather_facts: false
  environment:
    PATH: "{folder}:{{{{ lookup('ansible.builtin.env', 'PATH') }}}}"
  tasks:
    - ansible.builtin.include_role:
        name: libcloudspawner.jupyterhub.hub
        tasks_from: copy_database
"""
SYSTEMCTL = """#!/bin/sh
cd {folder}
case $1 in
  show) echo LoadState=loaded; echo ActiveState=$(cat state);;
  stop) echo inactive > state; echo stop >> log;;
  start) echo active > state; grep -o '[a-z]*[.]sqlite' secrets/secret_config.py >> log;;
esac
"""


@pytest.fixture
def script(tmp_path):
    def write(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    return write


@pytest.fixture
def url(tmp_path):
    return lambda name: f"sqlite:///{tmp_path / name}"


@pytest.fixture
def folder(tmp_path, url, script):
    """That of a hub that runs, and has a user."""
    session = orm.new_session_factory(url("former.sqlite"))()
    session.add(orm.User(name="ada"))
    session.commit()
    session.close()
    session.get_bind().dispose()
    script("systemctl", SYSTEMCTL.format(folder=tmp_path))
    source = shlex.quote(str(ROOT / "spawner/src"))
    script("hub/bin/python", f'#!/bin/sh\nPYTHONPATH={source} exec {shlex.quote(sys.executable)} "$@"\n')
    for name, text in (
        ("state", "active\n"),
        ("log", ""),
        ("secrets/secret_config.py", f'c.JupyterHub.db_url = "{url("former.sqlite")}"\n'),
        ("secrets/database.pgpass", "former\n"),
        ("play.yml", PLAY.format(folder=tmp_path)),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "inventory").write_text("localhost\n")
    return tmp_path


@pytest.fixture
def change(folder, url):
    def run(*arguments):
        places = {"etc": folder, "secrets": folder / "secrets", "state": folder, "environment": folder / "hub"}
        return run_playbook(
            str(folder / "inventory"),
            str(folder / "play.yml"),
            *arguments,
            **{f"_hub_{name}": str(place) for name, place in places.items()},
            _hub_account="root",
            _hub_group="root",
            _hub_is_service=False,
            ansible_python_interpreter=sys.executable,
            hub_copy_database=True,
            hub_db_url=url("later.sqlite"),
        ).stdout

    return run


def log(folder):
    """What the hub was told, and which database it had whenever it was started."""
    return (folder / "log").read_text().split()


def asked(url, question):
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(question))
        answer = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return answer


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_the_hub_runs_on_with_its_users_in_the_other_database(change, folder, url, state):
    if state == "inactive":
        # As a run leaves it that is cut off when all is copied.
        copydatabase.copy(url("former.sqlite"), url("later.sqlite"))
        (folder / "state").write_text("inactive\n")
    said = change()
    assert "failed=0" in said, said
    assert log(folder) == (["stop"] if state == "active" else []) + ["later.sqlite"]
    assert asked(url("later.sqlite"), "SELECT name FROM users") == [("ada",)]
    assert "later.sqlite" in (folder / "hub.json").read_text()
    assert not (folder / "secrets/database.pgpass").exists()


def unchanged(folder):
    return (
        "former.sqlite" in (folder / "secrets/secret_config.py").read_text()
        and (folder / "secrets/database.pgpass").read_text() == "former\n"
        and not (folder / "hub.json").exists()
    )


def test_what_can_be_seen_before_is_refused_while_the_hub_runs(change, folder, url):
    copydatabase.copy(url("former.sqlite"), url("later.sqlite"))
    asked(url("later.sqlite"), "UPDATE users SET name = 'grace'")
    said = change()
    assert re.search(
        r"goes on with sqlite:\S+former\.sqlite, and .* to sqlite:\S+later\.sqlite: .* users differs", said
    )
    assert log(folder) == []
    assert unchanged(folder)


def test_a_copy_that_fails_has_the_hub_run_on_as_it_is(change, folder, url):
    asked(url("later.sqlite"), "CREATE TABLE users_info (id INTEGER CHECK (id = 0))")
    asked(url("former.sqlite"), "CREATE TABLE users_info (id INTEGER)")
    asked(url("former.sqlite"), "INSERT INTO users_info VALUES (1)")
    assert "The table users_info: CHECK constraint failed" in change()
    assert log(folder) == ["stop", "former.sqlite"]
    assert unchanged(folder)


def test_a_configuration_that_cannot_be_written_has_the_hub_run_on(change, folder):
    (folder / "hub.json").mkdir()
    failed = "by now is not used, since this failed: Note what other hubs of the host are compared with"
    assert failed in change()
    assert log(folder) == ["stop", "former.sqlite"]


def test_a_rehearsal_says_what_would_be_copied(change, folder):
    said = change("--check")
    assert re.search(r"would be copied from sqlite:\S+former\.sqlite to sqlite:\S+later\.sqlite\.", said)
    assert "changed=1 " in said
    assert log(folder) == []
    assert unchanged(folder)
