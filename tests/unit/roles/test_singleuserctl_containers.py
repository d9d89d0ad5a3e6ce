# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node's control helper has Podman do for an environment that is a container image."""

from __future__ import annotations

import grp
import json
from types import SimpleNamespace

import pytest
from systemd_files import read_unit, read_words

TOKEN = "a-token-that-nobody-may-see"
IMAGE = {
    "id": "0123abc",
    "reference": "registry.example.org/lab@sha256:0123",
    "python": "/opt/conda/bin/python3",
    "version": "3.12",
    "programs": "/opt/conda/bin",
}


@pytest.fixture
def in_container(host):
    environment = host.helper.ENVIRONMENTS / "default-0123"
    (environment / "container.json").write_text(json.dumps(IMAGE))
    host.configuration["data_root"] = "/data"
    return environment


def podman_words(host, name="alice"):
    drop_in = read_unit((host.helper.DROP_INS / f"jupyterhub-singleuser@{name}.service.d/instance.conf").read_text())
    return read_words(drop_in["[Service]"][-1][1])


def test_a_server_of_an_image_runs_as_its_user_with_the_images_own_python(host, in_container):
    assert host.start()["ok"]
    words = podman_words(host)
    uid = host.accounts["jupyter-alice"].pw_uid
    assert words[:2] == ["/opt/jupyterhub-singleuser/podman", "run"]
    assert {f"--user={uid}:{uid}", "--cap-drop=all", "--cgroups=split", "--read-only"} <= set(words)
    after = words[words.index(IMAGE["id"]) :]
    assert after[-3:] == ["/opt/conda/bin/python3", "-s", "/opt/conda/bin/jupyterhub-singleuser"]
    assert TOKEN not in str(words)


def test_what_a_hub_says_is_no_option_of_podman(host, in_container):
    assert host.start(command=["--privileged", "/bin/sh"], variables={"LD_PRELOAD": "/tmp/x"})["ok"]
    words = podman_words(host)
    assert words.index("--privileged") > words.index(IMAGE["id"])
    link = host.helper.DROP_INS / "jupyterhub-singleuser@alice.service.d/podman.conf"
    assert str(link.readlink()) == "/etc/jupyterhub-singleuser/podman.conf"
    assert "LD_PRELOAD=/tmp/x\n" in (host.helper.ENVIRONMENT_FILES / "alice.env").read_text()


def test_an_image_that_is_gone_is_pulled_while_nobody_waits(host, in_container):
    host.failures["podman"] = "no such image"
    answer = host.start()
    assert answer["instance"]["pulling"] == IMAGE["reference"]
    assert IMAGE["reference"] in podman_words(host)
    assert ("/usr/bin/systemctl", "start", "--no-block", "jupyterhub-singleuser@alice.service") in host.commands


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"variables": {"MOTTO": "a\nb"}}, "MOTTO has several lines"),
        ({"properties": {"PrivateUsers": True, "Nice": 5}}, "cannot be given PrivateUsers by"),
        ({"properties": {"SystemCallFilter": "~@mount"}}, "cannot be given SystemCallFilter by"),
        ({"sandbox": {"readonly_paths": ["/"]}}, "cannot be shown /, named in LibcloudSpawner.readonly_paths"),
        ({"sandbox": {"readwrite_paths": ["-/home/jupyter-bob"]}}, "cannot be shown -/home/jupyter-bob"),
        ({"sandbox": {"isolate_devices": False}}, "isolate_devices must be true"),
    ],
)
def test_what_podman_could_not_do_is_refused_by_name(host, in_container, asked, said):
    assert said in host.start(**asked)["error"]
    assert host.leftovers() == []


def test_a_container_sees_what_its_user_may_and_only_to_read_what_they_may_read(host, in_container, tmp_path):
    shared = [{"name": "class", "groups": ["*"], "write_groups": []}]
    host.configuration |= {"shared_root": "/srv/shared", "shared_folders": shared}
    host.helper.grp = SimpleNamespace(getgrnam=lambda name: SimpleNamespace(gr_gid=len(name)), getgrgid=grp.getgrgid)
    given = tmp_path / "given"
    given.mkdir()
    sandbox = {"readwrite_paths": ["/srv/all", "-/srv/not-there"], "readonly_paths": [str(given)]}
    assert host.start(sandbox=sandbox)["ok"]
    words = podman_words(host)
    home = host.accounts["jupyter-alice"].pw_dir
    volumes = {word.removeprefix("--volume=") for word in words if word.startswith("--volume=")}
    assert {f"{home}:{home}", "/srv/all:/srv/all:rw", f"{given}:{given}:ro"} <= volumes
    assert "/srv/shared/class:/srv/shared/class:ro" in volumes
    assert f"--group-add={len('jupyterhub-class-read')}" in words
    assert not [volume for volume in volumes if "not-there" in volume]
