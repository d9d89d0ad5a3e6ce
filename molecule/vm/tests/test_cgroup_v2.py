# SPDX-License-Identifier: BSD-3-Clause
"""What limits and guarantees of servers do, on a kernel of the host's own with cgroup v2."""

from __future__ import annotations

import pytest
from node import GO

MIB = 1024**2
SLEEP = "import time; time.sleep(1000)"
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


def test_what_a_server_has_used_of_a_processor_is_counted(node):
    node.start("busy", BURN)
    node.go()
    before = node.ask(action="status", instance="busy")["instance"]["cpu_seconds"]
    node.processor_seconds("busy", over=3)
    assert node.ask(action="status", instance="busy")["instance"]["cpu_seconds"] > before + 1


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
