# SPDX-License-Identifier: BSD-3-Clause
"""Copy all that a hub keeps from one database into another: ``python -m libcloudspawner.copydatabase``.

Both URLs come by standard input, as ``{"from": URL, "to": URL}``, since they can hold passwords. No hub may be using
either of the two.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from jupyterhub import orm
from sqlalchemy import Engine, MetaData, create_engine, event, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError


class CopyError(Exception):
    """Nothing was copied; the text says why."""


def copy(source_url: str, target_url: str) -> int:
    """Copy the rows of all tables, and say how many users there are.

    All of them are there afterwards, or none. Raises CopyError, also where the other database holds something already.
    """
    source = create_engine(source_url)
    target = create_engine(target_url)
    try:
        if not inspect(source).has_table("users"):
            raise CopyError("The former database has no users to copy.")
        for engine in (source, target):
            _check_release(engine)
        return _copy_rows(source, target, _tables(source))
    except SQLAlchemyError as error:
        # Not the statement, whose values are passwords and tokens.
        raise CopyError(str(getattr(error, "orig", None) or error).strip()) from None
    finally:
        source.dispose()
        target.dispose()


def _check_release(engine: Engine) -> None:
    """Raises CopyError where the tables are those of another release; an empty database is marked as of this one."""
    try:
        orm.check_db_revision(engine)
    except orm.DatabaseSchemaMismatch:
        raise CopyError(
            f"{engine.url.render_as_string()} has the tables of another release of JupyterHub. Run the playbook once "
            "with it as the hub's database, which brings it up to date."
        ) from None


def _tables(source: Engine) -> MetaData:
    """Those of JupyterHub, and those that authenticators have beside them, in types that each database knows."""
    found = MetaData()
    for table in orm.Base.metadata.sorted_tables:
        table.to_metadata(found)

    @event.listens_for(found, "column_reflect")
    def _generic(_inspector: Any, _table: Any, column: dict[str, Any]) -> None:
        column["type"] = column["type"].as_generic()

    others = set(inspect(source).get_table_names()) - set(found.tables) - {"alembic_version"}
    found.reflect(source, only=sorted(others))
    return found


def _copy_rows(source: Engine, target: Engine, tables: MetaData) -> int:
    present = set(inspect(source).get_table_names())
    tables.create_all(target)
    with source.connect() as here, target.begin() as there:
        for table in tables.sorted_tables:
            if there.execute(select(table).limit(1)).first():
                raise CopyError(f"There is something in its table {table.name} already, and nothing is put beside it.")
            rows = [dict(row) for row in here.execute(select(table)).mappings()] if table.name in present else []
            if not rows:
                continue
            there.execute(table.insert(), rows)
            column = table.autoincrement_column
            if column is not None and target.dialect.name == "postgresql":
                name = target.dialect.identifier_preparer.format_table(table)
                numbers = func.pg_get_serial_sequence(name, column.name)
                there.execute(select(func.setval(numbers, func.max(column))))
        return int(there.scalar(select(func.count()).select_from(tables.tables["users"])) or 0)


def main() -> int:
    os.umask(0o077)
    given = json.load(sys.stdin)
    try:
        print(f"Users that were copied: {copy(given['from'], given['to'])}")
    except CopyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    # Those of migrations stand there even where nothing is migrated.
    logging.disable(logging.INFO)
    sys.exit(main())
