# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guides say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from libcloudspawner import naming, observability
from prometheus_client.metrics import MetricWrapperBase
from role_settings import options

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]
ROLES = ("hub", "node", "environment", "image", "container")
SPECIFIED = {name for role in ROLES for name in options(role)}
NAMES = re.findall(
    r"^\| `(\S+)` \| (default|`\S+`) \| `(\S+)` \| `(\S+)` \|$", (DOCS / "explanation.md").read_text(), re.M
)


@pytest.mark.parametrize(("user", "server", "instance", "account"), NAMES)
def test_the_names_in_the_explanation_are_those_that_come_out(user, server, instance, account):
    assert naming.instance_name(user, "" if server == "default" else server.strip("`")) == instance
    assert naming.account_name("jupyter-{USERNAME}", user, 1) == account


def test_the_explanation_shows_names():
    assert len(NAMES) == 3


def variables(page):
    """Those of the roles that the YAML of a page sets, wherever it stands."""

    def within(value):
        if isinstance(value, dict):
            for name, inner in value.items():
                yield name
                yield from within(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from within(inner)

    for block in re.findall(r"(?ms)^ *```yaml\n(.*?)^ *```$", page.read_text()):
        for document in yaml.safe_load_all(block):
            yield from (name for name in within(document) if str(name).startswith(tuple(f"{role}_" for role in ROLES)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_variables_that_a_page_sets_are_those_of_the_roles(page):
    assert set(variables(page)) <= SPECIFIED


def test_pages_set_variables():
    assert {"hub_userserver_images", "node_environments"} <= set(variables(DOCS / "howto/environments.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
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
