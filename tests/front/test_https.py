# SPDX-License-Identifier: BSD-3-Clause
"""HTTPS in front of the hub: by a certificate of one's own, and by one that an authority gives."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from pathlib import Path

import pytest
import requests
from certificates import self_signed
from conftest import ADMIN_TOKEN
from people import run_cell
from playwright.sync_api import Error, expect, sync_playwright

NAME = "hub.example.test"
# Of their own each time: JupyterLab opens what was open last.
STUDENT = f"edith-{secrets.token_hex(3)}"
ANOTHER = f"ruth-{secrets.token_hex(3)}"
PEBBLE = """
{"pebble": {"listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000",
 "certificate": "/srv/pebble/acme.crt", "privateKey": "/srv/pebble/acme.key", "httpPort": 80, "tlsPort": 443,
 "externalAccountBindingRequired": false}}
"""


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Certificates by an authority that no browser knows: of the hub, and of localhost."""
    folder = tmp_path_factory.mktemp("authority")
    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj")
    openssl(folder, *new, "/CN=Test authority", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt")
    for file, name in (("hub", NAME), ("acme", "localhost")):
        (folder / f"{file}.ext").write_text(f"subjectAltName=DNS:{name},DNS:*.{name}\nextendedKeyUsage=serverAuth\n")
        openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{file}.key",
                "-out", f"{file}.csr")  # fmt: skip
        openssl(folder, "x509", "-req", "-in", f"{file}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "2",
                "-extfile", f"{file}.ext", "-out", f"{file}.crt")  # fmt: skip
    return folder


@pytest.fixture(scope="module", autouse=True)
def _programs(host):
    host.check_output("apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends curl pebble")


@pytest.fixture(scope="module")
def manual(configured, authority):
    configured(
        hub_https="manual",
        hub_https_hosts=[NAME],
        hub_https_certificate=str(authority / "hub.crt"),
        hub_https_key=str(authority / "hub.key"),
    )


@pytest.fixture
def api(host):
    """Ask the hub on its own host, where alone the proxy listens."""

    def ask(method, path, **body):
        words = "curl --silent --show-error --fail --request %s --header %s --data %s http://127.0.0.1:8000/hub/api%s"
        answer = host.check_output(words, method, f"Authorization: token {ADMIN_TOKEN}", json.dumps(body), path)
        return json.loads(answer) if answer else {}

    return ask


@pytest.fixture
def browser(host, hub_url, tmp_path, monkeypatch):
    """A browser for which the hub's name leads to the host; it trusts the authorities of the files it is given."""
    address = hub_url.split("//")[1].split(":")[0]

    def trusting(*certificates):
        # Chromium reads whom to trust from the home of its user.
        store = tmp_path / ".pki/nssdb"
        store.mkdir(parents=True, exist_ok=True)
        database = ("certutil", "-d", f"sql:{store}")
        subprocess.run([*database, "-N", "--empty-password"], check=True)
        for index, certificate in enumerate(certificates):
            trust = ("-A", "-t", "C,,", "-n", f"authority-{index}", "-i", certificate)
            subprocess.run([*database, *trust], check=True)
        names = f"--host-resolver-rules=MAP {NAME} {address},MAP *.{NAME} {address}"
        options = ["--no-sandbox", "--disable-gpu", "--disable-quic", names]
        return playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=options, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        )

    with sync_playwright() as playwright:
        yield trusting


def test_a_certificate_that_browsers_would_refuse_is_refused_before_anything_changes(play, tmp_path, host):
    https = {"hub_https": "manual", "hub_https_hosts": [NAME]}
    (tmp_path / "expired").mkdir()
    expired = self_signed(tmp_path / "expired", NAME, days=-1)
    other = self_signed(tmp_path, "other.example.test")
    good = self_signed(tmp_path, NAME)
    for made, words in (
        (expired, "and not now. Get a new one"),
        (other, f"and not for {NAME}"),
        ((good[0], other[1]), "is the key of another certificate"),
    ):
        done = play("--tags", "always", **https, hub_https_certificate=made[0], hub_https_key=made[1])
        assert done.returncode != 0
        assert words in done.stdout
        assert "changed=0" in done.stdout
    assert not host.file("/etc/systemd/system/jupyterhub-https.service").exists


def test_a_self_signed_certificate_is_taken_with_a_note(configured, tmp_path, host):
    certificate, key = self_signed(tmp_path, NAME, days=10)
    said = configured(hub_https="manual", hub_https_hosts=[NAME], hub_https_certificate=certificate, hub_https_key=key)
    assert "Nobody vouches for the certificate but itself" in said
    assert "The certificate ends at" in said
    host.check_output("printf %%s %s > /tmp/own.crt", Path(certificate).read_text())
    ask = f"curl --silent --fail --resolve {NAME}:443:127.0.0.1 https://{NAME}/hub/login"
    assert host.run(ask).failed
    assert "username_input" in host.check_output(f"{ask} --cacert /tmp/own.crt")


def sign_in_and_work(page, user, host):
    """In a server that is found at ``host``."""
    page.fill("#username_input", user)
    page.fill("#password_input", "molecule")
    page.click("#login_submit")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(f"https://{host}/user/{user}/lab*", timeout=90_000)
    run_cell(page, "print(6 * 7)", "42")


def test_a_student_works_by_https_and_is_led_there_from_http(manual, authority, browser, api):
    chromium = browser(authority / "ca.crt")
    page = chromium.new_page(base_url=f"https://{NAME}")
    page.set_default_timeout(60_000)
    page.goto(f"http://{NAME}/hub/login")
    assert page.url.startswith(f"https://{NAME}/hub/login")
    sign_in_and_work(page, STUDENT, NAME)
    cookies = page.context.cookies()
    assert cookies
    assert all(cookie["secure"] for cookie in cookies if cookie["name"].startswith("jupyterhub"))
    api("DELETE", f"/users/{STUDENT}/server")
    chromium.close()


