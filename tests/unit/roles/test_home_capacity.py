# SPDX-License-Identifier: GPL-3.0-or-later
"""Which capacities a home may have; what is done with file systems is tried on a host (test_capacity.py)."""

from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path

import pytest
from programs import load_program

program = load_program(Path(__file__).parents[3] / "roles/node/files/jupyterhub-home-capacity")


@pytest.mark.parametrize(
    ("said", "size"),
    [("16M", 2**24), ("10G", 10 * 2**30), ("10Gi", 10 * 2**30), ("1.5T", 3 * 2**39), ("33554433", 33554432)],
)
def test_a_capacity_is_a_number_of_bytes_with_a_letter_or_none(said, size):
    assert program.size_of(said) == size


@pytest.mark.parametrize("said", ["", "much", "-1G", "1G2", "10 G", "8M", "0"])
def test_what_is_no_capacity_is_refused(said):
    with pytest.raises(program.CapacityError, match="A capacity is"):
        program.size_of(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody-has-this-name", "1G"], "There is no account nobody-has-this-name"),
        (["root", "1G"], "root is no user's account"),
        (["root", "--take-out"], "root is no user's account"),
    ],
)
def test_only_homes_of_users_have_a_capacity(arguments, said, capsys):
    assert program.main(arguments) == 1
    assert said in capsys.readouterr().err


def test_room_that_is_not_there_is_told_before_anything_changes(tmp_path):
    image = tmp_path / "homes" / "ada.new"
    image.parent.mkdir()
    with pytest.raises(program.CapacityError, match=r"has no room for a home of 1048576\.0 GiB"):
        program.reserve(image, 2**50)


