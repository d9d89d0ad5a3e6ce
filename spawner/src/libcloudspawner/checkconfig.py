# SPDX-License-Identifier: BSD-3-Clause
"""Check a jupyterhub_config.py before a hub runs with it: ``python -m libcloudspawner.checkconfig FILE [SECRETS]``.

SECRETS is a file that FILE loads and whose values must not be shown.
JupyterHub itself finds a wrong value only when the class is used, and only logs a setting that does not exist.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyterhub import orm
from jupyterhub.app import JupyterHub
from traitlets.config import Configurable
from traitlets.config.loader import PyFileConfigLoader

from .spawner import LibcloudSpawner

# As like its own name is the misspelt name of a class, and most names of other classes are not.
_ALIKE = 0.9


def problems(path: str, secrets: str = "") -> list[str]:
    """What is wrong with the configuration in ``path``, a sentence for each; empty if nothing is.

    Values that the file ``secrets`` sets are not shown.
    """
    found = _problems(path)
    words: list[str] = []
    # A file that cannot be read is among the problems already.
    if found and secrets:
        with contextlib.suppress(Exception):
            words = sorted(_words(PyFileConfigLoader(secrets).load_config()), key=len, reverse=True)
    return [functools.reduce(lambda text, word: text.replace(word, "***"), words, sentence) for sentence in found]


def _words(value: Any) -> Iterator[str]:
    """Each value within ``value``, as it is and as messages quote it, but for what is too short to be a secret."""
    if isinstance(value, dict | list | tuple | set):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _words(item)
    elif len(str(value)) > 3:
        yield from (str(value), repr(str(value))[1:-1])


def load(path: str) -> Any:
    """A hub that has read its configuration from the file ``path`` and does nothing else. Raises what that raises."""
    app = JupyterHub()
    app.log.setLevel("ERROR")
    app.raise_config_file_errors = True
    # Itself, it ends the program at a wrong value.
    JupyterHub.load_config_file.__wrapped__(app, str(Path(path).absolute()))
    return app


def _problems(path: str) -> list[str]:
    if not Path(path).is_file():
        return [f"There is no file {path}."]
    try:
        app = load(path)
        found = list(_unknown_settings(app))
        # Some authenticators keep tables of their own; this database is gone with this process.
        database = orm.new_session_factory("sqlite:///:memory:")()
        try:
            app.authenticator_class(parent=app, _deprecated_db_session=database)
        finally:
            database.close()
            database.get_bind().dispose()
        spawner = app.spawner_class(parent=app)
        if isinstance(spawner, LibcloudSpawner):
            spawner.check_settings()
        app.proxy_class(parent=app)
    except Exception as error:  # noqa: BLE001 - the file is arbitrary Python
        return [f"{type(error).__name__}: {error}"]
    return found


def _unknown_settings(app: Any) -> Any:
    configured = (*app.classes, app.authenticator_class, app.spawner_class, app.proxy_class)
    kinds = {base.__name__: base for kind in configured for base in kind.mro() if issubclass(base, Configurable)}
    for section, settings in app.config.items():
        if section not in kinds:
            # It may be the operator's own, or that of a class that is named after its base, such as OAuthenticator.
            nearest = difflib.get_close_matches(section, kinds, 1, cutoff=_ALIKE)
            if nearest and not section.endswith(nearest[0]):
                yield f"c.{section} configures no class of this hub; did you mean c.{nearest[0]}?"
            continue
        known = kinds[section].class_traits(config=True)
        for name in settings:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {nearest[0]}?" if nearest else "."
                yield f"c.{section}.{name} is not a setting of {section}{hint}"


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print("usage: python -m libcloudspawner.checkconfig FILE [SECRETS]", file=sys.stderr)
        return 2
    found = problems(*sys.argv[1:])
    print("\n".join(found), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
