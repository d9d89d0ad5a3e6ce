# SPDX-License-Identifier: BSD-3-Clause
"""Names that are valid, unique and say whose they are.

A user may be called anything. What comes out of here is lower case ASCII, begins and ends with a letter or a
digit, contains no double dash, is short enough for where it is used, is the same tomorrow, and is never the
same for two different users or servers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from traitlets import TraitError

INSTANCE_LENGTH = 63
ACCOUNT_LENGTH = 32
_DIGEST_LENGTH = 12
_ACCOUNT_FIXED_LENGTH = 16
_VALID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LOOKS_DIGESTED = re.compile(rf".*-[0-9a-f]{{{_DIGEST_LENGTH}}}")
# As {USERNAME}{USERID}: a1 with the number 2 would have the name of a with the number 12.
_RUNS_TOGETHER = re.compile(r"\}[0-9]*\{")


def slug(text: str, length: int = INSTANCE_LENGTH) -> str:
    """A valid name for ``text`` of at most ``length`` characters: itself where it is valid, else with a digest.

    A text that looks as if it ended in a digest gets one too, or it could take another's name on purpose.
    """
    if len(text) <= length and _VALID.fullmatch(text) and not _LOOKS_DIGESTED.fullmatch(text):
        return text
    return _digested(text, length, text)


def _digested(readable: str, length: int, *identity: str) -> str:
    parts = [hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest() for part in identity]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()[:_DIGEST_LENGTH]
    stem = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")[: length - _DIGEST_LENGTH - 1].strip("-")
    return f"{stem or 'x'}-{digest}"


def instance_name(user: str, server: str = "", template: str = "{USERNAME}", user_id: int = 0) -> str:
    """The name of the instance of a user's server; ``server`` is empty for the default one."""
    if server and "{SERVERNAME}" not in template:
        template += "-{SERVERNAME}"
    readable = template.replace("{USERID}", str(user_id)).replace("{SERVERNAME}", server).replace("{USERNAME}", user)
    if server:
        return _digested(readable, INSTANCE_LENGTH, user, server)
    readable = readable.strip("-")
    if slug(user) == user and slug(readable) == readable:
        return readable
    return _digested(readable, INSTANCE_LENGTH, user)


def check_unit_template(template: str) -> None:
    """Raises TraitError unless every user's instance gets a name of its own."""
    fixed = re.sub(r"\{(USERNAME|USERID|SERVERNAME)\}", "", template)
    if not re.search(r"\{(USERNAME|USERID)\}", template) or not re.fullmatch(r"[a-z0-9-]{0,32}", fixed):
        raise TraitError(
            "unit_name_template must hold {USERNAME} or {USERID}, and beside these and {SERVERNAME} at most 32 lower "
            f"case letters, digits and dashes, but is {template!r}."
        )
    _check_separators("unit_name_template", template.replace("{SERVERNAME}", ""))


def _check_separators(setting: str, template: str) -> None:
    if _RUNS_TOGETHER.search(template):
        raise TraitError(
            f"{setting} must hold a dash or a letter between {{USERNAME}} and {{USERID}}, such as "
            f"{{USERNAME}}-{{USERID}}, or two users could get one name, but is {template!r}."
        )


def filled(value: Any, user: str, user_id: int) -> Any:
    """A setting, or a list or dictionary of settings, with ``{USERNAME}`` and ``{USERID}`` filled in.

    ``{username}`` and ``{userid}``, as other spawners have it, are the same. Of the user's name only what is valid
    anywhere gets there: it may go into a path.
    """
    if isinstance(value, str):
        values = {"USERID": str(user_id), "USERNAME": slug(user)}
        return re.sub(r"\{(USERID|USERNAME|userid|username)\}", lambda found: values[found[1].upper()], value)
    if isinstance(value, Mapping):
        return {key: filled(each, user, user_id) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(each, user, user_id) for each in value]
    return value


def check_account_template(template: str) -> None:
    """Raises TraitError unless every user gets a valid account name of their own."""
    fixed = template.replace("{USERNAME}", "").replace("{USERID}", "")
    if fixed == template or not re.fullmatch(r"[a-z0-9_-]*", fixed) or len(fixed) > _ACCOUNT_FIXED_LENGTH:
        raise TraitError(
            "username_template must hold {USERNAME} or {USERID}, and beside them at most "
            f"{_ACCOUNT_FIXED_LENGTH} lower case letters, digits, dashes and underscores, but is {template!r}."
        )
    _check_separators("username_template", template)


def account_name(template: str, user: str, user_id: int) -> str:
    """The Unix account of a user, the same for all of the user's servers.

    ``template`` may hold ``{USERNAME}`` and ``{USERID}``, SystemdSpawner's words.
    """
    fixed = len(template.replace("{USERNAME}", "").replace("{USERID}", str(user_id)))
    return template.replace("{USERID}", str(user_id)).replace("{USERNAME}", slug(user, ACCOUNT_LENGTH - fixed))
