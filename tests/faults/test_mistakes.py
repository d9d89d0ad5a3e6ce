# SPDX-License-Identifier: BSD-3-Clause
"""What a hub says of a mistake in its configuration when it starts, before any user finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "spawner" / "src"
CLOUD = """
c.LibcloudSpawner.userserver_net = "private"
c.LibcloudSpawner.userserver_sizes = [("Small", "small")]
c.LibcloudSpawner.userserver_images = [("Jupyter", "jupyter")]
"""
CREDENTIALS = """
c.LibcloudSpawner.libcloud_driver_params = {
    "arg_user_id": "me", "arg_key": "secret", "ex_tenant_name": "mine", "ex_force_auth_url": "http://127.0.0.1:1",
}
"""
AS_TEXT = 'c.JupyterHub.spawner_class = "libcloudspawner.spawner.LibcloudSpawner"\n'
AS_A_SUBCLASS = """
from libcloudspawner.spawner import LibcloudSpawner
class OurSpawner(LibcloudSpawner):
    pass
c.JupyterHub.spawner_class = OurSpawner
"""


@pytest.mark.parametrize(
    ("configuration", "sentence"),
    [
        (AS_TEXT + CLOUD, "libcloud_driver_params"),
        (AS_A_SUBCLASS + CLOUD, "libcloud_driver_params"),
        (AS_TEXT + CLOUD + CREDENTIALS + 'c.LibcloudSpawner.userserver_images = ["jupyter"]', "userserver_images"),
        (AS_TEXT + CLOUD + CREDENTIALS + 'c.LibcloudSpawner.machine_net = "other"', "contradict"),
        (AS_TEXT + CLOUD + CREDENTIALS + 'c.LibcloudSpawner.userdata_template_name = "mine.j2"', "no mine.j2"),
        (AS_TEXT + CLOUD + CREDENTIALS + 'c.spawner_conf.userdata_template_module = "mine"', "module 'mine'"),
    ],
    ids=["no credentials", "no credentials, subclass", "list", "two generations", "template", "module"],
)
def test_a_hub_with_a_mistake_in_its_settings_ends_with_one_sentence(
    tmp_path: Path, configuration: str, sentence: str
) -> None:
    told = errors(tmp_path, configuration)
    assert len(told) == 1
    assert sentence in told[0]


def test_a_mistake_is_told_where_the_package_is_installed_and_loaded_before_the_hub_is_made(tmp_path: Path) -> None:
    installed = tmp_path / "jupyter_libcloudspawner-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: jupyter-libcloudspawner\nVersion: 0\n")
    entry_point = "[jupyterhub.spawners]\nlibcloudspawner = libcloudspawner.spawner:LibcloudSpawner\n"
    (installed / "entry_points.txt").write_text(entry_point)
    told = errors(tmp_path, 'c.JupyterHub.spawner_class = "libcloudspawner"\n' + CLOUD)
    assert len(told) == 1
    assert "libcloud_driver_params" in told[0]


def errors(folder: Path, configuration: str) -> list[str]:
    """Why a hub did not start with a configuration."""
    (folder / "jupyterhub_config.py").write_text(configuration)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    hub = subprocess.run(
        [sys.executable, "-m", "jupyterhub", "--port=0"],
        cwd=folder,
        env={**environment, "PYTHONPATH": f"{PACKAGE}:{folder}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert hub.returncode == 1
    assert "Traceback" not in hub.stderr
    return [line for line in hub.stderr.splitlines() if "cannot start with this configuration" in line]
