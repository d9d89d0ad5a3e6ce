# SPDX-License-Identifier: BSD-3-Clause
"""Machines of an OpenStack cloud: Libcloud's own driver, and a cloud that fails on demand."""

from __future__ import annotations

import base64
import json
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libcloud.pricing
import libcloud.security
import pytest
import yaml
from certipy import Certipy
from fakecloud import FOREVER, FakeCloud, Flavor, Image, Network, SecurityGroup, faults
from launch import TOKEN, launch_request
from libcloud.compute.drivers.openstack import OpenStack_2_NodeDriver
from libcloudspawner.providers import openstack
from libcloudspawner.providers.base import OutcomeUnknown, ProviderError, ProviderUnreachable, State
from libcloudspawner.providers.openstack import OpenStackProvider
from libcloudspawner.providers.openstack_credentials import CredentialsError, driver_parameters
from prometheus_client import REGISTRY

SIGN_IN = "POST /v3/auth/tokens"
PASSWORD = "a-password-that-nobody-may-see"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """No credentials but those of a test, and the trust in certificates as it was."""
    for name in ("OS_CLIENT_CONFIG_FILE", "REQUESTS_CA_BUNDLE", "OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("VERIFY_SSL_CERT", "CA_CERTS_PATH"):
        monkeypatch.setattr(libcloud.security, name, getattr(libcloud.security, name))


@pytest.fixture
def cloud():
    with FakeCloud(guest="never", password=PASSWORD) as cloud:
        yield cloud


@pytest.fixture
def provider(cloud):
    return OpenStackProvider("hub", cloud.driver_params())


def request(name="alice", request_id="", **values):
    return launch_request(name, request_id, **{"image": "jupyter", "port": 8000, **values})


def posts(cloud):
    return cloud.counts["POST /servers"]


# --- what a machine is made with ----------------------------------------------------------------------------


def test_a_machine_bears_its_marks_from_the_request_that_makes_it(cloud, provider):
    provider.create(request("alice-gpu", "r-1", user="Alice Ä", server="gpu"))
    (server,) = cloud.servers.values()
    marks = {name.removeprefix("libcloudspawner-"): value for name, value in server.metadata.items()}
    assert marks == {
        "hub": "hub",
        "user": "Alice Ä",
        "server": "gpu",
        "name": "alice-gpu",
        "request": "r-1",
        "network": "",
        "port": "8000",
    }
    assert not any("metadata" in call.path for call in cloud.calls)


def test_a_machine_is_made_in_one_call_with_all_that_was_asked_for(cloud, provider):
    cloud.networks["n2"] = Network("n2", "students")
    cloud.security_groups["g2"] = SecurityGroup("g2", "from-hub")
    cloud.keypairs["operator"] = "ssh-ed25519 AAAA operator"
    placement = {
        "userserver_net": "students",
        "userserver_keyname": "operator",
        "userserver_security_groups": ["default", "from-hub"],
        "userserver_availability_zone": "west",
        "userserver_config_drive": True,
    }
    created = provider.create(request(size="large", placement=placement))
    server = cloud.servers[created.id]
    assert (server.flavor, cloud.images[server.image].name, server.networks) == ("2", "jupyter", ["n2"])
    assert (server.key_name, server.security_groups) == ("operator", ["default", "from-hub"])
    assert (server.availability_zone, server.config_drive) == ("west", True)
    assert yaml.safe_load(base64.b64decode(server.user_data))["write_files"]
    assert (posts(cloud), cloud.counts["GET /servers/{id}"]) == (1, 0)


def test_what_is_not_asked_for_is_left_to_the_cloud(cloud, provider):
    created = provider.create(request())
    server = cloud.servers[created.id]
    assert (server.key_name, server.security_groups, server.availability_zone) == (None, ["default"], "nova")
    assert (server.config_drive, server.networks) == (False, list(cloud.networks))


@pytest.mark.parametrize("by", ["name", "id"])
def test_images_sizes_and_networks_are_known_by_name_and_by_id(cloud, provider, by):
    cloud.networks["n2"] = Network("n2", "students")
    image = next(image for image in cloud.images.values() if image.name == "jupyter")
    kinds = {"image": image, "size": cloud.flavors["2"], "network": cloud.networks["n2"]}
    wanted = {what: getattr(one, by) for what, one in kinds.items()}
    created = provider.create(
        request(image=wanted["image"], size=wanted["size"], placement={"userserver_net": wanted["network"]})
    )
    server = cloud.servers[created.id]
    assert (server.image, server.flavor, server.networks) == (image.id, "2", ["n2"])


@pytest.mark.parametrize(
    ("values", "message", "reason"),
    [
        ({"image": "jupiter"}, "no image jupiter; it has: debian-12, jupyter", "unknown-image"),
        ({"size": "huge"}, "no size huge; it has: large, small", "unknown-size"),
        ({"placement": {"userserver_net": "public"}}, "no network public; it has: private", "unknown-network"),
    ],
)
def test_what_the_cloud_does_not_have_is_named_with_what_it_has(cloud, provider, values, message, reason):
    with pytest.raises(ProviderError, match=message) as caught:
        provider.create(request(**values))
    assert caught.value.reason == reason
    assert posts(cloud) == 0


@pytest.mark.parametrize("what", ["image", "size", "network"])
def test_of_two_with_one_name_none_is_taken_but_by_its_id(cloud, provider, what):
    cloud.images["i2"], cloud.images["i3"] = Image("i2", "twin"), Image("i3", "twin")
    cloud.flavors["f2"], cloud.flavors["f3"] = Flavor("f2", "twin", 1, 1), Flavor("f3", "twin", 1, 1)
    cloud.networks["n2"], cloud.networks["n3"] = Network("n2", "twin"), Network("n3", "twin")

    def asked(name):
        return {"placement": {"userserver_net": name if what == "network" else "private"}} | (
            {what: name} if what != "network" else {}
        )

    with pytest.raises(ProviderError, match=f"more than one {what} twin"):
        provider.create(request(**asked("twin")))
    assert provider.create(request(**asked(f"{what[0].replace('s', 'f')}3")))


def test_a_name_that_is_new_in_the_cloud_is_found_at_once(cloud, provider):
    provider.create(request())
    cloud.images["i2"] = Image("i2", "new")
    assert provider.create(request("bob", image="new"))


def test_every_call_of_the_cloud_is_counted_with_the_code_of_its_answer(cloud, provider):
    def count(operation, code):
        return (
            REGISTRY.get_sample_value("libcloudspawner_provider_calls_total", {"operation": operation, "code": code})
            or 0
        )

    asked = [("sign-in", "ok"), ("list-sizes", "ok"), ("list-images", "ok"), ("create", "ok"), ("create", "403")]
    before = {one: count(*one) for one in asked}
    provider.create(request())
    cloud.inject(faults.answer("POST", "/servers", 403))
    with pytest.raises(ProviderError):
        provider.create(request("bob"))
    assert {one: count(*one) - before[one] for one in asked} == dict.fromkeys(asked, 1)


def test_the_hundredth_machine_costs_one_call(cloud, provider):
    provider.create(request())
    cloud.clear_calls()
    provider.create(request("bob"))
    assert [call.kind for call in cloud.calls] == ["POST /servers"]


def test_nobody_waits_for_libcloud_s_prices(cloud, provider, monkeypatch):
    """It reads megabytes of JSON anew for each size, and the event loop stands still meanwhile."""
    monkeypatch.setattr(libcloud.pricing, "get_pricing", lambda *_, **__: pytest.fail("prices were read"))
    provider.create(request())
    assert len(provider.list()) == 1


# --- whose machines -----------------------------------------------------------------------------------------


def test_machines_of_others_are_neither_shown_nor_asked_about(cloud, provider):
    other = OpenStackProvider("other", cloud.driver_params()).create(request("alice"))
    foreign = [
        cloud.seed_server("by-hand"),
        cloud.seed_server("jupyter-alice", metadata={"libcloudspawner-hub": "hub"}),
        cloud.seed_server("jupyter-bob", metadata={"libcloudspawner-request": "r-bob"}),
    ]
    mine = provider.create(request("alice", "r-mine"))
    assert [one.id for one in provider.list()] == [mine.id]
    for server_id in (other.id, *(server.id for server in foreign)):
        assert provider.get(server_id) is None


def test_only_the_machine_itself_is_deleted(cloud, provider):
    other = OpenStackProvider("other", cloud.driver_params()).create(request("alice", "r-1"))
    mine = provider.create(request("alice", "r-1"))
    provider.destroy(mine)
    assert list(cloud.servers) == [other.id]


# --- what becomes of a machine ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("BUILD", State.STARTING),
        ("ACTIVE", State.RUNNING),
        ("ERROR", State.FAILED),
        ("SHUTOFF", State.PAUSED),
        ("SHELVED_OFFLOADED", State.PAUSED),
        ("RESCUE", State.PAUSED),
        ("SOFT_DELETED", State.STOPPED),
    ],
)
def test_the_state_of_a_machine_is_what_the_cloud_says(cloud, provider, status, state):
    created = provider.create(request())
    cloud.seed_server("x", status=status, metadata={**cloud.servers[created.id].metadata})
    provider.destroy(created)
    (listed,) = provider.list()
    assert listed.state is state


