# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node's control helper writes for systemd, read back after systemd's own rules."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from systemd_files import read_environment_file, read_unit, read_words

# What Unicode promises never to make a character, which systemd does not take for text.
NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)] + [
    chr(plane | last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)
]
TEXT = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\n", exclude_characters=NONCHARACTERS)
)
CONFIGURATION = {"slices": ["gpu"], "home_root": "/srv/homes"}
QUOTES = st.text("a\"'\\$%{}`;# \t\n=é", max_size=12)
WORDS = TEXT | QUOTES


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), WORDS))
@example({"A": 'it\'s $HOME \\ `id` "quoted" 100 %', "B": "\\", "C": "#", "D": " a ", "E": "a\\\nb", "F": ""})
def test_a_server_gets_its_variables_as_they_are(pure, variables):
    assert pure.checked_environment(variables) == variables
    assert read_environment_file(pure.environment_file(variables)) == variables


@pytest.mark.parametrize("character", NONCHARACTERS, ids=ascii)
def test_a_variable_that_systemd_does_not_take_for_text_is_refused(pure, character):
    with pytest.raises(pure.RequestError, match="cannot pass it on"):
        pure.checked_environment({"A": character})


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
    settings = [*pure.home_lines(account, None), *LIMITS]
    sections = read_unit(pure.drop_in(user, account, command, PACKAGES, settings))
    assert list(sections) == ["[Unit]", "[Service]"]
    assert [key for key, _ in sections["[Unit]"]] == ["Description", "RequiresMountsFor"]
    assert read_words(dict(sections["[Unit]"])["RequiresMountsFor"]) == [home]
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


def test_what_is_in_place_of_a_home_is_shown_where_the_home_is(pure):
    account = pwd.struct_passwd(("jupyter-alice", "x", 1001, 1002, "", "/home/100% own", "/bin/bash"))
    bind, writable = [line.partition("=") for line in pure.home_lines(account, Path("/run/homes/alice"))]
    assert (bind[0], bind[2]) == ("BindPaths", '"/run/homes/alice":"/home/100%% own"')
    assert (writable[0], read_words(writable[2])) == ("ReadWritePaths", ["/home/100% own"])


def test_another_kind_of_storage_is_refused(pure):
    with pytest.raises(pure.RequestError, match="must be home or none, but is 'volume'"):
        pure.checked_sandbox({"storage_type": "volume"}, {"home_root": "/home", "slices": []})


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, []),
        ({"memory_bytes": None, "cpus": None, "tasks": None}, []),
        ({"memory_bytes": 2**29}, ["MemoryMax=536870912"]),
        ({"memory_guarantee_bytes": 2**28}, ["MemoryLow=268435456"]),
        ({"memory_guarantee_bytes": 0, "cpu_guarantee": 0}, ["MemoryLow=0", "CPUWeight=1"]),
        ({"cpu_guarantee": 0.25}, ["CPUWeight=25"]),
        ({"cpu_guarantee": 128}, ["CPUWeight=10000"]),
        ({"cpus": 0.5}, ["CPUQuota=50%"]),
        ({"cpus": 2}, ["CPUQuota=200%"]),
        ({"cpus": 0.014}, ["CPUQuota=1%"]),
        ({"memory_bytes": 2**20, "cpus": 1, "tasks": 8}, ["MemoryMax=1048576", "CPUQuota=100%", "TasksMax=8"]),
    ],
)
def test_limits_become_settings_of_the_unit(pure, monkeypatch, limits, expected):
    monkeypatch.setattr(pure.os, "cpu_count", lambda: 128)
    assert pure.checked_limits(limits) == expected


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"memory_guarantee_bytes": 2**50}, r"promised 1048576\.0 GiB of memory, and the node has"),
        ({"cpu_guarantee": 4096.5}, r"promised 4096\.5 processors, and the node has"),
    ],
)
def test_a_guarantee_that_the_node_cannot_give_is_refused_at_once(pure, limits, said):
    with pytest.raises(pure.RequestError, match=said):
        pure.checked_limits(limits)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, []),
        ({"CPUWeight": 50, "IOWeight": "20"}, ["CPUWeight=50", "IOWeight=20"]),
        ({"MemoryHigh": "1.5G", "LimitNOFILE": "1024:4096"}, ["MemoryHigh=1.5G", "LimitNOFILE=1024:4096"]),
        ({"Nice": 5, "PrivateUsers": True}, ["Nice=5", "PrivateUsers=yes"]),
        ({"InaccessiblePaths": ["/srv/a", "-/srv/b"]}, ["InaccessiblePaths=/srv/a", "InaccessiblePaths=-/srv/b"]),
        ({"SystemCallFilter": "~@resources bpf"}, ["SystemCallFilter=~@resources bpf"]),
        ({"IOReadBandwidthMax": "/dev/vda 10M"}, ["IOReadBandwidthMax=/dev/vda 10M"]),
    ],
)
def test_the_hub_may_set_what_takes_something_away(pure, properties, expected):
    assert pure.checked_properties(properties, CONFIGURATION) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, "x")
            for name in ["User", "ExecStart", "ExecStartPre", "BindPaths", "AmbientCapabilities", "RootImage"]
        ),
        *(
            (name, "x")
            for name in ["CapabilityBoundingSet", "ReadWritePaths", "Slice", "EnvironmentFile", "LoadCredential"]
        ),
        *((name, "4") for name in ["LimitNICE", "LimitRTPRIO", "CPUSchedulingPriority"]),
        *(
            (name, value)
            for name in ["NoNewPrivileges", "PrivateTmp", "ProtectClock"]
            for value in (False, "no", "", "0")
        ),
        *(("SystemCallFilter", value) for value in ["", "@privileged", "mount", "~@x\nUser=root"]),
        *(("RestrictAddressFamilies", value) for value in ["", "AF_PACKET", "none"]),
        *(("Nice", value) for value in ["-5", 20, "\u0665"]),
        *(("OOMScoreAdjust", value) for value in ["-1", 1001]),
        *(("CPUSchedulingPolicy", value) for value in ["fifo", "rr"]),
        *(("InaccessiblePaths", value) for value in ["", "/a\\", "/%h", "/a\nUser=root", "a", ["/a", ""]]),
        *(("MemoryHigh", value) for value in ["", "1G\nUser=root", "1G\\", None, {}, True]),
        *(("user", "root"), ("Nice=5\nUser", "root"), ("", "")),
    ],
)
def test_what_could_give_a_server_more_is_refused_by_name_with_a_way_out(pure, name, value):
    with pytest.raises(pure.RequestError, match="node_unit_properties") as caught:
        pure.checked_properties({name: value}, CONFIGURATION)
    assert caught.value.code == "refused"
    assert f"set no {name}=" in str(caught.value)


