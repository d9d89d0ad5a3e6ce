# SPDX-License-Identifier: BSD-3-Clause
"""Machines that QEMU emulates, with the user data that a cloud would hand them and a volume as their second disk."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from launch import launch_request
from libcloudspawner import userdata
from playbook import ROOT

BOOT_SECONDS = 420


@dataclass
class Volume:
    path: Path
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def ask(self, tool, *options):
        return subprocess.run(
            [tool, *options, self.path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        ).stdout

    def read(self, name):
        """A file in its root; empty if there is none."""
        return self.ask("debugfs", "-R", f"cat {name}")


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
    return Volume(path)


@pytest.fixture
def boot(images, tmp_path):
    """Boot a machine with a volume, and return what its console said until it was off, the programs' names left out.

    In place of the server there runs a command of the shell, and when it was started another one as root; files are
    written before, as if the image had them: path to text and mode. It boots as often as told.
    """

    def boot(volume, command, afterwards, files=(), boots=1, **values):
        folder = tmp_path / uuid.uuid4().hex
        drive = folder / "drive/openstack/latest"
        drive.mkdir(parents=True)
        (drive / "meta_data.json").write_text(json.dumps({"uuid": folder.name, "hostname": "ada", "name": "ada"}))
        (drive / "user_data").write_text(user_data(volume.id, command, afterwards, dict(files), **values))
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "config-2", "-d", folder / "drive", folder / "cd", "8M"])
        root = folder / "root.qcow2"
        overlay = ["-F", "qcow2", "-b", images / "jupyter.qcow2", root]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *overlay], check=True)
        console = folder / "console.log"
        for _ in range(boots):
            subprocess.run(
                [
                    *("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "768", "-nic", "none"),
                    *("-display", "none", "-no-reboot"),
                    *("-chardev", f"file,id=console,path={console},append=on", "-serial", "chardev:console"),
                    *("-kernel", images / "vmlinuz", "-initrd", images / "initrd.img"),
                    *("-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0"),
                    *("-drive", f"file={root},format=qcow2,if=none,id=root"),
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
        said = console.read_text(errors="replace").replace("\r", "")
        print(said[-8000:])
        return re.sub(r"(?m)^\[ *[\d.]+\] [\w-]+\[\d+\]: ", "", said)

    return boot


def user_data(volume_id, command, afterwards, files, **values):
    request = launch_request("ada", account="ada", command=("sh", "-c", command), **{"environment": {}, **values})
    config = yaml.safe_load(userdata.render(request, volume_id))
    config["write_files"] += [
        {"path": path, "content": text, "permissions": mode} for path, (text, mode) in files.items()
    ]
    config["runcmd"].append(["sh", "-c", afterwards])
    return "#cloud-config\n" + json.dumps(config)
