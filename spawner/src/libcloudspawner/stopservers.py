# SPDX-License-Identifier: BSD-3-Clause
"""Stop all servers of the provider ``local``: ``python -m libcloudspawner.stopservers FOLDER``.

FOLDER is that of the setting ``local_folder``. For the end of a container, which no hub outlives.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .providers.local import LocalProvider


def stop(folder: str) -> int:
    """Stop the servers of all hubs that use ``folder``, at once, and say how many there were."""
    providers = [LocalProvider(hub.name, folder, "") for hub in Path(folder).glob("*") if hub.is_dir()]
    jobs = [(provider, instance) for provider in providers for instance in provider.list()]
    with ThreadPoolExecutor(max(1, len(jobs))) as threads:
        list(threads.map(lambda job: job[0].destroy(job[1]), jobs))
    return len(jobs)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m libcloudspawner.stopservers FOLDER", file=sys.stderr)
        return 2
    print(f"Servers that were stopped: {stop(sys.argv[1])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
