# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import re

import pytest
from libcloudspawner import checkconfig

GOOD = """\
c.JupyterHub.spawner_class = "libcloudspawner.spawner.LibcloudSpawner"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.bind_url = "http://:8000/"
c.JupyterHub.services = [{"name": "a", "api_token": "b"}]
c.DummyAuthenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}
c.Spawner.mem_limit = "1G"
c.LibcloudSpawner.cpu_limit = 0.5
c.LibcloudSpawner.userserver_sizes = [("Small", "small"), {"name": "large", "mem_limit": "2G"}]
c.ConfigurableHTTPProxy.should_start = False
"""


@pytest.fixture(autouse=True)
def _proxy_token(monkeypatch):
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "unused")


@pytest.fixture
def problems(tmp_path):
    def problems(text):
        path = tmp_path / "jupyterhub_config.py"
        path.write_text(text)
        return checkconfig.problems(str(path))

    return problems


@pytest.mark.parametrize("text", ["", GOOD, GOOD + 'c.SomethingOfTheOperator.key = "value"\n'])
def test_a_good_file_has_no_problems(problems, text):
    assert problems(text) == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("c.JupyterHub.prot = 1", "c.JupyterHub.prot is not a setting of JupyterHub; did you mean port?"),
        ("c.Spawner.memlimit = '1G'", "c.Spawner.memlimit is not a setting of Spawner; did you mean mem_limit?"),
        (
            "c.LibcloudSpawner.userserver_size = []",
            "c.LibcloudSpawner.userserver_size is not a setting of LibcloudSpawner; did you mean userserver_sizes?",
        ),
        ("c.DummyAuthenticator.zzzz = 1", "c.DummyAuthenticator.zzzz is not a setting of DummyAuthenticator."),
    ],
)
def test_an_unknown_setting_is_named_with_the_nearest_that_exists(problems, line, sentence):
    assert problems(f"{GOOD}{line}\n") == [sentence]


@pytest.mark.parametrize(
    ("section", "nearest"),
    [
        ("LibcloudSpawnr", "LibcloudSpawner"),
        ("LibCloudSpawner", "LibcloudSpawner"),
        ("LibcloundSpawner", "LibcloudSpawner"),
        ("Jupyterhub", "JupyterHub"),
        ("Authenticators", "Authenticator"),
        ("DummyAuthenticater", "DummyAuthenticator"),
    ],
)
def test_a_misspelt_class_is_named_with_the_nearest_that_exists(problems, section, nearest):
    found = problems(f"{GOOD}c.{section}.start_timeout = 7\n")
    assert found == [f"c.{section} configures no class of this hub; did you mean c.{nearest}?"]


@pytest.mark.parametrize(
    "section", ["OAuthenticator", "LDAPAuthenticator", "KubeSpawner", "AcmeLibcloudSpawner", "TraefikProxy", "acme"]
)
def test_a_section_of_something_else_is_left_alone(problems, section):
    assert problems(f"{GOOD}c.{section}.start_timeout = 7\n") == []


def test_every_unknown_setting_is_named(problems):
    assert len(problems(GOOD + "c.JupyterHub.prot = 1\nc.Spawner.memlimit = 1\n")) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("c.JupyterHub.port = 'eight thousand'", ["port", "eight thousand"]),
        ("c.LibcloudSpawner.start_timeout = 'long'", ["start_timeout", "long"]),
        ("c.LibcloudSpawner.mem_limit = '2 gigs'", ["2 gigs", "memory"]),
        ("c.LibcloudSpawner.userserver_sizes = ['small']", ["userserver_sizes", "small"]),
        ("c.LibcloudSpawner.provider = 'cloud'", ["provider", "cloud", "systemd"]),
        ("c.Authenticator.admin_users = 5", ["admin_users", "5"]),
        ("c.JupyterHub.spawner_class = 'no.such.Spawner'", ["no.such"]),
        ("c.JupyterHub.port =", ["SyntaxError", "jupyterhub_config.py, line 11"]),
        ("import no_such_module", ["ModuleNotFoundError", "no_such_module"]),
        ("1 / 0", ["ZeroDivisionError"]),
    ],
)
def test_a_mistake_is_one_problem_that_says_what_is_wrong(problems, line, words):
    found = problems(f"{GOOD}{line}\n")
    assert len(found) == 1
    assert [word for word in words if word not in found[0]] == []


@pytest.mark.parametrize(
    ("setting", "secret"),
    [
        ("JupyterHub.db_url", 12345678),
        ("JupyterHub.services", "hunter'2\\"),
        ("DummyAuthenticator.password", ["token", "hunter2"]),
        ("DummyAuthenticator.password", {"key": "hunter2"}),
    ],
)
def test_a_problem_with_a_secret_is_told_without_the_secret(tmp_path, setting, secret):
    public, secrets = tmp_path / "jupyterhub_config.py", tmp_path / "secret_config.py"
    public.write_text(f"{GOOD}load_subconfig({str(secrets)!r})\n")
    secrets.write_text(f"c.{setting} = {secret!r}\n")
    (shown,) = checkconfig.problems(str(public))
    (hidden,) = checkconfig.problems(str(public), str(secrets))
    assert re.search("hunter|1234", shown)
    assert not re.search("hunter|1234", hidden)
    assert setting.partition(".")[2] in hidden


def test_a_file_of_secrets_that_cannot_be_read_is_one_problem(tmp_path):
    public, secrets = tmp_path / "jupyterhub_config.py", tmp_path / "secret_config.py"
    public.write_text(f"load_subconfig({str(secrets)!r})\n")
    secrets.write_text("c.JupyterHub.services =\n")
    (problem,) = checkconfig.problems(str(public), str(secrets))
    assert "SyntaxError" in problem
    assert "secret_config.py, line 1" in problem


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    assert len(checkconfig.problems(str(tmp_path / "jupyterhub_config.py"))) == 1


@pytest.mark.parametrize(("text", "status"), [(GOOD, 0), ("c.JupyterHub.prot = 1\n", 1)])
def test_the_exit_status_says_whether_the_file_is_good(tmp_path, monkeypatch, capsys, text, status):
    path = tmp_path / "jupyterhub_config.py"
    path.write_text(text)
    monkeypatch.setattr("sys.argv", ["checkconfig", str(path)])
    assert checkconfig.main() == status
    assert ("did you mean port?" in capsys.readouterr().err) == bool(status)
