# SPDX-License-Identifier: BSD-3-Clause
"""Profiles that a user chooses from: named sets of the spawner's settings, in KubeSpawner's words."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from traitlets import TraitError

from .errors import StartRefused
from .naming import slug
from .options import Offer, chosen, preselected

FIELD = "profile"
UNLISTED = "unlisted-choice"
_SETTING = "profile_list"
_OVERRIDES = ("spawner_override", "kubespawner_override")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

Override = Mapping[str, Any]
# Takes an override and where it stands, and gives back what of it has a meaning here, or raises TraitError.
Check = Callable[[Override, str], Override]


@dataclass(frozen=True)
class Alternative(Offer):
    """One of the choices of an option."""

    override: Override = field(default_factory=dict)


@dataclass(frozen=True)
class Unlisted:
    """That a user may type what no choice of an option is; ``{value}`` in the override becomes what was typed."""

    display_name: str
    display_name_in_choices: str
    validation_regex: str
    validation_message: str
    override: Override


@dataclass(frozen=True)
class Option:
    """What a user may choose beside a profile."""

    name: str
    display_name: str
    choices: tuple[Alternative, ...]
    unlisted: Unlisted | None

    @property
    def preselected(self) -> Alternative | str:
        """What a form shows at first: a choice, or an empty field to type into."""
        return preselected(self.choices) or ""


@dataclass(frozen=True)
class Profile(Offer):
    """``name`` is the slug."""

    override: Override = field(default_factory=dict)
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class ProfileChoice:
    """A profile, and what was chosen or typed for each of its options, by the option's name."""

    profile: Profile
    picked: Mapping[str, Alternative | str]

    @property
    def overrides(self) -> list[Override]:
        """In the order in which they apply."""
        return [self.profile.override, *(self._override(option) for option in self.profile.options)]

    def _override(self, option: Option) -> Override:
        value = self.picked[option.name]
        if isinstance(value, Alternative):
            return value.override
        return {} if option.unlisted is None else _filled(option.unlisted.override, value)

    @property
    def named(self) -> dict[str, str]:
        """What a form would send for it, without the prefixes of its fields."""
        names = {FIELD: self.profile.name}
        for option, value in self.picked.items():
            if isinstance(value, Alternative):
                names[option] = value.name
            else:
                names |= {option: UNLISTED, unlisted_key(option): value}
        return names


def unlisted_key(option: str) -> str:
    """The key of a user's options that holds what was typed for an option."""
    return f"{option}--{UNLISTED}"


def form_field(profile: str, key: str) -> str:
    """The name of the field of a form for such a key."""
    return f"profile-option-{profile}--{key}"


