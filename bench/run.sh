#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Measure on the host of the demo; ROUNDS says how often.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

host=libcloudspawner-demo
uv=/opt/jupyterhub-uv/bin/uv
python=/opt/bench/venv/bin/python

tools/demo.sh up
token=$(python3 -c 'import json; print(json.load(open("build/demo.json"))["admin_token"])')

docker exec "$host" sh -c "test -x $python || $uv venv --quiet /opt/bench/venv"
version=$(docker exec "$host" /opt/jupyterhub/hub/bin/jupyterhub --version)
docker exec --env UV_NATIVE_TLS=1 "$host" \
  "$uv" pip install --quiet --compile-bytecode --python "$python" "jupyterhub==$version" jupyterhub-systemdspawner==1.0.2
docker cp --quiet bench/systemdspawner_config.py "$host:/opt/bench/"
docker exec "$host" sh -c 'systemctl stop bench 2>/dev/null; rm -f /opt/bench/hub.sqlite'
trap 'docker exec "$host" systemctl stop bench' EXIT
docker exec "$host" systemd-run --quiet --unit=bench --collect --setenv="TOKEN=$token" \
  "$python" -m jupyterhub --config=/opt/bench/systemdspawner_config.py
docker exec --interactive --env TOKEN="$token" --env ROUNDS="${ROUNDS:-10}" "$host" python3 - <bench/start.py
echo
python bench/playbook.py
