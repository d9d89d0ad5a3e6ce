# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from libcloudspawner import naming
from traitlets import TraitError

VALID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

NAMES = st.one_of(
    st.text(min_size=1),
    st.text("aA0-._@/ é\0", min_size=1, max_size=8),
    st.from_regex(VALID, fullmatch=True),
    st.from_regex(r"[a-z]{1,3}-[0-9a-f]{12}", fullmatch=True),
    st.text("ab-", min_size=30, max_size=200),
)
SERVERS = st.one_of(st.just(""), NAMES)


@given(NAMES, SERVERS)
@example("../../etc/passwd", "..")
@example("\ud800", "\n")
@example("a" * 200, "b" * 200)
@example("a" * 54 + "-" + "a" * 20, "")
def test_the_name_of_an_instance_is_valid_short_and_the_same_tomorrow(user, server):
    name = naming.instance_name(user, server)
    assert VALID.fullmatch(name)
    assert len(name) <= 63
    assert naming.instance_name(user, server) == name


@given(NAMES, st.integers(1, 10**9))
def test_the_name_of_an_account_is_one_that_a_host_accepts(user, user_id):
    assert ACCOUNT.fullmatch(naming.account_name("jupyter-{USERNAME}", user, user_id))


SIMILAR = [
    (("alice", ""), ("Alice", "")),
    (("alice", ""), ("alice.", "")),
    (("a.b@x.org", ""), ("a-b@x.org", "")),
    (("a.b@x.org", ""), ("a_b@x.org", "")),
    (("é", ""), ("e\u0301", "")),
    (("ä", ""), ("ö", "")),
    (("../alice", ""), ("alice", "")),
    (("", "a"), ("-", "a")),
    (("a" * 200, ""), ("a" * 199, "")),
    (("a" * 200 + "x", ""), ("a" * 200 + "y", "")),
    (("a", "b-c"), ("a-b", "c")),
    (("a", "b"), ("a-b", "")),
    (("a", "b"), ("a", "B")),
    (("a", ""), ("a", "a")),
    (("a", "b" * 100 + "x"), ("a", "b" * 100 + "y")),
    (("\U00010000", ""), ("\ud800\udc00", "")),
    (("a", "b"), ("a\0b", "")),
    (("a\0b", "c"), ("a", "b\0c")),
]


@pytest.mark.parametrize(("one", "other"), SIMILAR)
def test_similar_users_and_servers_have_instances_of_their_own(one, other):
    assert naming.instance_name(*one) != naming.instance_name(*other)


@given(st.lists(st.tuples(NAMES, SERVERS), unique=True, min_size=2, max_size=8))
def test_different_users_and_servers_have_instances_of_their_own(pairs):
    assert len({naming.instance_name(*pair) for pair in pairs}) == len(pairs)


@given(st.lists(NAMES, unique=True, min_size=2, max_size=8))
def test_different_users_have_accounts_of_their_own(users):
    accounts = {naming.account_name("jupyter-{USERNAME}", user, number) for number, user in enumerate(users)}
    assert len(accounts) == len(users)


@given(NAMES, SERVERS)
def test_nobody_gets_the_name_of_another_by_being_called_like_it(user, server):
    name = naming.instance_name(user, server)
    assume((name, "") != (user, server))
    assert naming.instance_name(name) != name


def test_nobody_finds_a_spelling_that_has_the_name_of_another():
    spellings = {"alice" + "".join(end) for end in itertools.product(".,;:!?_", repeat=6)}
    assert len({naming.instance_name(user) for user in spellings}) == len(spellings)


@pytest.mark.parametrize("user", ["alice", "a", "0", "alice-2", "a1-b2-c3"])
def test_a_user_whose_name_is_valid_finds_it_unchanged(user):
    assert naming.instance_name(user) == user


@pytest.mark.parametrize(
    ("user", "server", "begins"),
    [("Alice.B@x.org", "", "alice-b-x-org-"), ("alice", "gpu", "alice-gpu-"), ("!!!", "", "x-"), ("日本", "", "x-")],
)
def test_a_name_says_whose_it_is(user, server, begins):
    assert naming.instance_name(user, server).startswith(begins)


