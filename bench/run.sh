#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Measure on the host of the demo; ROUNDS says how often.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/demo.sh up
token=$(python3 -c 'import json; print(json.load(open("build/demo.json"))["admin_token"])')
docker exec --interactive --env TOKEN="$token" --env ROUNDS="${ROUNDS:-10}" libcloudspawner-demo \
  python3 - <bench/start.py
