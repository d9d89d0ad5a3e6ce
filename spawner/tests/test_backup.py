# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from libcloudspawner.backup import BackupError, back_up


@pytest.fixture
def state(tmp_path):
    """A folder with a database, and a secret."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "secret").write_text("of the hub")
    with contextlib.closing(sqlite3.connect(folder / "hub.sqlite")) as database, database:
        database.execute("CREATE TABLE users (name)")
        database.execute("INSERT INTO users VALUES ('ada')")
    return folder


def users(archive, folder):
    with tarfile.open(archive) as packed:
        packed.extract("database.sqlite", folder, filter="data")
    with contextlib.closing(sqlite3.connect(folder / "database.sqlite")) as database:
        return [name for (name,) in database.execute("SELECT name FROM users")]


def test_an_archive_holds_files_by_their_paths_and_a_copy_of_the_database(state, tmp_path):
    archive = back_up(tmp_path / "backups", [state], state / "hub.sqlite")
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
    assert f"{state}/secret".lstrip("/") in names
    assert f"{state}/hub.sqlite".lstrip("/") not in names
    assert users(archive, tmp_path) == ["ada"]


def test_nobody_else_reads_an_archive(state, tmp_path):
    run = [sys.executable, "-m", "libcloudspawner.backup", tmp_path / "backups", state]
    archive = Path(subprocess.check_output(run, text=True).strip())
    assert [stat.S_IMODE(path.stat().st_mode) for path in (archive, archive.parent)] == [0o600, 0o700]


def test_the_database_may_be_written_meanwhile(state, tmp_path):
    done = threading.Event()

    def write():
        with contextlib.closing(sqlite3.connect(state / "hub.sqlite", timeout=30)) as database:
            while not done.wait(0.001):
                with database:
                    database.execute("INSERT INTO users VALUES ('bob')")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        archives = [back_up(tmp_path / f"backups-{number}", [state], state / "hub.sqlite") for number in range(3)]
    finally:
        done.set()
        writer.join()
    assert all(users(archive, tmp_path)[0] == "ada" for archive in archives)


def test_a_damaged_database_is_named_and_the_backups_of_before_stay(state, tmp_path):
    former = tmp_path / "backups/jupyterhub-20200101T000000Z.tar.gz"
    former.parent.mkdir()
    former.touch()
    (state / "hub.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(BackupError, match=r"hub\.sqlite cannot be copied"):
        back_up(tmp_path / "backups", [state], state / "hub.sqlite", keep=1)
    assert list(former.parent.iterdir()) == [former]


def test_what_is_not_there_is_named_and_nothing_stays_of_the_archive(tmp_path):
    with pytest.raises(BackupError, match="no-such-folder"):
        back_up(tmp_path / "backups", [tmp_path / "no-such-folder"])
    assert list((tmp_path / "backups").iterdir()) == []


def test_the_oldest_are_removed(state, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"jupyterhub-2020010{day}T000000Z.tar.gz").touch()
    (folder / "notes.txt").touch()
    archive = back_up(folder, [state], keep=2)
    assert {path.name for path in folder.iterdir()} == {"jupyterhub-20200103T000000Z.tar.gz", archive.name, "notes.txt"}


def test_hubs_that_share_a_folder_remove_no_archive_of_each_other(tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    names = ("jupyterhub", "jupyterhub-physics", "jupyterhub-chemistry")
    for name in names:
        (folder / f"{name}-20200101T000000Z.tar.gz").touch()
    (tmp_path / "state").mkdir()
    for name in names[:2]:
        made = back_up(folder, [tmp_path / "state"], keep=1, name=name)
        assert made.name.startswith(f"{name}-2")
    kept = sorted(path.name.rpartition("-")[0] for path in folder.iterdir())
    assert kept == sorted(names)
    assert (folder / "jupyterhub-chemistry-20200101T000000Z.tar.gz").exists()
    assert not (folder / "jupyterhub-20200101T000000Z.tar.gz").exists()


def test_homes_are_kept_by_a_pattern_and_only_when_asked_for(state, tmp_path):
    for name in ("jupyter-ada", "jupyter-bob", "teacher"):
        (tmp_path / "home" / name).mkdir(parents=True)
    run = [sys.executable, "-m", "libcloudspawner.backup", tmp_path / "backups", state]
    for words, expected in (([], set()), ([f"--homes={tmp_path}/home/jupyter-*"], {"jupyter-ada", "jupyter-bob"})):
        with tarfile.open(subprocess.check_output([*run, *words], text=True).strip()) as packed:
            names = {Path(name).name for name in packed.getnames() if "/home/" in name}
        assert names == expected


def test_a_full_disk_leaves_the_backups_of_before(state, tmp_path):
    former = tmp_path / "backups/jupyterhub-20200101T000000Z.tar.gz"
    former.parent.mkdir()
    former.touch()
    (state / "large").write_bytes(os.urandom(1 << 20))
    limit = "import resource, runpy, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18)); "
    limit += "runpy.run_module('libcloudspawner.backup', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", limit, former.parent, state], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "No backup was made. The archive cannot be written" in done.stderr
    assert list(former.parent.iterdir()) == [former]
