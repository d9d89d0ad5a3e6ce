# SPDX-License-Identifier: BSD-3-Clause
"""A hub in one container: what its servers get, what survives, and what goes."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
import requests
from container_sites import HISTORY, OTHER_PORT, PHYSICS, PORTS, TOKEN, UID, docker
from hub import Hub

SUPERVISORCTL = "supervisorctl --configuration /etc/jupyterhub/supervisord.conf"

pytestmark = pytest.mark.usefixtures("deployed")


def changed(result):
    assert result.returncode == 0, result.stdout[-4000:]
    return [line for line in result.stdout.splitlines() if "changed=" in line and "changed=0" not in line]


def test_a_second_run_changes_nothing(play):
    assert changed(play(PHYSICS)) == []


def test_the_container_has_no_privileges_and_writes_to_nothing_but_its_volume():
    (found,) = json.loads(docker("container", "inspect", PHYSICS))
    assert found["Config"]["User"] == f"{UID}:0"
    assert found["HostConfig"]["ReadonlyRootfs"]
    status = docker("exec", PHYSICS, "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    for path in ("/etc/x", "/opt/jupyterhub/x", "/usr/x", "/home/x"):
        assert docker("exec", PHYSICS, "sh", "-c", f"touch {path} 2>/dev/null && echo written", check=False) == ""


def test_the_image_holds_no_secret_that_a_start_makes():
    image = docker("container", "inspect", "--format", "{{.Image}}", PHYSICS)
    listed = docker("run", "--rm", "--user=0", image, "ls", "-A", "/etc/jupyterhub/secrets", "/var/lib/jupyterhub")
    assert "crypt_key" not in listed
    assert "proxy.env" not in listed
    assert "jupyterhub_cookie_secret" not in listed


def test_python_finds_an_account_that_has_no_entry_and_its_packages(hub):
    hub.start("carol")
    kernel = hub.kernel("carol")
    assert kernel.run("import os, pwd; pwd.getpwuid(os.getuid()).pw_name") == "'jupyterhub'"
    assert kernel.run("os.environ['USER'], os.path.expanduser('~')") == "('carol', '/var/lib/jupyterhub/homes/carol')"
    assert kernel.run("import humanize, numpy, matplotlib; humanize.intword(10**6)") == "'1.0 million'"
    assert kernel.run("open('/proc/self/status').read().split('Uid:')[1].split()[0]") == f"'{UID}'"
    assert "jupyterhub-git" in hub.terminal("carol").run("git --version >/dev/null && echo jupyterhub-git")
    hub.stop("carol")


def test_users_have_a_work_directory_each_and_no_token_of_the_hub(hub):
    for user in ("carol", "dave"):
        hub.start(user)
        kernel = hub.kernel(user)
        kernel.run(f"open('mine.txt', 'w').write('{user}')")
        assert kernel.run("import os; os.getcwd()") == f"'/var/lib/jupyterhub/homes/{user}'"
        assert (
            kernel.run("[name for name in os.environ if name in ('CONFIGPROXY_AUTH_TOKEN', 'JUPYTERHUB_CRYPT_KEY')]")
            == "[]"
        )
    assert docker("exec", PHYSICS, "cat", "/var/lib/jupyterhub/homes/dave/mine.txt") == "dave"
    for user in ("carol", "dave"):
        hub.stop(user)


def test_a_cell_that_takes_more_memory_than_the_limit_gets_an_error_and_the_log_says_what_is_not_limited(hub):
    hub.start("carol")
    kernel = hub.kernel("carol")
    assert kernel.run("len(bytearray(3 * 2**30))").startswith("MemoryError")
    assert kernel.run("1 + 1") == "2"
    assert "is not held to mem_limit, but each of its processes by itself; tasks_limit" in docker("logs", PHYSICS)
    hub.stop("carol")


def test_packages_that_a_user_installs_stay_and_break_nobodys_server(hub):
    hub.start("carol")
    assert "Successfully installed" in hub.kernel("carol").run("%pip install --no-deps isodate", 120)
    hub.stop("carol")
    hub.start("carol")
    assert "environments/default" in hub.kernel("carol").run("import isodate; isodate.__file__")
    hub.stop("carol")


def test_a_restart_of_the_hub_leaves_servers_and_their_kernels_alone(hub):
    hub.start("carol")
    kernel = hub.kernel("carol")
    kernel.run("kept = 42")
    docker("exec", PHYSICS, "sh", "-c", f"{SUPERVISORCTL} restart hub")
    hub.wait_until_up()
    assert hub.server("carol")["ready"]
    assert kernel.run("kept") == "42"
    hub.stop("carol")
    assert docker("exec", PHYSICS, "sh", "-c", "ls -A /tmp/singleuser/jupyterhub") == ""


def test_a_hub_that_is_killed_comes_back_by_itself(hub):
    hub.start("carol")
    docker("exec", PHYSICS, "sh", "-c", f"kill -KILL $({SUPERVISORCTL} pid hub)")
    time.sleep(1)
    hub.wait_until_up()
    assert hub.server("carol")["ready"]
    hub.stop("carol")


def test_a_hub_that_an_administrator_ends_from_its_pages_comes_back_by_itself(hub):
    hub.start("carol")
    assert hub.call("POST", "/shutdown", proxy=False, servers=False).status_code == 202
    time.sleep(1)
    hub.wait_until_up()
    assert hub.server("carol")["ready"]
    hub.stop("carol")


def test_the_end_of_the_container_is_clean_and_quick_and_its_users_find_everything_again(hub):
    hub.start("carol")
    hub.kernel("carol").run("open('kept.txt', 'w').write('kept')")
    began = time.monotonic()
    docker("stop", PHYSICS)
    assert time.monotonic() - began < 30
    (found,) = json.loads(docker("container", "inspect", PHYSICS))
    assert found["State"]["ExitCode"] == 0
    said = docker("logs", "--tail", "50", PHYSICS)
    assert "Servers that were stopped: 1" in said
    docker("start", PHYSICS)
    hub.wait_until_up()
    assert not hub.server("carol")["ready"]
    hub.start("carol")
    assert hub.kernel("carol").run("open('kept.txt').read()") == "'kept'"
    hub.stop("carol")


def test_a_platform_gives_another_account_and_a_volume_that_cannot_be_written_is_named():
    image = docker("container", "inspect", "--format", "{{.Config.Image}}", PHYSICS)
    said = docker(
        "run",
        "--rm",
        "--user=4711:4711",
        "--read-only",
        "--tmpfs=/tmp",
        image,
        "sh",
        "-c",
        "/usr/local/bin/start-jupyterhub 2>&1",
        check=False,
    )
    assert "/var/lib/jupyterhub cannot be written by uid 4711" in said


def test_the_compose_file_runs_a_hub_of_its_own_that_its_label_removes(play, output):
    name = "libcloudspawner-compose"
    assert play(name, container_state="built").returncode == 0
    assert docker("ps", "--all", "--quiet", "--filter", f"label=app={name}") == ""
    compose = ("docker-compose", "--file", str(output / name / "compose.yaml"))
    subprocess.run([*compose, "up", "--detach"], check=True, capture_output=True)
    Hub(f"http://127.0.0.1:{OTHER_PORT}", TOKEN).wait_until_up()
    (container,) = docker("ps", "--quiet", "--filter", f"label=app={name}").split()
    (found,) = json.loads(docker("container", "inspect", container))
    assert found["Config"]["User"] == f"{UID}:0"
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert play(name, container_state="absent").returncode == 0
    for listing in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
        assert docker(*listing, "--quiet", "--filter", f"label=app={name}") == ""


def test_mistakes_are_named_before_anything_is_built(play):
    for variables, words in (
        ({"hub_admin_users": []}, "name at least one user"),
        ({"container_folder": "/no/such/folder"}, "there is no such folder"),
        ({"container_prot": 8000}, "did you mean container_port?"),
        ({"container_port": PORTS[HISTORY]}, "Choose another port"),
        ({"application_name": "Physics 1"}, "lower case letters"),
        ({"container_engine": "lxc"}, "value of container_engine must be one of"),
    ):
        result = play("libcloudspawner-wrong", **variables)
        assert result.returncode != 0
        assert words in result.stdout, (variables, result.stdout[-2000:])
    assert docker("ps", "--all", "--quiet", "--filter", "label=app=libcloudspawner-wrong") == ""


def test_a_package_that_does_not_exist_leaves_what_runs_alone(play, tmp_path, hub):
    (tmp_path / "requirements.txt").write_text("no-such-package-of-physics==1.0\n")
    result = play(PHYSICS, container_folder=str(tmp_path))
    assert result.returncode != 0
    assert "no-such-package-of-physics" in result.stdout
    assert docker("ps", "--all", "--quiet", "--filter", f"name={PHYSICS}-build") == ""
    hub.wait_until_up(5)


def test_removing_one_leaves_the_other_and_nothing_of_the_one(play, output):
    play(HISTORY)
    assert docker("volume", "ls", "--quiet", "--filter", f"label=app={HISTORY}") == HISTORY
    result = play(HISTORY, container_state="absent")
    assert result.returncode == 0, result.stdout[-3000:]
    for listing in (("ps", "--all"), ("volume", "ls")):
        assert docker(*listing, "--quiet", "--filter", f"label=app={HISTORY}") == ""
        assert docker(*listing, "--quiet", "--filter", f"label=app={PHYSICS}") != ""
    assert not (output / HISTORY).exists()
    assert requests.get(f"http://127.0.0.1:{PORTS[PHYSICS]}/hub/login", timeout=10).ok
    assert changed(play(HISTORY, container_state="absent")) == []
