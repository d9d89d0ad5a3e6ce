# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module makes of what is there, on real files."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.libcloudspawner.jupyterhub.plugins.modules import files

OWN = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


@pytest.fixture
def see_to(tmp_path):
    """Run the module as Ansible does; what it returns."""

    def see_to(*wanted, check=False, diff=False):
        arguments = {
            "files": [{**OWN, **one, "path": str(tmp_path / one["path"])} for one in wanted],
            "_ansible_check_mode": check,
            "_ansible_diff": diff,
            "_ansible_remote_tmp": str(tmp_path),
        }
        program = (
            "import sys\n"
            "from ansible.module_utils.testing import patch_module_args\n"
            f"from {files.__name__} import main\n"
            f"with patch_module_args({arguments!r}): main()"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
        )
        done = json.loads(run.stdout)
        assert "module_args" not in done["invocation"]
        return done

    return see_to


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_folders_are_made_in_their_order_and_the_second_time_nothing_is(see_to, tmp_path):
    wanted = [
        {"path": "etc", "state": "directory", "mode": "0750"},
        {"path": "etc/secret", "content": "one\n", "mode": "0640"},
        {"path": "etc/gone", "state": "absent"},
    ]
    done = see_to(*wanted)
    assert (done["changed"], done["paths"]) == (True, [str(tmp_path / "etc"), str(tmp_path / "etc/secret")])
    assert (tmp_path / "etc/secret").read_text() == "one\n"
    assert (mode(tmp_path / "etc"), mode(tmp_path / "etc/secret")) == (0o750, 0o640)
    again = see_to(*wanted)
    assert (again["changed"], again["paths"]) == (False, [])


def test_what_differs_is_replaced_with_its_mode(see_to, tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("same")
    (tmp_path / "b").chmod(0o600)
    (tmp_path / "gone").write_text("x")
    done = see_to(
        {"path": "a", "content": "new"}, {"path": "b", "content": "same"}, {"path": "gone", "state": "absent"}
    )
    assert done["paths"] == [str(tmp_path / name) for name in ("a", "b", "gone")]
    assert (tmp_path / "a").read_text() == "new"
    assert mode(tmp_path / "b") == 0o644
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a", "b"]


def test_check_mode_says_what_would_be_and_changes_nothing(see_to, tmp_path):
    (tmp_path / "a").write_text("old")
    wanted = [{"path": "a", "content": "new"}, {"path": "c/d", "content": "x"}, {"path": "c", "state": "directory"}]
    done = see_to(*wanted, check=True, diff=True)
    assert len(done["paths"]) == 3
    assert (tmp_path / "a").read_text() == "old"
    assert not (tmp_path / "c").exists()
    assert (done["diff"][0]["before"], done["diff"][0]["after"]) == ("old", "new")


def test_without_force_what_is_there_stays_and_its_mode_is_seen_to(see_to, tmp_path):
    (tmp_path / "secret").write_text("mine")
    done = see_to({"path": "secret", "content": "other", "force": False, "mode": "0600"})
    assert done["changed"]
    assert (tmp_path / "secret").read_text() == "mine"
    assert mode(tmp_path / "secret") == 0o600


def test_what_cannot_be_written_is_named_and_leaves_no_half_of_it(see_to, tmp_path):
    (tmp_path / "folder").mkdir()
    done = see_to({"path": "first", "content": "x"}, {"path": "nowhere/file", "content": "x"})
    assert done["failed"]
    assert "nowhere/file cannot be made what it is to be: No such file or directory." in done["msg"]
    assert done["paths"] == [str(tmp_path / "first")]
    assert see_to({"path": "folder", "content": "x"})["failed"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["first"]


def test_no_diff_is_made_unless_it_is_asked_for(see_to):
    assert "diff" not in see_to({"path": "a", "content": "a password"})


def test_folders_above_a_folder_are_made_and_links_to_folders_followed(see_to, tmp_path):
    assert see_to({"path": "mnt/elsewhere/backups", "state": "directory", "mode": "0700"})["changed"]
    assert mode(tmp_path / "mnt/elsewhere/backups") == 0o700
    (tmp_path / "link").symlink_to("mnt")
    assert see_to({"path": "link", "state": "directory", "mode": "0711"})["changed"]
    assert mode(tmp_path / "mnt") == 0o711
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("check", [True, False])
def test_a_file_in_place_of_a_folder_is_refused(see_to, tmp_path, check):
    (tmp_path / "file").write_text("x")
    done = see_to({"path": "file", "state": "directory", "mode": "0700"}, check=check)
    assert "file cannot be made what it is to be: File exists." in done["msg"]
    assert mode(tmp_path / "file") == 0o644


def test_what_files_hold_is_told_to_nobody(see_to):
    assert "a password" not in json.dumps(see_to({"path": "a", "content": "a password"}))
