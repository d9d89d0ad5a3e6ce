# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import base64
import subprocess
import sys

import documents
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from launch import TOKEN, launch_request
from libcloudspawner import userdata
from libcloudspawner.providers.base import ProviderError
from libcloudspawner.rendering import render
from systemd_files import read_environment_file, read_unit, read_words
from traitlets import TraitError

DOCUMENTED = documents.template()

VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\n")) | st.text(
    "a\"'\\$%{}`;# \t\n=é:-&*!|>", max_size=12
)
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
HOSTILE = "$(touch /x) `touch /x` \"; touch /x; ' \\ {{ 7 * 7 }} %h ${HOME}\n- touch /x\nruncmd: [touch, /x]"


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """An administrator's module on the hub's path; returns how a template gets into it."""
    data = tmp_path / "acmejhubcustoms/data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text):
        (data / name).write_text(text)
        return {"userdata_template_module": "acmejhubcustoms", "userdata_template_name": name}

    yield write
    sys.modules.pop("acmejhubcustoms", None)


def request(**values):
    placement = values.pop("placement", {})
    return launch_request(port=8000, placement=placement, **{"account": "ada", "user": "ada", **values})


def config(**values):
    text = userdata.render(request(**values))
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def written(config):
    """The files that cloud-init writes: path to text and mode."""
    return {
        file["path"]: (base64.b64decode(file["content"]).decode(), file["permissions"])
        for file in config["write_files"]
        if file["encoding"] == "b64" and file["owner"] == "root:root"
    }


@given(st.dictionaries(NAMES, VALUES), st.lists(VALUES))
@example({"EVIL": HOSTILE}, [HOSTILE])
def test_every_value_reaches_the_server_as_it_was_and_nothing_else_does(variables, arguments):
    found = config(environment=variables, command=("jupyterhub-singleuser", *arguments))
    assert set(found) == {"write_files", "runcmd"}
    files = written(found)
    assert len(files) == len(found["write_files"])
    read = read_environment_file(files["/etc/jupyterhub-singleuser/alice.env"][0])
    assert {name: read[name] for name in variables} == variables
    assert set(read) - set(variables) <= {"PATH", "SHELL"}
    service = read_unit(files["/etc/systemd/system/jupyterhub-singleuser@alice.service.d/instance.conf"][0])[
        "[Service]"
    ]
    program, *_ = (line := service[-1][1]).partition(" ")
    assert service[-1][0] == "ExecStart"
    words = read_words(line.removeprefix(program + " "))
    assert words == ["jupyterhub-singleuser", *arguments]


@given(st.dictionaries(NAMES, VALUES))
@example({"EVIL": HOSTILE})
def test_no_value_is_part_of_a_command(variables):
    found = config(environment=variables, user=HOSTILE)
    (command,) = found["runcmd"]
    assert command[1:3] == ["ada", "jupyterhub-singleuser@alice.service"]
    assert command[4] == variables.get("JUPYTERHUB_API_URL", "")


def test_what_holds_the_token_is_for_root_alone():
    files = written(config())
    holders = {path: mode for path, (text, mode) in files.items() if TOKEN in text}
    assert holders == {"/etc/jupyterhub-singleuser/alice.env": "0400"}


@pytest.mark.parametrize("account", ["", "Root", "a b", "$(touch)", "../x", "a" * 33])
def test_an_account_that_is_no_unix_name_is_refused(account):
    with pytest.raises(ProviderError, match="cannot be the name of a Unix account"):
        config(account=account)


@pytest.mark.parametrize("variable", ["A-B", "1A", "", "A B", "A\nB", "A=B"])
def test_a_variable_that_has_no_valid_name_is_refused_by_name(variable):
    with pytest.raises(ProviderError, match="cannot be the name of an environment variable") as caught:
        config(environment={variable: "x"})
    assert repr(variable) in str(caught.value)


@pytest.mark.parametrize("character", ["\0", "\r", "\x1b", "\x7f"])
def test_a_value_that_systemd_would_drop_is_refused_by_name(character):
    with pytest.raises(ProviderError, match="The value of CLASS holds a control character"):
        config(environment={"CLASS": f"a{character}b"})


def test_user_data_that_no_cloud_takes_is_refused():
    with pytest.raises(ProviderError, match="larger than a cloud takes"):
        config(environment={"LARGE": "x" * 60000})


# --- templates of the administrator's own -------------------------------------------------------------------


def test_the_documented_template_gets_the_documented_variables(own_module):
    placement = own_module("jhub.sh.j2", DOCUMENTED)
    text = userdata.render(
        request(
            placement=placement,
            command=("jupyterhub-singleuser", "--debug", "--log-level=DEBUG"),
            environment={
                "JUPYTERHUB_API_TOKEN": TOKEN,
                "SCOPES": '["access:servers!server=ada/"]',
                "TZ": "Europe/Paris",
            },
        )
    )
    assert f"\nJUPYTERHUB_API_TOKEN={TOKEN}\n" in text
    assert '\nSCOPES=["access:servers!server=ada/"]\n' in text
    assert "\nTZ=Europe/Paris\n" in text
    assert "\nUser=ada\n" in text
    assert "--port=8000 --ip=0.0.0.0 --debug --log-level=DEBUG \\$@\n" in text