@pytest.mark.parametrize(
    ("sandbox", "expected"),
    [
        ({}, []),
        ({"isolate_tmp": None, "readonly_paths": [], "slice": "", "working_directory": ""}, []),
        ({"isolate_tmp": True, "isolate_devices": False}, ["PrivateTmp=yes", "PrivateDevices=no"]),
        (
            {"readonly_paths": ["/srv/a b"], "readwrite_paths": ["-/srv/100%", "/srv/$x"]},
            ['ReadOnlyPaths="/srv/a b"', 'ReadWritePaths=-"/srv/100%%"', 'ReadWritePaths="/srv/$x"'],
        ),
        ({"working_directory": "/srv/100%/a b"}, ["WorkingDirectory=/srv/100%%/a b"]),
        ({"slice": "jupyterhub-singleuser-gpu"}, ["Slice=jupyterhub-singleuser-gpu.slice"]),
        ({"slice": "jupyterhub-singleuser.slice"}, ["Slice=jupyterhub-singleuser.slice"]),
        ({"slice": "gpu.slice"}, ["Slice=gpu.slice"]),
    ],
)
def test_where_a_server_may_go_becomes_settings_of_the_unit(pure, sandbox, expected):
    assert pure.checked_sandbox(sandbox, CONFIGURATION) == expected


@pytest.mark.parametrize(
    ("sandbox", "code"),
    [
        (None, "invalid"),
        ({"BindPaths": "/root"}, "invalid"),
        ({"isolate_tmp": "no"}, "invalid"),
        *(({"slice": name}, "refused") for name in ["system", "gpu-2", "jupyterhub-singleuserx", "-", "a\nUser=root"]),
        *(
            ({key: paths}, "invalid")
            for key in ("readonly_paths", "readwrite_paths")
            for paths in ["/srv", [""], ["srv"], ["/a:/b"], ["/a\n"], ["/a\\"], ['/a"'], [7]]
        ),
        *(({"working_directory": path}, "invalid") for path in ["~", "srv", "/a\\", "/a\nUser=root", 7]),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(pure, sandbox, code):
    with pytest.raises(pure.RequestError) as caught:
        pure.checked_sandbox(sandbox, CONFIGURATION)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "path",
    [
        *("/home", "/root", "/run/user", "/run/jupyter", "/dev/shm", "/srv/homes"),
        *("-/home", "/home/", "//home", "/./home", "/home/.", "-//run//user/", "/proc/self/root/home"),
    ],
)
def test_no_setting_takes_the_place_of_what_hides_the_hosts_files(pure, path):
    for name in ("NoExecPaths", "ReadOnlyPaths"):
        with pytest.raises(pure.RequestError, match="show them what the host has") as caught:
            pure.checked_properties({name: f"/srv {path}"}, CONFIGURATION)
        assert caught.value.code == "refused"
    for key in ("readonly_paths", "readwrite_paths"):
        with pytest.raises(pure.RequestError, match=f"{key} must not name {path}: .* Name a path within it") as caught:
            pure.checked_sandbox({key: ["/srv", path]}, CONFIGURATION)
        assert caught.value.code == "refused"


def test_what_is_hidden_may_be_closed_and_what_is_within_it_be_named(pure):
    assert pure.checked_properties({"InaccessiblePaths": "/root"}, CONFIGURATION) == ["InaccessiblePaths=/root"]
    paths = ["/home/jupyter-ada/data", "/", "/run"]
    assert len(pure.checked_sandbox({"readonly_paths": paths}, CONFIGURATION)) == len(paths)


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
