#!/usr/bin/python

# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What it does stands in plugins/action/preflight.py; Ansible looks here for how it is used.

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Collect everything that keeps a role of this collection from working
version_added: 0.1.0
description:
  - Looks at the variables of a role, and evaluates checks. It never fails, but returns a sentence for each problem, so
    that one message can tell all of them before anything is changed.
  - A variable is a problem if its value does not fit the role's argument specification, or if it begins with the name
    of the role and is none of its variables.
  - Used by the roles of this collection. There is no need to name it in a play.
author:
  - The libcloudspawner team (@libcloudspawner)
extends_documentation_fragment:
  - libcloudspawner.jupyterhub._attributes.info
options:
  role:
    description: Name of a role of this collection.
    type: str
    required: true
  checks:
    description: What else has to be so.
    type: list
    elements: dict
    default: []
    suboptions:
      that:
        description: A condition, or a list of conditions.
        type: raw
        required: true
      otherwise:
        description: What is wrong, what was expected and what to do, if it does not hold.
        type: str
        required: true
  found_before:
    description: Problems that other roles found on this host. They are returned too.
    type: list
    elements: str
    default: []
notes:
  - The role variable C(environment_ignored_variables) holds patterns of names that belong to something else.
"""

EXAMPLES = r"""
- name: Collect what keeps the hub from running
  libcloudspawner.jupyterhub.preflight:
    role: hub
    checks:
      - that: hub_admin_users | length > 0
        otherwise: hub_admin_users is empty. Name at least one user who will administer the hub.
  register: preflight

- name: Refuse it, all at once
  ansible.builtin.assert:
    that: preflight.problems | length == 0
    fail_msg: "{{ preflight.problems | join('\n') }}"
"""

RETURN = r"""
problems:
  description: A sentence for each problem.
  returned: always
  type: list
  elements: str
  sample:
    - There is no variable hub_htp_port; did you mean hub_http_port?
"""
