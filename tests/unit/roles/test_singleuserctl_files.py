# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node's control helper writes for systemd, read back after systemd's own rules."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from systemd_files import read_environment_file, read_unit, read_words

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\n"))
QUOTES = st.text("a\"'\\$%{}`;# \t\n=é", max_size=12)
WORDS = TEXT | QUOTES


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), WORDS))
@example({"A": 'it\'s $HOME \\ `id` "quoted" 100 %', "B": "\\", "C": "#", "D": " a ", "E": "a\\\nb", "F": ""})
def test_a_server_gets_its_variables_as_they_are(pure, variables):
    assert pure.checked_environment(variables) == variables
    assert read_environment_file(pure.environment_file(variables)) == variables


@given(WORDS)
@example('\\"')
@example("%%n $HOME ${HOME} %h")
@example(";")
@example("")
def test_a_word_of_a_command_line_arrives_as_it_is(pure, word):
    assert "\n" not in pure.quoted_word(word)
    assert read_words(pure.quoted_word(word)) == [word]


LIMITS = ["MemoryMax=1", "TasksMax=9"]
PACKAGES = Path('/home/100% "own"/.local/environments/default/lib/python3.11/site-packages')


@given(WORDS, st.sampled_from(["/home/alice", "/home/with space", "/home/100%", '/home/"quoted"']), st.lists(WORDS))
@example("alice\\", "/home/alice", ["/bin/x"])
@example("alice\n[Service]\nUser=root", "/home/alice", ["/bin/x"])
@example("%i", "/home/alice", ["/bin/x"])
def test_nothing_that_a_request_says_adds_or_takes_away_a_setting(pure, user, home, command):
    account = pwd.struct_passwd(("jupyter-alice", "x", 1001, 1001, "", home, "/bin/bash"))
    sections = read_unit(pure.drop_in(user, account, command, PACKAGES, LIMITS))
    assert list(sections) == ["[Unit]", "[Service]"]
    assert [key for key, _ in sections["[Unit]"]] == ["Description"]
    service = sections["[Service]"]
    assert service[0] == ("User", "jupyter-alice")
    assert [f"{key}={value}" for key, value in service if key in ("MemoryMax", "TasksMax")] == LIMITS
    assert dict(service)["WorkingDirectory"].replace("%%", "%") == home
    assert read_words(dict(service)["BindPaths"]) == read_words(dict(service)["ReadWritePaths"]) == [home]
    assert read_words(dict(service)["ExecStartPre"].removeprefix("-/bin/mkdir -p ")) == [str(PACKAGES)]
    assert service[-2] == ("ExecStart", "")
    assert service[-1][0] == "ExecStart"
    assert read_words(service[-1][1]) == command
    assert len(service) == 7 + len(LIMITS)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, []),
        ({"memory_bytes": None, "cpus": None, "tasks": None}, []),
        ({"memory_bytes": 2**29}, ["MemoryMax=536870912"]),
        ({"cpus": 0.5}, ["CPUQuota=50%"]),
        ({"cpus": 2}, ["CPUQuota=200%"]),
        ({"cpus": 0.014}, ["CPUQuota=1%"]),
        ({"memory_bytes": 2**20, "cpus": 1, "tasks": 8}, ["MemoryMax=1048576", "CPUQuota=100%", "TasksMax=8"]),
    ],
)
def test_limits_become_settings_of_the_unit(pure, limits, expected):
    assert pure.checked_limits(limits) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:0/user/alice/", "http://127.0.0.1:20001/user/alice/"),
        ("https://127.0.0.1:0/", "https://127.0.0.1:20001/"),
        ("http://[::1]:0/user/alice/", "http://[::1]:20001/user/alice/"),
        ("http://:0/user/alice/", "http://:20001/user/alice/"),
        ("http://host:0", "http://host:20001"),
        ("http://127.0.0.1:8888/user/a:0/", "http://127.0.0.1:20001/user/a:0/"),
        ("http://127.0.0.1/user/x:0/", "http://127.0.0.1:20001/user/x:0/"),
        ("", ""),
    ],
)
def test_a_server_is_told_the_port_that_was_found_for_it(pure, url, expected):
    assert pure.with_port(url, 20001) == expected
