# SPDX-License-Identifier: BSD-3-Clause
"""The form in which a user chooses: its HTML, and what a browser sends back."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyterhub.traitlets import ByteSpecification

from . import profiles
from .options import IMAGE_FIELD, SIZE_FIELD, Choice, Image, Size, in_words
from .profiles import Profile, ProfileChoice
from .rendering import render, render_text

FILES_END = "The files of a server are deleted when it stops. Download what you want to keep."
SOME_FILES_END = (
    "The files of some servers are deleted when they stop; the page where you choose one says of which. Download what "
    "you want to keep."
)


def from_form(form_data: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A form's lists of one string as plain strings, by what they are for.

    Anything else is left for what checks it to refuse.
    """
    return profiles.from_form({key: sent[0] if len(sent) == 1 else list(sent) for key, sent in form_data.items()})


def render_form(
    sizes: Sequence[Size],
    images: Sequence[Image],
    offered: Sequence[Profile],
    current: Choice,
    current_profile: ProfileChoice | None,
    own: Path | None = None,
    own_text: str = "",
    *,
    keeps_files: bool = True,
    notice: str = "",
    storage: Mapping[str, bool] = types.MappingProxyType({}),
) -> str:
    """The HTML of the choices, with the current ones preselected; empty when there is nothing to choose.

    The folder ``own`` may hold an ``options_form.html.j2`` of the administrator's; ``own_text`` is such a template.
    ``storage`` says of each type of storage whether it keeps files.
    """
    if len(sizes) < 2 and len(images) < 2 and not _is_choice(offered):
        return ""
    values = {
        "userserver_sizes": [(size.display_name, size.name) for size in sizes],
        "userserver_images": [(image.display_name, image.name) for image in images],
        "profile_list": [_as_dictionary(profile) for profile in offered],
        "user_options": current_profile.named if current_profile else {},
        "size_field": SIZE_FIELD,
        "image_field": IMAGE_FIELD,
        "sizes": [(size, in_words(size)) for size in sizes],
        "images": [(image, "") for image in images],
        "current": current,
        "profiles": [(profile, override_in_words(profile.override, storage, keeps_files)) for profile in offered],
        "current_profile": current_profile,
        "profile_field": profiles.FIELD,
        "form_field": profiles.form_field,
        "unlisted_key": profiles.unlisted_key,
        "unlisted": profiles.UNLISTED,
        "notice": notice,
    }
    return render_text(own_text, **values) if own_text else render("options_form.html.j2", own, **values)


def override_in_words(override: Mapping[str, Any], storage: Mapping[str, bool], keeps_files: bool) -> str:
    """The limits that a profile sets, as far as they do not depend on the user, and whether files stay.

    That they do is said where the page says of others that they do not.
    """
    memory, cpus = override.get("mem_limit"), override.get("cpu_limit")
    limits = in_words(
        Size(
            name="",
            display_name="",
            mem_limit=ByteSpecification().validate(None, memory) if memory and not callable(memory) else None,
            cpu_limit=float(cpus) if cpus and not callable(cpus) else None,
        )
    )
    chosen = override.get("storage_type")
    kept = None if callable(chosen) else storage.get(str(chosen))
    files = {False: "files are deleted when it stops", True: "" if keeps_files else "files are kept"}
    return ", ".join(filter(None, [limits, "" if kept is None else files[kept]]))


def _is_choice(offered: Sequence[Profile]) -> bool:
    return len(offered) > 1 or any(
        len(option.choices) > 1 or option.unlisted for profile in offered for option in profile.options
    )


def _as_dictionary(profile: Profile) -> dict[str, Any]:
    """As templates made for KubeSpawner expect it."""
    return {
        "slug": profile.name,
        "display_name": profile.display_name,
        "description": profile.description,
        "default": profile.is_default,
        "profile_options": {
            option.name: {
                "display_name": option.display_name,
                "choices": {
                    choice.name: {"display_name": choice.display_name, "default": choice.is_default}
                    for choice in option.choices
                },
                "unlisted_choice": {"enabled": False}
                if option.unlisted is None
                else {
                    "enabled": True,
                    "display_name": option.unlisted.display_name,
                    "display_name_in_choices": option.unlisted.display_name_in_choices,
                    "validation_regex": option.unlisted.validation_regex,
                    "validation_message": option.unlisted.validation_message,
                },
            }
            for option in profile.options
        },
    }
