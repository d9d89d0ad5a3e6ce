# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate
short_description: Say what a certificate is good for
version_added: 0.1.0
description:
  - Reads a certificate with its chain and the key beside it, and says for which names, until when, and whether they
    fit each other. The key itself is not shown.
author:
  - The libcloudspawner team (@libcloudspawner)
options:
  _input:
    description: Path of the certificate with its chain, in PEM.
    type: path
    required: true
  key:
    description: Path of its key, in PEM.
    type: path
    required: true
  hosts:
    description: Names that it should be for.
    type: list
    elements: str
    default: []
positional: key, hosts
"""

EXAMPLES = r"""
- name: Show until when a certificate is good
  ansible.builtin.debug:
    msg: "{{ ('hub.crt' | libcloudspawner.jupyterhub.certificate('hub.key')).ends }}"
"""

RETURN = r"""
_value:
  description: What was found. All but C(error) is left out where it could not be read.
  type: dict
  contains:
    error:
      description: Why it could not be read; empty if it could.
      type: str
    names:
      description: The names and addresses that it is for.
      type: list
      elements: str
    lacks:
      description: Which of O(hosts) it is not for.
      type: list
      elements: str
    starts:
      description: From when it is good.
      type: str
    ends:
      description: Until when it and its chain are good.
      type: str
    days:
      description: For how many days from now; less than 0 if it has ended.
      type: float
    days_until_start:
      description: In how many days it starts; less than 0 if it has.
      type: float
    fits_key:
      description: Whether the key is its own.
      type: bool
    is_self_signed:
      description: Whether nobody else vouches for it.
      type: bool
"""

import datetime
import typing as t
from collections.abc import Iterable
from pathlib import Path

# Ansible itself needs it, and yet a plugin has to be readable without.
try:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
except ImportError:
    IS_MISSING = True
else:
    IS_MISSING = False


def _moment(of: x509.Certificate, name: str) -> datetime.datetime:
    # Older releases know the time without its zone alone.
    aware = getattr(of, f"{name}_utc", None)
    return aware or getattr(of, name).replace(tzinfo=datetime.timezone.utc)


def _names(of: x509.Certificate) -> list[str]:
    try:
        names = of.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _public(key: t.Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.DER, form))


def _is_for(host: str, names: Iterable[str]) -> bool:
    known = {name.lower() for name in names}
    return host.lower() in known or f"*.{host.lower().partition('.')[2]}" in known


def certificate(path: str, key: str, hosts: Iterable[str] = ()) -> dict[str, t.Any]:
    if IS_MISSING:
        return {"error": "Ansible's Python lacks the package cryptography. Install it on the control machine."}
    try:
        chain = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        return {"error": f"{path} is no certificate in PEM: {error}"}
    try:
        own = serialization.load_pem_private_key(Path(key).read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        return {"error": f"{key} is no key in PEM without a password: {error}"}
    first = chain[0]
    now = datetime.datetime.now(datetime.timezone.utc)
    starts = max(_moment(each, "not_valid_before") for each in chain)
    ends = min(_moment(each, "not_valid_after") for each in chain)
    day = datetime.timedelta(days=1)
    return {
        "error": "",
        "names": _names(first),
        "lacks": [host for host in hosts if not _is_for(host, _names(first))],
        "starts": f"{starts:%Y-%m-%d %H:%M} UTC",
        "ends": f"{ends:%Y-%m-%d %H:%M} UTC",
        "days": (ends - now) / day,
        "days_until_start": (starts - now) / day,
        "fits_key": _public(own) == _public(first),
        "is_self_signed": first.issuer == first.subject,
    }


class FilterModule:
    def filters(self) -> dict[str, t.Any]:
        return {"certificate": certificate}
