# SPDX-License-Identifier: BSD-3-Clause
"""A volume as the home of a machine: the program and the units that machines boot with, on real block devices."""

from __future__ import annotations

import base64
import shlex
import uuid

import pytest
import yaml
from launch import launch_request
from libcloudspawner import userdata

PROGRAM = "/usr/local/libexec/jupyterhub-singleuser-home"
IMAGE = "/var/tmp/volume.img"
SERVER = "jupyterhub-singleuser@machine.service"
ACCOUNT = "machine"
HOME = f"/home/{ACCOUNT}"


class Volume:
    """A block device that the machine knows by the beginning of the volume's id."""

    def __init__(self, host):
        self.id = str(uuid.uuid4())
        self.host = host
        self.link = f"/dev/disk/by-id/virtio-{self.id[:20]}"
        host.check_output("rm -f %s && truncate --size=64M %s && mkdir -p /dev/disk/by-id", IMAGE, IMAGE)
        host.check_output("for n in $(seq 0 15); do test -e /dev/loop$n || mknod --mode=660 /dev/loop$n b 7 $n; done")
        self.device = host.check_output("losetup --find --show %s", IMAGE)
        self.attach()

    def attach(self):
        self.host.check_output("ln -sf %s %s", self.device, self.link)

    def detach(self):
        self.host.check_output("rm -f %s", self.link)

    def write(self, content, at=0):
        text = base64.b64encode(content).decode()
        command = "printf %%s %s | base64 -d | dd of=%s bs=1 seek=%s conv=notrunc status=none"
        self.host.check_output(command, text, self.device, str(at))

    @property
    def digest(self):
        return self.host.check_output("sync; blockdev --flushbufs %s; sha256sum <%s", self.device, self.device)

    def mount(self, account=ACCOUNT, patience=2, used=""):
        environment = f"JUPYTERHUB_SINGLEUSER_HOME_PATIENCE={patience}"
        return self.host.run(f"env {environment} {PROGRAM} {self.id} {shlex.quote(account)} {used}")

    def close(self):
        self.host.run("umount %s; losetup --detach %s; rm -f %s %s", HOME, self.device, self.link, IMAGE)


def boot_files(volume_id, command):
    """What cloud-init writes."""
    request = launch_request("machine", account=ACCOUNT, command=command, environment={"CLASS": "one"})
    config = yaml.safe_load(userdata.render(request, volume_id))
    return {one["path"]: one for one in config["write_files"]}


@pytest.fixture
def machine(host):
    """The host, with what a machine boots with, for a volume of any id; and as it was when that is over."""
    written = []

    def prepare(volume_id="", command=("sleep", "infinity")):
        for path, one in boot_files(volume_id or str(uuid.uuid4()), command).items():
            # The node has the unit already.
            if path not in written and host.file(path).exists:
                continue
            written.append(path)
            host.check_output("mkdir -p $(dirname %s) && printf %%s %s | base64 -d >%s", path, one["content"], path)
            host.check_output("chmod %s %s", one["permissions"].removeprefix("0"), path)
        host.check_output("systemctl daemon-reload")

    prepare()
    yield prepare
    host.run("systemctl stop %s jupyterhub-singleuser-home.service", SERVER)
    host.run("umount %s", HOME)
    host.run("userdel %s; groupdel %s; rm -rf %s", ACCOUNT, ACCOUNT, HOME)
    for path in written:
        host.run("rm -f %s", path)
    host.run("rmdir /etc/systemd/system/%s.d; systemctl daemon-reload; systemctl reset-failed", SERVER)


@pytest.fixture
def volume(host, machine):
    volume = Volume(host)
    yield volume
    volume.close()


def stat(host, path, what):
    return host.check_output("stat --format=%s %s", what, path)


