# SPDX-License-Identifier: BSD-3-Clause
"""Copy all that a hub keeps from one database into another: ``python -m libcloudspawner.copydatabase``.

Both URLs come by standard input, as ``{"from": URL, "to": URL}``, since they can hold passwords. No hub may be using
either of the two; with ``--check``, by which nothing is copied, one may.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from jupyterhub import orm
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event, func, inspect, select
from sqlalchemy.exc import DBAPIError

RELEASE = "alembic_version"


class CopyError(Exception):
    """Nothing was copied; the text says why."""


def copy(source_url: str, target_url: str) -> int:
    """Copy the rows of all tables, and say how many users there are.

    All of them are there afterwards, or none. Those that were copied before are left as they are. Raises CopyError,
    also where the other database holds something else.
    """
    with _opened(source_url, target_url) as (here, there):
        tables = _tables(here)
        with there.begin():
            if there.dialect.name == "sqlite":
                # Its driver begins only where rows are changed, after the tables are made.
                there.exec_driver_sql("BEGIN")
            if not _is_copied(here, there, tables):
                _copy_rows(here, there, tables)
            return int(there.scalar(select(func.count()).select_from(tables.tables["users"])) or 0)


def check(source_url: str, target_url: str) -> None:
    """Raises CopyError where they cannot be copied, as far as can be seen while the hub runs."""
    with _opened(source_url, target_url) as (here, there):
        _is_copied(here, there, _tables(here))


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """Have what goes wrong say where it did."""
    try:
        yield
    except CopyError:
        raise
    except Exception as error:  # noqa: BLE001 (the text of any of them may hold what nobody may see)
        raise CopyError(f"{what}: {_words(error)}") from None


def _words(error: Exception) -> str:
    """What went wrong, without the values that rows and URLs hold, which are passwords and tokens."""
    said = error.orig if isinstance(error, DBAPIError) else None
    if said is None:
        return type(error).__name__
    if said.args and isinstance(said.args[0], int):
        # The texts of MySQL quote what was refused.
        return f"{type(said).__name__} {said.args[0]}"
    diag = getattr(said, "diag", None)
    text = getattr(diag, "message_primary", None) or str(said).strip()
    column = getattr(diag, "column_name", None)
    first = re.sub(r'\bvalue "[^"]*"', "a value", text.partition("\n")[0])
    return re.sub(r"(: +[^\w\s]| with text ).*", "", first) + (f" (column {column})" if column else "")


@contextlib.contextmanager
def _opened(source_url: str, target_url: str) -> Iterator[tuple[Connection, Connection]]:
    """Connections to both databases, of which the first has users, and neither the tables of another release."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_naming("The databases"))
        with _naming("The former database"):
            source = create_engine(source_url)
            stack.callback(source.dispose)
            if not inspect(source).has_table("users"):
                raise CopyError("The former database has no users to copy.")
            if not _is_of_this_release(source):
                raise CopyError(
                    "The former database has the tables of another release of JupyterHub. Run the playbook with the "
                    "former variables, which brings it up to date, and copy it in a second run."
                )
        with _naming("The other database"):
            target = create_engine(target_url)
            stack.callback(target.dispose)
            if inspect(target).has_table("users") and not _is_of_this_release(target):
                raise CopyError("The other database has the tables of another release of JupyterHub. Use an empty one.")
        here, there = (stack.enter_context(engine.connect()) for engine in (source, target))
        yield here, there


def _is_of_this_release(engine: Engine) -> bool:
    try:
        orm.check_db_revision(engine)
    except orm.DatabaseSchemaMismatch:
        return False
    return True


def _tables(here: Connection) -> MetaData:
    """Those of JupyterHub, and those that are beside them, in types that each database knows."""
    found = MetaData()
    for table in orm.Base.metadata.sorted_tables:
        table.to_metadata(found)

    @event.listens_for(found, "column_reflect")
    def _generic(_inspector: Any, _table: Any, column: dict[str, Any]) -> None:
        column["type"] = column["type"].as_generic()
        # They are expressions of the one kind of database, such as nextval.
        column["default"] = None
        column.pop("identity", None)

    for name in sorted(set(inspect(here).get_table_names()) - set(found.tables)):
        with _naming(f"The table {name}"):
            Table(name, found, autoload_with=here)
    return found


def _rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    if not inspect(connection).has_table(table.name):
        return []
    return [dict(row) for row in connection.execute(select(table)).mappings()]


def _is_copied(here: Connection, there: Connection, tables: MetaData) -> bool:
    """Whether the other database holds the same already. Raises CopyError where it holds something else."""
    differing, filled = [], []
    for table in tables.sorted_tables:
        with _naming(f"The table {table.name}"):
            theirs = _rows(there, table)
            if sorted(map(repr, theirs)) != sorted(map(repr, _rows(here, table))):
                differing.append(table.name)
            if theirs and table.name != RELEASE:
                filled.append(table.name)
    if differing and filled:
        name = next((name for name in differing if name in filled), differing[0])
        raise CopyError(
            f"The other database holds something already, and its table {name} differs. Nothing is put beside it: use "
            "an empty one."
        )
    return not differing


def _copy_rows(here: Connection, there: Connection, tables: MetaData) -> None:
    with _naming("The tables of the other database"):
        tables.create_all(there)
    for table in tables.sorted_tables:
        with _naming(f"The table {table.name}"):
            rows = _rows(here, table)
            if table.name == RELEASE:
                there.execute(table.delete())
            if not rows:
                continue
            there.execute(table.insert(), rows)
            column = table.autoincrement_column
            if column is not None and there.dialect.name == "postgresql":
                name = there.dialect.identifier_preparer.format_table(table)
                numbers = func.pg_get_serial_sequence(name, column.name)
                there.execute(select(func.setval(numbers, func.max(column))))


def main(arguments: Sequence[str] = ()) -> int:
    os.umask(0o077)
    parser = argparse.ArgumentParser(prog="python -m libcloudspawner.copydatabase", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only look whether they can be copied")
    options = parser.parse_args(arguments)
    given = json.load(sys.stdin)
    try:
        if options.check:
            check(given["from"], given["to"])
        else:
            print(f"Users in the other database: {copy(given['from'], given['to'])}")
    except CopyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    # What goes wrong is said once, and drivers and migrations say more than that.
    logging.disable(logging.WARNING)
    sys.exit(main(sys.argv[1:]))
