# SPDX-License-Identifier: GPL-3.0-or-later
"""Each command of the pages is run by a test, or tests/commands.yml says why not. What needs no host is run here."""

from __future__ import annotations

import ast
import functools
import json
import logging
import os
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from libcloudspawner import observability
from pages import LISTED, PAGES, ROOT, blocks, commands, commands_run_by, languages, name_of, without_blocks
from role_settings import module_options, options
from wheels import write_wheel

COLLECTIONS = ROOT / "playbooks/collections"
HERE = f"tests/unit/{Path(__file__).name}"
IN_PAGES = {command for page in PAGES for command in commands(page)}
IN_LIST = [command for entry in LISTED for command in entry["commands"]]
# Files, and what programs say, are marked as what they are.
KNOWN = {"shell", "bash", "dockerfile", "json", "python", "text", "yaml"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_of_a_page_says_what_is_in_it(page):
    assert set(languages(page)) <= KNOWN
    assert re.findall(r"\n\n {4,}\S.*", without_blocks(page)) == [], "a block without a fence"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_command_of_a_page_is_listed(page):
    assert [command for command in commands(page) if command not in IN_LIST] == []


def test_each_command_that_is_listed_stands_in_a_page_and_in_the_list_once():
    assert [command for command, times in Counter(IN_LIST).items() if times > 1 or command not in IN_PAGES] == []


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["commands"][0])
def test_a_command_has_a_test_that_is_there_or_a_reason(entry):
    (kind,) = entry.keys() - {"commands"}
    assert kind in ("test", "reason")
    assert isinstance(entry[kind], str)
    assert entry[kind]
    if kind == "test":
        path, function = entry["test"].split("::")
        body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        assert function in [statement.name for statement in body if isinstance(statement, ast.FunctionDef)]


@functools.cache
def playbook(name):
    return (ROOT / f"playbooks/{name}.yml").read_text(encoding="utf-8")


PLAYS = [words for words in map(shlex.split, sorted(IN_PAGES)) if "ansible-playbook" in words]