def test_a_blank_volume_is_formatted_and_becomes_the_home_of_its_account(host, volume):
    done = volume.mount()
    assert done.rc == 0, done
    assert f"formatting the volume {volume.id}, which is blank" in done.stdout
    assert stat(host, HOME, "%U:%G:%a") == f"{ACCOUNT}:{ACCOUNT}:700"
    options = host.check_output("findmnt --noheadings --output SOURCE,FSTYPE,OPTIONS %s", HOME).split()
    assert options[:2] == [volume.device, "ext4"]
    assert {"nosuid", "nodev", "rw"} <= set(options[2].split(","))
    assert host.check_output("ls -A %s", HOME).split() == host.check_output("ls -A /etc/skel").split()
    assert stat(host, f"{HOME}/.bashrc", "%U") == ACCOUNT


def test_a_volume_with_files_is_mounted_with_them_and_never_formatted(host, volume):
    assert volume.mount().rc == 0
    host.check_output("echo all of it >%s/thesis; chown %s: %s/thesis", HOME, ACCOUNT, HOME)
    host.check_output("rm %s/.bashrc; umount %s", HOME, HOME)
    done = volume.mount()
    assert done.rc == 0, done
    assert "formatting" not in done.stdout
    assert host.check_output("cat %s/thesis", HOME) == "all of it"
    assert not host.file(f"{HOME}/.bashrc").exists
    again = volume.mount()
    assert again.rc == 0, again
    assert host.check_output("findmnt --noheadings %s | wc -l", HOME) == "1"


def test_files_are_their_user_s_also_where_the_account_has_another_number(host, volume):
    host.check_output("useradd --uid 4321 --no-create-home %s", ACCOUNT)
    assert volume.mount().rc == 0
    host.check_output("echo mine >%s/thesis; chown %s: %s/thesis", HOME, ACCOUNT, HOME)
    host.check_output("echo another >%s/foreign; chown 777:777 %s/foreign; ln -s /etc/passwd %s/link", HOME, HOME, HOME)
    host.check_output("chown -h %s: %s/link; umount %s; userdel %s", ACCOUNT, HOME, HOME, ACCOUNT)

    assert volume.mount().rc == 0
    assert host.check_output("id -u %s", ACCOUNT) == "4321", "the new account takes the number of its files"

    host.check_output("umount %s; userdel %s; useradd --uid 5432 --no-create-home %s", HOME, ACCOUNT, ACCOUNT)
    done = volume.mount()
    assert done.rc == 0, done
    assert [stat(host, path, "%U") for path in (HOME, f"{HOME}/thesis")] == [ACCOUNT, ACCOUNT]
    assert stat(host, f"{HOME}/foreign", "%u") == "777"
    assert stat(host, "/etc/passwd", "%U") == "root"


FOREIGN = {
    "ext2": ("mkfs.ext2 -q", "ext2"),
    "swap": ("mkswap", "swap"),
}
PARTITION = b"\x80\0\1\0\x83\xfe\xff\xff\0\x08\0\0\0\xe8\1\0"
BYTES = {
    "encrypted": (b"LUKS\xba\xbe\0\1" + bytes(200), 0, "crypto_LUKS"),
    "a partition table": (
        b"\x80\0\1\0\x83\xfe\xff\xff\0\x08\0\0\0\xe8\1\0" + bytes(48) + b"\x55\xaa",
        446,
        "partition",
    ),
    "something unknown": (b"a database without a file system", 4096, "no file system and is not blank"),
}


