#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Make a machine ready to run one single-user server, and start it. What an image holds already is not done again.
#
# usage: jupyterhub-singleuser-setup ACCOUNT UNIT JUPYTERHUB_VERSION HUB_API_URL HOME_UNIT
set -eu
account=$1
unit=$2
version=$3
hub=$4
home=$5
environment=/opt/jupyterhub-singleuser/environments/default
export DEBIAN_FRONTEND=noninteractive

say() { echo "jupyterhub-singleuser: $*" | tee /dev/console; }
# Off, it is a start that failed, and the hub shows what the console says; nothing else on this machine is worth keeping.
give_up() {
  say "$*; switching the machine off"
  sleep 2
  {
    systemctl stop "$unit" jupyterhub-singleuser-before jupyterhub-singleuser-beside || true
    umount --quiet --recursive "/home/$account" || true
    sync
  } &
  # No longer than that: a share that a hook has mounted may be of a server that is away.
  for _ in $(seq 40); do
    kill -0 $! 2>/dev/null || break
    sleep 1
  done
  systemctl poweroff --force --force
  exit 1
}

if [ -n "$home" ]; then
  systemctl daemon-reload
  systemctl start "$home" || give_up "there is no server without the home of $account on its volume"
fi
if ! id "$account" >/dev/null 2>&1; then
  say "creating the account $account"
  useradd --create-home --user-group --shell /bin/bash "$account"
fi
chmod 0700 "/home/$account"

installed=
if [ ! -x "$environment/bin/jupyterhub-singleuser" ] && ! command -v jupyterhub-singleuser >/dev/null; then
  say "installing JupyterLab: the image does not hold it, so this takes minutes"
  apt-get -qq update
  apt-get -qq --yes --no-install-recommends install python3-venv
  python3 -m venv "$environment"
  pip() { "$environment/bin/python" -m pip --disable-pip-version-check "$@"; }
  pip install --quiet --no-compile uv
  # uv finds packages where the image's administrator told pip to look.
  if index=$(pip config get global.index-url 2>/dev/null); then export UV_DEFAULT_INDEX="$index"; fi
  if index=$(pip config get global.extra-index-url 2>/dev/null); then export UV_INDEX="$index"; fi
  UV_NATIVE_TLS=1 "$environment/bin/uv" pip install --quiet --no-cache --python "$environment/bin/python" \
    "jupyterhub==$version" jupyterlab numpy matplotlib
  installed=yes
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
systemctl start "$unit" || give_up "the server of $account could not be started"
# A machine that boots again has its server again, which the hub has not stopped. A prepared host forgets its servers
# then, and so would a machine whose image was made by the same role.
rm -f /etc/tmpfiles.d/jupyterhub-singleuser.conf
systemctl --quiet add-wants multi-user.target "$unit"
say "started $unit"

# The user may not write there, so each start of a kernel would compile anew; yet nobody has to wait for it.
if [ -n "$installed" ]; then
  nice -n 19 "$environment/bin/python" -m compileall -q -j 0 "$environment/lib" >/dev/null || true
fi
