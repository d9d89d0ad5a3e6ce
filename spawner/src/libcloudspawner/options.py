# SPDX-License-Identifier: BSD-3-Clause
"""What a user may choose. The lists are the administrator's; whatever a user sends is checked against them."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jupyterhub.traitlets import ByteSpecification
from traitlets import TraitError

from .errors import StartRefused

SIZE_FIELD = "userserver_size"
IMAGE_FIELD = "userserver_image"
_TAG = re.compile(r"[a-z0-9][a-z0-9.-]*")
_FORMER_FIELDS = {SIZE_FIELD: "machinesize", IMAGE_FIELD: "machineimage"}


class Capacity(ByteSpecification):
    """A number of bytes, as text such as ``10G`` or, as Kubernetes has it, ``10Gi``, which is the same."""

    allow_none = False

    def validate(self, obj: Any, value: Any) -> int:
        text = value.removesuffix("B").removesuffix("i") if isinstance(value, str) else value
        try:
            size = super().validate(obj, text)
        except (TraitError, TypeError, LookupError, OverflowError):
            size = None
        if not isinstance(size, int) or size <= 0:
            raise TraitError(f"storage_capacity must be a number with K, M, G or T, such as 10Gi, but is {value!r}.")
        return size


@dataclass(frozen=True)
class Offer:
    """One line of a list that a user chooses from; ``name`` is what the provider calls it."""

    name: str
    display_name: str
    description: str = ""
    is_default: bool = False


@dataclass(frozen=True)
class Image(Offer):
    """What an instance contains when it starts: an environment of a node, or an image of a cloud."""

    tag: str = ""
    """Which of the images that were built under this name; empty where the provider knows the name itself."""

    @property
    def full_name(self) -> str:
        return f"{self.name}-{self.tag}" if self.tag else self.name


@dataclass(frozen=True)
class Size(Offer):
    """How large an instance is. Limits that are None here come from the Spawner's own settings."""

    mem_limit: int | None = None
    cpu_limit: float | None = None
    tasks_limit: int | None = None

    @property
    def override(self) -> dict[str, Any]:
        """The settings of the Spawner that it says otherwise."""
        limits = {"mem_limit": self.mem_limit, "cpu_limit": self.cpu_limit, "tasks_limit": self.tasks_limit}
        return {name: value for name, value in limits.items() if value is not None}


@dataclass(frozen=True)
class Choice:
    """What one start uses; None where there was nothing to choose from."""

    size: Size | None
    image: Image | None


OfferType = TypeVar("OfferType", bound=Offer)


def parse_sizes(value: Sequence[Any]) -> list[Size]:
    """Sizes from pairs ("Display name", "name") or from dictionaries with Size's keys. Raises TraitError."""
    sizes = [_parse(Size, item, ("mem_limit", "cpu_limit", "tasks_limit"), "userserver_sizes") for item in value]
    return _distinct(sizes, "userserver_sizes")


def parse_images(value: Sequence[Any]) -> list[Image]:
    """Images from pairs ("Display name", "name") or from dictionaries with Image's keys. Raises TraitError."""
    images = [_parse(Image, item, ("tag",), "userserver_images") for item in value]
    return _distinct(images, "userserver_images")


def _parse(kind: type[OfferType], item: Any, own: tuple[str, ...], setting: str) -> OfferType:
    if isinstance(item, (list, tuple)) and len(item) == 2 and all(isinstance(part, str) and part for part in item):
        return kind(name=item[1], display_name=item[0])
    known = ("name", "display_name", "description", "default", *own)
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or not item["name"]:
        raise TraitError(
            f'{setting}: {item!r} is neither a pair ("Display name", "name") nor a dictionary with a name.'
        )
    if unknown := sorted(map(str, set(item) - set(known))):
        raise TraitError(f"{setting}: {item['name']} has unknown keys {unknown}; known are {list(known)}.")
    return kind(
        name=item["name"],
        display_name=str(item.get("display_name") or item["name"]),
        description=str(item.get("description") or ""),
        is_default=bool(item.get("default", False)),
        **{key: _PARSERS[key](key, item[key], setting, item["name"]) for key in own if item.get(key) is not None},
    )


