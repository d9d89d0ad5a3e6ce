# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program that copies data into homes does to what is there."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from programs import load_program

PROGRAM = Path(__file__).parents[3] / "roles/node/files/jupyterhub-home-data"


@pytest.fixture
def program(tmp_path, monkeypatch):
    program = load_program(PROGRAM)
    program.CONFIGURATION = tmp_path / "home-data.json"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("REPO_DIR", raising=False)
    monkeypatch.delenv("PYTHONUSERBASE", raising=False)
    return program


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "lessons"
    (source / "week1").mkdir(parents=True)
    (source / "week1/plot.ipynb").write_text("first")
    (source / "data.csv").write_text("1,2,3")
    (source / "data.csv").chmod(0o444)
    (source / "latest").symlink_to("week1")
    return source


@pytest.fixture
def copied(program, source, home):
    """Says that all is to be copied, and where it is."""

    def copy(*options):
        assert program.main([str(source), "course", *options]) == 0
        return home / "course"

    return copy


def rewrite(path, text):
    """As an editor does, with another time."""
    path.write_text(text)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))


def test_a_folder_comes_whole_and_can_be_changed_by_its_new_owner(copied):
    course = copied()
    assert (course / "week1/plot.ipynb").read_text() == "first"
    assert (course / "latest").readlink() == Path("week1")
    assert (course / "data.csv").stat().st_mode & 0o777 == 0o644


def test_a_single_file_comes_too(program, source, home):
    assert program.main([str(source / "data.csv"), "numbers/mine.csv"]) == 0
    assert (home / "numbers/mine.csv").read_text() == "1,2,3"


def test_what_a_user_changed_stays_and_what_they_removed_comes_back(copied):
    course = copied()
    rewrite(course / "data.csv", "mine")
    (course / "week1/plot.ipynb").unlink()
    copied()
    assert (course / "data.csv").read_text() == "mine"
    assert (course / "week1/plot.ipynb").read_text() == "first"


def test_what_nobody_changed_follows_its_source(copied, source):
    course = copied()
    rewrite(source / "week1/plot.ipynb", "corrected")
    copied()
    assert (course / "week1/plot.ipynb").read_text() == "corrected"


def test_what_a_user_changed_stays_when_its_source_changes_too(copied, source):
    course = copied()
    rewrite(course / "week1/plot.ipynb", "mine")
    rewrite(source / "week1/plot.ipynb", "corrected")
    copied()
    copied()
    assert (course / "week1/plot.ipynb").read_text() == "mine"


def test_what_a_user_had_before_is_theirs(copied, home):
    (home / "course").mkdir()
    (home / "course/data.csv").write_text("mine")
    (home / "course/week1").write_text("a file where the source has a folder")
    course = copied()
    assert (course / "data.csv").read_text() == "mine"
    assert (course / "week1").read_text() == "a file where the source has a folder"


def test_what_was_copied_and_not_recorded_follows_its_source_all_the_same(copied, source, home, program):
    course = copied()
    (home / program.RECORD).unlink()
    copied()
    rewrite(source / "data.csv", "4,5,6")
    copied()
    assert (course / "data.csv").read_text() == "4,5,6"


def test_a_file_that_cannot_be_read_is_named_and_the_others_come(program, source, home, capsys, monkeypatch):
    copyfile = program.shutil.copyfile

    def refuse(path, *rest, **options):
        if path.name == "data.csv":
            raise PermissionError(13, "Permission denied", str(path))
        return copyfile(path, *rest, **options)

    monkeypatch.setattr(program.shutil, "copyfile", refuse)
    assert program.main([str(source), "course"]) == 1
    assert f"{source}/data.csv: Permission denied. Nothing that you have was changed." in capsys.readouterr().err
    assert (home / "course/week1/plot.ipynb").exists()


def test_once_is_once(copied, source):
    course = copied("--once")
    (course / "data.csv").unlink()
    rewrite(source / "week1/plot.ipynb", "corrected")
    copied("--once")
    assert not (course / "data.csv").exists()
    assert (course / "week1/plot.ipynb").read_text() == "first"


def test_a_source_that_is_gone_is_named_and_the_others_come(program, source, home, capsys):
    entries = [{"source": "/not/there", "destination": "gone"}, {"source": str(source), "destination": "course"}]
    program.CONFIGURATION.write_text(json.dumps(entries))
    assert program.main([]) == 1
    assert "/not/there is not there any more. Your gone stays as it is" in capsys.readouterr().err
    assert (home / "course/data.csv").exists()


def test_a_source_in_the_repository_is_for_servers_of_its_environment(program, source, home, monkeypatch):
    entry = {"source": "week1", "destination": "week1", "environment": "course"}
    program.CONFIGURATION.write_text(json.dumps([entry]))
    assert program.main([]) == 0
    monkeypatch.setenv("REPO_DIR", str(source))
    monkeypatch.setenv("PYTHONUSERBASE", str(home / ".local/environments/other"))
    assert program.main([]) == 0
    assert not (home / "week1").exists()
    monkeypatch.setenv("PYTHONUSERBASE", str(home / ".local/environments/course"))
    assert program.main([]) == 0
    assert (home / "week1/plot.ipynb").read_text() == "first"


def test_a_disk_that_fills_leaves_what_the_user_has(copied, source, home, program):
    course = copied()
    rewrite(course / "data.csv", "mine")
    (source / "large.bin").write_bytes(bytes(200_000))
    rewrite(source / "week1/plot.ipynb", "corrected" * 10_000)
    (source / "small.txt").write_text("for which there is room")
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    # A limit to the size of files fails as a full disk does.
    limited = subprocess.run(
        [sys.executable, PROGRAM, source, "course", "--then", "echo", "and", "on"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert "There is no room left in your home for all of" in limited.stderr
    assert limited.stdout == "and on\n"
    after = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert {path.name for path in before.keys() ^ after.keys()} == {"small.txt"}
    assert {path.name for path in before if before[path] != after[path]} == {program.RECORD.name}
    copied()
    assert (course / "large.bin").stat().st_size == 200_000
    assert (course / "data.csv").read_text() == "mine"


@pytest.mark.parametrize("record", ["{", "[]", '{"course": 3}', '{"course": {"files": {"data.csv": 1}}}'])
def test_a_record_that_makes_no_sense_does_not_keep_a_server_from_starting(source, home, record):
    path = home / ".local/share/jupyterhub-home-data.json"
    path.parent.mkdir(parents=True)
    path.write_text(record)
    command = [sys.executable, PROGRAM, source, "course", "--then", "echo", "and", "on"]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HOME": str(home)})
    assert run.stdout == "and on\n"
    assert run.returncode == 0


def test_a_source_without_a_destination_is_refused(program, source, home, capsys):
    with pytest.raises(SystemExit):
        program.main([str(source)])
    assert "jupyterhub-home-data SOURCE DESTINATION" in capsys.readouterr().err
    assert list(home.iterdir()) == []
