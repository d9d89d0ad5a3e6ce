# SPDX-License-Identifier: BSD-3-Clause
"""Print, as JSON, what there is on this host: files, accounts, groups, units and packages."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

# What no installation is expected to leave as it was: logs, caches, the records of apt and dpkg, the copy of the
# accounts before the last change, and what systemd keeps of a running host; but for what is ours in /run.
VOLATILE = re.compile(
    r"/(dev|proc|run|sys|tmp|var/(cache|log|tmp)|var/lib/(apt|dpkg|systemd)|root/[.](ansible|cache))(/|$)"
    r"|/__pycache__(/|$)|/etc/(passwd|shadow|group|gshadow|subuid|subgid)-$|/etc/[.]pwd[.]lock$"
    r"|/etc/ld[.]so[.]cache$"
)


def describe(path):
    status = path.lstat()
    content = ""
    if path.is_symlink():
        content = str(path.readlink())
    elif path.is_file():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    return [oct(status.st_mode), status.st_uid, status.st_gid, content]


def files(folder):
    for path in folder.iterdir():
        if not VOLATILE.search(str(path)):
            yield f"file {path}", describe(path)
            if path.is_dir() and not path.is_symlink():
                yield from files(path)


def lines(kind, *command):
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        name, _, rest = re.sub(r"\s+", " ", line).strip().partition(":" if ":" in line else " ")
        yield f"{kind} {name}", rest


def main():
    state = dict(files(Path("/")))
    for folder in ("/run", "/run/systemd/system", "/var/lib/systemd/timers"):
        state.update((f"file {path}", "") for path in Path(folder).glob("*jupyterhub*"))
    state.update(lines("account", "getent", "passwd"))
    state.update(lines("group", "getent", "group"))
    state.update(lines("unit", "systemctl", "list-unit-files", "--plain", "--no-legend", "--full"))
    state.update(lines("loaded", "systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "jupyterhub*"))
    state.update(lines("package", "dpkg-query", "--show", "--showformat=${Package} ${Version} ${db:Status-Status}\n"))
    print(json.dumps(state))


main()
