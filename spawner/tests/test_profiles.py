# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import fakes
import pytest
from fakes import FakeProvider
from hypothesis import example, given
from hypothesis import strategies as st
from jupyterhub import orm
from jupyterhub.objects import Hub
from jupyterhub.spawner import SpawnException
from libcloudspawner import form, options, overrides, profiles
from libcloudspawner import spawner as spawner_module
from libcloudspawner.fleet import Fleet
from libcloudspawner.spawner import LibcloudSpawner
from tornado.web import HTTPError
from traitlets import TraitError

# As a guide for Zero-to-JupyterHub would have it.
FROM_KUBERNETES = [
    {
        "display_name": "Training Env - Python",
        "slug": "training-python",
        "default": True,
        "profile_options": {
            "image": {
                "display_name": "Image",
                "choices": {
                    "pytorch": {
                        "display_name": "Python 3 Training Notebook",
                        "kubespawner_override": {"image": "training/python:2022.01.01"},
                    },
                    "tf": {
                        "display_name": "R 4.2 Training Notebook",
                        "default": True,
                        "kubespawner_override": {"image": "training/r:2021.12.03"},
                    },
                },
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Image location",
                    "display_name_in_choices": "Another image...",
                    "validation_regex": "^jupyter/.+:.+$",
                    "validation_message": "Must be an image of jupyter/, with its tag.",
                    "kubespawner_override": {"image": "{value}", "environment": {"FROM": "typed {value}"}},
                },
            },
        },
        "kubespawner_override": {"cpu_limit": 1, "mem_limit": "512M", "node_selector": {"pool": "small"}},
    },
    {
        "display_name": "Training Env - Datascience",
        "description": "Large & slow",
        "kubespawner_override": {"cpu_limit": 4, "mem_limit": "8G", "start_timeout": 900, "default_url": "/lab"},
    },
]


