# SPDX-License-Identifier: BSD-3-Clause
"""Images that are built for a hub, in a cloud that fails on demand."""

from __future__ import annotations

import base64
import json
import sys
from io import StringIO

import pytest
from fakecloud import FOREVER, Image, faults
from launch import launch_request
from libcloudspawner import images as command
from libcloudspawner.providers import openstack_images
from libcloudspawner.providers.base import OutcomeUnknown, ProviderError
from libcloudspawner.providers.openstack import OpenStackProvider
from libcloudspawner.providers.openstack_images import BuiltImage, OpenStackImages, newest, superfluous


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(openstack_images, "_POLL_SECONDS", 0.01)


@pytest.fixture
def images(cloud):
    return OpenStackImages("hub", cloud.driver_params())


def boot(images, name="jupyter", tag="a1", **values):
    order = {"source": "debian-12", "size": "small", "user_data": "#cloud-config\n", "reached_from": "10.0.0.1"}
    return images.boot(name, tag, **{**order, **values})


def build(cloud, images, name="jupyter", tag="a1"):
    boot(images, name, tag)
    (builder,) = (server for server in cloud.servers.values() if server.name == f"{name}-{tag}-builder")
    cloud.stop_server(builder.id)
    return images.snapshot(name)


def built(tag, created, **values):
    whole = {"id": f"i-{tag}", "name": "jupyter", "tag": tag, "created": created, "is_whole": True}
    return BuiltImage(**{**whole, **values})


# --- which one ----------------------------------------------------------------------------------------------


def test_the_newest_is_the_one_that_was_made_last_and_is_whole():
    there = [
        built("b", "2026-02-01"),
        built("c", "2026-03-01", is_whole=False),
        built("a", "2026-01-01"),
        built("z", "2026-01-01", name="r"),
    ]
    assert newest(there) == {"jupyter": "b", "r": "z"}


@pytest.mark.parametrize(
    ("kept", "offered", "deleted"),
    [
        (0, [], ["a", "b", "c"]),
        (1, [], ["a", "b"]),
        (1, ["jupyter-a"], ["b"]),
        (1, ["i-b"], ["a"]),
        (3, [], []),
        (9, [], []),
    ],
)
def test_the_newest_some_former_ones_and_what_is_offered_are_kept(kept, offered, deleted):
    there = [built(tag, f"2026-0{month}-01") for month, tag in enumerate("abcd", 1)]
    there += [built("0", "2020-01-01", name="r"), built("e", "2019-01-01", is_whole=False)]
    assert [image.tag for image in superfluous(there, "jupyter", kept, offered)] == deleted


# --- how one is built ---------------------------------------------------------------------------------------


def test_an_image_is_built_and_found_by_its_marks(cloud, images):
    image = build(cloud, images)
    assert (image.full_name, image.is_whole) == ("jupyter-a1", True)
    assert images.images() == [image]
    assert newest(images.images()) == {"jupyter": "a1"}
    assert OpenStackImages("another-hub", cloud.driver_params()).images() == []


def test_the_machine_is_made_as_it_was_asked_for_and_lets_in_one_address_by_ssh(cloud, images):
    address = boot(images, size="large", network="private", zone="west", config_drive=True)
    (server,) = cloud.servers.values()
    assert (server.name, server.address, server.flavor) == ("jupyter-a1-builder", address, "2")
    assert (server.availability_zone, server.config_drive) == ("west", True)
    assert base64.b64decode(server.user_data) == b"#cloud-config\n"
    (group,) = (one for one in cloud.security_groups.values() if one.name in server.security_groups)
    (rule,) = group.rules
    assert (rule["port_range_min"], rule["port_range_max"], rule["remote_ip_prefix"]) == (22, 22, "10.0.0.1/32")


def test_two_images_that_are_built_at_once_share_what_lets_ansible_in(cloud, images):
    for name in ("jupyter", "r"):
        boot(images, name)
    (group,) = (one for one in cloud.security_groups.values() if one.name != "default")
    assert len(group.rules) == 1
    with pytest.raises(ProviderError, match="Nobody could log in to the machine from 'home'"):
        boot(images, "sql", reached_from="home")


