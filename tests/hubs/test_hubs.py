# SPDX-License-Identifier: BSD-3-Clause
"""Two hubs on one host and behind one name, and what stays of one when the other is removed.

The tests follow each other: each begins where the one before ended.
"""

from __future__ import annotations

import json

import pytest
import requests
from people import signed_in
from two_hubs import HUBS, NAME

USER = "ada"
ASK = (
    "import socket, sys\n"
    "connection = socket.socket(socket.AF_UNIX)\n"
    "connection.connect(sys.argv[1])\n"
    "connection.sendall(sys.argv[2].encode() + b'\\n')\n"
    "print(connection.makefile().readline())"
)
PHYSICS, CHEMISTRY = (f"jupyterhub-{name}" for name in HUBS)


def other_of(name):
    (other,) = set(HUBS) - {name}
    return other


def ask_as(host, account, name, /, **request):
    """What the helper of the hub of a name says to an account; its `hub` is what the caller claims to be."""
    words = (ASK, f"/run/jupyterhub-{name}-singleuserctl.sock", json.dumps(request))
    return host.run("runuser --user=%s -- python3 -c %s %s %s", account, *words)


def unit(name):
    return f"jupyterhub-{name}-singleuser@{USER}.service"


def main_pid(host, name):
    return host.check_output("systemctl show --property=MainPID --value %s", unit(name))


def write_file(hub, text):
    body = {"type": "file", "format": "text", "content": text}
    answer = hub.call("PUT", f"/user/{USER}/api/contents/note.txt", **body)
    assert answer.status_code in (200, 201), answer.text


def test_people_sign_in_to_both_by_one_name_and_stay_signed_in():
    browser = requests.Session()
    for name in HUBS:
        signed_in(f"https://{NAME}/{name}", USER, f"{name} molecule", browser)
    for name in HUBS:
        page = browser.get(f"https://{NAME}/{name}/hub/home", timeout=60)
        assert page.url == f"https://{NAME}/{name}/hub/home"
        assert f"/{name}/hub/logout" in page.text


def test_a_password_of_one_hub_is_none_of_the_other():
    refused = signed_in(f"https://{NAME}/physics", USER, "chemistry molecule")
    assert "/hub/login" in refused.get(f"https://{NAME}/physics/hub/home", timeout=60).url


def test_a_path_without_its_slash_leads_to_the_hub_and_a_path_of_no_hub_nowhere():
    assert requests.get(f"https://{NAME}/physics", timeout=60).url.startswith(f"https://{NAME}/physics/hub/login")
    assert requests.get(f"https://{NAME}/biology/hub/login", timeout=60).status_code == 404


def test_a_user_of_both_has_an_instance_at_each_at_the_same_time(host, hubs):
    for hub in hubs.values():
        # Whoever signs in has it started, and so it may be on its way, or there.
        hub.request_start(USER)
        hub.wait_for(USER, ready=True)
    for name, hub in hubs.items():
        assert host.service(unit(name)).is_running
        write_file(hub, name)
        note = host.file(f"/home/{name}-{USER}/note.txt")
        assert (note.content_string, note.user) == (name, f"{name}-{USER}")
    slices = [host.check_output("systemctl show --property=Slice --value %s", unit(name)) for name in HUBS]
    assert slices == [f"jupyterhub_{name}-singleuser.slice" for name in HUBS]


@pytest.mark.parametrize("name", HUBS)
def test_a_hub_may_not_open_the_socket_of_the_other(host, name):
    answer = ask_as(host, f"jupyterhub-{name}", other_of(name), hub=f"jupyterhub-{other_of(name)}", action="list")
    assert answer.failed
    assert "PermissionError" in answer.stderr
    own = ask_as(host, f"jupyterhub-{name}", name, hub=f"jupyterhub-{name}", action="list")
    assert [instance["account"] for instance in json.loads(own.stdout)["instances"]] == [f"{name}-{USER}"]