def from_form(sent: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a form without those of profiles that were not chosen, and without prefixes."""
    prefix = form_field(str(sent.get(FIELD, "")), "")
    kept = {key: value for key, value in sent.items() if not key.startswith("profile-option-")}
    return kept | {key.removeprefix(prefix): value for key, value in sent.items() if key.startswith(prefix)}


def parse(value: Any, check: Check) -> list[Profile]:
    """Profiles from a list of dictionaries, or a dictionary of them by slug. Raises TraitError that says where."""
    if isinstance(value, Mapping):
        value = [{"slug": key, **_dictionary(item, f"{_SETTING}: {key}")} for key, item in value.items()]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TraitError(f"{_SETTING} must be a list of profiles, but is {value!r}.")
    profiles = [_profile(item, check) for item in value]
    slugs = [profile.name for profile in profiles]
    if len(set(slugs)) != len(slugs):
        raise TraitError(f"{_SETTING}: each slug may stand only once, but the slugs are {slugs}.")
    _at_most_one_default(profiles, _SETTING)
    return profiles


def _profile(item: Any, check: Check) -> Profile:
    known = ("display_name", "slug", "description", "default", "profile_options")
    item = _dictionary(item, f"{_SETTING}: a profile")
    display_name = _text(item, "display_name", f"{_SETTING}: {reprlib.repr(item)}")
    where = f"{_SETTING}: {display_name}"
    _known_keys(item, (*known, *_OVERRIDES), where)
    options = _dictionary(item.get("profile_options") or {}, f"{where}, profile_options")
    return Profile(
        name=_slug(item.get("slug"), display_name, where),
        display_name=display_name,
        description=str(item.get("description") or ""),
        is_default=bool(item.get("default", False)),
        override=_override(item, check, where),
        options=tuple(_option(name, option, check, where) for name, option in options.items()),
    )


def _slug(given: Any, display_name: str, where: str) -> str:
    if given is None:
        readable = re.sub(r"[^a-z0-9]+", "-", display_name.lower()).strip("-")
        return readable or slug(display_name)
    if not isinstance(given, str) or not _SLUG.fullmatch(given):
        raise TraitError(f"{where}: slug must be letters, digits, dashes, dots and underscores, but is {given!r}.")
    return given


def _option(name: Any, item: Any, check: Check, where: str) -> Option:
    where = f"{where}, option {name}"
    if not isinstance(name, str) or not _SLUG.fullmatch(name) or "--" in name or name == FIELD:
        raise TraitError(
            f"{where}: the name of an option must be letters, digits, single dashes, dots and underscores, and not "
            f"{FIELD}."
        )
    item = _dictionary(item, where)
    _known_keys(item, ("display_name", "choices", "unlisted_choice"), where)
    choices = tuple(
        _alternative(str(key), choice, check, where)
        for key, choice in _dictionary(item.get("choices") or {}, f"{where}, choices").items()
    )
    unlisted = _unlisted(_dictionary(item.get("unlisted_choice") or {}, f"{where}, unlisted_choice"), check, where)
    if not choices and unlisted is None:
        raise TraitError(f"{where}: there are neither choices nor an enabled unlisted_choice.")
    _at_most_one_default(choices, where)
    return Option(name, str(item.get("display_name") or name), choices, unlisted)


def _alternative(key: str, item: Any, check: Check, where: str) -> Alternative:
    where = f"{where}, choice {key}"
    if key == UNLISTED:
        raise TraitError(f"{where}: {UNLISTED} stands for what a user types; name the choice otherwise.")
    item = _dictionary(item, where)
    _known_keys(item, ("display_name", "description", "default", *_OVERRIDES), where)
    return Alternative(
        name=key,
        display_name=str(item.get("display_name") or key),
        description=str(item.get("description") or ""),
        is_default=bool(item.get("default", False)),
        override=_override(item, check, where),
    )


def _unlisted(item: Mapping[str, Any], check: Check, where: str) -> Unlisted | None:
    where = f"{where}, {UNLISTED}"
    texts = ("display_name", "display_name_in_choices", "description_in_choices")
    _known_keys(item, ("enabled", *texts, "validation_regex", "validation_message", *_OVERRIDES), where)
    if not item.get("enabled"):
        return None
    regex = str(item.get("validation_regex") or "")
    try:
        re.compile(regex)
    except re.error as error:
        raise TraitError(f"{where}: validation_regex {regex!r} is no regular expression: {error}.") from None
    return Unlisted(
        display_name=str(item.get("display_name") or "Other"),
        display_name_in_choices=str(item.get("display_name_in_choices") or "Other..."),
        validation_regex=regex,
        validation_message=str(item.get("validation_message") or ""),
        override=_override(item, check, where),
    )


def _override(item: Mapping[str, Any], check: Check, where: str) -> Override:
    given = [key for key in _OVERRIDES if item.get(key)]
    if len(given) > 1:
        raise TraitError(f"{where}: {' and '.join(given)} mean the same; leave one out.")
    return check(_dictionary(item[given[0]], f"{where}, {given[0]}"), where) if given else {}


def _dictionary(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TraitError(f"{where} must be a dictionary, but is {value!r}.")
    return value


def _text(item: Mapping[str, Any], key: str, where: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise TraitError(f"{where}: {key} is missing.")
    return value


def _known_keys(item: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    if unknown := sorted(map(str, set(item) - set(known))):
        raise TraitError(f"{where}: unknown keys {unknown}; known are {list(known)}.")


def _at_most_one_default(offers: Sequence[Offer], where: str) -> None:
    if sum(offer.is_default for offer in offers) > 1:
        raise TraitError(f"{where}: only one may be the default.")


def choose(user_options: Mapping[str, Any], profiles: Sequence[Profile]) -> ProfileChoice | None:
    """The choice that ``user_options`` make. Raises StartRefused (HTTP 400) that names what is allowed."""
    profile = chosen(user_options.get(FIELD), profiles, FIELD, "profile")
    if profile is None:
        return None
    return ProfileChoice(profile, {option.name: _picked(user_options, option) for option in profile.options})


def shown(user_options: Mapping[str, Any], profiles: Sequence[Profile]) -> ProfileChoice | None:
    """What a form shows after ``user_options``: what of them is still offered, and what was typed, to be mended."""
    profile = next((one for one in profiles if one.name == user_options.get(FIELD)), preselected(profiles))
    if profile is None:
        return None
    return ProfileChoice(profile, {option.name: _shown(user_options, option) for option in profile.options})


def _shown(user_options: Mapping[str, Any], option: Option) -> Alternative | str:
    try:
        return _picked(user_options, option)
    except StartRefused:
        typed = user_options.get(unlisted_key(option.name))
        return typed if option.unlisted is not None and isinstance(typed, str) else option.preselected


def _picked(user_options: Mapping[str, Any], option: Option) -> Alternative | str:
    listed, typed = user_options.get(option.name), user_options.get(unlisted_key(option.name))
    if option.unlisted is not None and listed in (None, UNLISTED) and (typed or listed or not option.choices):
        return _typed(typed, option.name, option.unlisted)
    return chosen(listed, option.choices, option.name, "choice") or option.choices[0]


def _typed(value: Any, name: str, unlisted: Unlisted) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise StartRefused(f"{unlisted.display_name}: please type a value.", reason="unknown-choice")
    if unlisted.validation_regex and not re.fullmatch(unlisted.validation_regex, value):
        raise StartRefused(
            f"{unlisted.display_name}: {reprlib.repr(value)} is not allowed. "
            + (unlisted.validation_message or f"It must match {unlisted.validation_regex}"),
            reason="unknown-choice",
        )
    return value


def _filled(override: Any, value: str) -> Any:
    """``override`` with ``value`` in place of each ``{value}``, however deep."""
    if isinstance(override, str):
        return override.replace("{value}", value)
    if isinstance(override, Mapping):
        return {key: _filled(item, value) for key, item in override.items()}
    return [_filled(item, value) for item in override] if isinstance(override, list) else override