def _limit(key: str, value: Any, setting: str, name: str) -> float | int:
    try:
        number = ByteSpecification().validate(None, value) if key == "mem_limit" else float(value)
    except (TraitError, TypeError, ValueError, OverflowError, LookupError):
        number = 0
    if not 0 < number < math.inf or (key == "tasks_limit" and number < 1):
        expected = 'bytes, or a number with K, M, G or T such as "2G"' if key == "mem_limit" else "a number above 0"
        raise TraitError(f"{setting}: {key} of {name} must be {expected}, but is {value!r}.")
    return int(number) if key == "tasks_limit" else number


def _tag(key: str, value: Any, setting: str, name: str) -> str:
    if value == "auto":
        raise TraitError(f"{setting}: tag auto of {name} means nothing to a running hub; the role hub resolves it.")
    if value in ("", "latest"):
        raise TraitError(
            f"{setting}: tag {value!r} of {name} does not say which image it is, and another day it would be another. "
            "Write the tag of one, or auto, which the role hub resolves."
        )
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise TraitError(f"{setting}: the tag of {name} must be small letters, digits, dots and dashes, not {value!r}.")
    return value


_PARSERS: Mapping[str, Callable[[str, Any, str, str], Any]] = {
    "mem_limit": _limit,
    "cpu_limit": _limit,
    "tasks_limit": _limit,
    "tag": _tag,
}


def _distinct(offers: list[OfferType], setting: str) -> list[OfferType]:
    names = [offer.name for offer in offers]
    if len(set(names)) != len(names):
        raise TraitError(f"{setting}: each name may stand only once, but the names are {names}.")
    if sum(offer.is_default for offer in offers) > 1:
        raise TraitError(f"{setting}: only one may be the default.")
    return offers


def choose(user_options: Mapping[str, Any], sizes: Sequence[Size], images: Sequence[Image]) -> Choice:
    """The choice that ``user_options`` make. Raises StartRefused (HTTP 400) that names what is allowed."""
    return Choice(
        size=chosen(_sent(user_options, SIZE_FIELD), sizes, SIZE_FIELD, "size"),
        image=chosen(_sent(user_options, IMAGE_FIELD), images, IMAGE_FIELD, "environment"),
    )


def _sent(user_options: Mapping[str, Any], field: str) -> Any:
    return user_options.get(field, user_options.get(_FORMER_FIELDS[field]))


def named(choice: Choice) -> dict[str, str]:
    """A choice as the names of what was chosen, by field: what a form would send for it."""
    offers = {SIZE_FIELD: choice.size, IMAGE_FIELD: choice.image}
    return {field: offer.name for field, offer in offers.items() if offer}


def chosen(wanted: Any, offers: Sequence[OfferType], field: str, noun: str) -> OfferType | None:
    """The offer named ``wanted``, or the preselected one where nothing was sent. Raises StartRefused (HTTP 400)."""
    if wanted is None or (wanted == "" and not offers):
        return preselected(offers)
    for offer in offers:
        if offer.name == wanted:
            return offer
    allowed = ", ".join(offer.name for offer in offers) or "none, there is nothing to choose"
    raise StartRefused(
        f"There is no {noun} {reprlib.repr(wanted)} here. Allowed values of {field}: {allowed}.",
        reason=f"unknown-{noun}",
    )


def preselected(offers: Sequence[OfferType]) -> OfferType | None:
    """The one marked as default, else the first."""
    return next((offer for offer in offers if offer.is_default), offers[0] if offers else None)


def in_words(size: Size) -> str:
    """``2 GB of memory, half a processor``; empty where a size sets no limits."""
    words = []
    if size.mem_limit is not None:
        words.append(f"{memory_in_words(size.mem_limit)} of memory")
    if size.cpu_limit is not None:
        words.append(_processors_in_words(size.cpu_limit))
    return ", ".join(words)


def memory_in_words(number: int) -> str:
    """A number of bytes in the largest unit that leaves at least 1: ``512 MB``, ``1.5 GB``."""
    for exponent, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "KB")):
        if number >= 1024**exponent:
            return f"{round(number / 1024**exponent, 1):g} {unit}"
    return f"{number} bytes"


def _processors_in_words(number: float) -> str:
    if number == 0.5:
        return "half a processor"
    return "1 processor" if number == 1 else f"{number:g} processors"