@pytest.mark.parametrize("words", PLAYS, ids=" ".join)
def test_the_variables_that_a_playbook_is_called_with_are_some_that_it_reads(words):
    given = [words[index + 1] for index, word in enumerate(words) if word == "-e"]
    names = [name for one in given for name in (json.loads(one) if one.startswith("{") else [one.partition("=")[0]])]
    called = words[words.index("ansible-playbook") + 1].removeprefix("libcloudspawner.jupyterhub.")
    known = {name for role in ("hub", "container") for name in options(role)}
    assert [name for name in names if name not in known and not re.search(rf"\b{name}\b", playbook(called))] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_calls_by_its_name_is_there(page):
    text = page.read_text(encoding="utf-8")
    places = ("playbooks/{}.yml", "roles/{}/", "plugins/modules/{}.py")
    named = set(re.findall(r"libcloudspawner\.jupyterhub\.(\w+)", text))
    assert {name for name in named if not any((ROOT / place.format(name)).exists() for place in places)} == set()
    paths = re.findall(r"`((?:bench|molecule|playbooks|plugins|roles|templates|tests|tools)/[\w./-]*)", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


def run(script, cwd, **variables):
    """Run commands as somebody would type them, each of them to its success; what they said."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("command", commands_run_by(f"{HERE}::test_the_reference_names_every_option"))
def test_the_reference_names_every_option(command, tmp_path):
    said = run(command, tmp_path, ANSIBLE_COLLECTIONS_PATH=COLLECTIONS, ANSIBLE_NOCOLOR=True)
    name = command.rpartition(".")[2]
    expected = options(name) if (ROOT / "roles" / name).is_dir() else module_options(name)
    assert len(expected) > 5
    assert [option for option in expected if not re.search(rf"^[-=] {option}\b", said, re.M)] == []


def test_the_reference_is_written_as_pages():
    (command,) = commands_run_by(f"{HERE}::test_the_reference_is_written_as_pages")
    # Of a make that calls the tests.
    said = run(f"env -u MAKEFLAGS -u MAKELEVEL {command}", ROOT)
    written = re.findall(r"^build/docs/(\S+)\.md$", said, re.M)
    roles = {f"role-{path.name}" for path in (ROOT / "roles").iterdir()}
    modules = {f"module-{name}" for name in ("singleuser", "singleuser_info", "instance_info")}
    assert set(written) == roles | modules | {"LibcloudSpawner"}
    for name in written:
        assert (ROOT / f"build/docs/{name}.md").stat().st_size > 1000


@pytest.fixture
def home(tmp_path):
    """That of somebody who has installed the collection."""
    collections = tmp_path / "home/.ansible/collections/ansible_collections"
    collections.mkdir(parents=True)
    (collections / "libcloudspawner").symlink_to(COLLECTIONS / "ansible_collections/libcloudspawner")
    return tmp_path / "home"


@pytest.fixture
def index(tmp_path):
    """A folder of packages to take the place of an index."""
    folder = tmp_path / "index"
    folder.mkdir()

    def write(lock, *others):
        pins = re.findall(r"^(\S+)==(\S+)", lock.read_text(encoding="utf-8"), re.M)
        for name, version in {*pins, *others}:
            write_wheel(folder, name, version)
        return {"UV_FIND_LINKS": folder, "UV_NO_INDEX": 1, "UV_OFFLINE": 1, "UV_CACHE_DIR": tmp_path / "cache"}

    return write


def test_the_hub_gets_a_lock_file_of_ones_own(home, index, tmp_path):
    lock = ROOT / "roles/hub/files/requirements.txt"
    uv = index(lock, ("jupyterhub-hashauthenticator", "0.6.0"))
    run("\n".join(commands_run_by(f"{HERE}::test_the_hub_gets_a_lock_file_of_ones_own")), tmp_path, HOME=home, **uv)
    written = (tmp_path / "requirements.txt").read_text()
    assert "jupyterhub-hashauthenticator==0.6.0 \\\n    --hash=sha256:" in written
    assert re.search(r"^jupyterhub==.*", written, re.M)[0] == re.search(r"^jupyterhub==.*", lock.read_text(), re.M)[0]


def test_an_environment_gets_a_lock_file_that_fits_what_servers_hold(home, index, tmp_path):
    lock = ROOT / "roles/node/files/requirements.txt"
    (wanted,) = blocks(ROOT / "docs/howto/environments.md", "text")
    uv = index(lock, ("pandas", "2.3.3"), ("numpy", "99.0"), *(tuple(line.split("==")) for line in wanted.splitlines()))
    (tmp_path / "statistics.in").write_text(f"{wanted}numpy\n")
    lines = commands_run_by(f"{HERE}::test_an_environment_gets_a_lock_file_that_fits_what_servers_hold")
    run("\n".join(lines), tmp_path, HOME=home, **uv)
    written = (tmp_path / "statistics.txt").read_text()
    assert all(f"{line} \\\n    --hash=sha256:" in written for line in wanted.splitlines())
    assert "numpy==" in written
    assert set(re.findall(r"^numpy==\S+", written, re.M)) <= set(re.findall(r"^numpy==\S+", lock.read_text(), re.M))


def test_who_waited_longest_comes_last(tmp_path, caplog):
    """Whatever users and servers are called; the journal is a file of what the hub tells."""
    caplog.set_level(logging.INFO)
    log = logging.getLogger("hub")
    for user, server, seconds in (("ada", "", 2.114), ("bob", "my lab", 12.5), ("o'neill, sean", "a: b", 9.0)):
        whose = {"user": user, "server": server, "instance": "i", "request": "5f0c"}
        observability.tell(log, "start", **whose, image="default", size="small")
        observability.tell(log, "ready", **whose, seconds=seconds)
        observability.tell(log, "start-failed", **whose, reason="timeout", seconds=99)
    (tmp_path / "journal").write_text("".join(f"[I 09:00:00 JupyterHub] {line}\n" for line in caplog.messages))
    journalctl = tmp_path / "journalctl"
    journalctl.write_text(f"#!/bin/sh\ncat {tmp_path}/journal\n")
    journalctl.chmod(0o755)
    (command,) = commands_run_by(f"{HERE}::test_who_waited_longest_comes_last")
    lines = run(command, tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}").splitlines()
    assert [(line.split()[0], json.loads(line[line.index("{") :])["user"]) for line in lines] == [
        ("2.114", "ada"),
        ("9.0", "o'neill, sean"),
        ("12.5", "bob"),
    ]
