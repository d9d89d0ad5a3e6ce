# SPDX-License-Identifier: BSD-3-Clause
"""Homes on volumes, in machines with a kernel of their own."""

from __future__ import annotations

import re

HOME = "/home/ada"
# What systemd says of the server's start.
SERVER = "JupyterHub single-user server ada"
# What runs in its place; the machine shuts down when it has written.
COMMAND = f"pwd; grep {HOME} /proc/self/mounts; echo started >>starts; exec sleep infinity"
AFTERWARDS = f"until test -s {HOME}/starts; do sleep 1; done; sleep 3; systemctl poweroff"


def test_a_volume_is_formatted_once_and_the_next_machine_finds_its_files_and_its_new_room(boot, volume):
    said = boot(volume, COMMAND, AFTERWARDS)
    assert f"formatting the volume {volume.id}, which is blank" in said
    assert SERVER in said
    assert re.search(rf"/dev/vd. {HOME} ext4 rw,nosuid,nodev", said)
    assert f"\n{HOME}\n" in said
    assert volume.read("starts") == "started\n"
    assert re.search(r"Filesystem state: +clean\n", volume.ask("dumpe2fs", "-h"))

    with volume.path.open("r+b") as file:
        file.truncate(2**29)
    said = boot(volume, COMMAND, AFTERWARDS)
    assert "formatting" not in said
    assert volume.read("starts") == "started\nstarted\n"
    found = volume.ask("dumpe2fs", "-h")
    count, size = (int(re.search(rf"Block {word}: +(\d+)", found)[1]) for word in ("count", "size"))
    assert count * size == 2**29


def test_a_machine_whose_volume_holds_something_else_switches_itself_off_and_leaves_it_alone(boot, volume):
    with volume.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"a database without a file system")
    before = volume.path.read_bytes()
    said = boot(volume, COMMAND, AFTERWARDS)
    assert f"the volume {volume.id} cannot be the home of ada: it has no file system and is not blank" in said
    assert "there is no server without the home of ada on its volume; switching the machine off" in said
    assert SERVER not in said
    assert volume.path.read_bytes() == before
    # The hub shows as much of the console.
    assert "cannot be the home of ada" in "\n".join(said.splitlines()[-20:])
