# SPDX-License-Identifier: BSD-3-Clause
"""How people sign in whom something else than the hub knows: a real provider of OpenID Connect, a real directory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import RSAKey
from people import signed_in
from playwright.sync_api import expect

PEOPLE = """\
dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=grace,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: grace
cn: Grace
sn: Hopper
userPassword: cobol-and-moths
"""
INSTALL_SLAPD = """
export DEBIAN_FRONTEND=noninteractive
for said in 'domain string example.org' 'password1 password admin' 'password2 password admin'; do
  echo "slapd slapd/$said" | debconf-set-selections
done
apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends slapd ldap-utils
# Not by the script that the package has, which a container without its own cgroups confuses.
systemctl stop slapd
pkill slapd || true
systemd-run --quiet --unit=test-slapd --collect \
  /usr/sbin/slapd -d 0 -u openldap -g openldap -h ldap://127.0.0.1/ -F /etc/ldap/slapd.d
for i in $(seq 30); do ldapsearch -x -H ldap://127.0.0.1 -s base >/dev/null 2>&1 && break; sleep 1; done
ldapadd -x -D cn=admin,dc=example,dc=org -w admin -H ldap://127.0.0.1 || test $? -eq 68
"""


@pytest.fixture(scope="module")
def provider(host):
    """The address of a provider of OpenID Connect that host and browser reach; it knows ada, eve, and their groups."""
    address = host.check_output("ip route show default").split()[2]
    people = ['{"sub": "ada", "groups": ["class"]}', '{"sub": "eve", "groups": ["others"]}']
    command = [sys.executable, "-m", "oidc_provider_mock", "--host", address, "--port", "9400"]
    for one in people:
        command += ["--user-claims", one]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://{address}:9400"
    for _ in range(100):
        try:
            urlopen(f"{url}/.well-known/openid-configuration", timeout=1).close()
            break
        except OSError:
            assert process.poll() is None
    yield url
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def openid(configured, provider, hub_url):
    configured(
        hub_authenticator="oauth",
        hub_allowed_groups=["class"],
        hub_config={
            "GenericOAuthenticator": {
                "client_id": "jupyterhub",
                "authorize_url": f"{provider}/oauth2/authorize",
                "token_url": f"{provider}/oauth2/token",
                "userdata_url": f"{provider}/userinfo",
                "username_claim": "sub",
                "scope": ["openid"],
                "auth_state_groups_key": "oauth_user.groups",
                "login_service": "the university",
                "oauth_callback_url": f"{hub_url}/hub/oauth_callback",
            },
            "Authenticator": {"enable_auth_state": False},
        },
        hub_config_secret={"GenericOAuthenticator": {"client_secret": "a-secret-of-the-client"}},
    )


def sign_in_at_the_provider(page, user):
    page.goto("/hub/login")
    page.get_by_role("button", name="Sign in with the university").click()
    page.get_by_role("button", name=user, exact=True).click()


def test_a_member_of_the_class_signs_in_by_openid_connect(openid, hub, page, screenshot):
    sign_in_at_the_provider(page, "ada")
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    screenshot("signed-in-by-openid-connect")
    assert "class" in hub.call("GET", "/users/ada").json()["groups"]


def test_who_is_in_no_group_of_the_class_is_told_so(openid, page, screenshot):
    sign_in_at_the_provider(page, "eve")
    expect(page.locator("body")).to_contain_text("you are not currently authorized to use this hub")


def test_the_secret_of_the_client_is_readable_to_the_hub_alone(openid, host):
    assert host.run("grep -rl a-secret-of-the-client /etc/jupyterhub").stdout.split() == [
        "/etc/jupyterhub/secrets/secret_config.py"
    ]
    assert host.file("/etc/jupyterhub/secrets/secret_config.py").mode & 0o007 == 0
    assert host.run("journalctl --unit=jupyterhub | grep a-secret-of-the-client").stdout == ""


@pytest.fixture
def directory(configured, host):
    host.check_output("printf %%s %s | sh -euc %s", PEOPLE, INSTALL_SLAPD.replace("apt-get", "apt-get </dev/null"))
    configured(
        hub_authenticator="ldap",
        hub_allow_all=True,
        hub_config={
            "LDAPAuthenticator": {
                "server_address": "127.0.0.1",
                "tls_strategy": "insecure",
                "bind_dn_template": ["uid={username},ou=people,dc=example,dc=org"],
            }
        },
    )


def test_a_person_of_the_directory_signs_in(directory, page, screenshot):
    for password, sees in (
        ("wrong", page.locator(".login_error")),
        ("cobol-and-moths", page.get_by_text("Start").first),
    ):
        page.goto("/hub/login")
        page.fill("#username_input", "grace")
        page.fill("#password_input", password)
        page.get_by_role("button", name="Sign in").click()
        expect(sees).to_be_visible()
    screenshot("signed-in-by-ldap")


@pytest.fixture
def hashed(configured):
    configured(
        hub_extra_packages=["jupyterhub-hashauthenticator"],
        hub_authenticator="hashauthenticator.HashAuthenticator",
        hub_allow_all=True,
        hub_config_secret={"HashAuthenticator": {"secret_key": "of-the-workshop", "show_logins": True}},
    )


def test_a_package_brings_another_way_to_sign_in(hashed, host, page, screenshot):
    password = host.check_output("/opt/jupyterhub/hub/bin/hashauthpw linus of-the-workshop")
    page.goto("/hub/login")
    page.fill("#username_input", "linus")
    page.fill("#password_input", password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Start").first).to_be_visible()


@pytest.mark.parametrize(
    ("package", "words"),
    [("jupyterhub==5.2.1", "jupyterhub==5.2.1"), ("no-such-package-anywhere", "no-such-package-anywhere")],
)
def test_a_package_that_does_not_fit_changes_nothing(play, host, hub, package, words):
    before = host.check_output("readlink /opt/jupyterhub/hub"), host.check_output("stat -c %Y /etc/jupyterhub/*.py")
    done = play("--skip-tags", "node_install", hub_extra_packages=[package])
    assert done.returncode != 0
    assert words in done.stdout
    assert "does not fit" in done.stdout
    after = host.check_output("readlink /opt/jupyterhub/hub"), host.check_output("stat -c %Y /etc/jupyterhub/*.py")
    assert after == before
    hub.wait_until_up()


class Platform:
    """A learning management system that signs what it says of its people, by LTI 1.3."""

    def __init__(self, address):
        self.key = RSAKey.generate_key(2048, parameters={"kid": "of-the-platform", "use": "sig", "alg": "RS256"})
        keys = json.dumps({"keys": [self.key.as_dict(private=False)]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(keys)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def launch(self, hub_url, person, key=None, **differences):
        """What becomes of a browser in which ``person`` follows the platform's link to the hub."""
        browser = requests.Session()
        link = {"iss": self.url, "login_hint": "1", "target_link_uri": f"{hub_url}/hub", "client_id": "jupyterhub"}
        sent = browser.get(f"{hub_url}/hub/lti13/oauth_login", params=link, allow_redirects=False, timeout=60)
        asked = parse_qs(urlsplit(sent.headers["Location"]).query)
        claim = "https://purl.imsglobal.org/spec/lti/claim/"
        now = int(time.time())
        token = {
            "iss": self.url,
            "aud": "jupyterhub",
            "sub": "4711",
            "email": person,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"][0],
            f"{claim}version": "1.3.0",
            f"{claim}message_type": "LtiResourceLinkRequest",
            f"{claim}deployment_id": "1",
            f"{claim}target_link_uri": f"{hub_url}/hub",
            f"{claim}roles": ["http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"],
            f"{claim}resource_link": {"id": "exercise"},
            **differences,
        }
        signed = jwt.encode({"alg": "RS256", "kid": "of-the-platform"}, token, key or self.key)
        said = {"id_token": signed, "state": asked["state"][0]}
        answer = browser.post(asked["redirect_uri"][0], data=said, timeout=60)
        return browser, answer


