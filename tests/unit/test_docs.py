# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guides say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from libcloudspawner import naming

DOCS = Path(__file__).parents[2] / "docs"
NAMES = re.findall(
    r"^\| `(\S+)` \| (default|`\S+`) \| `(\S+)` \| `(\S+)` \|$", (DOCS / "explanation.md").read_text(), re.M
)


@pytest.mark.parametrize(("user", "server", "instance", "account"), NAMES)
def test_the_names_in_the_explanation_are_those_that_come_out(user, server, instance, account):
    assert naming.instance_name(user, "" if server == "default" else server.strip("`")) == instance
    assert naming.account_name("jupyter-{USERNAME}", user, 1) == account


def test_the_explanation_shows_names():
    assert len(NAMES) == 3
