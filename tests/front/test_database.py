# SPDX-License-Identifier: BSD-3-Clause
"""A hub that keeps its users in PostgreSQL: made on its host, or named by a URL; away, restored and removed.

The tests follow each other, as each change of the database is a run of the playbook.
"""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hub import Hub
from people import signed_in

PASSWORD = "p:w\\d@Geheim"
URL = "postgresql+psycopg://keeper:p%3Aw%5Cd%40Geheim@127.0.0.1/elsewhere"
AWAY = "The database of the hub does not answer"
REMOVE = """
- name: Remove the hub, and what it was installed with
  hosts: hubs
  become: true
  tasks:
    - ansible.builtin.include_role:
        name: libcloudspawner.jupyterhub.hub
        tasks_from: remove
    - ansible.builtin.include_role:
        name: libcloudspawner.jupyterhub.environment
        tasks_from: remove
"""


@pytest.fixture(scope="module")
def sql(host):
    """What a database of PostgreSQL answers, asked as an account of the host."""

    def ask(question, database="jupyterhub", account="jupyterhub"):
        words = "cd / && runuser --user=%s -- psql --no-psqlrc --tuples-only --no-align --dbname=%s --command=%s"
        return host.check_output(words, account, database, question)

    return ask


@pytest.fixture(scope="module")
def postgresql(configured, hub):
    configured(hub_db_type="postgresql", hub_copy_database=True)
    hub.wait_until_up()


@pytest.fixture
def remove(run, tmp_path):
    (tmp_path / "remove.yml").write_text(REMOVE)

    def remove(**variables):
        done = run(str(tmp_path / "remove.yml"), **variables)
        assert done.returncode == 0, done.stdout[-4000:]

    return remove


@contextlib.contextmanager
def away(host):
    """The database is not there for a while."""
    host.check_output("systemctl stop postgresql 'postgresql@*'")
    try:
        yield
    finally:
        host.check_output("systemctl start postgresql")


def backed_up(host):
    """The archive that the timer's service makes."""
    host.check_output("systemctl start jupyterhub-backup")
    made = host.check_output("journalctl --unit=jupyterhub-backup --output=cat")
    return re.findall(r"^/var/backups/jupyterhub/jupyterhub-\S+$", made, re.M)[-1]


def restored(host, run, archive, folder, **variables):
    """The last lines of the playbook that puts an archive of the host back."""
    local = folder / "archive.tar.gz"
    local.write_bytes(host.file(archive).content)
    done = run("restore", "--skip-tags", "node_install,hub_install", restore_file=str(local), **variables)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def test_users_are_not_left_behind_in_sqlite_unawares(play, hub, host):
    hub.call("POST", "/users/ancient")
    process = host.service("jupyterhub").systemd_properties["MainPID"]
    done = play("--tags", "always", hub_db_type="postgresql")
    assert done.returncode != 0
    assert "keeps its users in sqlite:////var/lib/jupyterhub/jupyterhub.sqlite" in done.stdout
    assert "-e hub_copy_database=true" in done.stdout
    assert "changed=0" in done.stdout
    assert not host.package("postgresql").is_installed
    assert host.service("jupyterhub").systemd_properties["MainPID"] == process


def test_users_their_tokens_and_servers_that_run_are_taken_along(hub, request):
    hub.start("ancient")
    kernel = hub.kernel("ancient")
    assert kernel.run("x = 42; print(x)") == "42"
    token = hub.call("POST", "/users/ancient/tokens").json()["token"]
    request.getfixturevalue("postgresql")
    assert hub.server("ancient")["ready"]
    assert kernel.run("print(x)") == "42"
    own = Hub(hub.url, token).call("GET", "/user")
    assert own.json()["name"] == "ancient"
    # Numbers of rows go on where those that were copied end.
    assert hub.call("POST", "/users/ancient/tokens").ok
    hub.stop("ancient")


def test_nothing_is_copied_beside_what_a_database_holds(postgresql, play, hub):
    done = play("--skip-tags", "node_install", hub_copy_database=True)
    assert done.returncode != 0
    assert "The hub goes on with postgresql:///jupyterhub?host=/run/postgresql, and" in done.stdout
    assert "taken along to sqlite:////var/lib/jupyterhub/jupyterhub.sqlite: The other database holds" in done.stdout
    hub.wait_until_up()
    assert hub.call("GET", "/users/ancient").ok