def test_the_hub_does_not_see_the_machine_that_an_image_is_built_on(cloud, images):
    boot(images)
    assert OpenStackProvider("hub", cloud.driver_params()).list() == []


def test_a_machine_that_the_cloud_cannot_start_says_why(cloud, images):
    cloud.inject(faults.boot_fails(message="No valid host was found."))
    with pytest.raises(ProviderError, match="it says: No valid host was found"):
        boot(images)


def test_a_machine_that_does_not_shut_down_is_no_image(cloud, images, monkeypatch):
    monkeypatch.setattr(openstack_images, "_SHUTDOWN_SECONDS", 0.05)
    boot(images)
    with pytest.raises(ProviderError, match="The machine did not shut down within"):
        images.snapshot("jupyter")
    assert images.images() == []


def test_a_snapshot_that_the_cloud_refuses_leaves_nothing_once_discarded(cloud, images):
    cloud.inject(faults.answer("POST", "/servers/{id}/action", 500, times=FOREVER))
    with pytest.raises(OutcomeUnknown):
        build(cloud, images)
    assert images.discard() == ["jupyter-a1-builder"]
    assert (cloud.servers, images.images()) == ({}, [])


def test_a_snapshot_that_the_cloud_gives_up_is_no_image(cloud, images, monkeypatch):
    cloud.snapshot_seconds = 60
    real = OpenStackImages.images

    def given_up(self):
        found = real(self)
        for image in found:
            del cloud.images[image.id]
        return found and real(self)

    monkeypatch.setattr(OpenStackImages, "images", given_up)
    with pytest.raises(ProviderError, match="gave up the snapshot jupyter-a1"):
        build(cloud, images)


# --- what is left -------------------------------------------------------------------------------------------


def test_what_a_broken_build_has_left_is_discarded_and_nothing_else(cloud, images):
    whole = build(cloud, images, tag="a0")
    images.discard()
    user = OpenStackProvider("hub", cloud.driver_params()).create(launch_request("ada", image="jupyter", port=8000))
    other = OpenStackImages("another-hub", cloud.driver_params())
    boot(other, tag="b1")
    boot(images)
    half = Image("half", "jupyter-a1", properties={**cloud.images[whole.id].properties, "libcloudspawner-tag": "a1"})
    half.status = "saving"
    cloud.images["half"] = half

    assert images.discard() == ["jupyter-a1", "jupyter-a1-builder"]
    assert {server.name for server in cloud.servers.values()} == {"jupyter-ada", "jupyter-b1-builder"}
    assert user.id in cloud.servers
    assert images.images() == [whole]
    groups = {group.name for group in cloud.security_groups.values()}
    assert groups == {"default", "jupyterhub-builder-another-hub"}
    assert images.discard() == []


def test_a_machine_whose_making_was_not_answered_is_discarded_too(cloud, images):
    cloud.inject(faults.accept_then_cut("POST", "/servers"))
    with pytest.raises(OutcomeUnknown):
        boot(images)
    assert images.discard() == ["jupyter-a1-builder"]


def test_an_image_that_a_machine_needs_stays(cloud, images):
    image = build(cloud, images)
    cloud.inject(faults.answer("DELETE", "/v2/images/{id}", 409, message="in use"))
    assert not images.delete(image)
    assert images.delete(image)
    assert images.delete(image), "one that is gone already is fine"
    assert images.images() == []


def test_what_somebody_makes_of_a_machine_that_started_from_an_image_is_not_ours(cloud, images):
    image = build(cloud, images)
    cloud.images["own"] = Image("own", "ada's work", properties=cloud.images[image.id].properties)
    assert images.images() == [image]