def test_a_machine_in_error_tells_why_in_the_words_of_the_cloud(cloud, provider):
    created = provider.create(request())
    cloud.fail_server(created.id, "No valid host was found.")
    assert provider.get(created.id).detail == "No valid host was found."
    assert provider.list()[0].exit_status == 1


def test_a_machine_that_goes_is_still_there_and_does_not_answer(cloud, provider):
    cloud.delete_seconds = 30
    created = provider.create(request())
    provider.destroy(created)
    (listed,) = provider.list()
    assert (listed.state, listed.owns_port) == (State.STOPPING, False)


def test_a_full_project_is_a_refusal_in_the_words_of_the_cloud(cloud, provider):
    cloud.quota_instances = 0
    with pytest.raises(ProviderError, match="Quota exceeded for instances: Requested 1") as caught:
        provider.create(request())
    assert caught.value.reason == "quota"
    assert posts(cloud) == 1


# --- listings -----------------------------------------------------------------------------------------------


def test_a_listing_is_all_pages(cloud, provider):
    cloud.page_size = 2
    names = {f"user-{number}" for number in range(5)}
    for name in sorted(names):
        provider.create(request(name))
    assert {one.name for one in provider.list()} == names


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_listing_whose_second_page_fails_is_none(cloud, provider, status):
    cloud.page_size = 2
    for number in range(5):
        provider.create(request(f"user-{number}"))
    cloud.inject(faults.second_page_fails(status))
    with pytest.raises(ProviderError):
        provider.list()
    assert len(provider.list()) == 5


