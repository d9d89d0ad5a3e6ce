# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import io
import json
import types

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


def asked(url, *questions):
    """What a database answers to the last question."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for question in questions:
            result = connection.execute(sqlalchemy.text(question))
        answer = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return answer


def refusal(former, later):
    """Why it is not copied."""
    with pytest.raises(copydatabase.CopyError) as refused:
        copydatabase.copy(former, later)
    assert refused.value.__cause__ is None
    return str(refused.value)


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


def test_what_only_the_former_kind_of_database_knows_is_not_asked_of_the_other(former, url):
    asked(former, "CREATE TABLE notes (id INTEGER PRIMARY KEY, made TIMESTAMP DEFAULT (datetime('now')))")
    asked(former, "INSERT INTO notes (id) VALUES (1)")
    copydatabase.copy(former, url("later.sqlite"))
    engine = sqlalchemy.create_engine(url("later.sqlite"))
    assert [column["default"] for column in sqlalchemy.inspect(engine).get_columns("notes")] == [None, None]
    engine.dispose()
    question = "SELECT id, datetime(made) FROM notes"
    assert asked(url("later.sqlite"), question) == asked(former, question)


def test_what_was_copied_already_is_left_as_it_is(former, url):
    assert [copydatabase.copy(former, url("later.sqlite")) for _ in range(2)] == [2, 2]
    assert asked(url("later.sqlite"), "SELECT count(*) FROM users_info") == [(1,)]


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("UPDATE users SET admin = 0", "users"),
        ("DELETE FROM users_info", "users_info"),
        ("INSERT INTO users_info VALUES (8, x'00', 0)", "users_info"),
    ],
)
def test_nothing_is_put_beside_what_is_there(former, url, change, table):
    copydatabase.copy(former, url("later.sqlite"))
    asked(url("later.sqlite"), change)
    before = asked(url("later.sqlite"), "SELECT id, admin FROM users")
    said = refusal(former, url("later.sqlite"))
    assert said.startswith(f"The other database holds something already, and its table {table} differs.")
    with pytest.raises(copydatabase.CopyError, match=f"its table {table} differs"):
        copydatabase.check(former, url("later.sqlite"))
    assert asked(url("later.sqlite"), "SELECT id, admin FROM users") == before


def test_a_row_that_the_database_refuses_leaves_it_as_it_was(former, url):
    asked(url("later.sqlite"), "CREATE TABLE users_info (id INTEGER, password BLOB, ok BOOLEAN CHECK (ok = 0))")
    said = refusal(former, url("later.sqlite"))
    assert said == "The table users_info: CHECK constraint failed: ok = 0"
    assert asked(url("later.sqlite"), "SELECT name FROM sqlite_master") == [("users_info",)]
    assert asked(former, "SELECT count(*) FROM users") == [(2,)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE users SET created = 'hunter2'", "The table users: ValueError"),
        ("UPDATE spawners SET state = '{hunter2'", "The table spawners: JSONDecodeError"),
        (
            "UPDATE users SET name = CAST(x'68756e74657232ff' AS TEXT) WHERE name = 'ada'",
            "The table users: Could not decode to UTF-8 column",
        ),
        ("CREATE TABLE odd (hunter2)", "The table odd: NotImplementedError"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_table_and_not_shown(former, url, change, said):
    asked(former, change)
    assert refusal(former, url("later.sqlite")).startswith(said)
    assert "hunter" not in refusal(former, url("later.sqlite"))


@pytest.mark.parametrize(
    "wrong", ["postgresql+psycopg://hub:p@ss:hunter2@db/hub", "hunter2", "no://hub:hunter2@db/hub"]
)
def test_of_a_url_that_is_none_no_part_is_shown(former, wrong):
    said = refusal(former, wrong)
    assert said.startswith("The other database: ")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("text", "message", "column", "said"),
    [
        (
            'null value in column "email"\nDETAIL:  Failing row contains (1, ada, hunter2).',
            'null value in column "email"',
            "email",
            'The table users_info: null value in column "email" (column email)',
        ),
        (
            'invalid input syntax for type integer: "hunter2"\nCONTEXT: unnamed portal',
            'invalid input syntax for type integer: "hunter2"',
            None,
            "The table users_info: invalid input syntax for type integer",
        ),
        (
            'value "4711" is out of range for type integer',
            'value "4711" is out of range for type integer',
            "age",
            "The table users_info: a value is out of range for type integer (column age)",
        ),
        (
            "PostgreSQL text fields cannot contain NUL (0x00) bytes",
            None,
            None,
            "The table users_info: PostgreSQL text fields cannot contain NUL (0x00) bytes",
        ),
        (
            'connection failed: FATAL:  password authentication failed for user "hub"\nconnection to server at ...',
            None,
            None,
            'The table users_info: connection failed: FATAL:  password authentication failed for user "hub"',
        ),
    ],
)
def test_of_what_postgresql_says_the_values_are_left_out(text, message, column, said):
    class Refused(Exception):
        diag = types.SimpleNamespace(message_primary=message, column_name=column)

    with pytest.raises(copydatabase.CopyError) as refused, copydatabase._naming("The table users_info"):
        raise sqlalchemy.exc.IntegrityError("INSERT INTO users_info", {"password": "hunter2"}, Refused(text))
    assert str(refused.value) == said


def test_of_what_mysql_says_the_number_is_left():
    class IntegrityError(Exception):
        pass

    error = IntegrityError(1062, "Duplicate entry 'hunter2' for key 'users.name'")
    with pytest.raises(copydatabase.CopyError) as refused, copydatabase._naming("The table users"):
        raise sqlalchemy.exc.IntegrityError("INSERT INTO users", {}, error)
    assert str(refused.value) == "The table users: IntegrityError 1062"


@pytest.mark.parametrize(("which", "advice"), [("former", "copy it in a second run"), ("other", "Use an empty one")])
def test_a_database_of_another_release_is_refused_before_the_hub_is_stopped(former, url, which, advice):
    copydatabase.copy(former, url("later.sqlite"))
    changed = former if which == "former" else url("later.sqlite")
    asked(changed, "UPDATE alembic_version SET version_num = '651f5419b74d'")
    urls = [f"{one}?timeout=9" for one in (former, url("later.sqlite"))]
    with pytest.raises(copydatabase.CopyError, match=f"The {which} database has the tables of another .* {advice}"):
        copydatabase.check(*urls)
    assert "sqlite" not in refusal(*urls)


def test_a_former_database_without_users_is_said(url):
    assert refusal(url("nothing.sqlite"), url("later.sqlite")) == "The former database has no users to copy."


def test_the_other_database_is_of_the_release_of_the_former(former, url):
    # As an earlier run has left it.
    asked(
        url("later.sqlite"),
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('651f5419b74d')",
    )
    copydatabase.copy(former, url("later.sqlite"))
    question = "SELECT * FROM alembic_version"
    assert asked(url("later.sqlite"), question) == asked(former, question)


@pytest.fixture
def command(monkeypatch, capsys):
    """The command with the URLs where nobody sees them: its code, and what it says."""

    def run(former, later, *arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"from": former, "to": later})))
        code = copydatabase.main(arguments)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_the_command_copies_into_a_file_that_the_hub_alone_reads(former, url, command, tmp_path):
    assert command(former, url("later.sqlite")) == (0, "Users in the other database: 2\n")
    assert (tmp_path / "later.sqlite").stat().st_mode & 0o777 == 0o600
    asked(former, "DELETE FROM users_info")
    code, said = command(former, url("later.sqlite"))
    assert code == 1
    assert "its table users_info differs" in said


def test_the_command_checks_and_copies_nothing(former, url, command):
    assert command(former, url("later.sqlite"), "--check") == (0, "")
    assert asked(url("later.sqlite"), "SELECT count(*) FROM sqlite_master") == [(0,)]
    copydatabase.copy(former, url("later.sqlite"))
    assert command(former, url("later.sqlite"), "--check") == (0, "")
    asked(former, "UPDATE users SET admin = 0")
    assert command(former, url("later.sqlite"), "--check")[0] == 1