def test_a_template_sees_what_the_user_chose(own_module):
    placement = own_module("u.j2", "{{ user_options_from_form['userserver_size'][0] }} {{ user_options_from_form }}")
    text = userdata.render(request(placement=placement, choices={"userserver_size": "m1.small"}))
    assert text == "m1.small {'userserver_size': ['m1.small']}"


def test_a_template_runs_servers_under_the_account_that_is_forced(own_module):
    placement = own_module("u.j2", "{{ user }}")
    assert userdata.render(request(placement=placement, user="ada.lovelace")) == "ada.lovelace"
    assert userdata.render(request(placement={**placement, "forceuser": "student"}, user="$(touch /x)")) == "student"


@pytest.mark.parametrize(
    "value",
    [
        "$(touch /x)",
        "`touch /x`",
        "$HOME",
        "a\\b",
        "two\nlines",
        ' "quoted"',
        "'quoted'",
        '"quoted"',
        " a",
        "a ",
        "\t",
        "a\0",
    ],
)
def test_a_value_that_a_template_could_turn_into_something_else_is_refused_by_name(own_module, value):
    placement = own_module("jhub.sh.j2", DOCUMENTED)
    with pytest.raises(ProviderError, match="The value of CLASS") as caught:
        userdata.render(request(placement=placement, environment={"CLASS": value}))
    assert "touch" not in str(caught.value)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text("ab\"'\\$`;#&|<> \t\n=é!*", max_size=10)
)
def test_a_value_that_is_not_refused_leaves_the_documented_template_unchanged(value):
    """Run by a real shell, read as systemd reads a file of variables."""
    if userdata._CHANGES_MEANING.search(value):
        return
    script = f"cat <<EOF\nCLASS={value}\nEOF\n"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, cwd="/")
    assert done.stdout.decode() == f"CLASS={value}\n"
    assert done.stderr == b""


@pytest.mark.parametrize("user", ["$(touch /x)", "Ada Lovelace", "ada\nroot"])
def test_a_user_whose_name_is_no_account_is_refused_where_a_template_needs_one(own_module, user):
    placement = own_module("jhub.sh.j2", DOCUMENTED)
    with pytest.raises(ProviderError):
        userdata.render(request(placement=placement, user=user))


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("no_such_module", "x.j2", "there is no Python module 'no_such_module'"),
        ("json.decoder", "x.j2", "there is no Python module 'json.decoder' with a folder data"),
        ("acmejhubcustoms", "missing.j2", "there is no missing.j2 in the folder"),
        ("acmejhubcustoms", "broken.j2", "broken.j2, line 2: "),
    ],
)
def test_a_template_that_is_not_there_is_named(own_module, module, name, message):
    own_module("broken.j2", "one\n{% for %}\n")
    with pytest.raises(TraitError) as caught:
        userdata.check_template(module, name)
    assert message in str(caught.value)


def test_a_template_that_needs_what_it_does_not_get_is_an_error(own_module):
    placement = own_module("u.j2", "{{ secret_of_another }}")
    with pytest.raises(ProviderError, match="secret_of_another"):
        userdata.render(request(placement=placement))


# --- what runs in the machine ---------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path):
    """Start a server as a machine's unit does, in a folder that stands for the machine; what was run, and how."""
    bin_folder = tmp_path / "environment/bin"
    bin_folder.mkdir(parents=True)
    server = bin_folder / "jupyterhub-singleuser"
    server.write_text(f"#!{sys.executable}\nimport os, sys; print('server', *sys.argv[1:], sys.flags.no_user_site)\n")
    server.chmod(0o755)
    text = render("machine-start.sh")
    places = {
        "/opt/jupyterhub-singleuser/environments/default": tmp_path / "environment",
        "/etc/": f"{tmp_path}/etc/",
        "/usr/local/": f"{tmp_path}/local/",
    }
    for place, stand_in in places.items():
        assert place in text
        text = text.replace(place, str(stand_in))
    (tmp_path / "start").write_text(text)

    def run():
        variables = {"PATH": f"{bin_folder}:/usr/bin:/bin", "HOME": str(tmp_path)}
        command = ["sh", str(tmp_path / "start"), "jupyterhub-singleuser", "--port=8000"]
        return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout.splitlines()

    return run


def write_program(path, words):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho {words}\n[ "$1" != --then ] || shift\nexec "$@"\n')
    path.chmod(0o755)


def test_a_server_starts_without_what_its_user_installed(machine):
    assert machine() == ["server --port=8000 1"]


