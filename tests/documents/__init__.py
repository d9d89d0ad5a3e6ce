# SPDX-License-Identifier: BSD-3-Clause
"""What the documents of LibcloudSpawner tell administrators to write, taken out of them word for word.

``python tests/documents/__init__.py CLOUD`` prints the configuration for the cloud that the file CLOUD describes:
only addresses, names and the password are other ones.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def configuration(document: str) -> str:
    """The lines of configuration in a document."""
    lines = (FOLDER / f"{document}.txt").read_text().splitlines()
    return "".join(f"{line.removeprefix('>>> ')}\n" for line in lines if line.startswith(">>> "))


def template() -> str:
    """The template of user data in the document on customising."""
    text = (FOLDER / "customize.txt").read_text().partition(".. code-block:: bash\n\n")[2]
    return textwrap.dedent(text)


def for_cloud(cloud: dict[str, Any]) -> str:
    """The documented configuration with the names of a real cloud."""
    text = configuration("installation")
    assert {"m1.small", "c2.large"} == set(cloud["flavors"])
    for documented, real in {
        "lops-jupyter": cloud["user"],
        '"secret"': json.dumps(cloud["password"]),
        "https://openstack.server.com:5000": cloud["auth_url"],
        f"noo-{cloud['user']}": cloud["project"],
        "RegionOne": cloud["region"],
        "private-net": cloud["network"],
        "4c.extramem": "c2.large",
        '("Default image","noo33u16-station-jpy-python")': ", ".join(str((name, name)) for name in cloud["images"]),
    }.items():
        assert documented in text, f"the document does not hold {documented}"
        text = text.replace(documented, real)
    return text


if __name__ == "__main__":
    print(for_cloud(json.loads(Path(sys.argv[1]).read_text())), end="")
