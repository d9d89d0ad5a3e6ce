# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
from contextlib import suppress
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jupyterhub.spawner import SpawnException
from libcloudspawner import form, options
from libcloudspawner.options import Choice, Image, Size
from traitlets import TraitError

SIZES = options.parse_sizes([("Small", "small"), {"name": "large", "default": True}])
IMAGES = options.parse_images([("Python", "default"), ("R", "r")])

TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


class Page(HTMLParser):
    """The radio buttons, tags and words of a form."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.radios: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "input":
            self.radios.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    def checked(self, field: str) -> list[str | None]:
        return [radio["value"] for radio in self.radios if radio["name"] == field and "checked" in radio]


def page_of(sizes, images, user_options=None) -> Page:
    return Page(form.render_form(sizes, images, [], options.choose(user_options or {}, sizes, images), None))


# --- the administrator's lists ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (("Small one", "small"), Size("small", "Small one")),
        (["Small one", "small"], Size("small", "Small one")),
        ({"name": "small"}, Size("small", "small")),
        ({"name": "small", "display_name": "", "mem_limit": None}, Size("small", "small")),
        ({"name": "small", "mem_limit": "1.5G"}, Size("small", "small", mem_limit=3 * 2**29)),
        ({"name": "small", "mem_limit": 2**30}, Size("small", "small", mem_limit=2**30)),
        (
            {"name": "small", "cpu_limit": "0.5", "tasks_limit": "64"},
            Size("small", "small", cpu_limit=0.5, tasks_limit=64),
        ),
        ({"name": "small", "description": "For text", "default": True}, Size("small", "small", "For text", True)),
    ],
)
def test_a_size_is_a_pair_or_a_dictionary(item, expected):
    assert options.parse_sizes([item]) == [expected]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (("Python 3", "default"), Image("default", "Python 3")),
        ({"name": "r", "display_name": "R", "description": "Statistics"}, Image("r", "R", "Statistics")),
        ({"name": "r", "tag": "3f2a91c0d4e5"}, Image("r", "r", tag="3f2a91c0d4e5")),
    ],
)
def test_an_image_is_a_pair_or_a_dictionary(item, expected):
    assert options.parse_images([item]) == [expected]


@pytest.mark.parametrize(
    "items",
    [
        ["small"],
        [None],
        [("small",)],
        [("Small", "small", "2G")],
        [("", "small")],
        [("Small", "")],
        [("Small", 1)],
        [{}],
        [{"name": ""}],
        [{"name": 1}],
        [{"display_name": "Small"}],
        [{"name": "small", "memory": "2G"}],
        [{"name": "small", 1: "2G", "memory": "2G"}],
        [("Small", "small"), ("Also small", "small")],
        [{"name": "small", "default": True}, {"name": "large", "default": True}],
        *([{"name": "small", "mem_limit": value}] for value in ["2 gigs", "", "-1G", "infG", 0, math.inf, [], {}]),
        *([{"name": "small", "cpu_limit": value}] for value in ["half", "", -1, 0, math.inf, math.nan, "nan", []]),
        *([{"name": "small", "tasks_limit": value}] for value in ["many", -1, 0, 0.5, math.inf, math.nan, []]),
    ],
    ids=repr,
)
def test_a_mistake_in_the_sizes_is_one_clear_error(items):
    with pytest.raises(TraitError, match=r"^userserver_sizes: .+\.$"):
        options.parse_sizes(items)


def test_an_image_is_chosen_by_its_name_and_called_by_its_tag_too():
    images = options.parse_images([{"name": "r", "tag": "3f2a"}, {"name": "debian-12"}])
    assert [image.full_name for image in images] == ["r-3f2a", "debian-12"]
    assert options.choose({"userserver_image": "r"}, [], images).image.full_name == "r-3f2a"


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("latest", "does not say which image it is"),
        ("", "does not say which image it is"),
        ("auto", "the role hub resolves it"),
        ("A b", "small letters"),
        (7, "small letters"),
    ],
)
def test_a_tag_that_says_nothing_is_refused_with_the_reason(tag, reason):
    with pytest.raises(TraitError, match=f"^userserver_images: .* of r .*{reason}.*"):
        options.parse_images([{"name": "r", "tag": tag}])


@pytest.mark.parametrize("item", ["r", ("R",), {"name": "r", "mem_limit": "1G"}, {"display_name": "R"}], ids=repr)
def test_a_mistake_in_the_images_is_one_clear_error(item):
    with pytest.raises(TraitError, match=r"^userserver_images: .+\.$"):
        options.parse_images([item])


def test_an_error_names_the_size_the_key_and_the_value():
    with pytest.raises(TraitError, match=r"mem_limit of small .*2 gigs"):
        options.parse_sizes([{"name": "large", "mem_limit": "4G"}, {"name": "small", "mem_limit": "2 gigs"}])


# --- what a user sends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_options", "size", "image"),
    [
        ({}, "large", "default"),
        ({"userserver_size": None, "userserver_image": None}, "large", "default"),
        ({"userserver_size": "small"}, "small", "default"),
        ({"userserver_size": "small", "userserver_image": "r", "something": "else"}, "small", "r"),
    ],
)
def test_what_is_not_chosen_is_the_default_or_else_the_first(user_options, size, image):
    choice = options.choose(user_options, SIZES, IMAGES)
    assert (choice.size.name, choice.image.name) == (size, image)


@pytest.mark.parametrize("value", [None, ""])
def test_where_there_is_nothing_to_choose_nothing_is_chosen(value):
    assert options.choose({"userserver_size": value, "userserver_image": value}, [], []) == Choice(None, None)


@pytest.mark.parametrize(
    "value",
    ["huge", "SMALL", "small\n", " small", "", 0, 1, True, 1.5, [], ["small"], {}, {"name": "small"}, "x" * 10**6],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize(
    ("field", "allowed"), [("userserver_size", "small, large"), ("userserver_image", "default, r")]
)
def test_a_value_outside_of_the_list_is_refused_with_what_is_allowed(field, allowed, value):
    with pytest.raises(SpawnException) as caught:
        options.choose({field: value}, SIZES, IMAGES)
    assert caught.value.status_code == 400
    assert f"Allowed values of {field}: {allowed}." in caught.value.message
    assert len(caught.value.message) < 1000


def test_a_choice_where_there_is_none_is_refused():
    with pytest.raises(SpawnException, match="nothing to choose") as caught:
        options.choose({"userserver_size": "small"}, [], IMAGES)
    assert caught.value.status_code == 400


@given(JSON, JSON)
@example("small", ["r"])
def test_whatever_a_user_sends_is_an_offer_or_refused(size, image):
    with suppress(SpawnException):
        choice = options.choose({"userserver_size": size, "userserver_image": image}, SIZES, IMAGES)
        assert choice.size in SIZES
        assert choice.image in IMAGES


# --- the form -----------------------------------------------------------------------------------------------


@given(st.lists(TEXT, min_size=2, max_size=6, unique=True))
@example(['"><script>alert(1)</script>', "' checked x='", "&amp;", "</fieldset>", "{{ 7 * 7 }}"])
def test_what_a_browser_sends_back_is_what_was_ticked(names):
    sizes = options.parse_sizes([(f"Size {name}", name) for name in names])
    for radio, name in zip(page_of(sizes, []).radios, names, strict=True):
        user_options = form.from_form({radio["name"]: [radio["value"]]})
        assert options.choose(user_options, sizes, []).size.name == name


@given(st.lists(st.tuples(TEXT, TEXT), min_size=2, max_size=4))
@example([("<script>alert(1)</script>", "<img src=x onerror=alert(1)>"), ("</label>", "<!--")])
def test_what_offers_are_called_is_shown_as_text(offers):
    def page(offers):
        return page_of(
            options.parse_sizes(
                [
                    {"name": str(number), "display_name": name, "description": words}
                    for number, (name, words) in enumerate(offers)
                ]
            ),
            [],
        )

    shown = page(offers)
    assert shown.tags == page([("Small", "For text")] * len(offers)).tags
    assert set(shown.words) >= {words for offer in offers for words in offer}


@pytest.mark.parametrize(
    ("user_options", "size", "image"),
    [
        ({}, "large", "default"),
        ({"userserver_size": "small"}, "small", "default"),
        ({"userserver_size": "small", "userserver_image": "r"}, "small", "r"),
    ],
)
def test_one_of_each_group_is_ticked_and_it_is_the_current_choice(user_options, size, image):
    page = page_of(SIZES, IMAGES, user_options)
    assert len(page.radios) == 4
    assert page.checked("userserver_size") == [size]
    assert page.checked("userserver_image") == [image]


def test_a_group_of_one_is_not_asked_for():
    assert {radio["name"] for radio in page_of(SIZES, IMAGES[:1]).radios} == {"userserver_size"}
    assert {radio["name"] for radio in page_of([], IMAGES).radios} == {"userserver_image"}


@pytest.mark.parametrize(("sizes", "images"), [([], []), (SIZES[:1], []), (SIZES[:1], IMAGES[:1])])
def test_without_a_choice_there_is_no_form(sizes, images):
    assert form.render_form(sizes, images, [], options.choose({}, sizes, images), None) == ""


def test_the_form_says_what_a_size_is_in_words():
    sizes = options.parse_sizes([("Small", "small"), {"name": "large", "mem_limit": "2G", "cpu_limit": 0.5}])
    assert "2 GB of memory, half a processor" in page_of(sizes, []).words


@pytest.mark.parametrize(
    ("form_data", "expected"),
    [
        ({}, {}),
        ({"userserver_size": ["small"]}, {"userserver_size": "small"}),
        ({"userserver_size": ["small", "large"]}, {"userserver_size": ["small", "large"]}),
        ({"userserver_size": []}, {"userserver_size": []}),
    ],
)
def test_single_values_of_a_form_are_unpacked(form_data, expected):
    assert form.from_form(form_data) == expected


@pytest.mark.parametrize(
    ("mem_limit", "cpu_limit", "words"),
    [
        (None, None, ""),
        (2**29, None, "512 MB of memory"),
        (None, 1.0, "1 processor"),
        (None, 0.5, "half a processor"),
        (None, 0.25, "0.25 processors"),
        (3 * 2**29, 2.0, "1.5 GB of memory, 2 processors"),
        (2**40, 64.0, "1 TB of memory, 64 processors"),
        (100, None, "100 bytes of memory"),
    ],
)
def test_a_size_in_words(mem_limit, cpu_limit, words):
    assert options.in_words(Size("small", "Small", mem_limit=mem_limit, cpu_limit=cpu_limit)) == words


@given(st.integers(1024, 2**50 - 1))
def test_memory_in_words_is_short_and_nearly_exact(number):
    value, unit = options.memory_in_words(number).split()
    exponent = ["KB", "MB", "GB", "TB"].index(unit) + 1
    assert math.isclose(float(value) * 1024**exponent, number, rel_tol=0.05)
    assert 1 <= float(value) <= 1024


def test_a_form_of_the_administrators_own_takes_the_place_of_ours(tmp_path):
    (tmp_path / "options_form.html.j2").write_text(
        "{% for label, name in userserver_sizes %}<option value='{{ name }}'>{{ label }}</option>{% endfor %}"
    )
    sizes = options.parse_sizes([("<Small>", "m1.small"), ("Large", "m1.large")])
    html = form.render_form(sizes, [], [], options.choose({}, sizes, []), None, tmp_path)
    assert html == "<option value='m1.small'>&lt;Small&gt;</option><option value='m1.large'>Large</option>"


def test_a_folder_without_a_form_leaves_ours(tmp_path):
    sizes = options.parse_sizes([("Small", "m1.small"), ("Large", "m1.large")])
    choice = options.choose({}, sizes, [])
    ours = form.render_form(sizes, [], [], choice, None)
    assert form.render_form(sizes, [], [], choice, None, tmp_path) == ours


def test_the_former_names_of_the_fields_are_understood():
    sizes, images = options.parse_sizes([("S", "s"), ("L", "l")]), options.parse_images([("P", "p"), ("R", "r")])
    choice = options.choose({"machinesize": "l", "machineimage": "r"}, sizes, images)
    assert options.named(choice) == {"userserver_size": "l", "userserver_image": "r"}
