# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what each task did and how long it took, a line of JSON each, to the file that MEASURE_FILE names."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from ansible.plugins.callback import CallbackBase

# What runs on the control machine alone, and costs no round trip.
LOCAL = {"add_host", "assert", "debug", "fail", "group_by", "include_role", "include_tasks", "meta", "set_fact"}


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "measure"

    def __init__(self):
        super().__init__()
        self._began = {}

    def v2_runner_on_start(self, host, task):
        self._began[task._uuid] = time.monotonic()

    def _note(self, result):
        action = result._task.action.rpartition(".")[2]
        note = {
            "task": result._task.get_name(),
            "action": action,
            "seconds": time.monotonic() - self._began[result._task._uuid],
            "is_round_trip": action not in LOCAL,
        }
        with Path(os.environ["MEASURE_FILE"]).open("a") as file:
            file.write(json.dumps(note) + "\n")

    def v2_runner_on_ok(self, result):
        self._note(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._note(result)
