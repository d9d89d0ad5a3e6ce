# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import pytest
from jupyterhub import orm
from libcloudspawner import instancename

CONFIG = """\
c.JupyterHub.spawner_class = "libcloudspawner.spawner.LibcloudSpawner"
c.JupyterHub.authenticator_class = "null"
c.JupyterHub.db_url = "sqlite:///{folder}/jupyterhub.sqlite"
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "unused")

    def write(*lines):
        path = tmp_path / "jupyterhub_config.py"
        path.write_text("\n".join([CONFIG.format(folder=tmp_path), *lines]))
        return str(path)

    return write


@pytest.fixture
def number(tmp_path):
    """That of the user ada in the database of the hub."""
    session = orm.new_session_factory(f"sqlite:///{tmp_path}/jupyterhub.sqlite")()
    session.add_all([orm.User(name="bob"), orm.User(name="ada")])
    session.commit()
    return orm.User.find(session, "ada").id


def test_a_server_has_the_instance_that_the_template_names(config):
    assert instancename.find(config(), "ada", "") == "ada"
    assert instancename.find(config(), "ada", "lab").startswith("ada-lab-")


def test_the_number_of_a_user_is_the_one_in_the_database(config, number):
    path = config('c.LibcloudSpawner.unit_name_template = "u{USERID}"')
    assert instancename.find(path, "ada", "") == f"u{number}"


def test_a_user_who_is_not_there_is_named(config, number, monkeypatch, capsys):
    path = config('c.LibcloudSpawner.unit_name_template = "u{USERID}"')
    monkeypatch.setattr("sys.argv", ["instancename", path, "eve", ""])
    assert instancename.main() == 1
    assert capsys.readouterr().err == "The hub has no user eve.\n"
