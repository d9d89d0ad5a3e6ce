# SPDX-License-Identifier: BSD-3-Clause
"""What a server may not ask of the kernel, where a user of the host may: containers forbid it themselves."""

from __future__ import annotations

import pytest
from node import GO

CALL = "if libc.{} < 0: raise OSError(ctypes.get_errno(), '')"
# What is tried, by the option that forbids it, and the error that it meets in a server.
TRIALS = {
    "ProtectClock": (CALL.format("adjtimex(bytes(1024))"), "EPERM"),
    "ProtectKernelLogs": (CALL.format("klogctl(3, bytes(4096), 4096)"), "EPERM"),
    "ProtectKernelTunables": ("open('/proc/kallsyms')", "EACCES"),
    "RestrictRealtime": ("os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))", "EPERM"),
}


def program(trials):
    """A program that waits until it may begin, and says of each trial which error it meets."""
    return "\n".join(
        [
            "import ctypes, errno, os, time",
            "libc = ctypes.CDLL(None, use_errno=True)",
            f"while not os.path.exists({GO!r}): time.sleep(0.2)",
            *(
                f"try:\n    {trial}\n    print({name!r}, 'none', flush=True)\n"
                f"except OSError as error: print({name!r}, errno.errorcode[error.errno], flush=True)"
                for name, (trial, _error) in trials.items()
            ),
            "print('done', flush=True)",
        ]
    )


@pytest.fixture
def lenient(host):
    """The kernel tells its log to everybody, as it does where nobody has set it otherwise."""
    strict = host.check_output("sysctl --values kernel.dmesg_restrict")
    host.check_output("sysctl --write kernel.dmesg_restrict=0")
    yield
    host.check_output("sysctl --write kernel.dmesg_restrict=%s", strict)


def test_a_server_asks_of_the_kernel_nothing_that_no_notebook_needs(host, node, lenient):
    node.start("probe", program(TRIALS) + "\ntime.sleep(1000)")
    pid = host.check_output("systemctl show --property=MainPID --value jupyterhub-singleuser@probe")
    host.check_output("prlimit --rtprio=10 --pid %s", pid)
    node.go()
    node.wait_for_word("probe", "done")
    within = dict(line.split() for line in node.ask(action="log", instance="probe")["lines"] if line.count(" ") == 1)
    assert within == {name: error for name, (_trial, error) in TRIALS.items()}

    # Not by runuser, which takes the limit back.
    another = "systemd-run --quiet --wait --pipe --uid=jupyter-probe --property=LimitRTPRIO=10"
    outside = host.check_output(f"{another} python3 -c %s", program(TRIALS))
    assert outside.splitlines() == [*(f"{name} none" for name in TRIALS), "done"]


def test_the_settings_of_the_kernel_are_read_only_in_a_server(host, node):
    look = "import os; print('read-only', bool(os.statvfs('/proc/sys').f_flag & os.ST_RDONLY), flush=True)"
    assert host.check_output("python3 -c %s", look) == "read-only False"
    node.start("probe", f"{look}; import time; time.sleep(1000)")
    node.wait_for_word("probe", "read-only True")


SHARE = "import os, time; os.system('ipcmk --shmem 4096'); print('made', flush=True); time.sleep(1000)"


@pytest.fixture
def shared_with_the_host(host):
    """Servers share System V memory with the host, as by default they do not."""
    folder = "/run/systemd/system/jupyterhub-singleuser@.service.d"
    host.check_output("mkdir %s && printf '[Service]\nPrivateIPC=no\n' >%s/ipc.conf", folder, folder)
    host.check_output("systemctl daemon-reload")
    yield
    host.check_output("rm --recursive %s && systemctl daemon-reload", folder)


def is_shared(host):
    # Of a name, ipcs shows ten letters.
    return "jupyter-pr" in host.check_output("ipcs --shmems")


def has_shared_memory(host, node):
    node.start("probe", SHARE)
    node.wait_for_word("probe", "made")
    return is_shared(host)


def test_shared_memory_of_a_server_is_not_the_hosts(host, node):
    assert not has_shared_memory(host, node)


def test_shared_memory_does_not_outlive_a_server_even_where_it_is_the_hosts(host, node, shared_with_the_host):
    assert has_shared_memory(host, node)
    node.stop_all()
    assert not is_shared(host)