def test_what_cannot_be_reserved_takes_no_room(tmp_path, monkeypatch):
    image = tmp_path / "ada.img"
    image.write_bytes(bytes(4096))

    def half(descriptor, start, size):
        os.ftruncate(descriptor, size // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(program.os, "posix_fallocate", half)
    with pytest.raises(program.CapacityError, match="No space left on device"):
        program.reserve(image, 2**20)
    assert image.stat().st_size == 4096


# --- what a run leaves that is broken off -----------------------------------------------------------------------


class Host:
    """Answers what the program runs, with one home; what is mounted there is not looked into."""

    def __init__(self, folder):
        self.mounted = False
        self.failing = ""
        self.commands = []
        path = folder / "homes/ada"
        path.mkdir(parents=True)
        (path / "thesis").write_text("all of it")
        self.account = pwd.struct_passwd(("ada", "x", os.getuid(), os.getgid(), "", str(path), "/bin/sh"))

    def run(self, *command):
        words = [Path(command[0]).name, *map(str, command[1:])]
        self.commands.append(words)
        if self.failing in words:
            raise program.CapacityError(f"{words[0]} failed")
        if words[0] == "systemd-escape":
            return "home-ada.mount"
        if words[0] == "systemctl" and words[1] in ("enable", "disable", "start", "stop"):
            self.mounted = words[1] in ("enable", "start")
        return ""


@pytest.fixture
def host(tmp_path, monkeypatch):
    host = Host(tmp_path)
    (tmp_path / "units").mkdir()
    monkeypatch.setattr(program, "UNITS", tmp_path / "units")
    monkeypatch.setattr(program, "run", host.run)
    monkeypatch.setattr(program.os.path, "ismount", lambda path: host.mounted)
    monkeypatch.setattr(program.Home, "is_used", lambda home: False)
    return host


@pytest.fixture
def home(host):
    return program.Home(host.account)


def is_as_before(home):
    return (
        (home.path / "thesis").read_text() == "all of it"
        and not home.former.exists()
        and not home.unit_file.exists()
        and (not home.image.parent.exists() or list(home.image.parent.iterdir()) == [])
    )


def test_a_home_is_mounted_before_its_former_files_go(host, home):
    home.make(2**24)
    assert host.mounted
    assert home.image.stat().st_size == 2**24
    assert "Where=" + str(home.path) in home.unit_file.read_text()
    assert not home.former.exists()


@pytest.mark.parametrize("failing", ["mkfs.ext4", "debugfs", "enable"])
def test_a_home_that_cannot_be_made_is_as_it_was_before(host, home, failing):
    host.failing = failing
    with pytest.raises(program.CapacityError, match="failed"):
        home.make(2**24)
    assert is_as_before(home)


def test_a_server_that_was_started_in_the_meantime_keeps_its_files(host, home, monkeypatch):
    monkeypatch.setattr(program.Home, "is_used", lambda home: True)
    with pytest.raises(program.CapacityError, match="Stop the server"):
        home.make(2**24)
    assert is_as_before(home)


@pytest.mark.parametrize("has_home", [True, False])
def test_what_was_broken_off_before_the_mount_is_undone(host, home, has_home):
    home.image.parent.mkdir()
    home.image.touch()
    home.write_unit()
    home.path.rename(home.former)
    if has_home:
        home.path.mkdir()
    home.settle()
    assert is_as_before(home)


def test_what_was_broken_off_after_the_mount_is_finished(host, home):
    home.image.parent.mkdir()
    home.image.touch()
    home.write_unit()
    home.path.rename(home.former)
    home.path.mkdir()
    host.mounted = True
    home.settle()
    assert not home.former.exists()
    assert home.image.exists()
    assert home.unit_file.exists()


def test_what_was_broken_off_before_it_was_whole_is_undone(host, home):
    home.image.parent.mkdir()
    home.new.touch()
    home.write_unit()
    home.settle()
    assert is_as_before(home)


@pytest.mark.parametrize("has_home", [True, False])
def test_a_home_that_was_taken_out_and_not_away_is_mounted_again(host, home, has_home):
    home.make(2**24)
    home.take_out()
    assert not host.mounted
    if has_home:
        home.path.mkdir()
    home.settle()
    assert host.mounted
    assert home.unit_file.exists()
    assert home.image.stat().st_size == 2**24


def test_files_beside_an_image_that_is_not_mounted_are_both_kept(host, home):
    home.image.parent.mkdir()
    home.image.touch()
    with pytest.raises(program.CapacityError, match=r"Both .* hold files of ada"):
        home.settle()
    assert home.image.exists()
    assert (home.path / "thesis").exists()
    assert not host.mounted


def test_former_files_that_were_deleted_in_part_never_become_the_home(host, home, monkeypatch):
    def broken(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(program.shutil, "rmtree", broken)
        with pytest.raises(KeyboardInterrupt):
            home.make(2**24)
    host.mounted = False  # as after a loss of power
    home.settle()
    assert home.image.exists()
    assert not home.gone.exists()
    assert not home.former.exists()
    assert host.mounted


def test_a_home_whose_growth_was_broken_off_is_there_again(host, home):
    home.make(2**24)
    home.image.rename(home.growing)
    home.settle()
    assert home.image.exists()


def test_a_home_that_cannot_grow_is_mounted_as_it_was(host, home):
    home.make(2**24)
    host.failing = "resize2fs"
    with pytest.raises(program.CapacityError, match="resize2fs failed"):
        home.grow(2**25)
    assert host.mounted
    assert home.image.exists()
    assert not home.growing.exists()


def test_a_home_that_grows_cannot_be_mounted_meanwhile(host, home, monkeypatch):
    home.make(2**24)
    seen = []
    monkeypatch.setattr(program, "reserve", lambda image, size: seen.append((image, home.image.exists(), host.mounted)))
    home.grow(2**25)
    assert seen == [(home.growing, False, False)]


def test_a_home_is_taken_out_though_something_of_it_is_gone(host, home):
    home.make(2**24)
    home.path.rmdir()
    home.take_out()
    home.take_out()
    assert not home.unit_file.exists()
    assert home.image.exists()
