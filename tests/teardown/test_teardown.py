# SPDX-License-Identifier: BSD-3-Clause
"""What the collection's tarball installs works, and the playbook teardown removes it and nothing else.

The tests follow each other: each begins where the one before ended.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import testinfra
from playbook import run_playbook

HOST_STATE = Path(__file__).with_name("host_state.py").read_text(encoding="utf-8")
HOME = Path(__file__).parents[2] / "build/teardown"
OWN_FILE = "/etc/jupyterhub/jupyterhub_config.d/own.py"


@pytest.fixture
def teardown(pytestconfig):
    """Run the playbook from the installed collection, in a folder that holds nothing else."""

    def run(*arguments, **variables):
        result = run_playbook(pytestconfig.option.ansible_inventory, "teardown", *arguments, home=HOME, **variables)
        assert result.returncode == 0, result.stdout
        return result.stdout

    return run


def differences(host):
    """What is not as it was before the installation."""
    before = json.loads((HOME / "before.json").read_text())
    assert len(before) > 5000
    after = json.loads(host.check_output("python3 -c %s", HOST_STATE))
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def test_everything_was_downloaded_from_the_mirror_and_nothing_else_can_be_reached(host):
    name = host.check_output("hostname")
    mirror = testinfra.get_host(f"docker://{name}-mirror")
    asked = mirror.file("/root/requests.log").content_string.splitlines()
    assert {".whl", ".deb", ".tgz"} <= {Path(line).suffix for line in asked}
    reach = "python3 -c 'import socket; socket.create_connection((\"%s\", %s), timeout=5)'"
    assert host.run(reach % ("10.88.0.10", 8443)).succeeded
    assert host.run(reach % (asked[0].split("/")[2], 80)).failed
    # Only the downloads trust the authority.
    assert "private authority" not in host.check_output("cat /etc/ssl/certs/ca-certificates.crt")


def test_the_hub_of_the_tarball_starts_servers(hub, host):
    hub.start("carol")
    hub.kernel("carol").run("open('kept.txt', 'w').write('here')")
    hub.kernel("carol").run("open('/srv/shared/class/of-all.txt', 'w').write('here')")
    assert host.service("jupyterhub-singleuser@carol").is_running
    assert "package nodejs" in differences(host)


def test_check_mode_tears_nothing_down(hub, host, teardown):
    teardown("--check")
    assert hub.server("carol")["ready"]
    assert host.package("nodejs").is_installed


def test_an_answer_that_is_neither_yes_nor_no_is_refused_and_changes_nothing(hub, pytestconfig):
    result = run_playbook(pytestconfig.option.ansible_inventory, "teardown", home=HOME, teardown_homes="perhaps")
    assert result.returncode != 0
    assert "teardown_homes must be yes or no, and is perhaps. Nothing was changed." in result.stdout
    assert "changed=0" in result.stdout
    assert hub.server("carol")["ready"]


def test_homes_with_their_accounts_and_the_operators_own_files_stay_and_nothing_else_does(host, teardown):
    host.check_output("echo '# mine' > %s", OWN_FILE)
    host.check_output("rm /etc/systemd/system/jupyterhub-proxy.service")  # half of a hub is torn down as well

    said = teardown(answer="no")

    assert "Delete the homes of all users too" in said
    assert host.file("/home/jupyter-carol/kept.txt").content_string == "here"
    # Of the others who signed up there is the same.
    left = [name for name in differences(host) if not re.search(r"file /home/jupyter-|jupyter-(ada|bob)", name)]
    assert left == sorted(
        [
            "account jupyter-carol",
            "group jupyter-carol",
            "group jupyterhub-class",
            "group jupyterhub-class-read",
            *(f"file /etc/{name}" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")),
            *(f"file {parent}" for parent in [OWN_FILE, *map(str, list(Path(OWN_FILE).parents)[:2])]),
            *(f"file /srv/shared{name}" for name in ("", "/class", "/class/of-all.txt")),
            "file /var/lib/jupyterhub-singleuser",
            "file /var/lib/jupyterhub-singleuser/accounts",
            "file /var/lib/jupyterhub-singleuser/accounts/jupyter-carol",
            "file /var/lib/jupyterhub-singleuser/made-shared",
        ]
    )
    assert re.search("the accounts jupyter-ada, jupyter-bob-[0-9a-f]+, jupyter-carol with their homes", said)
    assert OWN_FILE in said
    assert "/srv/shared/class" in said
    assert host.run("pgrep --uid jupyter-carol").stdout == ""


def test_a_second_teardown_changes_nothing(host, teardown):
    said = teardown()
    assert "changed=0" in said, said


def test_with_the_homes_gone_the_host_is_as_it_was_before(host, teardown):
    host.check_output("rm -r /etc/jupyterhub")
    teardown(answer="yes")
    assert differences(host) == []
    assert "changed=0" in teardown(teardown_homes=True)
