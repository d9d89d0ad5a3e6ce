# SPDX-License-Identifier: BSD-3-Clause
"""What a user's server is kept from, and that a day's work goes on within.

Everything here is asked of servers in which a terminal, git, processes, pip and a JIT compiler have just worked.
"""

from __future__ import annotations

import ast
import json
import platform
import re

import pytest

# More than what is exposed by these is a mistake. ref: systemd-analyze(1), security
MOST_EXPOSURE = 2.0

# Machine code that returns 42, by the machine's name.
JIT = """
import ctypes, mmap, platform
code = bytes.fromhex({"x86_64": "b82a000000c3", "aarch64": "40058052c0035fd6"}[platform.machine()])
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
"""
NUMBA = """
import numba
@numba.njit
def total(count):
    found = 0
    for number in range(count): found += number
    return found
print(total(1000))
"""
POOL = "import multiprocessing\nwith multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, -2]))"
GIT = (
    "cd $(mktemp -d) && git init -q && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one && "
    "git --no-pager log --format=%s"
)


@pytest.fixture(scope="module")
def ada(host, hub):
    """A kernel of a server in which work goes on."""
    host.check_output("mkdir --parents /usr/lib/modules")  # a container may have none
    hub.start("ada", userserver_size="large")
    kernel = hub.kernel("ada")
    terminal = hub.terminal("ada")
    assert terminal.run("id -un") == "jupyter-ada"
    assert terminal.run(GIT) == "one"
    assert kernel.run(POOL) == "[1, 2]"
    assert kernel.run(JIT) == "42"
    assert "error" not in kernel.run("%pip install --quiet iniconfig numba", seconds=600).lower()
    assert kernel.run(NUMBA, seconds=180) == "499500"
    assert kernel.run("import iniconfig; print(iniconfig.__file__)").startswith(
        "/home/jupyter-ada/.local/environments/default/"
    )
    yield kernel
    hub.stop("ada")


@pytest.fixture(scope="module")
def bob(hub, ada):
    hub.start("bob", userserver_size="large")
    yield hub.kernel("bob")
    hub.stop("bob")


@pytest.fixture(scope="module")
def ada_pid(host, ada):
    return host.service("jupyterhub-singleuser@ada").systemd_properties["MainPID"]


@pytest.fixture
def on_host(host):
    """Run a command on the host, and another when the test is over."""
    undo = []

    def run(command, afterwards):
        undo.append(afterwards)
        return host.check_output(command)

    yield run
    for command in undo:
        host.check_output(command)


def showing_error(code):
    """A program that prints the name of the error that a piece of Python meets."""
    indented = "\n".join(f"    {line}" for line in code.splitlines())
    return (
        f"import ctypes, errno, os, socket\nlibc = ctypes.CDLL(None, use_errno=True)\ntry:\n{indented}\n"
        "    print('none')\nexcept OSError as error: print(errno.errorcode[error.errno])"
    )


def error_of(kernel, code):
    """The name of the error that a piece of Python meets."""
    return kernel.run(showing_error(code))


def error_outside(host, code):
    """The same for the same account outside of the unit, which shows that it is the unit that makes a difference."""
    return host.check_output("runuser -u jupyter-ada -- python3 -c %s", showing_error(code))


# --- the whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unit", ["jupyterhub-singleuser@ada.service", "jupyterhub.service", "jupyterhub-proxy.service"]
)
def test_a_unit_exposes_little(host, ada, unit, capsys):
    table = host.check_output("systemd-analyze security --no-pager %s", unit)
    with capsys.disabled():
        print(f"\n{table}")
    assert float(re.search(r"Overall exposure level for .*: ([0-9.]+)", table)[1]) <= MOST_EXPOSURE