def test_a_listing_whose_second_page_is_cut_is_none(cloud, provider):
    cloud.page_size = 2
    for number in range(5):
        provider.create(request(f"user-{number}"))
    cloud.inject(faults.cut("GET", "/servers/detail", query="marker="))
    with pytest.raises(ProviderUnreachable):
        provider.list()


# --- answers that do not come -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        faults.accept_then_cut("POST", "/servers"),
        faults.accept_then_status("POST", "/servers", 500),
        faults.accept_then_status("POST", "/servers", 503),
        faults.accept_then_garble("POST", "/servers"),
        faults.accept_then_hang("POST", "/servers"),
    ],
    ids=["cut", "500", "503", "garbled", "hangs"],
)
def test_a_creation_without_an_answer_is_unclear_and_never_repeated(cloud, provider, monkeypatch, fault):
    monkeypatch.setattr(openstack, "_TIMEOUT_SECONDS", 0.5)
    cloud.inject(fault)
    with pytest.raises(OutcomeUnknown):
        provider.create(request())
    assert (posts(cloud), len(cloud.servers)) == (1, 1)
    assert [one.request_id for one in provider.list()] == ["r-alice"]


def test_a_creation_that_could_not_be_sent_has_not_happened(cloud, provider):
    provider.create(request())
    cloud.unplug()
    with pytest.raises(ProviderUnreachable):
        provider.create(request("bob"))
    cloud.plug_in()
    assert [one.name for one in provider.list()] == ["alice"]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_cloud_that_fails_knows_nothing(cloud, provider, status):
    created = provider.create(request())
    for path, call in (
        ("/servers/detail", lambda: provider.list()),
        ("/servers/{id}", lambda: provider.get(created.id)),
    ):
        cloud.inject(faults.answer("GET", path, status))
        with pytest.raises(ProviderUnreachable):
            call()