@pytest.mark.parametrize(("command", "said"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_system_is_refused_and_left_alone(host, volume, command, said):
    host.check_output(f"{command} {volume.device}")
    refused_and_untouched(host, volume, said)


@pytest.mark.parametrize(("content", "at", "said"), BYTES.values(), ids=BYTES)
def test_whatever_else_is_on_it_is_refused_and_left_alone(host, volume, content, at, said):
    volume.write(content, at)
    refused_and_untouched(host, volume, said)


@pytest.mark.parametrize("block", [1024, 4096])
def test_a_file_system_whose_beginning_was_overwritten_is_not_taken_for_blank(host, volume, block):
    host.check_output("mkfs.ext4 -q -b %s -g 8192 %s", str(block), volume.device)
    host.check_output("dd if=/dev/zero of=%s bs=1M count=1 conv=notrunc status=none", volume.device)
    refused_and_untouched(host, volume, "no file system and is not blank")


def test_a_volume_that_a_server_has_had_is_not_formatted_though_it_is_blank(host, volume):
    refused_and_untouched(host, volume, "no file system, though it has had files", used="used")


def refused_and_untouched(host, volume, said, used=""):
    before = volume.digest
    refused = volume.mount(used=used)
    assert refused.rc == 1
    assert f"the volume {volume.id} cannot be the home of {ACCOUNT}" in refused.stdout
    assert said in refused.stdout
    assert "it was left alone" in refused.stdout
    assert volume.digest == before
    assert host.run("findmnt %s", HOME).rc == 1


def test_a_file_system_that_is_damaged_is_refused_and_not_formatted(host, volume):
    assert volume.mount().rc == 0
    host.check_output("echo all of my thesis >%s/thesis; umount %s", HOME, HOME)
    host.check_output("debugfs -w -R 'clri <2>' %s; debugfs -w -R 'ssv state 2' %s", volume.device, volume.device)
    refused = volume.mount()
    assert refused.rc == 1
    assert "its file system is damaged" in refused.stdout
    assert "formatting" not in refused.stdout
    assert host.run("findmnt %s", HOME).rc == 1
    host.check_output("e2fsck -y %s >/dev/null || test $? = 1", volume.device)
    host.check_output("mkdir -p %s && mount %s %s", HOME, volume.device, HOME)
    assert "all of my thesis" in host.check_output("cat %s/lost+found/*", HOME)


def test_a_device_that_never_comes_is_refused_after_its_time(host, volume):
    volume.detach()
    refused = volume.mount(patience=1)
    assert refused.rc == 1
    assert f"the volume {volume.id} cannot be the home of {ACCOUNT}: it did not appear within 1 sec" in refused.stdout
    assert host.run("id %s", ACCOUNT).rc == 1


def test_a_device_that_comes_late_is_waited_for(host, volume):
    volume.detach()
    host.check_output("(sleep 2; ln -sf %s %s) >/dev/null 2>&1 &", volume.device, volume.link)
    done = volume.mount(patience=30)
    assert done.rc == 0, done
    assert "waiting for the volume" in done.stdout


def test_something_else_at_the_place_of_the_home_is_refused(host, volume):
    host.check_output("mkdir -p %s && mount -t tmpfs tmpfs %s", HOME, HOME)
    refused = volume.mount()
    assert refused.rc == 1
    assert "tmpfs is mounted there" in refused.stdout


def test_the_server_starts_in_the_home_on_the_volume_and_ends_before_it(host, machine, volume):
    machine(volume.id, ("sh", "-c", "pwd >where; exec sleep infinity"))
    started = host.run("systemctl start %s", SERVER)
    assert started.rc == 0, host.run("journalctl -n 30 --no-pager").stdout
    process = host.check_output("systemctl show --property=MainPID --value %s", SERVER)
    seen = host.check_output("findmnt --task %s --noheadings --output SOURCE,OPTIONS %s", process, HOME)
    assert volume.device in seen
    assert "nosuid" in seen
    host.check_output("timeout 10 sh -c 'until test -s $0; do sleep 0.1; done' %s/where", HOME)
    assert host.check_output("cat %s/where", HOME) == HOME

    # As when the machine shuts down: whoever unmounts the home ends the server first.
    unit = host.check_output("systemd-escape --path --suffix=mount %s", HOME)
    assert unit in host.check_output("systemctl show --property=After --value %s", SERVER).split()


def test_without_its_volume_there_is_no_server(host, machine, volume):
    volume.write(b"a database without a file system", 4096)
    machine(volume.id)
    assert host.run("systemctl start %s", SERVER).rc != 0
    assert host.run("systemctl is-active %s", SERVER).stdout.strip() == "inactive"
    said = host.check_output("journalctl --unit=jupyterhub-singleuser-home.service --lines=5 --output=cat")
    assert "is not blank either; it was left alone" in said
    assert host.run("systemctl is-active jupyterhub-singleuser-home.service").stdout.strip() == "failed"
