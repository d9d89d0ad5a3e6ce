# SPDX-License-Identifier: BSD-3-Clause
"""What limits and guarantees of servers do, on a kernel of the host's own with cgroup v2."""

from __future__ import annotations

import json
import time

import pytest

MIB = 1024**2
SLICE = "/sys/fs/cgroup/jupyterhub.slice/jupyterhub-singleuser.slice"
ASK = (
    "import socket, sys\n"
    "connection = socket.socket(socket.AF_UNIX)\n"
    "connection.connect('/run/jupyterhub-singleuserctl.sock')\n"
    "connection.sendall(sys.argv[1].encode() + b'\\n')\n"
    "print(connection.makefile().readline())"
)
SLEEP = "import time; time.sleep(1000)"
# Once all who share the one processor are there: another would hardly get to start beside them.
GO = "/srv/go"
BURN = f"import os, time\nwhile not os.path.exists('{GO}'): time.sleep(0.2)\nwhile True: pass"
# A file full of holes is in memory once it was read, and was on no disk before.
READ = (
    "import os, sys, time\n"
    "with open('holes', 'wb') as file: file.truncate(int(sys.argv[1]))\n"
    "with open('holes', 'rb', buffering=0) as file:\n"
    "    while file.read(1024 ** 2): pass\n"
    "print('read', flush=True)\n"
    "time.sleep(1000)"
)
HOARD = (
    "import subprocess, sys, time\n"
    "code = subprocess.call([sys.executable, '-c', 'print(len(bytearray(200 * 1024 ** 2)))'])\n"
    "print('child ended with', code, flush=True)\n"
    "time.sleep(1000)"
)


class Node:
    """The control helper of a host, as the hub asks it, and the cgroups of what it starts."""

    def __init__(self, host):
        self._host = host
        self._started = set()

    def ask(self, **request):
        answer = json.loads(self._host.check_output("python3 -c %s %s", ASK, json.dumps({"hub": "vm", **request})))
        assert answer["ok"], answer
        return answer

    def start(self, name, code, *arguments, **limits):
        self._started.add(name)
        self.ask(
            action="start",
            instance=name,
            request="r",
            user=name,
            account=f"jupyter-{name}",
            environment="default",
            command=["/usr/bin/python3", "-c", code, *map(str, arguments)],
            variables={},
            limits=limits,
        )

    def stop_all(self):
        while self._started:
            self.ask(action="stop", instance=self._started.pop())

    def forget_files(self):
        """Free the memory that servers of tests before had filled."""
        self._host.check_output("echo 3 >/proc/sys/vm/drop_caches")

    def go(self):
        self._host.check_output("touch %s && sleep 3", GO)

    def wait_for_word(self, name, word, seconds=300):
        deadline = time.monotonic() + seconds
        while not [line for line in self.ask(action="log", instance=name)["lines"] if word in line]:
            assert time.monotonic() < deadline, f"{name} did not write {word!r} within {seconds} s"
            time.sleep(1)

    def read(self, name, *files):
        """Files of a server's cgroup, read at once."""
        paths = " ".join(f"'{SLICE}/jupyterhub-singleuser@{name}.service/{file}'" for file in files)
        return self._host.check_output(f"cat {paths}")

    def count(self, name, file, key):
        return dict(line.split() for line in self.read(name, file).splitlines())[key]

    def in_memory(self, name):
        """How many bytes of files a server has in memory."""
        return int(self.count(name, "memory.stat", "file"))

    def processor_seconds(self, *names, over=10):
        """What each server uses of a processor, per second of the host's own clock."""
        files = " ".join(f"'{SLICE}/jupyterhub-singleuser@{name}.service/cpu.stat'" for name in names)
        look = f"cut -d ' ' -f 1 /proc/uptime; sed -n 's/^usage_usec //p' {files}"
        lines = [float(line) for line in self._host.check_output(f"{look}; sleep {over}; {look}").splitlines()]
        before, after = lines[: len(lines) // 2], lines[len(lines) // 2 :]
        seconds = after[0] - before[0]
        return [(end - begin) / 1e6 / seconds for begin, end in zip(before[1:], after[1:], strict=True)]


@pytest.fixture
def node(host):
    node = Node(host)
    yield node
    host.check_output("rm --force %s", GO)
    node.stop_all()


def press(node):
    """Let two servers have 100 MiB in memory, then a neighbour ask for more than the host has."""
    node.forget_files()
    for name, guarantee in (("kept", 150 * MIB), ("plain", 0)):
        node.start(name, READ, 100 * MIB, memory_guarantee_bytes=guarantee)
        node.wait_for_word(name, "read")
        assert node.in_memory(name) > 95 * MIB
    node.start("neighbour", READ, 1500 * MIB, memory_guarantee_bytes=0)
    node.wait_for_word("neighbour", "read")
    return node.in_memory("kept"), node.in_memory("plain")


def test_the_machine_has_what_the_other_hosts_of_the_tests_lack(host):
    assert host.check_output("stat --file-system --format=%T /sys/fs/cgroup") == "cgroup2fs"


def test_guaranteed_memory_stays_when_a_neighbour_takes_all_there_is(node):
    kept, plain = press(node)
    assert kept > 95 * MIB
    assert plain < 70 * MIB


def test_a_guarantee_holds_by_those_of_the_slices_above_it(host, node):
    slices = ("jupyterhub.slice", "jupyterhub-singleuser.slice")
    for name in slices:
        assert int(host.check_output("systemctl show --value --property=MemoryLow %s", name)) > 500 * MIB
    host.check_output("systemctl set-property --runtime jupyterhub.slice MemoryLow=0")
    try:
        kept = press(node)[0]
    finally:
        host.check_output("systemctl revert jupyterhub.slice && systemctl daemon-reload")
    assert kept < 70 * MIB


def test_processors_are_shared_out_by_guarantee(node):
    node.start("more", BURN, cpu_guarantee=0.6)
    node.start("less", BURN, cpu_guarantee=0.2)
    node.start("none", BURN)
    node.go()
    more, less, none = node.processor_seconds("more", "less", "none")
    assert more / less == pytest.approx(3, rel=0.1)
    assert none < less
    assert more + less + none > 0.8


def test_a_limit_of_processors_holds_within_a_tenth(node):
    node.start("limited", BURN, cpus=0.4)
    node.go()
    (used,) = node.processor_seconds("limited")
    assert used == pytest.approx(0.4, rel=0.1)


def test_a_process_that_takes_too_much_memory_dies_alone(host, node):
    node.start("greedy", HOARD, memory_bytes=96 * MIB)
    node.wait_for_word("greedy", "child ended with -9")
    assert node.read("greedy", "memory.max", "memory.swap.max").split() == [str(96 * MIB), "0"]
    assert node.count("greedy", "memory.events", "oom_kill") == "1"
    assert host.service("jupyterhub-singleuser@greedy").is_running


def test_a_server_can_be_frozen_and_goes_on_where_it_was(host, node):
    node.start("frozen", BURN)
    node.go()
    host.check_output("systemctl freeze jupyterhub-singleuser@frozen")
    assert node.count("frozen", "cgroup.events", "frozen") == "1"
    assert node.processor_seconds("frozen", over=3) == [0]
    host.check_output("systemctl thaw jupyterhub-singleuser@frozen")
    assert node.processor_seconds("frozen", over=3)[0] > 0.5