@pytest.mark.parametrize(
    ("template", "user", "expected"),
    [
        ("jupyter-{USERNAME}", "alice", r"jupyter-alice"),
        ("{USERNAME}", "alice", r"alice"),
        ("u{USERID}", "alice", r"u7"),
        ("{USERNAME}-{USERID}", "alice", r"alice-7"),
        ("jupyter-{USERNAME}", "Alice", r"jupyter-alice-[a-z0-9]+"),
        ("jupyter-{USERNAME}", "{USERID}", r"jupyter-userid-[a-z0-9]+"),
        ("jupyter-{USERNAME}", "a" * 24, r"jupyter-a{24}"),
        ("jupyter-{USERNAME}", "a" * 25, r"jupyter-a+-[a-z0-9]+"),
    ],
)
def test_the_name_of_an_account_follows_the_template(template, user, expected):
    assert re.fullmatch(expected, naming.account_name(template, user, 7))


@pytest.mark.parametrize(
    "template", ["jupyter", "{USER}", "Jupyter-{USERNAME}", "a-prefix-of-17-ch-{USERNAME}", "a b{USERID}"]
)
def test_a_template_that_gives_no_valid_accounts_of_their_own_is_refused(template):
    with pytest.raises(TraitError, match="username_template must hold"):
        naming.check_account_template(template)


@pytest.mark.parametrize(
    ("template", "user", "server", "expected"),
    [
        ("jupyter-{USERNAME}-singleuser", "ada", "", "jupyter-ada-singleuser"),
        ("u{USERID}", "ada", "", "u7"),
        ("{USERNAME}-{SERVERNAME}", "ada", "", "ada"),
    ],
)
def test_an_instance_is_called_what_the_template_says(template, user, server, expected):
    assert naming.instance_name(user, server, template, 7) == expected


TEMPLATES = ["{USERNAME}-{USERID}", "{USERID}x1{USERNAME}", "u{USERID}", "1{USERNAME}", "{USERNAME}-{USERNAME}"]


@pytest.mark.parametrize(
    "template",
    [
        *TEMPLATES,
        "jupyter-{USERNAME}-singleuser",
        "{USERNAME}-{SERVERNAME}",
        "nb-{USERNAME}",
        "{USERNAME}-{SERVERNAME}1",
    ],
)
def test_no_two_servers_get_one_name_whatever_the_template(template):
    users = ["ada", "ada-lab", "Ada", "ada.", "ada-singleuser", "../ada", "x" * 80, "x" * 81, "ada-1", "ada1", "ada-x1"]
    servers = [(user, server, number) for number, user in enumerate(users, 1) for server in ("", "lab", "singleuser")]
    naming.check_unit_template(template)
    names = {naming.instance_name(user, server, template, number) for user, server, number in servers}
    assert len(names) == len(servers)
    assert all(re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", name) for name in names)


@pytest.mark.parametrize("template", TEMPLATES)
@given(
    st.lists(
        st.tuples(st.text("a1-x", min_size=1, max_size=4), st.integers(1, 122)),
        min_size=2,
        unique_by=(lambda user: user[0], lambda user: user[1]),
    )
)
@example([("a1", 2), ("a", 12)])
@example([("a-1", 2), ("a", 12)])
def test_no_two_users_get_one_name_whatever_their_numbers(template, users):
    assert len({naming.instance_name(user, "", template, number) for user, number in users}) == len(users)
    assert len({naming.account_name(template, user, number) for user, number in users}) == len(users)


@pytest.mark.parametrize("template", ["{USERNAME}{USERID}", "{USERID}{USERNAME}", "u-{USERNAME}1{USERID}"])
@pytest.mark.parametrize("check", [naming.check_unit_template, naming.check_account_template])
def test_a_template_whose_parts_run_together_is_refused(check, template):
    with pytest.raises(TraitError, match="must hold a dash or a letter between"):
        check(template)


def test_the_name_of_a_server_separates_nothing_since_it_may_be_empty():
    with pytest.raises(TraitError, match="must hold a dash or a letter between"):
        naming.check_unit_template("{USERNAME}{SERVERNAME}{USERID}")


@pytest.mark.parametrize(
    "template", ["", "jupyter", "{SERVERNAME}", "{USERNAME}/x", "{USERNAME} ", "{user}", "A{USERID}"]
)
def test_a_template_that_cannot_name_every_unit_is_refused(template):
    with pytest.raises(TraitError, match="unit_name_template must hold"):
        naming.check_unit_template(template)


def test_what_is_filled_into_a_path_leads_nowhere_else():
    (path,) = naming.filled(["/srv/{USERNAME}/{USERID}"], "../../etc", 7)
    assert re.fullmatch(r"/srv/etc-[0-9a-f]{12}/7", path)
