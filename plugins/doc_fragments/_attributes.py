# Copyright (c) 2026, The libcloudspawner team
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Predicts in C(check_mode) whether something would change, and changes nothing.
    support: full
  diff_mode:
    description: Returns in diff mode what was there before and what is there after.
    support: full
  idempotent:
    description: Reports no change when it runs again with the same options and nothing else happened in between.
    support: full
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Runs in C(check_mode) as it always does, for it only reads.
    support: full
  diff_mode:
    description: Returns in diff mode what was there before and what is there after.
    support: N/A
    details:
      - This module only reads.
  idempotent:
    description: Reports no change when it runs again with the same options and nothing else happened in between.
    support: full
"""