# It is root's, to make accounts and start units: a score says little of it, and is shown for whoever changes it.
def test_the_control_helper_can_do_nothing_to_the_kernel(host, ada, capsys):
    table = host.check_output("systemd-analyze security --no-pager jupyterhub-singleuserctl.service")
    with capsys.disabled():
        print(f"\n{table}")
    for option in ("ProtectClock", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables"):
        assert re.search(rf"[✓+] {option}=", table), option


# --- packages -----------------------------------------------------------------------------------------------


def test_what_a_user_installs_is_there_after_a_restart_and_can_break_neither_server_nor_kernels(hub, host):
    packages = "/home/jupyter-carol/.local/environments/default/lib/python3.*/site-packages"
    hub.start("carol", userserver_size="large")
    assert "error" not in hub.kernel("carol").run("%pip install --quiet iniconfig", seconds=180).lower()
    refused = hub.kernel("carol").run("%pip install --quiet 'tornado<6.4'", seconds=180)
    assert "Will not install to the user site" in refused
    # As by hand, past pip.
    for name in ("tornado", "jupyter_server", "ipykernel"):
        host.check_output(f"cd {packages} && mkdir -p {name} && echo 'raise SystemExit(1)' >{name}/__init__.py")
    hub.stop("carol")

    hub.start("carol", userserver_size="large")
    assert hub.kernel("carol").run("import iniconfig; print('still here')") == "still here"
    assert hub.terminal("carol").run("pip uninstall --yes --quiet iniconfig && echo gone").endswith("gone")
    hub.stop("carol")


def test_a_virtual_environment_of_a_users_own_is_as_anywhere(ada, hub):
    made = hub.terminal("ada").run(
        "python3 -m venv ~/own && ~/own/bin/pip install -q iniconfig && ~/own/bin/python -c "
        "'import iniconfig; print(iniconfig.__file__)'",
        seconds=180,
    )
    assert "/home/jupyter-ada/own/" in made


# --- what a server is kept from -----------------------------------------------------------------------------


def test_a_program_with_the_setuid_bit_gives_no_rights(host, ada, on_host):
    on_host("install --mode=4755 /usr/bin/id /usr/local/bin/id-of-root", "rm /usr/local/bin/id-of-root")
    assert host.check_output("runuser -u jupyter-ada -- /usr/local/bin/id-of-root -u") == "0"
    assert ada.run("!/usr/local/bin/id-of-root -un") == "jupyter-ada"


def test_a_server_has_no_capability_and_can_gain_none(ada):
    status = ada.run("print(open('/proc/self/status').read())")
    assert set(re.findall(r"^Cap\w+:\s*(\w+)$", status, re.M)) == {"0" * 16}
    assert "NoNewPrivs:\t1" in status


def test_a_server_can_make_no_file_setuid(ada):
    assert error_of(ada, "open('mine', 'w').close()\nos.chmod('mine', 0o4755)") == "EPERM"


def test_the_system_is_read_only_even_where_everybody_may_write(ada, on_host):
    on_host("install --directory --mode=1777 /srv/open /opt/open", "rm --recursive /srv/open /opt/open")
    for path in ("/srv/open/x", "/opt/open/x"):
        assert error_of(ada, f"open('{path}', 'w')") == "EROFS"


def test_of_all_homes_a_server_sees_its_own(ada, bob):
    assert ada.run("import os; print(os.listdir('/home'))") == "['jupyter-ada']"
    assert bob.run("import os; print(os.listdir('/home'))") == "['jupyter-bob']"
    assert error_of(bob, "os.listdir('/home/jupyter-ada')") == "ENOENT"


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/dev/shm", "/run/jupyter"])
def test_nobody_else_sees_a_servers_temporary_files(host, ada, bob, folder):
    path = f"{folder}/of-ada"
    assert ada.run(f"print(open('{path}', 'w').write('mine'))") == "4"
    assert bob.run(f"import os; print(os.path.exists('{path}'))") == "False"
    assert not host.file(path).exists


def test_a_server_sees_no_devices_but_harmless_ones(ada, on_host):
    on_host("mknod --mode=666 /dev/of-host c 1 3", "rm /dev/of-host")
    seen = set(ast.literal_eval(ada.run("import os; print(os.listdir('/dev'))")))
    assert "null" in seen
    assert not seen & {"of-host", "kmsg", "mem", "kvm", "fuse", "loop-control"}
    assert not {name for name in seen if re.match(r"sd|vd|nvme|loop|tty\d", name)}


def test_a_server_shares_no_memory_with_others(ada, bob):
    assert ada.run("!ipcmk --shmem 4096 --mode 0666 >/dev/null && ipcs --shmems | grep -c jupyter-a") == "1"
    assert bob.run("!ipcs --shmems | grep -c 0x") == "0"


def test_a_server_sees_no_processes_but_its_users(ada, bob):
    seen = "(pid for pid in os.listdir('/proc') if pid.isdigit())"
    code = f"import os; print({{os.stat(f'/proc/{{pid}}').st_uid == os.getuid() for pid in {seen}}})"
    assert ada.run(code) == bob.run(code) == "{True}"


# /proc/sys and /sys are read-only in any container; its control groups are not.
def test_a_server_cannot_change_its_own_limits(host, ada):
    look = (
        "import os; path = next(filter(os.path.exists, ('/sys/fs/cgroup/pids', '/sys/fs/cgroup')))\n"
        "print(bool(os.statvfs(path).f_flag & os.ST_RDONLY))"
    )
    assert host.check_output("python3 -c %s", look) == "False"
    assert ada.run(look) == "True"


def test_a_server_does_not_see_the_modules_of_the_kernel(host, ada):
    look = "os.listdir('/usr/lib/modules')"
    assert error_outside(host, look) == "none"
    assert error_of(ada, look) == "EACCES"


@pytest.mark.parametrize(
    ("call", "outside", "within"),
    [
        ("unshare(0x10000000)", "none", "EPERM"),  # a user namespace, the first step of many a way out
        ("personality(0x0008)", "none", "EPERM"),
        ("ptrace(0, 0, 0, 0)", "none", "EPERM"),
        ("socket(40, 1, 0)", "none", "EAFNOSUPPORT"),  # the hypervisor
        ("socket(17, 3, 0)", "EPERM", "EAFNOSUPPORT"),  # raw packets
    ],
)
def test_a_server_may_not_make_calls_that_no_notebook_needs(host, ada, call, outside, within):
    code = f"if libc.{call} < 0: raise OSError(ctypes.get_errno(), '')"
    assert error_outside(host, code) == outside
    assert error_of(ada, code) == within


# libc has no functions for these.
ADD_KEY, REQUEST_KEY = {"x86_64": (248, 249), "aarch64": (217, 218)}[platform.machine()]


def test_a_server_finds_no_keys_of_its_users_other_sessions(host, ada):
    look = f"if libc.syscall({REQUEST_KEY}, b'user', b'of-ada', None, 0) < 0: raise OSError(ctypes.get_errno(), '')"
    keyring_of_the_user = -4
    error_outside(host, f"libc.syscall({ADD_KEY}, b'user', b'of-ada', b'key', 3, {keyring_of_the_user})")
    shared = "systemd-run --quiet --wait --pipe --uid=jupyter-ada --property=KeyringMode=shared python3 -c %s"
    assert host.check_output(shared, showing_error(look)) == "none"
    assert error_of(ada, look) == "ENOKEY"


def test_a_server_keeps_the_name_that_its_host_had(host, ada, on_host):
    name = host.check_output("hostname")
    on_host("hostname another", f"hostname {name}")
    assert ada.run("!hostname") == name


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the calls of another architecture are asked for")
def test_a_server_may_not_make_calls_as_another_architecture(host, ada):
    # getpid, by the number that it has on i386.
    call = JIT.replace("b82a000000c3", "b814000000cd80c3").replace("print", "assert 0 <")
    run = "import subprocess, sys; print(subprocess.run([sys.executable, '-c', {!r}], capture_output=True).returncode)"
    assert host.check_output("runuser -u jupyter-ada -- python3 -c %s", run.format(call)) == "0"
    assert ada.run(run.format(call)) == "-31"


# --- what another user is kept from -------------------------------------------------------------------------


def test_another_user_reads_nothing_of_a_server_even_outside_of_a_sandbox(host, ada, bob, ada_pid):
    for path in (
        "/home/jupyter-ada/.",
        f"/proc/{ada_pid}/environ",
        f"/proc/{ada_pid}/root/run/jupyter/.",
        "/etc/jupyterhub-singleuser/ada.env",
        "/run/jupyterhub-singleuser/ada.json",
    ):
        assert host.run("test -e %s", path).succeeded or path.endswith("/.")
        assert host.run("runuser -u jupyter-bob -- cat %s", path).failed
        assert host.run("runuser -u jupyter-bob -- ls %s/", path).failed
    shown = host.run("runuser -u jupyter-bob -- systemctl show jupyterhub-singleuser@ada.service").stdout
    assert "JUPYTERHUB_API_TOKEN" not in shown


def test_a_command_line_tells_no_secret(host, ada, ada_pid):
    token = host.check_output("tr '\\0' '\\n' </proc/%s/environ | sed -n s/^JUPYTERHUB_API_TOKEN=//p", ada_pid)
    assert token
    assert token not in host.check_output("cat /proc/*/cmdline | tr '\\0' ' '")


def listening(host, user):
    """The TCP ports that processes of a user listen on."""
    uid = host.user(f"jupyter-{user}").uid
    lines = host.check_output("ss --listening --tcp --udp --no-header --numeric --extended").splitlines()
    return {int(line.split()[4].rpartition(":")[2]) for line in lines if f"uid:{uid} " in f"{line} "}


def test_no_port_of_a_user_obeys_without_a_token(host, ada, bob):
    port = json.loads(host.check_output("cat /run/jupyterhub-singleuser/ada.json"))["port"]
    ports = listening(host, "ada")
    assert port in ports
    ask = (
        "import urllib.error, urllib.request\n"
        "for path in ('contents', 'kernels', 'terminals', 'sessions'):\n"
        f"    try: print(urllib.request.urlopen(f'http://127.0.0.1:{port}/user/ada/api/{{path}}').status)\n"
        "    except urllib.error.HTTPError as error: print(error.code)"
    )
    assert bob.run(ask).split() == ["403"] * 4
    # What is left is where a kernel's own child processes write their output to; the kernel drops what does not begin
    # with a number that it told them alone.
    for other in ports - {port}:
        say = (
            "import zmq, time\n"
            f"push = zmq.Context().socket(zmq.PUSH); push.connect('tcp://127.0.0.1:{other}')\n"
            "push.send_multipart([bytes(16), b'{\"header\": {}}'])\ntime.sleep(1); push.close(1000); print('sent')"
        )
        assert bob.run(say) == "sent"
    assert ada.run("print('as before')") == "as before"


def test_no_other_user_finds_a_kernels_sockets(host, ada, bob):
    sockets = [line.split()[4] for line in host.check_output("ss --listening --unix --no-header").splitlines()]
    kernels = [name for name in sockets if name.startswith("/run/jupyter/kernel-")]
    assert len(kernels) >= 10
    assert not [name for name in sockets if name.startswith("@") and "systemd" not in name and "dbus" not in name]
    assert ast.literal_eval(bob.run("import os; print(os.listdir('/run/jupyter'))"))
    of_ada = f"/run/jupyter/kernel-{ada.url.rpartition('/')[2]}-ipc-1"
    assert of_ada in kernels
    connect = f"socket.socket(socket.AF_UNIX).connect('{of_ada}')"
    assert (error_of(ada, connect), error_of(bob, connect)) == ("none", "ENOENT")
    own = bob.run("import glob; print(sorted(glob.glob('/run/jupyter/*ipc-1')))")
    of_ada = ada.run("import glob; print(sorted(glob.glob('/run/jupyter/*ipc-1')))")
    assert not set(ast.literal_eval(own)) & set(ast.literal_eval(of_ada))


def test_no_other_user_ends_a_server(bob, ada_pid):
    assert error_of(bob, f"os.kill({ada_pid}, 9)") == "EPERM"
