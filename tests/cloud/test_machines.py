# SPDX-License-Identifier: BSD-3-Clause
"""A hub that was told of a real OpenStack by the documented lines, and the machines of its users."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import documents
import pytest
from playbook import ROOT, run_playbook
from realcloud import CLOUD, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hub import Hub
    from testinfra.host import Host

BOOT_SECONDS = 1200


def machines() -> dict[str, Any]:
    """What there is in the cloud, as the cloud itself says."""
    return {node.name: node for node in connect().list_nodes()}


def wait_until_gone(name: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while name in machines():
        assert time.monotonic() < deadline, f"{name} is still there"
        time.sleep(1)


@pytest.fixture(scope="module")
def ada(hub: Hub) -> Hub:
    """A hub that runs a machine for ada: the one that the browser's test has left, or a new one."""
    if not hub.server("ada")["ready"]:
        hub.request_start("ada", userserver_size="c2.large", userserver_image="debian-12-jupyter-r")
        hub.wait_for("ada", seconds=BOOT_SECONDS, ready=True)
    return hub


def test_the_server_runs_in_the_machine_that_was_chosen(ada):
    kernel = ada.kernel("ada")
    assert kernel.run("import socket; print(socket.gethostname())") == "jupyter-ada"
    memory = int(kernel.run("import os; print(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 20)"))
    assert 1200 < memory <= 1536
    assert kernel.run("print(os.cpu_count(), open('/etc/image-name').read().strip())") == "2 debian-12-jupyter-r"
    assert kernel.run("import getpass; print(getpass.getuser(), os.getcwd())") == "ada /home/ada"


def test_every_variable_reaches_the_server_as_it_was(ada):
    kernel = ada.kernel("ada")
    assert kernel.run("import os; print(os.environ['CLASS'])") == 'it\'s $HOME \\ `id` "quoted" 100 %'


READ = """
import os, urllib.request
def readable(path):
    try:
        with open(path, "rb") as file:
            return len(file.read(1))
    except OSError as error:
        return type(error).__name__
"""


def test_the_user_cannot_read_what_the_machine_booted_with(ada):
    kernel = ada.kernel("ada")
    kernel.run(READ)
    for path in (
        "/etc/jupyterhub-singleuser/ada.env",
        "/var/lib/cloud/instance/user-data.txt",
        "/run/cloud-init/instance-data-sensitive.json",
        "/dev/sr0",
        "/dev/vda",
    ):
        assert kernel.run(f"print(readable({path!r}))") in ("PermissionError", "FileNotFoundError"), path
    fetch = "urllib.request.urlopen('http://169.254.169.254/openstack/latest/user_data', timeout=5)"
    assert "Operation not permitted" in kernel.run(fetch) or "timed out" in kernel.run(fetch)


def test_a_server_lives_on_when_the_hub_is_restarted(host, ada):
    kernel = ada.kernel("ada")
    kernel.run("kept = 42")
    before = machines()["jupyter-ada"].id
    host.check_output("systemctl restart jupyterhub")
    ada.wait_until_up()
    ada.wait_for("ada", ready=True)
    assert kernel.run("print(kept)") == "42"
    assert machines()["jupyter-ada"].id == before


@pytest.fixture
def new_host(host: Host, pytestconfig: pytest.Config) -> Iterator[Callable[[], None]]:
    """Have a host that nothing was done to in place of the hub's, with its name and its address."""
    name = host.check_output("hostname")
    address = host.check_output("hostname --all-ip-addresses").split()[0]
    lost = f"{name}-lost"

    def replace() -> None:
        for command in (
            ["docker", "rename", name, lost],
            ["docker", "stop", lost],
            ["docker", "network", "disconnect", "libcloudspawner-cloud", lost],
            [str(ROOT / "tools/host.sh"), name, "bookworm", "--network", "libcloudspawner-cloud", "--ip", address],
        ):
            subprocess.run(command, check=True)

    yield replace
    subprocess.run(["docker", "rm", "--force", "--volumes", lost], check=False)


def test_a_new_host_that_a_backup_is_restored_on_finds_the_machines_again(ada, host, run, new_host, tmp_path):
    kernel = ada.kernel("ada")
    kernel.run("kept = 42")
    before = machines()["jupyter-ada"].id
    token = ada.call("POST", "/users/ada/tokens").json()["token"]
    saved = run("backup", backup_to=str(tmp_path))
    assert saved.returncode == 0, saved.stdout[-4000:]
    (archive,) = tmp_path.glob("*/jupyterhub-*.tar.gz")

    new_host()
    assert host.run("id jupyterhub").failed
    restored = run("restore", restore_file=str(archive))
    assert restored.returncode == 0, restored.stdout[-6000:]
    ada.wait_until_up()
    ada.wait_for("ada", ready=True)
    assert type(ada)(ada.url, token).call("GET", "/user").json()["name"] == "ada"
    assert kernel.run("print(kept)") == "42"
    assert machines()["jupyter-ada"].id == before


