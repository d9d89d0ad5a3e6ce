#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Make a machine ready to run one single-user server, and start it. What an image holds already is not done again.
#
# usage: jupyterhub-singleuser-setup ACCOUNT UNIT JUPYTERHUB_VERSION HUB_API_URL
set -eu
account=$1
unit=$2
version=$3
hub=$4
environment=/opt/jupyterhub-singleuser/environments/default
export DEBIAN_FRONTEND=noninteractive

say() { echo "jupyterhub-singleuser: $*" | tee /dev/console; }

if ! id "$account" >/dev/null 2>&1; then
  say "creating the account $account"
  useradd --create-home --user-group --shell /bin/bash "$account"
fi
chmod 0700 "/home/$account"

if [ ! -x "$environment/bin/jupyterhub-singleuser" ] && ! command -v jupyterhub-singleuser >/dev/null; then
  say "installing JupyterLab: the image does not hold it, so this takes minutes"
  apt-get -qq update
  apt-get -qq --yes --no-install-recommends install python3-venv python3-numpy python3-matplotlib
  python3 -m venv --system-site-packages "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "jupyterhub==$version" jupyterlab
fi

if [ -n "$hub" ] && ! python3 - "$hub" <<'PYTHON'
import sys
import urllib.error
import urllib.request

try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=10)
except urllib.error.HTTPError:
    pass
except OSError as error:
    sys.exit(str(error))
PYTHON
then
  say "the hub at $hub cannot be reached from this machine"
fi

systemctl daemon-reload
systemctl enable --now "$unit"
say "started $unit"
