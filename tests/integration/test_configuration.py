# SPDX-License-Identifier: BSD-3-Clause
"""What happens when the role runs again with settings that are wrong, or for a part of it alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import commands_run_by

HERE = f"tests/integration/{Path(__file__).name}"
FILES = ["/etc/jupyterhub/jupyterhub_config.py", "/etc/jupyterhub/secrets/secret_config.py"]
DROP_IN = "/etc/jupyterhub/jupyterhub_config.d/10-test.py"


@pytest.fixture
def unchanged(host):
    """See that files and running hub are the same afterwards."""

    def state():
        return [host.file(path).sha256sum for path in FILES] + [
            host.service("jupyterhub").systemd_properties["MainPID"]
        ]

    before = state()
    yield
    assert state() == before


@pytest.mark.usefixtures("unchanged")
def test_a_wrong_secret_is_named_without_its_value_and_replaces_nothing(play):
    result = play("--tags=hub_configure", hub_config_secret={"JupyterHub": {"active_server_limit": "hunter2"}})
    assert result.returncode != 0
    assert "active_server_limit" in result.stdout
    assert "hunter2" not in result.stdout


@pytest.mark.usefixtures("unchanged")
def test_a_mistake_in_a_file_of_the_operators_own_is_found_before_the_hub_restarts(host, play):
    host.check_output("echo c.JupyterHub.prot = 1 > %s", DROP_IN)
    try:
        result = play("--tags=hub_configure,hub_service", hub_active_server_limit=7)
    finally:
        host.check_output("rm %s", DROP_IN)
    assert result.returncode != 0
    assert "c.JupyterHub.prot is not a setting of JupyterHub; did you mean port?" in result.stdout


def test_the_configuration_is_checked_by_hand(host):
    (command,) = commands_run_by(f"{HERE}::test_the_configuration_is_checked_by_hand")
    host.check_output(command)
    host.check_output("echo c.JupyterHub.prot = 1 > %s", DROP_IN)
    try:
        refused = host.run(command)
    finally:
        host.check_output("rm %s", DROP_IN)
    assert refused.failed
    assert "c.JupyterHub.prot is not a setting of JupyterHub; did you mean port?" in refused.stderr


def test_the_hubs_service_alone_can_be_run_again(play):
    result = play("--tags=hub_service")
    assert result.returncode == 0, result.stdout
    assert "changed=0" in result.stdout


@pytest.mark.usefixtures("unchanged")
def test_a_port_that_something_else_listens_on_is_refused(host, play):
    host.check_output("systemd-run --unit=listener python3 -m http.server --bind 127.0.0.1 8123")
    try:
        result = play("--tags=hub_configure", hub_http_port=8123)
    finally:
        host.check_output("systemctl stop listener")
    assert result.returncode != 0
    assert "Something else than the hub's proxy listens on port 8123 already" in result.stdout


@pytest.mark.usefixtures("unchanged")
def test_every_mistake_is_told_at_once_before_anything_changes(play):
    result = play(hub_htp_port=1, node_port_first=5, hub_cpu_limit="lots", hub_active_server_limit=7)
    assert result.returncode != 0
    assert "did you mean hub_http_port?" in result.stdout
    assert "node_port_first and node_port_last must name a range" in result.stdout
    assert "argument 'hub_cpu_limit' is of type str" in result.stdout
    assert "changed=0" in result.stdout