@pytest.mark.parametrize(("status", "wait"), [(429, 0.2), (413, 1.1)])
def test_a_cloud_that_is_asked_too_often_is_asked_again_when_it_says(cloud, provider, status, wait):
    provider.create(request())
    cloud.clear_calls()
    cloud.inject(faults.answer("POST", "/servers", status, retry_after=wait))
    began = time.monotonic()
    provider.create(request("bob"))
    assert time.monotonic() - began >= wait
    assert (posts(cloud), len(cloud.servers)) == (2, 2)


def test_a_cloud_that_is_asked_too_often_for_long_is_left_alone(cloud, provider, monkeypatch):
    provider.list()
    monkeypatch.setattr(openstack, "_THROTTLED_SECONDS", 0.01)
    cloud.inject(faults.throttle(path="/servers.*", times=FOREVER))
    for call in (lambda: provider.create(request()), lambda: provider.list()):
        cloud.clear_calls()
        with pytest.raises(ProviderError, match="asked too often") as caught:
            call()
        assert caught.value.reason == "throttled"
        assert not isinstance(caught.value, (OutcomeUnknown, ProviderUnreachable))
        assert sum("/servers" in call.path for call in cloud.calls) == openstack._THROTTLED_TRIES
    assert not cloud.servers


# --- threads ------------------------------------------------------------------------------------------------


@pytest.fixture
def eager_switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_every_thread_gets_the_machine_that_it_asked_for(cloud, provider, eager_switching):
    ids = [provider.create(request(f"user-{number}")).id for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        asked = [ids[number % 8] for number in range(1000)]
        got = [instance.id for instance in threads.map(provider.get, asked)]
    assert got == asked


def test_no_two_threads_share_a_driver(cloud, provider):
    with ThreadPoolExecutor(4) as threads:
        drivers = list(threads.map(lambda _: (time.sleep(0.05), provider._driver())[1], range(4)))
    assert len({id(driver) for driver in drivers}) == 4


def test_all_threads_share_one_token(cloud, provider):
    cloud.latency = 0.02
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda _: provider.list(), range(50)))
    assert (cloud.counts["GET /servers/detail"], cloud.counts[SIGN_IN]) == (50, 1)


def test_a_token_that_ends_in_the_middle_is_replaced_once_for_all(cloud, provider):
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda _: provider.list(), range(20)))
        cloud.expire_tokens()
        cloud.clear_calls()
        list(threads.map(lambda _: provider.list(), range(50)))
    assert cloud.counts[SIGN_IN] == 1


@pytest.mark.parametrize(
    "values",
    [{}, {"size": "new"}, {"image": "new"}, {"placement": {"userserver_net": "new"}}],
    ids=["server", "size", "image", "network"],
)
@pytest.mark.parametrize("knows_older_token", [True, False])
def test_no_call_is_lost_to_a_token_that_ends_early(cloud, provider, values, knows_older_token):
    """Whichever service refuses it, and whatever token the thread used last."""
    private = {"userserver_net": "private"}
    with ThreadPoolExecutor(1) as thread:
        if knows_older_token:
            thread.submit(provider.list).result()
            cloud.expire_tokens()
        provider.create(request(placement=private))
        cloud.images["i2"] = Image("i2", "new")
        cloud.flavors["f2"] = Flavor("f2", "new", 1, 1)
        cloud.networks["n2"] = Network("n2", "new")
        cloud.expire_tokens()
        cloud.clear_calls()
        thread.submit(provider.create, request("bob", **{"placement": private, **values})).result()
    assert len(cloud.servers) == 2
    assert cloud.counts[SIGN_IN] == 1


def test_tokens_that_last_for_seconds_will_do(cloud, provider):
    cloud.token_seconds = 0.3
    cloud.clock_skew_seconds = 60  # so nobody sees it coming
    for number in range(3):
        provider.create(request(f"user-{number}"))
        provider.list()
        time.sleep(0.3)
    assert len(cloud.servers) == 3
    assert cloud.counts[SIGN_IN] <= 4


