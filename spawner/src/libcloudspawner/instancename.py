# SPDX-License-Identifier: BSD-3-Clause
"""The name of the instance of a server: ``python -m libcloudspawner.instancename CONFIG USER SERVER``.

As the hub of the configuration file CONFIG names it. SERVER is empty for a user's default server.
"""

from __future__ import annotations

import sys

from jupyterhub import orm

from . import naming
from .checkconfig import load
from .spawner import LibcloudSpawner


def find(config: str, user: str, server: str) -> str:
    """The name, for which the number of the user is looked up in the hub's database where the template has it."""
    app = load(config)
    spawner = app.spawner_class(parent=app)
    if not isinstance(spawner, LibcloudSpawner):
        raise TypeError("The hub does not start its servers by LibcloudSpawner.")
    number = 0
    if "{USERID}" in spawner.unit_name_template:
        known = orm.User.find(orm.new_session_factory(app.db_url)(), user)
        if known is None:
            raise LookupError(f"The hub has no user {user}.")
        number = known.id
    return naming.instance_name(user, server, spawner.unit_name_template, number)


def main() -> int:
    if len(sys.argv) != 4:
        print("usage: python -m libcloudspawner.instancename CONFIG USER SERVER", file=sys.stderr)
        return 2
    try:
        print(find(*sys.argv[1:]))
    except (LookupError, TypeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
