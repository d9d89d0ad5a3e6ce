# SPDX-License-Identifier: BSD-3-Clause
"""Takes the templates, which the collection has too, from beside the package, or from its source distribution."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TemplatesHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        packed = Path(self.root, "templates")
        source = packed if packed.is_dir() else Path(self.root).parent / "templates"
        inside = {"wheel": "libcloudspawner/templates", "sdist": "templates"}[self.target_name]
        build_data["force_include"][str(source)] = inside
