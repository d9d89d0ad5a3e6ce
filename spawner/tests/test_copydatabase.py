# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import io
import json

import pytest
import sqlalchemy
from jupyterhub import orm
from libcloudspawner import copydatabase


@pytest.fixture
def url(tmp_path):
    return lambda name: f"sqlite:///{tmp_path / name}"


@pytest.fixture
def former(url):
    """The database of a hub with a user who has a token, a group and a server, and a table of an authenticator."""
    session = orm.new_session_factory(url("former.sqlite"))()
    ada = orm.User(name="ada", admin=True, state={"answer": 42})
    session.add_all([ada, orm.User(name="grace"), orm.Group(name="astronomy", users=[ada])])
    session.add(orm.Spawner(name="", user=ada, state={"id": "4711"}, user_options={"profile": "small"}))
    session.add(orm.OAuthClient(identifier="jupyterhub"))
    session.commit()
    orm.APIToken.new(token="secret-of-ada", user=ada)
    session.execute(sqlalchemy.text("CREATE TABLE users_info (id INTEGER PRIMARY KEY, password BLOB, ok BOOLEAN)"))
    session.execute(sqlalchemy.text("INSERT INTO users_info VALUES (7, x'00ff', 1)"))
    session.commit()
    session.close()
    session.get_bind().dispose()
    return url("former.sqlite")


def asked(url, question):
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        answer = [tuple(row) for row in connection.execute(sqlalchemy.text(question))]
    engine.dispose()
    return answer


def test_users_are_there_with_their_tokens_groups_and_servers(former, url):
    assert copydatabase.copy(former, url("later.sqlite")) == 2
    session = orm.new_session_factory(url("later.sqlite"))()
    ada = orm.User.find(session, "ada")
    assert ada.admin
    assert ada.state == {"answer": 42}
    assert [group.name for group in ada.groups] == ["astronomy"]
    assert ada.orm_spawners[""].state == {"id": "4711"}
    assert ada.orm_spawners[""].user_options == {"profile": "small"}
    assert orm.APIToken.find(session, "secret-of-ada").user is ada
    session.close()
    session.get_bind().dispose()


def test_what_an_authenticator_keeps_is_there(former, url):
    copydatabase.copy(former, url("later.sqlite"))
    assert asked(url("later.sqlite"), "SELECT id, password, ok FROM users_info") == [(7, b"\x00\xff", 1)]


def test_nothing_is_put_beside_what_is_there(former, url):
    copydatabase.copy(former, url("later.sqlite"))
    with pytest.raises(copydatabase.CopyError, match=r"There is something in its table \w+ already"):
        copydatabase.copy(former, url("later.sqlite"))
    assert asked(url("later.sqlite"), "SELECT count(*) FROM users") == [(2,)]


def test_a_row_that_the_database_refuses_leaves_it_empty_and_is_not_shown(former, url):
    copydatabase.copy(former, url("later.sqlite"))
    engine = sqlalchemy.create_engine(url("later.sqlite"))
    with engine.begin() as connection:
        for table in reversed(orm.Base.metadata.sorted_tables):
            connection.execute(table.delete())
        connection.execute(sqlalchemy.text("DELETE FROM users_info"))
        connection.execute(sqlalchemy.text("CREATE UNIQUE INDEX one_admin ON users (admin IS NOT NULL)"))
    engine.dispose()
    with pytest.raises(copydatabase.CopyError) as refused:
        copydatabase.copy(former, url("later.sqlite"))
    assert "UNIQUE constraint failed" in str(refused.value)
    assert "INSERT" not in str(refused.value)
    assert asked(url("later.sqlite"), "SELECT count(*) FROM groups") == [(0,)]
    assert asked(former, "SELECT count(*) FROM users") == [(2,)]


@pytest.mark.parametrize("other", ["former", "later"])
def test_a_database_of_another_release_is_named_without_its_password(former, url, other):
    copydatabase.copy(former, url("later.sqlite"))
    engine = sqlalchemy.create_engine(url(f"{other}.sqlite"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = '651f5419b74d'"))
    engine.dispose()
    with pytest.raises(copydatabase.CopyError, match=rf"{other}\.sqlite has the tables of another release"):
        copydatabase.copy(former, url("later.sqlite"))


def test_a_former_database_without_users_is_said(url):
    with pytest.raises(copydatabase.CopyError, match="has no users to copy"):
        copydatabase.copy(url("nothing.sqlite"), url("later.sqlite"))


def test_the_command_takes_the_urls_where_nobody_sees_them(former, url, monkeypatch, capsys):
    given = json.dumps({"from": former, "to": url("later.sqlite")})
    for code, words in ((0, "Users that were copied: 2"), (1, "already")):
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        assert copydatabase.main() == code
        said = capsys.readouterr()
        assert words in (said.err if code else said.out)
