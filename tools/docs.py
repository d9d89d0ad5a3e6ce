# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the reference into build/docs: what roles, modules and the spawner say of themselves, as Markdown."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from antsibull_docs_parser import dom
from antsibull_docs_parser.md import MDFormatter, to_md
from antsibull_docs_parser.parser import Context, parse

ROOT = Path(__file__).parents[1]
COLLECTION = "libcloudspawner.jupyterhub"
ROLES = ("hub", "node", "environment", "image", "container")
MODULES = ("singleuser", "singleuser_info", "instance_info")


class Readable(MDFormatter):
    """Markdown that can be read as it is, too: the library's own escapes each full stop."""

    def format_text(self, part: dom.TextPart) -> str:
        return part.text

    def format_code(self, part: dom.CodePart) -> str:
        return f"`{part.text}`"

    def format_option_name(self, part: dom.OptionNamePart, url: str | None) -> str:
        return f"`{part.name}`" if part.value is None else f"`{part.name}: {part.value}`"

    def format_option_value(self, part: dom.OptionValuePart) -> str:
        return f"`{part.value}`"

    def format_module(self, part: dom.ModulePart, url: str | None) -> str:
        return f"`{part.fqcn}`"

    def format_plugin(self, part: dom.PluginPart, url: str | None) -> str:
        return f"`{part.plugin.fqcn}`"


def ansible_doc(kind: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks/collections")}
    command = ["ansible-doc", "--json", "--type", kind, *(f"{COLLECTION}.{name}" for name in names)]
    answer = json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
    return {name: answer[f"{COLLECTION}.{name}"] for name in names}


def text(paragraphs: str | list[str]) -> str:
    return to_md(parse(paragraphs, Context()), formatter=Readable())


def fields(options: dict[str, Any], indent: str = "") -> Iterator[str]:
    """A list of options or return values, with those they contain."""
    for name, field in sorted(options.items()):
        kind = f"{field['type']} of {field['elements']}" if "elements" in field else field.get("type", "str")
        facts = [kind]
        if field.get("required"):
            facts.append("required")
        elif field.get("default") is not None:
            facts.append(f"default `{json.dumps(field['default'])}`")
        if "choices" in field:
            facts.append("one of " + ", ".join(f"`{choice}`" for choice in field["choices"]))
        yield f"{indent}- **{name}** ({', '.join(facts)})\n"
        paragraphs = field["description"] if isinstance(field["description"], list) else [field["description"]]
        for paragraph in paragraphs:
            yield f"{indent}  {text(paragraph)}\n"
        yield from fields(field.get("options") or field.get("suboptions") or field.get("contains") or {}, f"{indent}  ")


def role_page(name: str, documented: dict[str, Any]) -> Iterator[str]:
    role = documented["entry_points"]["main"]
    yield f"# Role {COLLECTION}.{name}\n\n{role['short_description']}.\n\n{text(role['description'])}\n\n## Variables\n"
    yield from fields(role["options"])


def module_page(name: str, module: dict[str, Any]) -> Iterator[str]:
    doc = module["doc"]
    yield f"# Module {COLLECTION}.{name}\n\n{doc['short_description']}.\n\n{text(doc['description'])}\n\n## Options\n"
    yield from fields(doc["options"])
    yield "## Notes\n"
    yield from (f"- {text(note)}" for note in doc["notes"])
    yield f"\n## Examples\n\n```yaml\n{module['examples'].strip()}\n```\n\n## Returns\n"
    yield from fields(module["return"])


def spawner_page() -> Iterator[str]:
    sys.path.insert(0, str(ROOT / "spawner/src"))
    from libcloudspawner.spawner import LibcloudSpawner

    yield (
        "# LibcloudSpawner\n\n"
        "Set as `c.LibcloudSpawner.name = value`. The settings of JupyterHub's own Spawner apply as well.\n"
    )
    for name, trait in sorted(LibcloudSpawner.class_own_traits(config=True).items()):
        yield f"## {name}\n\n{trait.info()}, default `{trait.default_value_repr()}`\n\n{inspect.cleandoc(trait.help)}\n"


def main() -> None:
    target = ROOT / "build/docs"
    target.mkdir(parents=True, exist_ok=True)
    pages = {
        **{f"role-{name}": role_page(name, role) for name, role in ansible_doc("role", ROLES).items()},
        **{f"module-{name}": module_page(name, module) for name, module in ansible_doc("module", MODULES).items()},
        "LibcloudSpawner": spawner_page(),
    }
    for name, lines in pages.items():
        page = target / f"{name}.md"
        page.write_text("\n".join(lines), encoding="utf-8")
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
