# SPDX-License-Identifier: BSD-3-Clause
"""People sign in with the passwords of real Unix accounts, which a service of root's verifies for the hub."""

from __future__ import annotations

import re

import pytest
from people import signed_in

PASSWORD = "of-the-host 1 ä"
MAKE_ACCOUNTS = """
for group in students staff; do getent group $group || groupadd $group; done
for user in ursula teacher outsider locked expired lazy; do
  id $user 2>/dev/null || useradd --groups students $user
done
id daemonic 2>/dev/null || useradd --system --groups students daemonic
usermod --groups staff teacher
usermod --groups '' outsider
for user in ursula teacher outsider locked expired lazy daemonic root; do echo "$user:$PASSWORD"; done | chpasswd
usermod --lock locked
chage --expiredate 0 expired
"""


@pytest.fixture(scope="module", autouse=True)
def _accounts(host):
    host.check_output("PASSWORD=%s sh -euc %s", PASSWORD, MAKE_ACCOUNTS)
    yield
    host.run("passwd --delete --lock root")
    for user in ("ursula", "teacher", "outsider", "locked", "expired", "lazy", "daemonic"):
        host.run("userdel %s", user)


@pytest.fixture(scope="module")
def pam(configured):
    configured(
        hub_authenticator="pam",
        hub_allowed_groups=["students"],
        hub_admin_groups=["staff"],
        hub_admin_users=["ursula"],
    )


@pytest.fixture
def enters(pam, hub):
    """Whether somebody is let in."""

    def enters(user, password=PASSWORD):
        page = signed_in(hub.url, user, password).get(f"{hub.url}/hub/home", timeout=60)
        return "/hub/login" not in page.url

    return enters


def test_who_has_an_account_enters_with_its_password_alone(enters, hub):
    assert not enters("ursula", "wrong")
    assert enters("ursula")
    assert sorted(hub.call("GET", "/users/ursula").json()["groups"]) == ["students", "ursula"]


def test_groups_of_the_account_say_who_may_enter_and_who_administers(enters, hub):
    assert enters("teacher")
    assert hub.call("GET", "/users/teacher").json()["admin"]
    assert not hub.call("GET", "/users/lazy").ok
    assert enters("lazy")
    assert not hub.call("GET", "/users/lazy").json()["admin"]
    assert not enters("outsider")


@pytest.mark.parametrize("user", ["locked", "expired", "root", "daemonic", "nobody", "unheard-of"])
def test_no_other_account_enters(enters, user):
    assert not enters(user)


def test_wrong_passwords_are_heard_five_times_a_minute(enters, pam, hub):
    browsers = [signed_in(hub.url, "lazy", f"guess {number}") for number in range(5)]
    assert len(browsers) == 5
    assert not enters("lazy")
    assert enters("ursula")


def test_only_the_hub_may_ask_and_nobody_reads_a_password(enters, host):
    assert enters("ursula")
    ask = "import socket; socket.socket(socket.AF_UNIX).connect('/run/jupyterhub-pam.sock')"
    assert host.run("runuser --user=jupyterhub -- /usr/bin/python3 -c %s", ask).succeeded
    assert "Permission denied" in host.run("runuser --user=ursula -- /usr/bin/python3 -c %s", ask).stderr
    exposure = host.run("systemd-analyze security jupyterhub-pam.service").stdout.splitlines()[-1]
    assert float(re.search(r": ([0-9.]+)", exposure)[1]) <= 3.0, exposure
    said = host.check_output("journalctl --output=cat --unit=jupyterhub --unit=jupyterhub-pam")
    assert "the answer was yes" in said
    assert PASSWORD not in said
    assert PASSWORD not in host.check_output("ps -eo args")


def test_without_it_nothing_of_it_is_left(enters, configured, host):
    configured()
    assert not host.file("/etc/pam.d/jupyterhub").exists
    assert not host.file("/run/jupyterhub-pam.sock").exists
    assert not host.file("/etc/systemd/system/jupyterhub-pam.service").exists
    assert not host.service("jupyterhub-pam.service").is_running