def test_a_password_that_is_no_longer_right_is_unreachable_and_tried_once_a_call(cloud, provider):
    provider.list()
    cloud.expire_tokens()
    cloud.password = "changed"
    cloud.clear_calls()
    with pytest.raises(ProviderUnreachable, match="does not let the hub in"):
        provider.list()
    assert cloud.counts[SIGN_IN] <= 2


# --- signing in ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/", "/v3", "/v3/", "/identity", "/identity/v3", "/identity/v3/auth/tokens"])
def test_an_auth_url_may_end_in_a_version_or_not(cloud, path):
    cloud.refuses_doubled_version = True
    params = cloud.driver_params(ex_force_auth_url=cloud.auth_url + path)
    assert OpenStackProvider("hub", params).list() == []


def test_an_application_credential_will_do(cloud):
    params = {
        "arg_user_id": cloud.application_credential,
        "arg_key": cloud.application_secret,
        "ex_force_auth_url": cloud.auth_url,
        "ex_force_auth_version": "3.x_appcred",
        "ex_force_service_region": cloud.region,
    }
    assert OpenStackProvider("hub", params).list() == []


@pytest.mark.parametrize("version", ["1.1", "2.0", None])
def test_the_driver_is_the_one_with_pages_whatever_is_asked_for(cloud, version):
    provider = OpenStackProvider("hub", cloud.driver_params(**({"api_version": version} if version else {})))
    assert isinstance(provider._driver(), OpenStack_2_NodeDriver)
    cloud.page_size = 1
    for number in range(3):
        provider.create(request(f"user-{number}"))
    assert len(provider.list()) == 3


def write_clouds(path, cloud, **clouds):
    auth = {
        "auth_url": cloud.auth_url + "/v3",
        "username": cloud.user,
        "password": cloud.password,
        "project_name": cloud.project,
        "user_domain_name": "Default",
    }
    entries = {"campus": {"auth": auth, "region_name": cloud.region}, **clouds}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"clouds": entries}))


def test_credentials_come_from_a_file(cloud, tmp_path):
    write_clouds(tmp_path / "my-clouds.yaml", cloud, other={"auth": {"auth_url": "http://127.0.0.1:1"}})
    assert OpenStackProvider("hub", {}, "campus", str(tmp_path / "my-clouds.yaml")).list() == []


@pytest.mark.parametrize("place", ["clouds.yaml", ".config/openstack/clouds.yaml"])
def test_the_file_is_found_where_openstack_looks(cloud, tmp_path, place):
    write_clouds(tmp_path / place, cloud)
    assert OpenStackProvider("hub", {}, "campus").list() == []


def test_a_file_may_hold_an_application_credential(cloud, tmp_path):
    auth = {
        "auth_url": cloud.auth_url,
        "application_credential_id": cloud.application_credential,
        "application_credential_secret": cloud.application_secret,
    }
    write_clouds(
        tmp_path / "clouds.yaml",
        cloud,
        campus={"auth_type": "v3applicationcredential", "auth": auth, "region_name": cloud.region},
    )
    assert OpenStackProvider("hub", {}, "campus").list() == []


def test_credentials_come_from_the_environment(cloud, monkeypatch):
    for name, value in {
        "AUTH_URL": cloud.auth_url + "/v3",
        "USERNAME": cloud.user,
        "PASSWORD": cloud.password,
        "PROJECT_NAME": cloud.project,
        "REGION_NAME": cloud.region,
    }.items():
        monkeypatch.setenv(f"OS_{name}", value)
    assert OpenStackProvider("hub", {}).list() == []


