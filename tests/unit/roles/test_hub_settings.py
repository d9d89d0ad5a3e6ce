# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role hub makes of its variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from traitlets.config import Config

ROLE = Path(__file__).parents[3] / "roles/hub"
SHARED = Path(__file__).parents[3] / "templates/jupyterhub_config.py.j2"
SECRET = ROLE / "templates/secret_config.py.j2"


def load(path):
    return DataLoader().load_from_file(str(path), trusted_as_template=True)


def templar(**variables):
    role = {**load(ROLE / "defaults/main.yml"), **load(ROLE / "vars/main.yml"), "role_path": str(ROLE)}
    facts = {"ansible_managed": "Managed", "__hub_token": {"content": "dG9rZW4="}}
    return Templar(loader=DataLoader(), variables={**role, **facts, **variables})


def configuration(template, **variables):
    """The settings that a rendered configuration makes."""
    text = templar(**{"hub_authenticator": "dummy", **variables}).template(trust_as_template(template.read_text()))
    config = Config()
    exec(text, {"c": config, "get_config": lambda: config, "load_subconfig": lambda path: None})
    return config


@pytest.mark.parametrize("text", ["🎓 Große Daten", "a \"b\" 'c' \\ \n", "\u2028\x7f", "日本"])
def test_every_text_arrives_as_it_was_written(text):
    size = {"name": "large", "display_name": text}
    public = configuration(SHARED, hub_userserver_sizes=[size], hub_environment={"TEXT": text}, hub_admin_users=[text])
    assert public.LibcloudSpawner.userserver_sizes == [size]
    assert public.LibcloudSpawner.environment == {"TEXT": text}
    assert public.Authenticator.admin_users == {text}

    secret = configuration(
        SECRET,
        hub_config_secret={"GitHubOAuthenticator": {"client_secret": text}},
        hub_services=[{"name": "tests", "api_token": text}],
        hub_dummy_password=text,
    )
    assert secret.GitHubOAuthenticator.client_secret == text
    assert secret.JupyterHub.services[1]["api_token"] == text
    assert secret.DummyAuthenticator.password == text
