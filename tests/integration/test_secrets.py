# SPDX-License-Identifier: BSD-3-Clause
"""Who can see what, and who can do what."""

from __future__ import annotations

import json
import re
import time

import pytest

ASK = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("/run/jupyterhub-singleuserctl.sock")
    connection.sendall(sys.argv[1].encode() + b"\\n")
    print(connection.makefile().readline())
"""


@pytest.fixture(scope="module")
def servers(hub):
    hub.start("ada", userserver_size="large")
    hub.start("eve", userserver_size="large")
    yield hub
    hub.stop("ada")
    hub.stop("eve")


def ask(host, **request):
    """The control helper's answer to the hub's account."""
    request = {"hub": "jupyterhub", "instance": "probe", **request}
    command = "setpriv --reuid=jupyterhub --regid=jupyterhub --clear-groups python3 -c %s %s"
    return json.loads(host.check_output(command, ASK, json.dumps(request)))


def start(host, **request):
    wanted = {
        "action": "start",
        "request": "1",
        "user": "probe",
        "account": "jupyter-probe",
        "environment": "default",
        "command": ["/bin/sleep", "60"],
        "variables": {},
        **request,
    }
    answer = ask(host, **wanted)
    if answer["ok"]:
        wait_for_end(host)
    ask(host, action="stop")
    return answer


def wait_for_end(host, seconds=2):
    deadline = time.monotonic() + seconds
    while ask(host, action="status")["instance"]["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.1)


def test_the_token_is_in_no_command_line_unit_journal_or_file_that_others_can_read(host, servers):
    environment = host.file("/etc/jupyterhub-singleuser/ada.env")
    assert (environment.user, environment.group, environment.mode) == ("root", "root", 0o400)
    token = re.search(r'JUPYTERHUB_API_TOKEN="(\w+)"', environment.content_string)[1]
    # grep gets the token from a file, or it would find itself.
    host.check_output("install -m 600 /dev/null /root/token && printf %s > /root/token", token)
    places = {
        "command lines": "cat /proc/[0-9]*/cmdline 2>/dev/null",
        "units": "systemctl show '*'",
        "the journal": "journalctl",
    }
    for place, command in places.items():
        assert host.run(f"{command} | grep --count --text --fixed-strings --file=/root/token").stdout.strip() == "0", (
            place
        )
    # /run, /tmp and /dev/shm are mounts of their own. What is there for everybody to read has to be found.
    host.check_output("install -m 644 /root/token /run/for-everybody")
    found = host.check_output(
        "setpriv --reuid=nobody --regid=nogroup --clear-groups find / /run /tmp /dev/shm -xdev -type f -readable "
        "-size -20M -mmin -600 -print0 2>/dev/null | "
        "xargs -0 grep --files-with-matches --text --fixed-strings --file=/root/token || true; "
        "rm /root/token /run/for-everybody"
    )
    assert set(found.splitlines()) == {"/run/for-everybody"}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/home/jupyter-ada/secret.txt", "open({path!r}).read()"),
        ("/home/jupyter-ada", "__import__('os').listdir({path!r})"),
        ("/etc/jupyterhub-singleuser/ada.env", "open({path!r}).read()"),
        ("/etc/jupyterhub-singleuser/eve.env", "open({path!r}).read()"),
        ("/proc/{pid}/environ", "open({path!r}).read()"),
        ("/etc/jupyterhub/secrets/singleuser.token", "open({path!r}).read()"),
        ("/etc/jupyterhub/secrets/secret_config.py", "open({path!r}).read()"),
        ("/var/lib/jupyterhub/jupyterhub.sqlite", "open({path!r}).read()"),
        ("/run/jupyterhub-singleuserctl.sock", "(s := __import__('socket')).socket(s.AF_UNIX).connect({path!r})"),
        ("/etc/passwd", "open({path!r}, 'a')"),
    ],
)
def test_a_second_user_cannot_get_at_the_first_one(host, servers, path, code):
    host.check_output("echo mine > ~jupyter-ada/secret.txt && chmod 644 ~jupyter-ada/secret.txt")
    path = path.format(pid=host.service("jupyterhub-singleuser@ada").systemd_properties["MainPID"])
    assert host.file(path).exists
    answer = servers.kernel("eve").run(code.format(path=path))
    assert re.match(r"(PermissionError|FileNotFoundError|OSError): ", answer), answer


def test_a_server_answers_nobody_without_its_users_token(host, servers):
    port = json.loads(host.file("/run/jupyterhub-singleuser/ada.json").content_string)["port"]
    fetch = (
        "import urllib.request, urllib.error\n"
        f"try: print(urllib.request.urlopen('http://127.0.0.1:{port}/user/ada/api/contents').status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    assert servers.kernel("eve").run(fetch) == "403"


def test_a_user_cannot_leave_the_unit_by_logging_in_to_the_host(host, servers):
    assert host.user("jupyter-ada").shell == "/usr/sbin/nologin"
    # What su asks even for root, as sshd and cron do for a user: whether PAM lets the account be used.
    login = host.run("su --shell /bin/sh --command true jupyter-ada")
    assert login.failed
    assert "expired" in login.stderr


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"account": "root"}, "must begin with jupyter-|not made for JupyterHub|below 1000"),
        ({"account": "www-data"}, "below 1000"),
        ({"account": "jupyter-ada"}, "made for another user, ada"),
        ({"account": "teacher"}, "was not made for JupyterHub|must begin with jupyter-"),
        ({"account": "newcomer"}, "must begin with jupyter-"),
        ({"user": "forbidden"}, "www-data has uid 33, below 1000"),
        ({"account": "jupyter-probe; id"}, "account must match"),
        ({"instance": "../ada"}, "instance must match"),
        ({"environment": "../../etc"}, "environment must match"),
        ({"variables": {"LD PRELOAD": "x"}}, "name of an environment variable"),
        ({"variables": {"X": "a\x00b"}}, "environment variable X"),
        ({"limits": {"memory_bytes": -1}}, "memory_bytes must be a number"),
        ({"limits": {"User": "root"}}, "limits must be"),
        ({"command": ["../../bin/sh"]}, "bare name or an absolute path"),
        ({"instance": "ada", "hub": "other"}, "belongs to another hub"),
    ],
)
def test_the_control_helper_refuses_what_a_hub_must_not_do(host, servers, request_, reason):
    answer = start(host, **request_)
    assert not answer["ok"]
    assert re.search(reason, answer["error"]), answer["error"]


def test_the_control_helper_starts_servers_under_a_mapped_account(host, servers):
    host.check_output("id teacher || useradd --create-home teacher")
    answer = start(host, user="mapped", account="anything")
    assert answer["instance"]["account"] == "teacher"


@pytest.mark.parametrize(
    "value",
    ["it's", 'a "b" c', "$HOME ${HOME} `id` $(id)", "a\\nb\\", "two\nlines\n", "\ttab", "ünïcode ☃", "#;=%i%%", " x "],
)
def test_systemd_gives_the_server_each_value_byte_for_byte(host, value):
    command = ["/bin/sh", "-c", 'printf "%s" "$VALUE" > ~/value']
    answer = start(host, command=command, variables={"VALUE": value, "HOME": "/home/jupyter-probe"})
    assert answer["ok"], answer
    assert host.file("/home/jupyter-probe/value").content == value.encode()


@pytest.mark.parametrize(
    "word", ["it's", 'a "b"', "$HOME", "${HOME}", "%i", "a\\b", "two\nlines", "; touch /tmp/x", "-x", "é"]
)
def test_systemd_gives_the_command_each_word_byte_for_byte(host, word):
    answer = start(host, command=["/bin/sh", "-c", 'printf "%s" "$1" > ~/word', "sh", word])
    assert answer["ok"], answer
    assert host.file("/home/jupyter-probe/word").content == word.encode()


def test_the_hub_and_its_proxy_run_without_any_privilege(host):
    for unit in ("jupyterhub", "jupyterhub-proxy"):
        pid = host.service(unit).systemd_properties["MainPID"]
        status = host.file(f"/proc/{pid}/status").content_string
        assert re.search(r"^Uid:\s+[1-9]", status, re.M)
        assert re.search(r"^CapEff:\s+0+$", status, re.M)
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
