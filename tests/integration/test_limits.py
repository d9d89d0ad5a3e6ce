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


def test_processes_get_no_more_processors_than_the_size_has(hub, servers):
    burn = (
        "import multiprocessing, time\n"
        "def burn(_):\n"
        "    end = time.monotonic() + 6\n"
        "    while time.monotonic() < end: pass\n"
        "    return time.process_time()\n"
        "with multiprocessing.Pool(2) as pool: print(sum(pool.map(burn, range(2))))"
    )
    assert float(hub.kernel("greedy").run(burn)) == pytest.approx(3, rel=0.25)


def test_no_more_tasks_than_the_size_allows(hub, servers):
    fork = (
        "import threading\n"
        "try:\n"
        "    for number in range(1000):\n"
        "        threading.Thread(target=threading.Event().wait, args=(20,), daemon=True).start()\n"
        "except RuntimeError as error: print(number < 300, error)"
    )
    assert hub.kernel("neighbour").run(fork) == "True can't start new thread"