@pytest.mark.parametrize("name", HUBS)
def test_a_hub_that_passes_for_the_other_sees_and_stops_nothing_of_it(host, name):
    other = other_of(name)
    before = main_pid(host, other)
    claimed = {"hub": f"jupyterhub-{other}", "instance": USER}

    def ask(**request):
        return json.loads(ask_as(host, f"jupyterhub-{name}", name, **{**claimed, **request}).stdout)

    assert ask(action="list") == {"ok": True, "instances": []}
    assert ask(action="stop") == {"ok": True, "found": False}
    # What it is told of is its own, of which it just said that it is another's.
    assert ask(action="status")["code"] == "foreign"
    assert ask(action="log")["code"] == "foreign"
    start = {
        "action": "start",
        "request": "r",
        "user": USER,
        "account": f"{other}-{USER}",
        "environment": "default",
        "command": ["jupyterhub-singleuser"],
        "variables": {},
        "limits": {},
    }
    refused = ask(**{**start, "instance": "eve"})
    assert refused["code"] == "refused", refused
    assert "was not made for JupyterHub" in refused["error"]
    assert main_pid(host, other) == before != "0"


@pytest.mark.parametrize("name", HUBS)
def test_neither_a_hub_nor_its_users_read_files_of_the_other(host, name):
    other = other_of(name)
    secrets = [
        f"/etc/jupyterhub-{other}/secrets/hub.env",
        f"/etc/jupyterhub-{other}/secrets/secret_config.py",
        f"/etc/jupyterhub-{other}-singleuser/{USER}.env",
        f"/run/jupyterhub-{other}-singleuser/{USER}.json",
        f"/var/lib/jupyterhub-{other}/jupyterhub_cookie_secret",
        f"/home/{other}-{USER}/note.txt",
    ]
    for path in secrets:
        assert host.file(path).exists, path
        for account in (f"jupyterhub-{name}", f"{name}-{USER}"):
            read = host.run("runuser --user=%s -- cat %s", account, path)
            assert "Permission denied" in read.stderr, (account, path)
    pid = host.check_output("systemctl show --property=MainPID --value jupyterhub-%s.service", other)
    assert host.run("runuser --user=%s -- cat /proc/%s/environ", f"jupyterhub-{name}", pid).failed


@pytest.mark.parametrize("name", HUBS)
def test_the_database_of_a_hub_is_closed_to_the_other(host, name):
    ask = "cd / && runuser --user=%s -- psql --no-psqlrc --tuples-only --no-align --dbname=%s --command='TABLE users'"
    assert USER in host.check_output(ask, f"jupyterhub-{name}", f"jupyterhub-{name}")
    refused = host.run(ask, f"jupyterhub-{name}", f"jupyterhub-{other_of(name)}")
    assert "permission denied for database" in refused.stderr


def test_a_token_of_one_hub_is_none_of_the_other(hubs):
    answer = requests.get(f"{hubs['chemistry'].url}/hub/api/users", headers=hubs["physics"].headers, timeout=60)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"hub_http_port": 8010}, f"The hub {PHYSICS} wants ports that other hubs of"),
        ({"hub_http_port": 8010}, f"{CHEMISTRY} has 8010"),
        ({"hub_http_port": 9000, "hub_connect_url": "http://127.0.0.1:8011"}, f"{CHEMISTRY} has 8011"),
        ({"hub_base_url": "/chemistry/"}, f"The hub {PHYSICS} wants the hub_base_url /chemistry/ of {CHEMISTRY}"),
        ({"hub_https_hosts": ["other.example.test"]}, f"another hub of jupyter.example.org has {NAME}"),
        ({"hub_name": "", "hub_http_port": 9000}, "Hubs that have a hub_name share it"),
        ({"hub_name": "proxy"}, "hub_name must be at most 12 small letters and digits"),
    ],
)
def test_what_another_hub_of_the_host_has_is_refused_before_anything_changes(play, variables, words):
    done = play("physics", "site", "--tags", "always", **variables)
    assert done.returncode != 0
    assert words in done.stdout
    assert "changed=0" in done.stdout


