# SPDX-License-Identifier: BSD-3-Clause
"""What a size promises holds."""

from __future__ import annotations

import pytest


@pytest.fixture
def servers(hub):
    hub.start("greedy", userserver_size="small")
    hub.start("neighbour", userserver_size="large")
    yield
    hub.stop("greedy")
    hub.stop("neighbour")


def test_a_cell_that_takes_more_memory_than_its_size_is_killed_alone(hub, servers):
    bystander = hub.kernel("greedy")
    bystander.run("x = 41")
    neighbour = hub.kernel("neighbour")
    neighbour.run("x = 42")

    greedy = hub.kernel("greedy")
    assert greedy.run("hoard = bytearray(100 * 1024 ** 2); print('room for this')") == "room for this"
    assert greedy.run("hoard = bytearray(2 * 1024 ** 3); print(len(hoard))") == "(kernel died)"

    assert bystander.run("x") == "41"
    assert neighbour.run("x") == "42"
    assert hub.server("greedy")["ready"]


def test_limits_of_the_size_are_the_limits_of_the_unit(host, servers):
    properties = host.service("jupyterhub-singleuser@greedy").systemd_properties
    assert properties["MemoryMax"] == str(512 * 1024**2)
    assert properties["CPUQuotaPerSecUSec"] == "500ms"
    assert properties["TasksMax"] == "2048"
    assert properties["Slice"] == "jupyterhub-singleuser.slice"
    assert host.service("jupyterhub-singleuser@neighbour").systemd_properties["TasksMax"] == "300"


# What a guarantee does is seen on cgroup v2 alone: molecule/vm.
def test_what_is_guaranteed_is_set_at_most_to_the_limit(host, servers):
    greedy = host.service("jupyterhub-singleuser@greedy").systemd_properties
    assert (greedy["MemoryLow"], greedy["CPUWeight"]) == (str(512 * 1024**2), "25")
    neighbour = host.service("jupyterhub-singleuser@neighbour").systemd_properties
    assert neighbour["MemoryLow"] == str(1024**3)


def test_the_slices_of_the_servers_have_a_guarantee_to_share_out(host):
    total = int(host.check_output("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) * 1024
    for name in ("jupyterhub.slice", "jupyterhub-singleuser.slice"):
        guarantee = int(host.check_output("systemctl show --value --property=MemoryLow %s", name))
        assert guarantee == pytest.approx(0.75 * total, rel=0.01)


def processor_seconds(host, user, seconds):
    """What the processes in a server's unit use of a processor, per second."""
    unit = f"jupyterhub-singleuser@{user}.service"
    script = (
        "import os, time\n"
        "def used():\n"
        "    total = 0\n"
        "    for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "        try:\n"
        f"            if '/{unit}' in open(f'/proc/{{pid}}/cgroup').read():\n"
        "                fields = open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()\n"
        "                total += sum(map(int, fields[11:15]))\n"
        "        except OSError: pass\n"
        "    return total / os.sysconf('SC_CLK_TCK'), time.monotonic()\n"
        "before, begin = used()\n"
        f"time.sleep({seconds})\n"
        "after, end = used()\n"
        "print((after - before) / (end - begin))"
    )
    return float(host.check_output("python3 -c %s", script))


def test_processes_get_the_processors_of_their_size_within_a_tenth_and_no_more(hub, host, servers):
    burn = (
        "import subprocess, sys\n"
        "for _ in range(2): subprocess.Popen([sys.executable, '-c', 'import time\\nwhile time.monotonic() < %f: pass'"
        " % (time.monotonic() + 90)])"
    )
    kernel = hub.kernel("greedy")
    kernel.run(f"import time\n{burn}")
    # A machine that has no half processor to spare shows nothing but that there is not more.
    for _ in range(4):
        used = processor_seconds(host, "greedy", 10)
        assert used <= 0.55
        if used >= 0.45:
            break
    assert used >= 0.45


def test_no_more_tasks_than_the_size_allows(hub, servers):
    fork = (
        "import threading\n"
        "try:\n"
        "    for number in range(1000):\n"
        "        threading.Thread(target=threading.Event().wait, args=(20,), daemon=True).start()\n"
        "except RuntimeError as error: print(number < 300, error)"
    )
    assert hub.kernel("neighbour").run(fork) == "True can't start new thread"
