# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import hypothesis
import pytest
from fakecloud import FakeCloud

hypothesis.settings.register_profile("tests", deadline=None, max_examples=30)
hypothesis.settings.load_profile("tests")


@pytest.fixture
def cloud():
    """A cloud whose machines hold nothing."""
    with FakeCloud(guest="never") as cloud:
        yield cloud