@pytest.mark.parametrize("name", HUBS)
def test_status_and_logs_tell_of_the_servers_of_one_hub(host, play, name):
    said = play(name, "status").stdout
    assert f"jupyterhub-{name}.service" in said
    assert f"{name}-{USER}" in said
    assert "does not answer" not in said
    assert other_of(name) not in said
    said = play(name, "logs", user=USER)
    assert said.returncode == 0, said.stdout
    assert f"/{name}/user/{USER}" in said.stdout
    assert f"/{other_of(name)}/" not in said.stdout


def test_a_hub_comes_back_from_its_backup_and_the_other_works_on(host, hubs, play, tmp_path):
    backup = play("physics", "backup", backup_to=str(tmp_path))
    assert backup.returncode == 0, backup.stdout
    (archive,) = tmp_path.glob("jupyter.example.org-physics/*.tar.gz")
    assert [CHEMISTRY in name for name in host.check_output("find /var/backups -name '*.tar.gz'").split()] == [False]
    hubs["physics"].call("DELETE", f"/users/{USER}/server")
    hubs["physics"].wait_for(USER, ready=False)
    hubs["physics"].call("POST", "/users/after-the-backup")
    before = main_pid(host, "chemistry")
    refused = play("chemistry", "restore", restore_file=str(archive))
    assert "is no backup of a hub, or not whole: it should hold /etc/jupyterhub-chemistry" in refused.stdout
    restored = play("physics", "restore", restore_file=str(archive))
    assert restored.returncode == 0, restored.stdout[-6000:]
    assert hubs["physics"].call("GET", "/users/after-the-backup").status_code == 404
    assert hubs["physics"].call("GET", f"/users/{USER}").ok
    assert main_pid(host, "chemistry") == before
    write_file(hubs["chemistry"], "still here")


def files_named(host, word):
    """All but backups, logs and what tools leave in /tmp."""
    found = host.check_output("find / -xdev -name %s -print", f"*{word}*").splitlines()
    return [path for path in found if not path.startswith(("/proc/", "/tmp/", "/var/backups/", "/var/log/"))]


def test_the_teardown_of_one_hub_leaves_the_other_with_its_users(host, hubs, play):
    hubs["physics"].start(USER)
    before = main_pid(host, "chemistry")
    done = play("physics", "teardown", teardown_homes=True)
    assert done.returncode == 0, done.stdout
    assert main_pid(host, "chemistry") == before
    write_file(hubs["chemistry"], "and here")
    hubs["chemistry"].start("bob")
    hubs["chemistry"].stop("bob")
    assert requests.get(f"https://{NAME}/physics/hub/login", timeout=60).status_code == 404
    databases = host.check_output("cd / && runuser --user=postgres -- psql --list")
    assert "jupyterhub-chemistry" in databases
    assert "physics" not in databases
    assert files_named(host, "physics") == []
    assert host.file("/var/backups/jupyterhub-physics").is_directory
    assert "physics" not in host.check_output("getent passwd; getent group; systemctl list-units --all 'jupyterhub*'")


def test_a_second_run_for_the_hub_that_stayed_changes_nothing(play):
    done = play("chemistry", "site")
    assert done.returncode == 0, done.stdout
    assert "changed=0 " in done.stdout, done.stdout


def test_with_the_last_hub_all_goes_that_both_were_installed_with(host, play):
    assert host.package("nodejs").is_installed
    done = play("chemistry", "teardown", teardown_homes=True)
    assert done.returncode == 0, done.stdout
    assert files_named(host, "jupyterhub") == []
    assert not host.package("nodejs").is_installed
    assert not host.package("caddy").is_installed
    assert not host.package("postgresql").is_installed
    assert not host.socket("tcp://443").is_listening