def test_the_hub_keeps_its_users_in_a_database_that_its_account_alone_reaches(postgresql, hub, sql, host):
    hub.call("POST", "/users/grace")
    assert sql("SELECT name FROM users ORDER BY name").split() == ["admin", "ancient", "grace"]
    assert host.run("cd / && runuser --user=nobody -- psql --dbname=jupyterhub --command='SELECT 1'").failed
    assert sql("SELECT rolpassword IS NULL, rolsuper FROM pg_authid WHERE rolname = 'jupyterhub'", "postgres",
               "postgres") == "t|f"  # fmt: skip
    assert not host.file("/etc/jupyterhub/secrets/database.pgpass").exists


def test_a_second_run_changes_nothing(postgresql, play):
    done = play("--skip-tags", "node_install", hub_db_type="postgresql")
    assert re.search(r"changed=0 .* failed=0", done.stdout), done.stdout[-3000:]


def test_while_the_database_is_away_servers_work_and_the_hub_says_so(postgresql, hub, host):
    browser = signed_in(hub.url, "grace", "molecule")
    hub.start("grace")
    kernel = hub.kernel("grace")
    assert kernel.run("x = 42; print(x)") == "42"
    with away(host):
        for _ in range(2):
            answer = hub.call("GET", "/users/grace")
            assert answer.status_code == 503
            assert AWAY in answer.json()["message"]
            page = browser.get(f"{hub.url}/hub/home")
            assert page.status_code == 503
            assert AWAY in page.text
        assert kernel.run("print(x)") == "42"
    assert hub.server("grace")["ready"]
    assert "Stop My Server" in browser.get(f"{hub.url}/hub/home").text
    assert hub.kernel("grace").run("print(6 * 7)") == "42"


def test_a_database_that_was_restarted_is_not_noticed(postgresql, hub, host):
    host.check_output("systemctl restart postgresql")
    assert hub.call("GET", "/users/grace").status_code == 200


def test_a_hub_that_starts_before_its_database_waits_for_it_and_the_status_says_why(postgresql, hub, host, run):
    with away(host):
        host.check_output("systemctl restart jupyterhub")
        deadline = time.monotonic() + 60
        while int(host.service("jupyterhub").systemd_properties["NRestarts"]) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        said = run("status").stdout
        assert "The hub does not answer" in said
        assert 'connection to server on socket \\"/run/postgresql/.s.PGSQL.5432\\" failed' in said
    hub.wait_until_up()
    assert hub.server("grace")["ready"]
    assert hub.kernel("grace").run("print(6 * 7)") == "42"
    assert "The hub does not answer" not in run("status").stdout
    hub.stop("grace")


def test_a_backup_holds_the_database_and_brings_it_back(postgresql, hub, host, run, tmp_path):
    archive = backed_up(host)
    assert "database.sql" in host.check_output("tar --list --file=%s", archive).split()
    hub.call("POST", "/users/newcomer")
    hub.call("DELETE", "/users/grace")
    restored(host, run, archive, tmp_path, hub_db_type="postgresql")
    hub.wait_until_up()
    assert hub.call("GET", "/users/grace").status_code == 200
    assert hub.call("GET", "/users/newcomer").status_code == 404
    aside = host.check_output("ls -t /var/backups/jupyterhub/before-restore-*/database.sql | head -1")
    assert "newcomer" in host.check_output("cat %s", aside)


def test_a_backup_of_another_database_is_refused(postgresql, run, tmp_path, host, hub):
    host.check_output("cd / && touch /tmp/database.sqlite && tar --create --gzip --file=/tmp/other.tar.gz "
                      "--directory=/tmp database.sqlite --directory=/ etc/jupyterhub/secrets/hub.env")  # fmt: skip
    (tmp_path / "other.tar.gz").write_bytes(host.file("/tmp/other.tar.gz").content)
    done = run("restore", restore_file=str(tmp_path / "other.tar.gz"), hub_db_type="postgresql")
    assert done.returncode != 0
    assert "It holds database.sqlite; see hub_db_type and hub_db_url." in done.stdout
    assert hub.call("GET", "/users/grace").status_code == 200


def test_the_databases_of_others_stay_when_the_hub_goes(postgresql, remove, sql, host):
    sql("CREATE DATABASE library", "postgres", "postgres")
    remove(hub_db_type="postgresql")
    known = sql("SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles", "postgres", "postgres").split()
    assert "library" in known
    assert "jupyterhub" not in known