def test_there_is_an_id_for_each_name_that_only_one_image_has(cloud, images):
    cloud.images["i2"], cloud.images["i3"] = Image("i2", "twin"), Image("i3", "twin")
    sources = images.sources()
    assert sources["twin"] == ""
    assert cloud.images[sources["debian-12"]].name == "debian-12"


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def say(cloud, tmp_path, monkeypatch, capsys):
    """Call the command with a configuration like the hub's, and take what it says."""

    def say(verb, *arguments, order=None, **traits):
        settings = {
            "provider": "openstack",
            "hub_id": "hub",
            "libcloud_driver_params": cloud.driver_params(),
            "userserver_sizes": [{"name": "small"}, {"name": "large"}],
            "userserver_images": [{"name": "debian-12"}],
            **traits,
        }
        config = tmp_path / "jupyterhub_config.py"
        lines = ["c.JupyterHub.spawner_class = 'libcloudspawner.spawner.LibcloudSpawner'"]
        lines += [f"c.LibcloudSpawner.{name} = {value!r}" for name, value in settings.items()]
        config.write_text("\n".join(lines))
        monkeypatch.setattr(sys, "argv", ["images", verb, str(config), *arguments])
        monkeypatch.setattr(sys, "stdin", StringIO(json.dumps(order)))
        monkeypatch.chdir(tmp_path)
        code = command.main()
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return say


ORDER = {"name": "jupyter", "tag": "a1", "source": "debian-12", "size": "", "user_data": "", "reached_from": "10.0.0.1"}


def test_the_command_builds_lists_and_removes(cloud, say):
    code, address, _ = say("boot", order=ORDER)
    (server,) = cloud.servers.values()
    assert (code, address, server.flavor) == (0, server.address, "1")
    cloud.stop_server(server.id)
    assert say("snapshot", "jupyter") == (0, "jupyter-a1", "")
    listed = json.loads(say("list")[1])
    assert listed["newest"] == {"jupyter": "a1"}
    assert [image["is_whole"] for image in listed["images"]] == [True]
    assert set(listed["sources"]) == {"debian-12", "jupyter", "jupyter-a1"}
    assert say("remove") == (0, "jupyter-a1-builder\njupyter-a1", "")
    assert say("remove") == (0, "", "")
    assert {image.name for image in cloud.images.values()} == {"debian-12", "jupyter"}


def test_the_command_prunes_all_but_what_the_configuration_offers(cloud, images, say):
    for number, tag in enumerate(("a1", "a2", "a3", "a4")):
        image = build(cloud, images, tag=tag)
        cloud.images[image.id].created = 1e9 + number
        images.discard()
    offered = [{"name": "jupyter", "tag": "a2"}]
    assert say("prune", "1", "jupyter", userserver_images=offered) == (0, "jupyter-a1", "")
    assert {image.tag for image in images.images()} == {"a2", "a3", "a4"}


def test_the_command_prunes_nothing_that_a_profile_a_choice_or_a_group_names(cloud, images, say):
    for number, tag in enumerate(("a1", "a2", "a3", "a4", "a5")):
        image = build(cloud, images, tag=tag)
        cloud.images[image.id].created = 1e9 + number
        images.discard()
    choices = {"former": {"display_name": "Former", "spawner_override": {"image": "jupyter-a2"}}}
    profile = {
        "display_name": "Old",
        "spawner_override": {"image": "jupyter-a1"},
        "profile_options": {"release": {"display_name": "Release", "choices": choices}},
    }
    groups = {"physics": {"groups": ["physics"], "spawner_override": {"image": "jupyter-a3"}}}
    assert say("prune", "0", "jupyter", profile_list=[profile], group_overrides=groups) == (0, "jupyter-a4", "")


def test_the_command_says_what_went_wrong(cloud, say):
    cloud.inject(faults.quota_exceeded(times=FOREVER))
    code, _, error = say("boot", order=ORDER)
    assert code == 1
    assert "Quota exceeded for instances" in error
    assert say("list", provider="systemd")[::2] == (1, "The hub does not make machines of an OpenStack cloud.")
    assert say("nonsense")[0] == 2
