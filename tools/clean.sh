#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Remove what the tools made in this folder, and the images that Docker keeps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

if docker_answers; then
  tools/openstack.sh down
  for image in libcloudspawner/openstack libcloudspawner/debian-systemd libcloudspawner/container-base; do
    docker images --quiet "$image" | sort --unique | xargs --no-run-if-empty docker rmi --force >&2
  done
fi
rm -rf .venv build .ansible .mypy_cache .pytest_cache .ruff_cache tests/output spawner/dist spawner/.mypy_cache
rm -rf "$cache"
find . -name __pycache__ -type d -prune -exec rm -rf {} +