def test_what_an_image_has_for_users_comes_before_the_server(machine, tmp_path):
    write_program(tmp_path / "local/bin/jupyterhub-home-data", "data")
    write_program(tmp_path / "local/libexec/jupyterhub-singleuser-hooks", "hooks")
    assert machine() == ["server --port=8000 1"]
    write_program(tmp_path / "environment/start", '"start $REPO_DIR $PYTHONUSERBASE"')
    (tmp_path / "environment/repository").mkdir()
    (tmp_path / "environment/complete").touch()
    for name in ("home-data", "singleuser-hooks"):
        (tmp_path / f"etc/jupyterhub-{name}.json").parent.mkdir(exist_ok=True)
        (tmp_path / f"etc/jupyterhub-{name}.json").touch()
    base = f"{tmp_path}/.local/environments/default"
    assert machine() == ["data", "hooks", f"start {tmp_path}/environment/repository {base}", "server --port=8000 1"]


# --- hooks of root --------------------------------------------------------------------------------------------

UNITS = "/etc/systemd/system"
BEFORE = "jupyterhub-singleuser-before.service"
BESIDE = "jupyterhub-singleuser-beside.service"


def units(volume="", **values):
    """The units of root's hooks, before the server and beside it, and the server's own drop-in."""
    files = written(yaml.safe_load(userdata.render(request(**values), volume)))
    names = (BEFORE, BESIDE, "jupyterhub-singleuser@alice.service.d/instance.conf")
    return [read_unit(files[f"{UNITS}/{name}"][0]) for name in names]


def values_of(unit, section, key):
    return [value for name, value in unit[section] if name == key]


def test_the_server_waits_for_roots_hooks_before_it_and_nobody_for_those_beside_it():
    before, beside, server = units()
    assert values_of(server, "[Unit]", "Requires") == values_of(server, "[Unit]", "After") == [BEFORE]
    assert values_of(server, "[Unit]", "Wants") == [BESIDE]
    assert values_of(beside, "[Unit]", "After") == ["jupyterhub-singleuser@alice.service"]
    # What is ordered after the server ends before it; and only the first unit may keep it from starting.
    program = "/usr/local/libexec/jupyterhub-singleuser-hooks --root"
    assert values_of(before, "[Service]", "ExecStart") == [f"{program} before_start"]
    assert values_of(beside, "[Service]", "ExecStart") == [f"-{program} after_start"]
    assert values_of(beside, "[Service]", "ExecStop") == [f"-{program} before_stop"]


def test_an_image_without_hooks_of_root_has_none():
    for unit in units()[:2]:
        assert values_of(unit, "[Unit]", "ConditionPathExists") == ["/etc/jupyterhub-singleuser/hooks.json"]


def test_roots_hooks_find_the_home_on_its_volume():
    for unit in units("4b1fdf32"):
        assert "jupyterhub-singleuser-home.service" in values_of(unit, "[Unit]", "Requires")
        assert "jupyterhub-singleuser-home.service" in values_of(unit, "[Unit]", "After")
        assert values_of(unit, "[Unit]", "RequiresMountsFor") == ["/home/ada"]


@given(VALUES, VALUES, st.dictionaries(NAMES, VALUES))
@example(HOSTILE, HOSTILE, {"LD_PRELOAD": "/home/ada/own.so", "JUPYTERHUB_USER": "eve"})
def test_roots_hooks_know_whose_server_it_is_and_no_variable_of_it(user, server, variables):
    for unit in units(user=user, server=server, environment=variables)[:2]:
        assert dict(word.split("=", 1) for word in read_variables(unit)) == {
            "JUPYTERHUB_USER": user,
            "JUPYTERHUB_SERVER_NAME": server,
            "SINGLEUSER_INSTANCE": "alice",
            "SINGLEUSER_ACCOUNT": "ada",
            "SINGLEUSER_HOME": "/home/ada",
        }
        assert not any(key.startswith(("EnvironmentFile", "PassEnvironment")) for key, _ in unit["[Service]"])


def read_variables(unit):
    """A dollar sign is itself there, as it is not in a command. ref: systemd.exec(5), Environment="""
    return [read_words(value.replace("$", "$$"))[0] for value in values_of(unit, "[Service]", "Environment")]


def test_a_name_that_systemd_would_drop_is_refused():
    with pytest.raises(ProviderError, match="The value of JUPYTERHUB_USER holds a control character"):
        config(user="a\x1bb")


# --- homes on volumes -----------------------------------------------------------------------------------------


def test_without_a_volume_there_is_nothing_of_it():
    found = config()
    assert found["runcmd"][0][-1] == ""
    assert not any("singleuser-home" in path or "singleuser-home" in text for path, (text, _) in written(found).items())


def test_a_template_gets_the_volume_and_has_to_use_it(own_module):
    placement = own_module("home.j2", "mount {{ volume }}")
    assert userdata.render(request(placement=placement), "4b1fdf32") == "mount 4b1fdf32"
    assert userdata.render(request(placement=placement)) == "mount "
    placement = own_module("forgetful.j2", "start {{ user }}")
    assert userdata.render(request(placement=placement)) == "start ada"
    with pytest.raises(ProviderError, match=r"forgetful\.j2 does not use the variable volume"):
        userdata.render(request(placement=placement), "4b1fdf32")
