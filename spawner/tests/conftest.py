# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("tests", deadline=None, max_examples=30)
hypothesis.settings.load_profile("tests")
