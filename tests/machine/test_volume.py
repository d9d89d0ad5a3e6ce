# SPDX-License-Identifier: BSD-3-Clause
"""Machines that QEMU emulates, with the user data that a cloud would hand them and a volume as their second disk."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from libcloudspawner import userdata
from libcloudspawner.providers.base import LaunchRequest, Limits
from playbook import ROOT

BOOT_SECONDS = 420
HOME = "/home/ada"
# What systemd says of the server's start.
SERVER = "JupyterHub single-user server ada"
# What runs in its place; the machine shuts down when it has written.
COMMAND = ("sh", "-c", f"pwd; grep {HOME} /proc/self/mounts; echo started >>starts; exec sleep infinity")
AFTERWARDS = f"until test -s {HOME}/starts; do sleep 1; done; sleep 3; systemctl poweroff"


@pytest.fixture(scope="session")
def images():
    """The folder of the images that machines of the test cloud start from."""
    built = subprocess.run([ROOT / "tools/guest.sh"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(built.stdout.strip())


@pytest.fixture
def volume(tmp_path):
    path = tmp_path / "volume.raw"
    with path.open("wb") as file:
        file.truncate(2**28)
    return SimpleNamespace(id=str(uuid.uuid4()), path=path)


@pytest.fixture
def boot(images, tmp_path):
    """Boot a machine with a volume, and return what its console said until it was off."""

    def boot(volume):
        folder = tmp_path / uuid.uuid4().hex
        drive = folder / "drive/openstack/latest"
        drive.mkdir(parents=True)
        (drive / "meta_data.json").write_text(json.dumps({"uuid": folder.name, "hostname": "ada", "name": "ada"}))
        (drive / "user_data").write_text(user_data(volume.id))
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "config-2", "-d", folder / "drive", folder / "cd", "8M"])
        console = folder / "console.log"
        subprocess.run(
            [
                *("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "768", "-nic", "none"),
                *("-display", "none", "-no-reboot", "-serial", f"file:{console}"),
                *("-kernel", images / "vmlinuz", "-initrd", images / "initrd.img"),
                *("-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0"),
                *("-drive", f"file={images}/jupyter.qcow2,format=qcow2,if=none,id=root,snapshot=on"),
                *("-device", "virtio-blk-pci,drive=root,addr=4"),
                *("-drive", f"file={volume.path},format=raw,if=none,id=volume"),
                # As libvirt hands the id of a volume on, and virtio cuts it off.
                *("-device", f"virtio-blk-pci,drive=volume,addr=5,serial={volume.id[:20]}"),
                *("-drive", f"file={folder}/cd,format=raw,if=none,id=cd,readonly=on"),
                *("-device", "virtio-blk-pci,drive=cd,addr=6"),
            ],
            timeout=BOOT_SECONDS,
            check=True,
        )
        said = console.read_text(errors="replace")
        print(said[-8000:])
        return said

    return boot


def user_data(volume_id):
    request = LaunchRequest(
        name="ada",
        request_id="r-ada",
        user="ada",
        server="",
        account="ada",
        image="",
        size="",
        limits=Limits(),
        command=COMMAND,
        environment={},
    )
    config = yaml.safe_load(userdata.render(request, volume_id))
    config["runcmd"].append(["sh", "-c", AFTERWARDS])
    return "#cloud-config\n" + yaml.safe_dump(config)


def on_volume(tool, request, volume):
    return subprocess.run(
        [tool, *request, volume.path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    ).stdout


def test_a_volume_is_formatted_once_and_the_next_machine_finds_its_files_and_its_new_room(boot, volume):
    said = boot(volume)
    assert f"formatting the volume {volume.id}, which is blank" in said
    assert SERVER in said
    assert re.search(rf"/dev/vd. {HOME} ext4 rw,nosuid,nodev", said)
    assert f"\n{HOME}\n" in re.sub(r"(?m)^\[ *[\d.]+\] [\w-]+\[\d+\]: ", "", said.replace("\r", ""))
    assert on_volume("debugfs", ["-R", "cat starts"], volume) == "started\n"
    assert re.search(r"Filesystem state: +clean\n", on_volume("dumpe2fs", ["-h"], volume))

    with volume.path.open("r+b") as file:
        file.truncate(2**29)
    said = boot(volume)
    assert "formatting" not in said
    assert on_volume("debugfs", ["-R", "cat starts"], volume) == "started\nstarted\n"
    found = on_volume("dumpe2fs", ["-h"], volume)
    count, size = (int(re.search(rf"Block {word}: +(\d+)", found)[1]) for word in ("count", "size"))
    assert count * size == 2**29


def test_a_machine_whose_volume_holds_something_else_switches_itself_off_and_leaves_it_alone(boot, volume):
    with volume.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"a database without a file system")
    before = volume.path.read_bytes()
    said = boot(volume)
    assert f"the volume {volume.id} cannot be the home of ada: it has no file system and is not blank" in said
    assert "there is no server without the home of ada on its volume; switching the machine off" in said
    assert SERVER not in said
    assert volume.path.read_bytes() == before
    # The hub shows as much of the console.
    assert "cannot be the home of ada" in "\n".join(said.splitlines()[-20:])
