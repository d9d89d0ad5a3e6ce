# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guides say is what the code does."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from libcloudspawner import checkconfig, naming, observability
from pages import PAGES, ROOT, blocks, name_of
from prometheus_client.metrics import MetricWrapperBase
from role_settings import module_options, options, rendered, templar

DOCS = ROOT / "docs"
ROLES = ("hub", "node", "environment", "image", "container")
PREFIXES = tuple(f"{role}_" for role in ROLES)
SPECIFIED = {name: option for role in ROLES for name, option in options(role).items()}
NAMES = re.findall(
    r"^\| `(\S+)` \| (default|`\S+`) \| `(\S+)` \| `(\S+)` \|$", (DOCS / "explanation.md").read_text(), re.M
)


@pytest.mark.parametrize(("user", "server", "instance", "account"), NAMES)
def test_the_names_in_the_explanation_are_those_that_come_out(user, server, instance, account):
    assert naming.instance_name(user, "" if server == "default" else server.strip("`")) == instance
    assert naming.account_name("jupyter-{USERNAME}", user, 1) == account


def test_the_explanation_shows_names():
    assert len(NAMES) == 3


def settings(value):
    """Each set of variables of the roles within a document, wherever it stands in it."""
    if isinstance(value, dict):
        of_roles = {name: inner for name, inner in value.items() if str(name).startswith(PREFIXES)}
        yield from [of_roles] if of_roles else []
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from settings(inner)


def documented_settings(page):
    for block in blocks(page, "yaml"):
        for document in yaml.safe_load_all(block):
            yield from settings(filled_in(document))


def filled_in(value):
    """With something in the place of what a vault holds, and of the folder of the inventory."""
    if isinstance(value, dict):
        return {name: filled_in(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled_in(inner) for inner in value]
    return re.sub(r"\{\{ (vault_\w+|inventory_dir) \}\}", "/filled-in", value) if isinstance(value, str) else value


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_sets_are_variables_of_the_roles_with_values_that_fit(page):
    for variables in documented_settings(page):
        specified = {name: SPECIFIED.get(name) for name in variables}
        assert [name for name, option in specified.items() if option is None] == []
        validated = ArgumentSpecValidator(specified).validate(variables, validate_role_argument_spec=True)
        assert validated.error_messages == []


def test_pages_set_variables():
    found = {name for variables in documented_settings(DOCS / "howto/environments.md") for name in variables}
    assert {"hub_userserver_images", "node_environments"} <= found


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """What a hub says that starts with a configuration."""
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "unused")
    monkeypatch.chdir(tmp_path)

    def problems(text):
        (tmp_path / "jupyterhub_config.py").write_text(text)
        return checkconfig.problems(str(tmp_path / "jupyterhub_config.py"))

    return problems


# What the inventory for a cloud says beside what a page is about.
CLOUD = {
    "ansible_facts": {"default_ipv4": {"address": "10.0.0.5"}},
    "hub_userserver_net": "private-net",
    "hub_userserver_sizes": [{"name": "m1.small"}],
    "hub_userserver_images": [{"name": "debian-12"}],
}
# These are in the configuration that root alone reads.
CREDENTIALS = """
c.LibcloudSpawner.libcloud_driver_params = {
    "arg_user_id": "me", "arg_key": "secret", "ex_force_auth_url": "https://cloud.example.org:5000",
    "ex_force_auth_version": "3.x_appcred", "ex_force_service_region": "RegionOne",
}
"""


# Another way to sign in than dummy takes a package that is not among the tools.
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_hub_takes_what_a_page_sets(page, problems):
    for variables in documented_settings(page):
        if any(name.startswith("hub_") for name in variables):
            cloud = CLOUD if variables.get("hub_provider") == "openstack" else {}
            settings = {"hub_admin_users": ["ada"], **cloud, **variables, "hub_authenticator": "dummy"}
            known = templar("hub", **settings)
            text = rendered(ROOT / "templates/jupyterhub_config.py.j2", known) + (CREDENTIALS if cloud else "")
            assert problems(re.sub(r"^load_subconfig\(.*secret_config.*", "", text, flags=re.M)) == []


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_the_hub_takes_the_python_of_a_page(page, problems, tmp_path):
    auth = {"auth_url": "https://cloud.example.org:5000", "username": "u", "password": "p", "project_name": "p"}
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"campus": {"auth": auth}}}))
    for block in blocks(page, "python"):
        assert problems(block) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_an_inventory_of_a_page_has_a_hub_or_images(page, tmp_path):
    for block in blocks(page, "yaml"):
        if re.match("(all|images):$", block, re.M):
            (tmp_path / "inventory.yml").write_text(block)
            groups = InventoryManager(DataLoader(), [str(tmp_path / "inventory.yml")]).get_groups_dict()
            assert groups.get("images") or groups["hubs"] == groups["nodes"] != []


def test_the_plays_of_the_pages_are_such_and_give_our_modules_options_that_they_have(tmp_path):
    found = [yaml.safe_load(block) for page in PAGES for block in blocks(page, "yaml")]
    plays = [play for one in found if isinstance(one, list) for play in one if "hosts" in play]
    assert plays
    (tmp_path / "plays.yml").write_text(yaml.safe_dump(plays))
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks/collections")}
    command = ["ansible-playbook", "--syntax-check", str(tmp_path / "plays.yml")]
    checked = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    for task in (task for play in plays for task in play.get("tasks", [])):
        for name, given in task.items():
            if name.startswith("libcloudspawner."):
                assert given.keys() <= module_options(name.rpartition(".")[2]).keys()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_of_a_page_can_be_read_by_what_it_is_for(page):
    for block in blocks(page, "json"):
        json.loads(block)
    runs = [line.removeprefix("RUN ") for block in blocks(page, "dockerfile") for line in block.splitlines()[1:]]
    for script in [*blocks(page, "shell"), *blocks(page, "bash"), *runs]:
        subprocess.run(["bash", "-n", "-c", script], check=True)
    assert all(block.startswith("FROM ") for block in blocks(page, "dockerfile"))
    assert all(block.startswith("#!/bin/bash\n") for block in blocks(page, "bash"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_of_a_page_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def metrics(path):
    return set(re.findall(r"libcloudspawner_\w+?(?=_bucket|\W)", path.read_text()))


@pytest.mark.parametrize("name", ["metrics.md", "grafana-dashboard.json"])
def test_the_metrics_that_are_written_of_are_those_that_are_counted(name):
    counted = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for collector in vars(observability).values()
        if isinstance(collector, MetricWrapperBase)
        for metric in collector.collect()
    }
    assert len(counted) == 6
    assert metrics(DOCS / "howto" / name) == counted


def test_the_events_that_are_written_of_are_those_that_are_told():
    code = (ROOT / "spawner/src/libcloudspawner/spawner.py").read_text(encoding="utf-8")
    (listed,) = re.findall(r"one line of JSON for each event.*?\n\n", (DOCS / "howto/metrics.md").read_text(), re.S)
    assert set(re.findall("`([a-z-]+)`", listed)) == set(
        re.findall(r'observability\.tell\(self\.log, "([a-z-]+)"', code)
    )
