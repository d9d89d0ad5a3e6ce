# SPDX-License-Identifier: BSD-3-Clause
"""What an operator finds on the host."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("unit", ["jupyterhub.service", "jupyterhub-proxy.service", "jupyterhub-singleuserctl.socket"])
def test_a_unit_runs_and_comes_back_after_a_reboot(host, unit):
    service = host.service(unit)
    assert service.is_running, host.run("journalctl --no-pager --lines=50 --unit=%s", unit).stdout
    assert service.is_enabled


def test_a_host_in_a_container_sees_and_changes_no_cgroups_but_its_own(host):
    assert any(line.endswith(":/init.scope") for line in host.check_output("cat /proc/1/cgroup").splitlines())
    folders = host.check_output("find /sys/fs/cgroup -maxdepth 2 -type d -name 'docker*'")
    assert folders == ""


def test_only_the_proxy_can_be_reached_from_outside(host):
    assert host.socket("tcp://0.0.0.0:8000").is_listening or host.socket("tcp://:::8000").is_listening
    for port in (8001, 8081):
        assert host.socket(f"tcp://127.0.0.1:{port}").is_listening
        assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening


@pytest.mark.parametrize("name", ["proxy.env", "hub.env", "singleuser.token"])
def test_a_secret_is_roots_alone(host, name):
    secret = host.file(f"/etc/jupyterhub/secrets/{name}")
    assert (secret.user, secret.group, secret.mode) == ("root", "root", 0o600)
    assert len(secret.content_string.strip().partition("=")[2] or secret.content_string.strip()) == 64


def test_the_hub_cannot_change_its_own_configuration(host):
    for path in ("/etc/jupyterhub/jupyterhub_config.py", "/etc/jupyterhub/secrets/secret_config.py"):
        assert host.file(path).user == "root"
        assert not host.file(path).mode & 0o022
    assert host.file("/etc/jupyterhub/secrets/secret_config.py").mode == 0o640


def test_the_control_socket_is_for_the_hub_alone(host):
    socket = host.file("/run/jupyterhub-singleuserctl.sock")
    assert (socket.user, socket.group, socket.mode) == ("root", "jupyterhub", 0o660)


def test_the_environment_of_servers_holds_what_is_promised(host):
    python = "/opt/jupyterhub-singleuser/environments/default/bin/python"
    versions = host.check_output(
        f"{python} -c 'import jupyterhub, jupyterlab, numpy, matplotlib; print(jupyterhub.__version__)'"
    )
    assert versions == host.check_output(
        "/opt/jupyterhub/hub/bin/python -c 'import jupyterhub; print(jupyterhub.__version__)'"
    )
    assert versions.startswith("6.")
    assert host.file("/opt/jupyterhub-singleuser/environments").user == "root"


def test_one_environment_of_the_hub_is_kept(host):
    assert host.check_output("ls -d /opt/jupyterhub/hub-* | wc -l") == "1"


def test_the_proxy_runs_on_the_distributions_node(host):
    assert host.package("nodejs").is_installed
    assert not host.package("npm").is_installed
