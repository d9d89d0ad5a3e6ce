#!/usr/bin/python

# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Write many small files and folders at once
version_added: 0.1.0
description:
  - Sees to it that files have the content that is given, and files and folders their owners and modes, with one
    question to the host for all of them, where M(ansible.builtin.copy) and M(ansible.builtin.template) ask twice each.
  - A file is replaced whole, and has its owner and its mode before it has its name. Folders above a folder are made.
  - What files hold stands neither in the journal of the host nor in what Ansible says with C(-vvv).
  - Used by the roles of this collection. There is no need to name it in a play.
author:
  - The libcloudspawner team (@libcloudspawner)
extends_documentation_fragment:
  - libcloudspawner.jupyterhub._attributes
options:
  files:
    description: What is to be there, in the order in which it is made.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      state:
        description: V(file) and V(directory) are there afterwards, V(absent) is a file that is not.
        type: str
        choices: [file, directory, absent]
        default: file
      content:
        description: What the file holds.
        type: str
        default: ""
      force:
        description: Replace a file that holds something else. V(false) leaves it, and sees to its owner and mode alone.
        type: bool
        default: true
      mode:
        description: Permissions, as M(ansible.builtin.file) takes them.
        type: str
        default: "0644"
      owner:
        description: Name of the account that owns it.
        type: str
        default: root
      group:
        description: Name of the group that owns it.
        type: str
        default: root
seealso:
  - module: ansible.builtin.copy
  - module: ansible.builtin.template
"""

EXAMPLES = r"""
- name: Write two units
  libcloudspawner.jupyterhub.files:
    files:
      - path: /etc/systemd/system/jupyterhub.slice
        content: "{{ lookup('ansible.builtin.template', 'jupyterhub.slice.j2') }}"
      - path: /etc/systemd/system/jupyterhub-singleuser.slice
        content: "{{ lookup('ansible.builtin.template', 'jupyterhub-singleuser.slice.j2') }}"
"""

RETURN = r"""
paths:
  description: The paths of what was not as it is to be.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/jupyterhub.slice]
"""

import os
import tempfile
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def read(path: Path) -> bytes | None:
    """What a file holds; None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def set_attributes(module: AnsibleModule, path: Path, wanted: dict[str, t.Any]) -> bool:
    attributes = {name: wanted[name] for name in ("mode", "owner", "group")}
    arguments = module.load_file_common_arguments(attributes, path=str(path))
    return bool(module.set_fs_attributes_if_different(arguments, False))


def replace(module: AnsibleModule, path: Path, content: bytes, wanted: dict[str, t.Any]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        set_attributes(module, temporary, wanted)
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def see_to(module: AnsibleModule, wanted: dict[str, t.Any]) -> tuple[bool, dict[str, str] | None]:
    """Whether one file or folder was not as it is to be, and how its content differed, if that is to be shown."""
    path, state = Path(wanted["path"]), wanted["state"]
    there = path.exists() or path.is_symlink()
    if state == "directory":
        if path.is_dir():
            return set_attributes(module, path.resolve(), wanted), None
        if not module.check_mode or there:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
            set_attributes(module, path, wanted)
        return True, None
    if state == "absent":
        if there and not module.check_mode:
            path.unlink()
        return there, None
    before, after = read(path), wanted["content"].encode()
    if before is not None and (before == after or not wanted["force"]):
        return set_attributes(module, path, wanted), None
    if not module.check_mode:
        replace(module, path, after, wanted)
    shown = {name: (text or b"").decode(errors="replace") for name, text in (("before", before), ("after", after))}
    return True, {**shown, "before_header": str(path), "after_header": str(path)}


class Module(AnsibleModule):
    def _log_invocation(self) -> None:
        # The journal has the names; what the files hold, which may be secret, it would have whole.
        self.log(f"Sees to {', '.join(wanted['path'] for wanted in self.params['files'])}")


def main() -> None:
    module = Module(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "state": {"type": "str", "choices": ["file", "directory", "absent"], "default": "file"},
                    "content": {"type": "str", "default": ""},
                    "force": {"type": "bool", "default": True},
                    "mode": {"type": "str", "default": "0644"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                },
            },
        },
        supports_check_mode=True,
    )
    paths: list[str] = []
    diffs = []
    for wanted in module.params["files"]:
        try:
            differs, diff = see_to(module, wanted)
        except OSError as error:
            problem = f"{wanted['path']} cannot be made what it is to be: {error.strerror}."
            module.fail_json(msg=problem, paths=paths, invocation={})
        if differs:
            paths.append(wanted["path"])
        if diff:
            diffs.append(diff)
    shown = {"diff": diffs} if module._diff else {}
    module.exit_json(changed=bool(paths), paths=paths, invocation={}, **shown)


if __name__ == "__main__":
    main()