def test_an_application_credential_does_as_well_as_a_password(ada, drop_in):
    credential = CLOUD["application_credential"]
    parameters = {
        "ex_force_auth_version": "3.x_appcred",
        "arg_user_id": credential["id"],
        "arg_key": credential["secret"],
        "ex_force_auth_url": CLOUD["auth_url"] + "/v3",
    }
    drop_in(
        f"""
        c.LibcloudSpawner.libcloudparams = {{}}
        c.LibcloudSpawner.cloud_region = ""
        c.LibcloudSpawner.libcloud_driver_params = {parameters!r}
        """
    )
    ada.wait_for("ada", ready=True)
    ada.stop("ada")
    wait_until_gone("jupyter-ada")
    assert machines() == {}


def test_the_documented_template_boots_as_it_stands(host, hub, drop_in):
    folder = "/etc/jupyterhub/python/acmejhubcustoms"
    host.check_output("mkdir -p %s/data && touch %s/__init__.py", folder, folder)
    host.check_output("printf %%s %s > %s/data/jhub.sh.j2", documents.template(), folder)
    drop_in(documents.configuration("customize") + "c.LibcloudSpawner.environment = {'CLASS': 'plain'}\n")
    hub.request_start("student", userserver_size="m1.small", userserver_image="debian-12-jupyter")
    hub.wait_for("student", seconds=BOOT_SECONDS, ready=True)
    kernel = hub.kernel("student")
    assert kernel.run("import getpass, os; print(getpass.getuser(), os.environ['CLASS'])") == "student plain"
    hub.stop("student")
    wait_until_gone("jupyter-student")


def test_a_start_that_the_cloud_refuses_says_why_and_leaves_nothing(host, hub, drop_in):
    drop_in("c.LibcloudSpawner.userserver_net = 'no-such-network'\n")
    answer = hub.request_start("eve", userserver_size="m1.small", userserver_image="debian-12-jupyter")
    assert answer.status_code == 500
    assert "The cloud has no network no-such-network; it has: private-net." in answer.text
    assert hub.call("GET", "/users").status_code == 200
    assert machines() == {}


def test_a_hub_that_is_down_is_not_torn_down(host, hub, pytestconfig):
    host.check_output("systemctl stop jupyterhub")
    try:
        result = run_playbook(pytestconfig.option.ansible_inventory, "teardown", teardown_homes=True)
        assert result.returncode != 0
        assert "Start jupyterhub.service first" in result.stdout
        assert host.file("/etc/jupyterhub/jupyterhub_config.py").exists
    finally:
        host.check_output("systemctl start jupyterhub")
        hub.wait_until_up()


def reached_from_here(address: str) -> bool:
    """Whether this machine, which is not the hub, gets at the port of a server."""
    try:
        socket.create_connection((address, 8000), timeout=10).close()
    except OSError:
        return False
    return True


def test_the_playbook_makes_security_groups_that_let_in_the_hub_alone(host, hub, run, drop_in):
    drop_in("c.LibcloudSpawner.userserver_security_groups = ['jupyterhub-singleuser']\n")
    answer = hub.request_start("eve", userserver_size="m1.small", userserver_image="debian-12-jupyter")
    assert answer.status_code == 500
    assert "jupyterhub-singleuser" in answer.text

    made = run("security_group")
    assert made.returncode == 0, made.stdout
    assert "changed=1" in made.stdout
    assert "changed=0" in run("security_group").stdout

    hub.request_start("eve", userserver_size="m1.small", userserver_image="debian-12-jupyter")
    hub.wait_for("eve", seconds=BOOT_SECONDS, ready=True)
    (address,) = machines()["jupyter-eve"].private_ips
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 8000), timeout=10)"
    assert host.run("python3 -c %s %s", connect, address).succeeded
    assert not reached_from_here(address)
    hub.stop("eve")
    wait_until_gone("jupyter-eve")


def test_a_bare_image_ends_with_what_a_server_needs(hub):
    """Installed by the machine itself at its first boot, which takes its time where QEMU emulates the processor."""
    hub.request_start("bob", userserver_size="c2.large", userserver_image="debian-12-vanilla")
    hub.wait_for("bob", seconds=1800, ready=True)
    kernel = hub.kernel("bob")
    assert kernel.run("import numpy, matplotlib; print(numpy.arange(3).sum())", seconds=180) == "3"
    hub.stop("bob")
    wait_until_gone("jupyter-bob")
