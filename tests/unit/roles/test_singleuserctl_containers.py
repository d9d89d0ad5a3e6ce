# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node's control helper has Podman do for an environment that is a container image."""

from __future__ import annotations

import grp
import json
from pathlib import Path
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
    host.helper.SECCOMP = host.root / "seccomp.json"
    names = ["read", "clone", "clone3", "mount", "unshare"]
    host.helper.SECCOMP.write_text(json.dumps({"syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}))
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
        ({"sandbox": {"readwrite_paths": ["/dev/shm/bob"]}}, "cannot be shown /dev/shm/bob"),
        ({"sandbox": {"readonly_paths": ["/srv/not-there"]}}, "it is not there"),
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
    given, everybodys = tmp_path / "given", tmp_path / "everybodys"
    given.mkdir()
    everybodys.symlink_to(given)
    host.helper.UNSEEN = ()
    host.helper.is_roots_and_open = lambda folder: True
    sandbox = {"readwrite_paths": [str(everybodys), "-/srv/not-there"], "readonly_paths": [str(given)]}
    assert host.start(sandbox=sandbox)["ok"]
    words = podman_words(host)
    home = host.accounts["jupyter-alice"].pw_dir
    volumes = {word.removeprefix("--volume=") for word in words if word.startswith("--volume=")}
    assert {f"{home}:{home}:rw", f"{given}:{everybodys}:rw", f"{given}:{given}:ro"} <= volumes
    assert "/srv/shared/class:/srv/shared/class:ro" in volumes
    assert f"--group-add={len('jupyterhub-class-read')}" in words
    assert not [volume for volume in volumes if "not-there" in volume]


@pytest.mark.parametrize("mode", [0o700, 0o777, 0o775])
def test_a_folder_in_one_that_is_closed_or_somebody_elses_is_not_shown_to_a_container(host, in_container, mode):
    host.helper.UNSEEN = ()
    folder = host.root / "above" / "within"
    folder.mkdir(parents=True)
    folder.parent.chmod(mode)
    assert not host.helper.is_roots_and_open(folder.parent)
    answer = host.start(sandbox={"readwrite_paths": [str(folder)]})
    assert "a folder above it is closed to others, or somebody other than root may write in it" in answer["error"]


def test_a_container_makes_no_namespaces_and_mounts_nothing(host, in_container):
    assert host.start()["ok"]
    profile = next(word for word in podman_words(host) if word.startswith("--security-opt=seccomp="))
    rules = json.loads(Path(profile.rpartition("=")[2]).read_text())["syscalls"]
    assert rules[0]["names"] == ["read"]
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in rules
    assert [rule["args"] for rule in rules if rule["names"] == ["clone"]] == [[host.helper.NO_NAMESPACES]]


def test_an_image_that_was_built_on_the_node_and_is_gone_is_told(host, in_container):
    (in_container / "container.json").write_text(json.dumps(IMAGE | {"reference": "localhost/x/geo:1"}))
    host.failures["podman"] = "no such image"
    assert "The node has lost the image of this environment" in host.start()["error"]
    assert host.leftovers() == []
