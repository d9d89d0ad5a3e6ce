# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pytest
from node import GO, Node


@pytest.fixture
def node(host):
    node = Node(host)
    yield node
    host.check_output("rm --force %s", GO)
    node.stop_all()
