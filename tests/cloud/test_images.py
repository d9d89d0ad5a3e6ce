# SPDX-License-Identifier: BSD-3-Clause
"""An image that the playbook builds in a real OpenStack, and the machine of a user that starts from it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playbook import run_playbook
from realcloud import connect, upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hub import Hub
    from testinfra.host import Host

    Run = Callable[..., subprocess.CompletedProcess[str]]

BOOT_SECONDS = 1200
DOCUMENTED = "/etc/jupyterhub/jupyterhub_config.d/documented.py"
OFFERED = [{"name": "jupyter", "tag": "auto"}]
WHOLE = re.compile(r"jupyter-[0-9a-f]{12}")

IMAGE = {
    "image_source": "debian-12-vanilla",
    "image_size": "c2.large",
    # Of the machine that these tests run on.
    "image_ssh_from": "10.87.0.1",
    # QEMU emulates the processors.
    "image_boot_timeout": 1200,
    "image_accounts": ["student"],
    "node_packages": [],
    "node_home_data": [{"source": "/etc/debian_version", "destination": "course/release"}],
    "node_hooks": [
        {"name": "note", "when": "before_start", "command": 'echo "$JUPYTERHUB_USER" >hook'},
        {"name": "mark", "when": "before_start", "user": "root", "command": 'echo "$SINGLEUSER_ACCOUNT" >/srv/mark'},
    ],
}


def builders() -> dict[str, str]:
    return {node.id: node.name for node in connect().list_nodes() if node.name.endswith("-builder")}


def images() -> list[str]:
    return [image.name for image in connect().list_images() if WHOLE.fullmatch(image.name)]


def groups() -> set[str]:
    return {group.name for group in connect().ex_list_security_groups()}


def inventory(folder: Path, **settings: Any) -> str:
    path = folder / "images.yml"
    path.write_text(json.dumps({"images": {"hosts": {"jupyter": {**IMAGE, **settings}}}}))
    return str(path)


@pytest.fixture(scope="module")
def build(run: Run, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the playbook with further settings of the image; what it built goes in the end."""
    folder = tmp_path_factory.mktemp("inventory")

    def build(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        return run("image", "--inventory", inventory(folder, **settings), *arguments)

    yield build
    command = "CONFIGPROXY_AUTH_TOKEN=unused /opt/jupyterhub/hub/bin/python -m libcloudspawner.images remove %s"
    host.check_output(command, "/etc/jupyterhub/jupyterhub_config.py")
    assert images() == []


@pytest.fixture(scope="module")
def own_images(host: Host) -> Iterator[None]:
    """Leave it to the role which images the hub offers."""
    before = host.file(DOCUMENTED).content_string
    host.check_output("sed -i /userserver_images/d %s", DOCUMENTED)
    yield
    host.check_output("printf %%s %s >%s && systemctl restart jupyterhub", before, DOCUMENTED)


def test_a_dry_run_says_what_would_be_built_and_boots_nothing(build: Run) -> None:
    dry = build("--check")
    assert dry.returncode == 0, dry.stdout
    assert re.search(rf"{WHOLE.pattern} would be built upon debian-12-vanilla", dry.stdout)
    assert (builders(), images()) == ({}, [])


def test_a_mistake_is_said_before_anything_is_booted(build: Run) -> None:
    wrong = build(image_source="debian-7", node_pakages=["git"])
    assert wrong.returncode != 0
    assert "image_source is debian-7, and the cloud has no image of that name. It has: debian-12-" in wrong.stdout
    assert "There is no variable node_pakages; did you mean node_packages?" in wrong.stdout
    assert (builders(), groups()) == ({}, {"default"})


def test_the_tag_auto_is_refused_as_long_as_there_is_no_image(play: Run, own_images: None) -> None:
    refused = play(hub_userserver_images=OFFERED)
    assert refused.returncode != 0
    assert "newest image of jupyter, of which the cloud holds none" in refused.stdout


def test_a_build_that_fails_leaves_nothing(build: Run) -> None:
    failed = build(node_packages=["no-such-package"])
    assert failed.returncode != 0
    assert "no-such-package" in failed.stdout
    assert (builders(), images(), groups()) == ({}, [], {"default"})


def test_what_a_build_that_was_killed_has_left_goes_with_the_next(
    build: Run, run: Run, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    killed = os.fork()
    if not killed:
        os.setsid()
        try:
            run_playbook(pytestconfig.option.ansible_inventory, "image", "--inventory", inventory(tmp_path))
        finally:
            os._exit(0)
    deadline = time.monotonic() + 300
    while not (left := builders()):
        assert time.monotonic() < deadline, "no machine was booted"
        time.sleep(1)
    os.killpg(killed, signal.SIGKILL)
    os.waitpid(killed, 0)

    made = build()
    assert made.returncode == 0, made.stdout
    (image,) = images()
    assert f"{image} was built" in made.stdout
    assert not set(left) & {node.id for node in connect().list_nodes()}
    assert (builders(), groups()) == ({}, {"default"})


def test_an_image_that_is_there_costs_nothing(build: Run) -> None:
    (image,) = images()
    again = build()
    assert again.returncode == 0, again.stdout
    assert f"{image} is there already" in again.stdout
    assert re.findall(r"changed=(\d+)", again.stdout) == ["0", "0"]
    assert images() == [image]


@pytest.fixture(scope="module")
def eve(hub: Hub, play: Run, own_images: None) -> Iterator[Hub]:
    """A hub that offers what was built, and runs a machine of it."""
    for expected in ("[1-9]", "0"):
        offered = play(hub_userserver_images=OFFERED)
        assert offered.returncode == 0, offered.stdout
        assert re.search(rf"changed={expected}", offered.stdout)
    hub.request_start("eve", userserver_size="c2.large", userserver_image="jupyter")
    hub.wait_for("eve", seconds=BOOT_SECONDS, ready=True)
    yield hub
    hub.stop("eve")


def test_the_hub_offers_the_image_that_was_built_and_says_which(host: Host, eve: Hub) -> None:
    (image,) = images()
    config = host.file("/etc/jupyterhub/jupyterhub_config.py").content_string
    assert f'"tag": "{image.removeprefix("jupyter-")}"' in config
    (machine,) = (node for node in connect().list_nodes() if node.name == "jupyter-eve")
    used = connect().get_image(machine.extra["imageId"])
    assert used.name == image


def test_a_machine_of_it_is_a_node_like_any_other(eve: Hub) -> None:
    kernel = eve.kernel("eve")
    assert kernel.run("import sys; print(sys.prefix.startswith('/opt/jupyterhub-singleuser/environments/'))") == "True"
    assert kernel.run("import getpass, os; print(getpass.getuser(), os.getcwd())") == "eve /home/eve"
    release = kernel.run("print(open('course/release').read() == open('/etc/debian_version').read())")
    assert release == "True", "what belongs in homes"
    assert kernel.run("print(open('hook').read().strip())") == "eve", "what runs before a start"
    assert kernel.run("print(open('/srv/mark').read().strip())") == "eve", "what root runs before a start"
    assert kernel.run("import pwd; print(pwd.getpwnam('student').pw_dir)") == "/home/student"
    assert kernel.run("import os; print(os.path.exists('/usr/local/bin/jupyterhub-singleuser'))") == "True"
    unit = "/etc/systemd/system/jupyterhub-singleuser@.service"
    assert "NoNewPrivileges=yes" in kernel.run(f"print(open('{unit}').read())")


def test_a_machine_of_it_holds_nothing_of_the_one_that_it_was_built_on(eve: Hub) -> None:
    kernel = eve.kernel("eve")
    kernel.run("from glob import glob")
    assert kernel.run("print(glob('/etc/ssh/ssh_host_*'))") == "[]"
    assert kernel.run("print(open('/etc/hostname').read().strip())") == "jupyter-eve"
    assert kernel.run("print(glob('/var/lib/cloud/instances/*').__len__())") == "1"
    for path in ("/opt/jupyterhub-uv", "/var/cache/jupyterhub-uv", "/home/debian/.ssh/authorized_keys"):
        assert kernel.run(f"import os; print(os.path.exists({path!r}))") == "False", path


def test_teardown_shows_the_images_that_it_would_delete(run: Run, eve: Hub) -> None:
    (image,) = images()
    eve.stop("eve")
    shown = run("teardown", "--check", hub_provider="openstack")
    assert f"These images were built for the hub: {image}" in shown.stdout, shown.stdout
    assert images() == [image]


@pytest.fixture(scope="module")
def disk(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image that was built without a cloud, and uploaded; its name."""
    folder = tmp_path_factory.mktemp("disks")
    local = {"image_provider": "qcow2", "image_source": "bookworm", "image_folder": str(folder), "image_disk_mib": 3072}
    for expected in ("was built", "is there already"):
        built = run("image", "--inventory", inventory(folder, **local))
        assert built.returncode == 0, built.stdout
        assert expected in built.stdout
    (path,) = folder.glob("*.qcow2")
    assert WHOLE.fullmatch(path.stem)
    upload(path.stem, path)
    path.unlink()
    yield path.stem
    (image,) = (image for image in connect().list_images() if image.name == path.stem)
    connect().delete_image(image)


def test_a_machine_of_a_disk_that_was_built_without_the_cloud_is_a_node_like_any_other(
    disk: str, hub: Hub, play: Run, own_images: None
) -> None:
    offered = play(hub_userserver_images=[{"name": disk}])
    assert offered.returncode == 0, offered.stdout
    hub.request_start("flo", userserver_size="c2.large", userserver_image=disk)
    hub.wait_for("flo", seconds=BOOT_SECONDS, ready=True)
    kernel = hub.kernel("flo")
    assert kernel.run("import getpass, os; print(getpass.getuser(), os.getcwd())") == "flo /home/flo"
    assert kernel.run("import sys; print(sys.prefix.startswith('/opt/jupyterhub-singleuser/environments/'))") == "True"
    assert kernel.run("print(open('hook').read().strip())") == "flo", "what runs before a start"
    hub.stop("flo")