def test_what_is_set_goes_before_file_and_environment(cloud, tmp_path, monkeypatch):
    write_clouds(tmp_path / "clouds.yaml", cloud)
    monkeypatch.setenv("OS_USERNAME", "somebody")
    parameters, _ = driver_parameters({"arg_user_id": "set"}, "campus")
    assert (parameters["key"], parameters["secret"]) == ("set", PASSWORD)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "lacks arg_user_id .*arg_key .*ex_force_auth_url .*ex_tenant_name"),
        ({"arg_user_id": "u", "arg_key": PASSWORD, "ex_tenant_name": "p"}, "lacks ex_force_auth_url"),
        (
            {"arg_user_id": "u", "arg_key": PASSWORD, "ex_tenant_name": "p", "ex_force_auth_url": "cloud:5000"},
            "must be like https://",
        ),
    ],
)
def test_credentials_that_lack_something_are_refused_in_words(given, message):
    with pytest.raises(CredentialsError, match=message) as caught:
        driver_parameters(given)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clouds: {a: {}, b: {}}", "has no cloud 'campus'; it has: a, b"),
        (f"clouds: [{PASSWORD}", "no clouds.yaml that can be read"),
        (PASSWORD, "no clouds.yaml that can be read"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_words(tmp_path, text, message):
    (tmp_path / "clouds.yaml").write_text(text)
    with pytest.raises(CredentialsError, match=message) as caught:
        driver_parameters({}, "campus")
    assert PASSWORD not in str(caught.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """The certificate of an authority of one's own, and a file with a certificate that it signed and its key."""
    folder = tmp_path_factory.mktemp("authority")
    certipy = Certipy(store_dir=str(folder))
    certipy.create_ca("authority")
    files = certipy.create_signed_pair("cloud", "authority", alt_names=["IP:127.0.0.1"])["files"]
    both = folder / "both.pem"
    both.write_text(Path(files["cert"]).read_text() + Path(files["key"]).read_text())
    return str(certipy.store.get_record("authority")["files"]["cert"]), str(both)


@pytest.mark.parametrize("way", ["parameter", "file", "environment"])
def test_a_private_authority_is_trusted_where_it_is_named(authority, tmp_path, monkeypatch, way):
    certificate, both = authority
    with FakeCloud(certificate=both, password=PASSWORD) as cloud:
        if way == "parameter":
            provider = OpenStackProvider("hub", cloud.driver_params(verify_ssl_cert=certificate))
        elif way == "file":
            write_clouds(tmp_path / "clouds.yaml", cloud)
            clouds = yaml.safe_load((tmp_path / "clouds.yaml").read_text())
            clouds["clouds"]["campus"]["cacert"] = certificate
            (tmp_path / "clouds.yaml").write_text(json.dumps(clouds))
            provider = OpenStackProvider("hub", {}, "campus")
        else:
            monkeypatch.setenv("OS_CACERT", certificate)
            provider = OpenStackProvider("hub", cloud.driver_params())
        assert cloud.auth_url.startswith("https://")
        assert provider.list() == []


def test_a_private_authority_that_is_not_named_is_not_trusted(authority):
    with FakeCloud(certificate=authority[1]) as cloud:
        with pytest.raises(ProviderUnreachable, match="certificate verify failed"):
            OpenStackProvider("hub", cloud.driver_params()).list()
        assert cloud.counts[SIGN_IN] == 0


def test_trust_in_everybody_has_to_be_asked_for(cloud):
    assert driver_parameters(cloud.driver_params())[1] is not False
    assert driver_parameters(cloud.driver_params(verify_ssl_cert=False))[1] is False


# --- secrets ------------------------------------------------------------------------------------------------


def everything_said(error):
    said = []
    while error is not None:
        said += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(said)


def test_no_secret_is_in_what_may_be_printed(cloud, provider, caplog):
    caplog.set_level(logging.DEBUG)
    said = [repr(provider), repr(provider.create(request()))]
    (token,) = cloud.tokens
    troubles = [
        faults.answer("POST", "/servers", 400, message="Invalid input"),
        faults.answer("POST", "/servers", 500),
        faults.accept_then_cut("POST", "/servers"),
        faults.accept_then_garble("POST", "/servers"),
        faults.answer("POST", "/servers", 401, times=3),
    ]
    for trouble in troubles:
        cloud.heal()
        cloud.inject(trouble)
        with pytest.raises(ProviderError) as caught:
            provider.create(request())
        said.append(everything_said(caught.value))
    cloud.heal()
    for trouble in (faults.answer("POST", "/v3/auth/tokens", 401), faults.cut("POST", "/v3/auth/tokens")):
        cloud.inject(trouble)
        with pytest.raises(ProviderError) as caught:
            OpenStackProvider("hub", cloud.driver_params()).list()
        said.append(everything_said(caught.value))
    text = "\n".join([*said, caplog.text])
    assert "Invalid input" in text
    for secret in (PASSWORD, TOKEN, base64.b64encode(TOKEN.encode()).decode()[:20], token, *cloud.tokens):
        assert secret not in text