def test_a_database_that_somebody_else_made_is_not_taken_over(postgresql, play, sql):
    sql("CREATE DATABASE jupyterhub", "postgres", "postgres")
    done = play("--skip-tags", "node_install", hub_db_type="postgresql")
    assert done.returncode != 0
    assert "has a database jupyterhub that this role did not make" in done.stdout
    sql("DROP DATABASE jupyterhub", "postgres", "postgres")


def test_a_database_elsewhere_is_reached_by_a_password_that_is_shown_nowhere(play, sql, host, hub, run, tmp_path):
    quoted = PASSWORD.replace("'", "''")
    sql(f"CREATE ROLE keeper LOGIN PASSWORD '{quoted}'", "postgres", "postgres")
    sql("CREATE DATABASE elsewhere OWNER keeper TEMPLATE template0 ENCODING UTF8", "postgres", "postgres")
    done = play("--skip-tags", "node_install", "--diff", "-vvv", hub_db_url=URL, hub_allow_new_database=True)
    assert done.returncode == 0, done.stdout[-6000:]
    hub.wait_until_up()
    hub.call("POST", "/users/barbara")
    archive = backed_up(host)
    hub.call("DELETE", "/users/barbara")
    assert "--user=jupyterhub" not in restored(host, run, archive, tmp_path, hub_db_url=URL)
    hub.wait_until_up()
    assert hub.call("GET", "/users/barbara").status_code == 200
    for word in (PASSWORD, URL):
        journal = host.run("journalctl | grep --fixed-strings -- %s | grep --invert-match psql", word).stdout
        assert journal == ""
        assert host.run("ps -eo args | grep --fixed-strings -- %s | grep --invert-match grep", word).stdout == ""
    assert set(host.run("grep -rlF Geheim /etc /var/lib/jupyterhub").stdout.split()) == {
        "/etc/jupyterhub/secrets/secret_config.py",
        "/etc/jupyterhub/secrets/database.pgpass",
    }
    assert host.file("/etc/jupyterhub/secrets/database.pgpass").mode == 0o600


def test_a_database_elsewhere_that_refuses_the_hub_leaves_it_as_it_is(play, hub):
    wrong = URL.replace("Geheim", "wrong")
    done = play("--skip-tags", "node_install", hub_db_url=wrong)
    assert done.returncode != 0
    assert "The database postgresql://127.0.0.1/elsewhere does not answer" in done.stdout
    assert "password authentication failed" in done.stdout
    assert "wrong" not in done.stdout
    assert hub.call("GET", "/users/barbara").status_code == 200


def test_it_goes_back_to_sqlite_with_all_that_it_keeps(play, sql, hub, host):
    # The table that native has in the database of every hub.
    sql("SET ROLE keeper; INSERT INTO users_info (username, password, is_authorized) "
        "VALUES ('barbara', 'hash-of-barbara', true)", "elsewhere", "postgres")  # fmt: skip
    database = "/var/lib/jupyterhub/jupyterhub.sqlite"
    host.check_output("if test -e %s; then mv %s %s.aside; fi", database, database, database)
    done = play("--skip-tags", "node_install", "--diff", "-vvv", hub_copy_database=True)
    assert done.returncode == 0, done.stdout[-6000:]
    for word in (PASSWORD, URL, "p%3Aw%5Cd%40Geheim", "hash-of-barbara"):
        assert word not in done.stdout
    hub.wait_until_up()
    assert hub.call("GET", "/users/barbara").status_code == 200
    assert hub.call("POST", "/users/katherine").ok
    rows = "SELECT id, username, password, is_authorized FROM users_info"
    question = f"import sqlite3; print(*sqlite3.connect('{database}').execute('{rows}'))"
    assert host.check_output("python3 -c %s", question) == "(1, 'barbara', b'hash-of-barbara', 1)"
    assert host.file(database).mode == 0o600
    assert host.file(database).user == "jupyterhub"
    assert not host.file("/etc/jupyterhub/secrets/database.pgpass").exists


def test_postgresql_goes_with_the_hub_that_it_was_installed_for(configured, remove, host):
    host.check_output(
        "DEBIAN_FRONTEND=noninteractive apt-get purge --yes --quiet --auto-remove postgresql 'postgresql-*'"
    )
    configured(hub_db_type="postgresql", hub_allow_new_database=True)
    remove(hub_db_type="postgresql")
    assert not host.package("postgresql").is_installed
    assert host.run("find /var/lib/postgresql /etc/postgresql -type f").stdout == ""
    remove(hub_db_type="postgresql")
