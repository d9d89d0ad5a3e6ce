# SPDX-License-Identifier: BSD-3-Clause
"""What runs beside the server of a machine whose image has hooks.

The image is not one of the role node: what that role makes of its variables is written into it before the boot.
"""

from __future__ import annotations

import json
import re

from ansible.template import trust_as_template as trust
from role_settings import ROLES, rendered, templar

HOME = "/home/ada"
# Of systemd and the shell; no variable that root's commands must not find is among them.
USUAL = {"INVOCATION_ID", "JOURNAL_STREAM", "LANG", "PATH", "PWD", "SYSTEMD_EXEC_PID", "TERM"}


def hook(name, when, command, **further):
    return {"name": name, "when": when, "command": command, **further}


def of_image(*hooks, **variables):
    """The files that the role node leaves in an image: path to text and mode."""
    known = templar("node", node_hooks=list(hooks), **variables)

    def value(name):
        return known.template(trust(f"{{{{ {name} }}}}"))

    program = (ROLES / "node/files/jupyterhub-singleuser-hooks").read_text(encoding="utf-8")
    return {
        value("_node_programs.hooks"): (value("_node_python") + program, "0755"),
        value("_node_wanted.hooks"): (json.dumps(value("_node_users_hooks")), "0644"),
        f"/etc/tmpfiles.d/{value('_node_name')}.conf": (
            rendered(ROLES / "node/templates/tmpfiles.conf.j2", known),
            "0644",
        ),
        f"/etc/{value('_node_name')}/hooks.json": (json.dumps(value("_node_root_hooks")), "0600"),
        f"/etc/systemd/system/{value('_node_name')}@.service.d/{value('_node_drop_in')}": (
            rendered(ROLES / "node/templates/node.conf.j2", known),
            "0644",
        ),
    }


def test_hooks_of_a_machine_run_in_their_order_as_root_and_as_the_user(boot, volume):
    share = """
        mkdir --parents /srv/share /srv/wall
        mount --types tmpfs tmpfs /srv/share
        mount --types tmpfs --options mode=1777 tmpfs /srv/wall
        echo penguins >/srv/share/lesson
    """
    image = of_image(
        hook("greet", "before_start", "echo user before $(cat /srv/share/lesson) >>notes"),
        hook("bye", "before_stop", "echo user stop >>notes"),
        hook("share", "before_start", share, user="root"),
        hook("look", "before_start", f"id --user --name >{HOME}/who; env >{HOME}/env", user="root"),
        hook("count", "after_start", "echo counting; sleep 1000", user="root", timeout=2),
        hook(
            "after",
            "after_start",
            f"until grep --quiet server {HOME}/notes; do sleep 1; done; echo root after >>{HOME}/notes",
            user="root",
        ),
        hook(
            "settle",
            "before_stop",
            f"echo root stop, $(systemctl is-active jupyterhub-singleuser@ada) server >>{HOME}/notes",
            user="root",
        ),
        node_unit_properties={"ReadWritePaths": "-/srv/wall"},
    )
    server = """
        echo server $(cat /srv/share/lesson) >>notes
        touch /srv/share/own
        echo from ada >/srv/wall/note && cat /srv/wall/note
        exec sleep infinity
    """
    afterwards = f"timeout 120 sh -c 'until grep --quiet after {HOME}/notes; do sleep 1; done'; systemctl poweroff"
    variables = {"COURSE": "physics", "JUPYTERHUB_API_TOKEN": "secret", "JUPYTERHUB_USER": "somebody"}
    user = "Ada $HOME 50%"
    said = boot(volume, server, afterwards, image, user=user, server="lab", environment=variables).split("\n")

    assert volume.read("notes").splitlines() == [
        "user before penguins",
        "server penguins",
        "root after",
        "root stop, active server",
        "user stop",
    ]
    assert "touch: cannot touch '/srv/share/own': Read-only file system" in said
    assert "from ada" in said
    assert volume.read("who") == "root\n"
    found = dict(line.split("=", 1) for line in volume.read("env").splitlines())
    assert {name: value for name, value in found.items() if name not in USUAL} == {
        "JUPYTERHUB_USER": user,
        "JUPYTERHUB_SERVER_NAME": "lab",
        "SINGLEUSER_ACCOUNT": "ada",
        "SINGLEUSER_HOME": HOME,
        "SINGLEUSER_INSTANCE": "ada",
    }
    assert said.index("counting") < said.index("Hook count did not end within 2 s, and was killed.")


def test_a_hook_of_root_that_fails_ends_the_start_and_says_why_where_the_hub_looks(boot, volume):
    image = of_image(
        hook("archive", "before_start", "echo waiting for the archive; sleep 1000", user="root", timeout=2),
        hook("licence", "before_start", "echo no licence is left >&2; exit 3", user="root"),
        hook("beside", "after_start", f"touch {HOME}/beside", user="root"),
    )
    said = boot(volume, "touch started; exec sleep infinity", "true", image).split("\n")
    # The hub shows as much of the console.
    shown = said[-20:]
    words = [
        "waiting for the archive",
        "Hook archive did not end within 2 s, and was killed.",
    ]
    assert sorted(words) == sorted(line for line in shown if line in words)
    # Nothing is started any more, for which another would have to run.
    assert "no licence is left" not in said
    assert "jupyterhub-singleuser: the server of ada could not be started; switching the machine off" in shown
    listed = volume.ask("debugfs", "-R", "ls -p")
    assert "/.bashrc/" in listed
    assert "/started/" not in listed
    assert "/beside/" not in listed
    assert re.search(r"Filesystem state: +clean\n", volume.ask("dumpe2fs", "-h"))


def test_a_machine_that_boots_again_has_its_server_again_with_its_home_and_its_hooks(boot, volume):
    image = of_image(
        hook(
            "share", "before_start", "mkdir --parents /srv/share && mount --types tmpfs tmpfs /srv/share", user="root"
        ),
        hook(
            "off",
            "after_start",
            f"[ $(grep --count server {HOME}/notes) != 2 ] || systemctl poweroff",
            user="root",
        ),
    )
    server = f"""
        mountpoint --quiet /srv/share
        echo server $? of $(id --user --name) in $(pwd) >>{HOME}/notes
        exec sleep infinity
    """
    again = f"until test -s {HOME}/notes; do sleep 1; done; sync; systemctl reboot"
    boot(volume, server, again, image, boots=2)
    assert volume.read("notes").splitlines() == [f"server 0 of ada in {HOME}"] * 2
    assert re.search(r"Filesystem state: +clean\n", volume.ask("dumpe2fs", "-h"))
