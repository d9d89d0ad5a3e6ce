# SPDX-License-Identifier: BSD-3-Clause
"""Write what a hub cannot be made from again into an archive: ``python -m libcloudspawner.backup --help``."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

#: The copy of a database within the archive; all else is there by the path that it has.
DATABASE = "database.sqlite"
DUMP = "database.sql"
#: What a date has in the name of an archive, whose beginning may be that of another hub's name.
DATE = f"{'[0-9]' * 8}T{'[0-9]' * 6}Z.tar.gz"


class BackupError(Exception):
    """No backup was made; the text says why."""


def copy_database(database: Path, copy: Path) -> None:
    """Copy it while a hub writes into it. Raises BackupError if it is damaged."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as there,
            contextlib.closing(sqlite3.connect(copy)) as here,
        ):
            there.backup(here)
            (found,) = here.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"The database {database} cannot be copied: {error}.") from error
    if found != "ok":
        raise BackupError(f"The database {database} is damaged: {found}. Restore it from a backup of before.")


def dump_database(uri: str, copy: Path, account: str | None) -> None:
    """Write what rebuilds a database of PostgreSQL, as it is at one moment. Raises BackupError."""
    words = ["pg_dump", "--no-owner", "--no-privileges", "--no-password", f"--dbname={uri}"]
    with copy.open("wb") as dump:
        done = subprocess.run(
            words,
            stdout=dump,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            check=False,
            user=account,
            group=account,
            extra_groups=() if account else None,
        )
    if done.returncode:
        raise BackupError(f"The database {uri} cannot be dumped: {done.stderr.strip()}")


def pack(archive: Path, paths: Iterable[Path], database: Path | None, folder: Path) -> None:
    words = ["tar", "--create", "--gzip", f"--file={archive}", "--sort=name"]
    if database:
        words += [f"--exclude={database.absolute().relative_to('/')}*"]
    words += [f"--directory={folder}", *(name for name in (DATABASE, DUMP) if (folder / name).exists())]
    words += ["--directory=/", *(str(path.absolute().relative_to("/")) for path in paths)]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    # 1: a file changed while it was read, as files of people at work do.
    if done.returncode > 1:
        raise BackupError(f"The archive cannot be written: {done.stderr.strip()}")


def back_up(
    folder: Path,
    paths: Iterable[Path],
    database: Path | None = None,
    keep: int = 7,
    postgresql: str = "",
    account: str | None = None,
    name: str = "jupyterhub",
) -> Path:
    """Write an archive into ``folder``, remove all but the newest ``keep`` of this ``name``, and say where it is.

    It is there whole or not at all, and nobody else may read it: it holds the secrets of the hub. Raises BackupError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    archive = folder / time.strftime(f"{name}-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime())
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as temporary:
        place = Path(temporary)
        if database:
            copy_database(database, place / DATABASE)
        if postgresql:
            dump_database(postgresql, place / DUMP, account)
        part = place / archive.name
        pack(part, paths, database, place)
        part.replace(archive)
    for old in sorted(folder.glob(f"{name}-{DATE}"))[:-keep]:
        old.unlink()
    return archive


def main() -> int:
    os.umask(0o077)
    parser = argparse.ArgumentParser(prog="python -m libcloudspawner.backup", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the archives are")
    parser.add_argument("paths", type=Path, nargs="+", help="files and folders that are kept as they are")
    parser.add_argument("--database", type=Path, help="a database of SQLite, which a hub may be using")
    parser.add_argument("--postgresql", default="", metavar="URI", help="a database of PostgreSQL, as pg_dump takes it")
    parser.add_argument("--account", help="whom to ask PostgreSQL as, if not as whoever runs this")
    parser.add_argument("--homes", type=Path, metavar="PATTERN", help="homes to keep too, such as /home/jupyter-*")
    parser.add_argument("--name", default="jupyterhub", help="what archives are named after (default: %(default)s)")
    parser.add_argument(
        "--keep", type=int, default=7, help="how many archives there are in the end (default: %(default)s)"
    )
    given = parser.parse_args()
    try:
        paths = [*given.paths, *(sorted(given.homes.parent.glob(given.homes.name)) if given.homes else ())]
        keep = max(1, given.keep)
        print(back_up(given.folder, paths, given.database, keep, given.postgresql, given.account, given.name))
    except (BackupError, OSError) as error:
        print(f"No backup was made. {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