def test_a_browser_that_does_not_know_the_authority_warns(manual, browser):
    chromium = browser()
    page = chromium.new_page()
    with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        page.goto(f"https://{NAME}/hub/login")
    chromium.close()


def test_browsers_are_told_to_use_https_alone_and_large_uploads_come_through(manual, authority, host, api):
    ask = f"curl --silent --show-error --resolve {NAME}:443:127.0.0.1 --cacert /tmp/ca.crt"
    host.check_output("printf %%s %s > /tmp/ca.crt", (authority / "ca.crt").read_text())
    said = host.check_output(f"{ask} --head https://{NAME}/hub/login")
    assert "strict-transport-security: max-age=31536000" in said.lower()
    api("POST", f"/users/{STUDENT}/server")
    deadline = time.monotonic() + 120
    while not api("GET", f"/users/{STUDENT}")["servers"].get("", {}).get("ready"):
        assert time.monotonic() < deadline
        time.sleep(1)
    token = api("POST", f"/users/{STUDENT}/tokens")["token"]
    host.check_output(
        "head -c 60000000 /dev/zero | base64 -w0 > /tmp/content && "
        '(printf \'{"type": "file", "format": "base64", "content": "\'; cat /tmp/content; '
        "printf '\"}') > /tmp/body"
    )
    answer = host.check_output(
        f"{ask} --request PUT --data-binary @/tmp/body --header 'Authorization: token {token}' "
        f"--output /dev/null --write-out '%{{http_code}}' https://{NAME}/user/{STUDENT}/api/contents/large.bin"
    )
    assert answer == "201"
    assert host.file(f"/home/jupyter-{STUDENT}/large.bin").size == 60_000_000
    api("DELETE", f"/users/{STUDENT}/server")


def test_the_proxy_is_reached_through_https_alone(manual, hub_url, host):
    with pytest.raises(requests.ConnectionError):
        requests.get(hub_url, timeout=5)
    exposure = host.run("systemd-analyze security jupyterhub-https.service").stdout.splitlines()[-1]
    assert float(exposure.split(":")[1].split()[0]) <= 2.0, exposure
    assert host.file("/etc/jupyterhub/secrets/https.key").mode & 0o077 == 0


def test_the_sign_in_at_the_hub_is_not_sent_to_a_server_with_a_name_of_its_own(configured, authority, browser, api):
    configured(
        hub_subdomain_host=f"https://{NAME}",
        hub_https="manual",
        hub_https_hosts=[NAME],
        hub_https_certificate=str(authority / "hub.crt"),
        hub_https_key=str(authority / "hub.key"),
    )
    chromium = browser(authority / "ca.crt")
    page = chromium.new_page(base_url=f"https://{NAME}")
    page.set_default_timeout(60_000)
    page.goto("/hub/login")
    sign_in_and_work(page, ANOTHER, f"{ANOTHER}.{NAME}")

    def sent_to(host):
        return {cookie["name"] for cookie in page.context.cookies(f"https://{host}/hub/")}

    assert "jupyterhub-hub-login" in sent_to(NAME)
    assert "jupyterhub-hub-login" not in sent_to(f"{ANOTHER}.{NAME}")
    api("DELETE", f"/users/{ANOTHER}/server")
    chromium.close()


def test_an_authority_gives_the_certificate(configured, authority, host, hub_url, browser, tmp_path):
    host.check_output("mkdir -p /srv/pebble && grep -q %s /etc/hosts || echo 127.0.0.1 %s >> /etc/hosts", NAME, NAME)
    for name, text in {
        "acme.crt": (authority / "acme.crt").read_text(),
        "acme.key": (authority / "acme.key").read_text(),
        "config.json": PEBBLE,
    }.items():
        host.check_output("printf %%s %s > /srv/pebble/%s", text, name)
    host.check_output(
        "systemctl stop pebble test-pebble; systemctl reset-failed test-pebble; "
        "systemd-run --unit=test-pebble --collect --setenv=PEBBLE_VA_NOSLEEP=1 pebble -config /srv/pebble/config.json"
    )
    try:
        configured(
            hub_https="letsencrypt",
            hub_https_hosts=[NAME],
            hub_https_acme_directory="https://localhost:14000/dir",
            hub_https_acme_ca_file=str(authority / "ca.crt"),
        )
        host.check_output(
            f"for i in $(seq 60); do curl -sk --resolve {NAME}:443:127.0.0.1 https://{NAME}/hub/login > /dev/null "
            "&& exit; sleep 1; done; journalctl --unit=jupyterhub-https --lines=20; exit 1"
        )
        root = tmp_path / "root.crt"
        root.write_text(host.check_output("curl --silent --insecure https://localhost:15000/roots/0"))
        chromium = browser(root)
        page = chromium.new_page()
        page.goto(f"https://{NAME}/hub/login")
        expect(page.locator("#username_input")).to_be_visible()
        chromium.close()
    finally:
        host.run("systemctl stop test-pebble")


def test_without_https_nothing_of_it_is_left(configured, host, hub):
    configured()
    hub.wait_until_up()
    assert not host.file("/etc/systemd/system/jupyterhub-https.service").exists
    for path in ("Caddyfile", "https-acme-ca.crt", "secrets/https.crt", "secrets/https.key"):
        assert not host.file(f"/etc/jupyterhub/{path}").exists
    assert not host.socket("tcp://443").is_listening