@pytest.fixture(scope="module")
def platform(host):
    platform = Platform(host.check_output("ip route show default").split()[2])
    yield platform
    platform.server.shutdown()


@pytest.fixture
def lti(configured, platform):
    configured(
        hub_authenticator="lti",
        hub_allow_all=True,
        hub_config={
            "LTI13Authenticator": {
                "issuer": platform.url,
                "authorize_url": f"{platform.url}/authorize",
                "client_id": ["jupyterhub"],
                "jwks_endpoint": f"{platform.url}/keys",
                "username_key": "email",
            }
        },
    )


def test_whom_a_learning_management_system_sends_signs_in_and_nobody_with_a_forged_launch(lti, platform, hub, hub_url):
    forged = RSAKey.generate_key(2048)
    for difference in ({"key": forged}, {"aud": "another"}, {"iss": "http://other"}, {"nonce": "0"}, {"exp": 1}):
        _, answer = platform.launch(hub_url, "mallory@example.org", **difference)
        assert answer.status_code in (400, 401), difference
    assert hub.call("GET", "/users/mallory@example.org").status_code == 404
    browser, answer = platform.launch(hub_url, "katherine@example.org")
    assert answer.ok, answer.text
    assert "katherine@example.org" in browser.get(f"{hub_url}/hub/home", timeout=60).text
    assert hub.call("GET", "/users/katherine@example.org").ok


@pytest.fixture(scope="module")
def firstuse(configured):
    configured(hub_authenticator="firstuse", hub_allowed_users=["dorothy"])


def test_the_password_of_the_first_time_is_that_of_all_times_and_is_in_the_backup(firstuse, host, hub_url):
    def enters(user, password):
        return "/hub/login" not in signed_in(hub_url, user, password).get(f"{hub_url}/hub/home", timeout=60).url

    assert not enters("dorothy", "short")
    assert enters("dorothy", "the first one")
    assert not enters("dorothy", "another one")
    assert enters("dorothy", "the first one")
    assert not enters("mallory", "the first one")
    files = host.check_output("find /var/lib/jupyterhub -name 'passwords.dbm*'").split()
    assert files
    for file in files:
        assert (host.file(file).user, host.file(file).mode & 0o077) == ("jupyterhub", 0)
    assert host.file("/var/lib/jupyterhub").mode == 0o700
    host.check_output("systemctl start jupyterhub-backup")
    made = host.check_output("ls -t /var/backups/jupyterhub/jupyterhub-*.tar.gz | head -1")
    assert {file.lstrip("/") for file in files} <= set(host.check_output("tar --list --file=%s", made).split())


def test_a_form_that_has_expired_says_so(firstuse, page):
    page.goto("/hub/login")
    page.fill("#username_input", "dorothy")
    page.fill("#password_input", "the first one")
    # As of another visit than its cookie.
    page.locator("input[name=_xsrf]").evaluate("field => field.value = 'expired'")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".login_error")).to_contain_text("Login form invalid or expired")
