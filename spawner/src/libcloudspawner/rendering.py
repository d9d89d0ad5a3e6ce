# SPDX-License-Identifier: BSD-3-Clause
"""The templates that the package shares with the Ansible roles.

They live once, in the repository's ``templates/``; a wheel holds a copy of them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

_IN_WHEEL = Path(__file__).parent / "templates"
_IN_CHECKOUT = Path(__file__).parents[3] / "templates"


@cache
def _environment(own: Path | None) -> jinja2.Environment:
    shared = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([own, shared] if own else shared),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, own: Path | None = None, **values: Any) -> str:
    """The text of a shared template, or of the one of its name in the folder ``own``.

    A value that the template needs and does not get is an error.
    """
    return _environment(own).get_template(template).render(**values)


def render_text(template: str, **values: Any) -> str:
    """The HTML of a template that stands in a setting."""
    return jinja2.Environment(autoescape=True).from_string(template).render(**values)
