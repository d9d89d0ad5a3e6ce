# SPDX-License-Identifier: BSD-3-Clause
"""A hub that lost everything comes back from its backup."""

from __future__ import annotations

import os
import re
import tarfile

import pytest
from playbook import ROOT

OF_THE_HUB = ("--skip-tags", "node_install,node_configure,node_service,hub_install")


@pytest.fixture(scope="module")
def student(hub):
    hub.start("keeper")
    assert hub.kernel("keeper").run("print(open('thesis.txt', 'w').write('almost done'))") == "11"
    yield "keeper"
    hub.stop("keeper")


@pytest.fixture(scope="module")
def backup(student, run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("backups")
    done = run("backup", backup_to=str(folder), hub_backup_homes=True)
    assert done.returncode == 0, done.stdout[-4000:]
    (archive,) = folder.glob("*/jupyterhub-*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def nightly(host):
    assert "jupyterhub-backup.timer" in host.check_output("systemctl list-timers --all")
    host.check_output("systemctl start jupyterhub-backup")
    made = host.check_output("journalctl --unit=jupyterhub-backup --output=cat")
    return re.findall(r"^/var/backups/jupyterhub/jupyterhub-\S+$", made, re.M)[-1]


def test_backups_are_made_every_night_and_root_alone_reads_them(host, nightly):
    assert host.file(nightly).mode == 0o600
    assert host.file("/var/backups/jupyterhub").mode == 0o700


def test_a_backup_holds_no_home_unless_it_is_asked_for(host, nightly, backup):
    assert "home/" not in host.check_output("tar --list --file=%s", nightly)
    with tarfile.open(backup) as packed:
        assert "home/jupyter-keeper/thesis.txt" in packed.getnames()


def test_what_is_no_backup_is_refused_and_changes_nothing(run, tmp_path, hub, host):
    before = host.service("jupyterhub").systemd_properties["MainPID"]
    (tmp_path / "notes.tar.gz").write_text("no archive")
    done = run("restore", *OF_THE_HUB, restore_file=str(tmp_path / "notes.tar.gz"))
    assert done.returncode != 0
    assert "is no backup of a hub, or not whole" in done.stdout
    done = run("restore", *OF_THE_HUB)
    assert "Which backup" in done.stdout
    assert host.service("jupyterhub").systemd_properties["MainPID"] == before


def test_a_host_that_lost_everything_has_its_users_tokens_and_homes_again(run, backup, hub, host, student):
    token = hub.call("POST", f"/users/{student}/tokens").json()["token"]
    later = run("backup", backup_to=str(backup.parent.parent), hub_backup_homes=True)
    assert later.returncode == 0, later.stdout[-4000:]
    archive = max(backup.parent.iterdir())
    hub.call("POST", "/users/newcomer")
    hub.stop(student)
    host.check_output("systemctl stop jupyterhub jupyterhub-proxy")
    host.check_output("rm -r /var/lib/jupyterhub /etc/jupyterhub/secrets && userdel --remove jupyter-keeper")
    host.check_output("rm -f /var/lib/jupyterhub-singleuser/accounts/jupyter-keeper")

    done = run("restore", *OF_THE_HUB, restore_file=os.path.relpath(archive, ROOT), hub_restore_homes=True)
    assert done.returncode == 0, done.stdout[-6000:]
    hub.wait_until_up()
    assert host.check_output("ls -d /var/backups/jupyterhub/before-restore-*/etc/jupyterhub/jupyterhub_config.d")
    assert hub.call("GET", "/users/newcomer").status_code == 404
    assert type(hub)(hub.url, token).call("GET", "/user").json()["name"] == student
    hub.start(student)
    assert hub.kernel(student).run("print(open('thesis.txt').read())") == "almost done"
    assert host.file("/home/jupyter-keeper").user == "jupyter-keeper"
