# SPDX-License-Identifier: BSD-3-Clause
"""A channel of conda packages in a folder: small ones, and a Python that is the host's own."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path


def _add(archive: tarfile.TarFile, name: str, content: str = "", link: str = "") -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o755
    if link:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    entry.size = 0 if link else len(content.encode())
    archive.addfile(entry, None if link else io.BytesIO(content.encode()))


def write_package(
    channel: Path,
    name: str,
    version: str,
    files: dict[str, str],
    links: dict[str, str] | None = None,
    depends: tuple[str, ...] = (),
) -> dict[str, object]:
    """Write a package, and return what the index of the channel says of it."""
    index = {
        "name": name,
        "version": version,
        "build": "0",
        "build_number": 0,
        "depends": list(depends),
        "subdir": "linux-64",
        "arch": "x86_64",
        "platform": "linux",
    }
    links = links or {}
    paths = [
        {"_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(text.encode()).hexdigest()}
        | {"size_in_bytes": len(text.encode())}
        for path, text in files.items()
    ] + [{"_path": path, "path_type": "softlink"} for path in links]
    with tarfile.open(channel / "linux-64" / f"{name}-{version}-0.tar.bz2", "w:bz2") as archive:
        _add(archive, "info/index.json", json.dumps(index))
        _add(archive, "info/paths.json", json.dumps({"paths": paths, "paths_version": 1}))
        for path, text in files.items():
            _add(archive, path, text)
        for path, target in links.items():
            _add(archive, path, link=target)
    return index


def make_channel(channel: Path, python_version: str) -> None:
    """With ``python``, the library ``geo`` in two versions, and a package whose start sets a variable."""
    (channel / "linux-64").mkdir(parents=True)
    (channel / "noarch").mkdir()
    minor = ".".join(python_version.split(".")[:2])
    library = f"lib/python{minor}/site-packages"
    # As conda's own, it finds what users install for themselves.
    home = "home = /usr/bin\ninclude-system-site-packages = true\n"
    python = {"bin/python": "/usr/bin/python3", "bin/python3": "/usr/bin/python3"}
    packages = [write_package(channel, "python", python_version, {"pyvenv.cfg": home}, python)]
    for name, version in (("geo", "1.0"), ("geo", "2.0")):
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files = {
            f"{library}/{name}/__init__.py": f"__version__ = '{version}'\n",
            f"{library}/{name}-{version}.dist-info/METADATA": about,
            f"{library}/{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
            f"{library}/{name}-{version}.dist-info/RECORD": "",
            f"{library}/{name}-{version}.dist-info/INSTALLER": "conda\n",
        }
        packages.append(write_package(channel, name, version, files, depends=("python",)))
    script = {"etc/conda/activate.d/proj.sh": 'export PROJ_DATA="$CONDA_PREFIX/share/proj"\n'}
    packages.append(write_package(channel, "proj", "9.0", script))
    records = {}
    for index in packages:
        file = channel / "linux-64" / f"{index['name']}-{index['version']}-0.tar.bz2"
        data = file.read_bytes()
        records[file.name] = {
            **index,
            "sha256": hashlib.sha256(data).hexdigest(),
            "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            "size": len(data),
        }
    for subdir, found in (("linux-64", records), ("noarch", {})):
        index = {"info": {"subdir": subdir}, "packages": found, "packages.conda": {}, "repodata_version": 1}
        (channel / subdir / "repodata.json").write_text(json.dumps(index))