class Page(HTMLParser):
    """The fields that a browser would send for a form as it stands, and all that it shows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sent: dict[str, list[str]] = {}
        self.tags: list[str] = []
        self._select = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag == "select":
            self._select = values["name"]
        if tag == "option" and (self._select not in self.sent or "selected" in values):
            self.sent[self._select] = [values["value"]]
        if tag == "input" and (values["type"] == "text" or "checked" in values):
            self.sent[values["name"]] = [values["value"]]


@pytest.fixture
def new_spawner(monkeypatch):
    provider = FakeProvider()
    fleet = Fleet(provider)
    monkeypatch.setattr(spawner_module, "_fleet_of", lambda provider, settings: fleet)

    def new_spawner(user_options: Any = None, **settings: Any) -> LibcloudSpawner:
        return LibcloudSpawner(
            user=fakes.user(),
            hub=Hub(),
            orm_spawner=SimpleNamespace(name="", server=None, user_options=user_options),
            user_options=user_options or {},
            **settings,
        )

    yield new_spawner
    provider.close()


async def applied(spawner: LibcloudSpawner) -> LibcloudSpawner:
    await spawner._run_apply_user_options(spawner.user_options)
    return spawner


def parsed(value: Any) -> list[profiles.Profile]:
    return profiles.parse(value, lambda override, where: override)


# --- what is chosen -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_options", "expected"),
    [
        ({}, {"image": "training/r:2021.12.03", "cpu_limit": 1, "mem_limit": 512 * 2**20}),
        ({"profile": "training-python", "image": "pytorch"}, {"image": "training/python:2022.01.01"}),
        (
            {"profile": "training-env-datascience"},
            {"image": "", "mem_limit": 8 * 2**30, "start_timeout": 900, "default_url": "/lab"},
        ),
        (
            {"profile": "training-python", "image--unlisted-choice": "jupyter/base:1"},
            {"image": "jupyter/base:1", "environment": {"CLASS": "A", "FROM": "typed jupyter/base:1"}},
        ),
        (
            {"image": "unlisted-choice", "image--unlisted-choice": "jupyter/base:1"},
            {"image": "jupyter/base:1"},
        ),
        # What was typed before another choice was made.
        ({"image": "pytorch", "image--unlisted-choice": "jupyter/base:1"}, {"image": "training/python:2022.01.01"}),
    ],
)
async def test_a_list_made_for_kubernetes_sets_what_it_says(new_spawner, user_options, expected):
    spawner = await applied(new_spawner(user_options, profile_list=FROM_KUBERNETES, environment={"CLASS": "A"}))
    assert {name: getattr(spawner, name) for name in expected} == expected


def test_what_only_kubernetes_knows_is_left_out_and_told_once(new_spawner, caplog):
    overrides._told.clear()
    for _spawner in range(2):
        new_spawner(profile_list=FROM_KUBERNETES).check_settings()
    assert [record.getMessage() for record in caplog.records] == [
        "profile_list: Training Env - Python: node_selector has a meaning on Kubernetes alone and has no effect here."
    ]


@pytest.mark.parametrize(
    ("user_options", "message"),
    [
        ({"profile": "gpu"}, "Allowed values of profile: training-python, training-env-datascience"),
        ({"image": "julia"}, "Allowed values of image: pytorch, tf"),
        ({"image": ["tf"]}, "Allowed values of image"),
        ({"image--unlisted-choice": "evil/image:1"}, "Must be an image of jupyter/, with its tag."),
        ({"image--unlisted-choice": "jupyter/x:1\nx"}, "please type a value"),
        ({"image": "unlisted-choice"}, "Image location: please type a value"),
        ({"image": "unlisted-choice", "image--unlisted-choice": {"a": 1}}, "please type a value"),
    ],
)
async def test_what_is_not_offered_is_refused_in_words(new_spawner, user_options, message):
    with pytest.raises(HTTPError) as caught:
        await applied(new_spawner(user_options, profile_list=FROM_KUBERNETES))
    assert caught.value.status_code == 400
    assert message in caught.value.jupyterhub_message


async def test_a_profile_where_there_is_none_is_refused(new_spawner):
    with pytest.raises(SpawnException, match="nothing to choose"):
        await applied(new_spawner({"profile": "gpu"}))


@given(st.dictionaries(st.sampled_from(["profile", "image", "image--unlisted-choice"]), st.text() | st.none()))
@example({"profile": "training-python", "image": "tf", "image--unlisted-choice": ""})
def test_whatever_is_sent_becomes_what_is_allowed_or_is_refused(user_options):
    try:
        choice = profiles.choose(user_options, parsed(FROM_KUBERNETES))
    except SpawnException:
        return
    image = {name: value for override in choice.overrides for name, value in override.items()}.get("image", "")
    assert image in ("", "training/python:2022.01.01", "training/r:2021.12.03") or image.startswith("jupyter/")


async def test_a_profile_goes_before_the_size_and_image_that_were_chosen(new_spawner):
    spawner = await applied(
        new_spawner(
            {"profile": "big", "userserver_size": "s", "userserver_image": "r"},
            userserver_sizes=[{"name": "s", "mem_limit": "1G", "tasks_limit": 50}],
            userserver_images=[("Python", "default"), ("R", "r")],
            profile_list=[{"display_name": "Big", "spawner_override": {"mem_limit": "4G"}}],
        )
    )
    assert (spawner.mem_limit, spawner.tasks_limit, spawner.image) == (2**32, 50, "r")
    assert spawner._request().choices == {"userserver_size": "s", "userserver_image": "r", "profile": "big"}


async def test_overrides_may_be_callables_and_remove_keys(new_spawner):
    override = {"default_url": lambda spawner: f"/lab/{spawner.user.name}", "environment": {"OLD": None, "NEW": "1"}}
    spawner = await applied(
        new_spawner(
            environment={"OLD": "1", "KEPT": "1"},
            profile_list=[{"display_name": "One", "spawner_override": override}],
        )
    )
    assert spawner.default_url == "/lab/alice"
    assert spawner.environment == {"KEPT": "1", "NEW": "1"}


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_callable_offers_each_user_what_it_says(new_spawner, is_async):
    def for_user(spawner):
        return [{"display_name": f"For {spawner.user.name}", "spawner_override": {"cpu_limit": 2}}]

    async def for_user_later(spawner):
        return for_user(spawner)

    spawner = await applied(
        new_spawner({"profile": "for-alice"}, profile_list=for_user_later if is_async else for_user)
    )
    assert spawner.cpu_limit == 2


async def test_a_dictionary_of_profiles_is_by_slug(new_spawner):
    listed = {"cpu": {"display_name": "CPU"}, "gpu": {"display_name": "GPU", "spawner_override": {"cpu_limit": 3}}}
    assert (await applied(new_spawner({"profile": "gpu"}, profile_list=listed))).cpu_limit == 3


SIZE = {"userserver_sizes": [{"name": "small", "mem_limit": "2G"}]}
PROFILE = {"profile_list": [{"display_name": "Course", "spawner_override": {"mem_limit": "3G"}}]}


@pytest.mark.parametrize(
    ("groups", "settings", "gigabytes", "cpus"),
    [
        (["teachers"], {}, 16, 8),
        (["students"], {}, 1, 1),
        ([], {}, 1, 1),
        (["teachers"], SIZE, 2, 8),
        (["teachers"], PROFILE, 3, 8),
        (["teachers"], SIZE | PROFILE, 3, 8),
    ],
)
async def test_what_a_group_has_comes_before_the_size_and_that_before_the_profile(
    new_spawner, groups, settings, gigabytes, cpus
):
    overrides = {"teachers": {"groups": ["teachers"], "spawner_override": {"mem_limit": "16G", "cpu_limit": 8}}}
    spawner = new_spawner(group_overrides=overrides, mem_limit="1G", cpu_limit=1, **settings)
    spawner.user = orm.User(name="alice", groups=[orm.Group(name=name) for name in groups])
    await spawner.apply_group_overrides()
    await applied(spawner)
    assert (spawner.mem_limit, spawner.cpu_limit) == (gigabytes * 2**30, cpus)


async def test_how_servers_are_reached_cannot_differ_from_user_to_user(new_spawner):
    spawner = new_spawner(group_overrides={})
    spawner.hub_id = "another"
    with pytest.raises(SpawnException, match="cannot differ from user to user"):
        await spawner.start()


# --- the administrator's list -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("gpu", "a profile must be a dictionary"),
        ({"slug": "x"}, "display_name is missing"),
        ({"display_name": "X", "discription": "y"}, "unknown keys .'discription'."),
        ({"display_name": "X", "slug": "a b"}, "slug must be letters"),
        (
            {"display_name": "X", "spawner_override": {"mem_limt": 1}},
            "mem_limt is not a setting .*did you mean mem_limit",
        ),
        ({"display_name": "X", "spawner_override": {"mem_limit": "much"}}, "X: "),
        ({"display_name": "X", "spawner_override": {"hub_id": "b"}}, "hub_id is the same for all users"),
        ({"display_name": "X", "spawner_override": {"max_age": 60}}, "max_age is the same for all users"),
        ({"display_name": "X", "spawner_override": {"cmd": 5}}, "X: "),
        ({"display_name": "X", "spawner_override": {"a": 1}, "kubespawner_override": {"a": 1}}, "mean the same"),
        ({"display_name": "X", "profile_options": {"o": {"choices": {}}}}, "X, option o: there are neither choices"),
        ({"display_name": "X", "profile_options": {"profile": {"choices": {"a": {}}}}}, "the name of an option"),
        (
            {
                "display_name": "X",
                "profile_options": {"o": {"unlisted_choice": {"enabled": True, "validation_regex": "("}}},
            },
            "is no regular expression",
        ),
        (
            {"display_name": "X", "profile_options": {"o": {"choices": {"a": {"default": 1}, "b": {"default": 1}}}}},
            "only one may be the default",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_says_where(new_spawner, profile, message):
    with pytest.raises(TraitError, match=message):
        new_spawner(profile_list=[profile]).check_settings()


def test_two_profiles_of_one_slug_are_refused():
    with pytest.raises(TraitError, match="only once"):
        parsed([{"display_name": "A b"}, {"display_name": "a-B"}])


@pytest.mark.parametrize("name", ["Großer Rechner", "日本語", "../x", "a" * 300, "<b>"])
def test_every_display_name_gives_a_slug_that_a_form_can_send(name):
    [profile] = parsed([{"display_name": name}])
    assert profiles._SLUG.fullmatch(profile.name)


# --- the form -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "last",
    [
        {},
        {"profile": "training-python", "image": "pytorch"},
        {"profile": "training-python", "image": "unlisted-choice", "image--unlisted-choice": "jupyter/base:1"},
        {"profile": "training-env-datascience"},
    ],
)
async def test_the_form_sends_what_was_chosen_last(new_spawner, last):
    spawner = new_spawner(last, profile_list=FROM_KUBERNETES)
    sent = form.from_form(Page(await spawner.get_options_form()).sent)
    offered = await spawner._profiles()
    assert profiles.choose(sent, offered) == profiles.choose(last, offered)


async def test_the_form_says_what_a_profile_gives_in_words(new_spawner):
    html = await new_spawner(profile_list=FROM_KUBERNETES).get_options_form()
    assert "8 GB of memory, 4 processors" in html
    assert "Large &amp; slow" in html


async def test_one_profile_without_options_is_not_asked_for(new_spawner):
    assert await new_spawner(profile_list=FROM_KUBERNETES[1:]).get_options_form() == ""


async def test_a_profile_that_is_no_longer_offered_is_forgotten(new_spawner):
    spawner = new_spawner({"profile": "gone"}, profile_list=FROM_KUBERNETES)
    assert Page(await spawner.get_options_form()).sent["profile"] == ["training-python"]
    assert spawner.orm_spawner.user_options == {}


async def test_what_was_typed_wrong_is_shown_again_to_be_mended(new_spawner):
    last = {"profile": "training-python", "image": "unlisted-choice", "image--unlisted-choice": "evil/image:1"}
    sent = Page(await new_spawner(last, profile_list=FROM_KUBERNETES).get_options_form()).sent
    assert form.from_form(sent) == last


async def test_a_form_of_the_administrators_own_gets_the_list_as_it_was_made(new_spawner):
    own = "{% for p in profile_list %}{{ p.slug }}={{ p.profile_options.image.choices.tf.display_name }};{% endfor %}"
    html = await new_spawner(profile_list=FROM_KUBERNETES[:1] * 1, profile_form_template=own).get_options_form()
    assert html == "training-python=R 4.2 Training Notebook;"


def test_what_other_profiles_ask_for_is_not_taken_over():
    sent = {
        "profile": ["a"],
        "profile-option-a--image": ["x"],
        "profile-option-b--image": ["y"],
        "profile-option-b--image--unlisted-choice": ["z"],
        options.SIZE_FIELD: ["s"],
    }
    assert form.from_form(sent) == {"profile": "a", "image": "x", options.SIZE_FIELD: "s"}
