#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Run a program of this machine's environment; a Python one without what users install for themselves, which must not
# be able to break the server's own start. What an image that the role node prepared has users get comes before it, as
# the control helper has it on a host.
set -eu
environment=/opt/jupyterhub-singleuser/environments/default
program=$(command -v -- "$1")
shift
interpreter=$(sed -n '1s/^#! *\([^ ]*python[^ ]*\).*/\1/p' "$program")
if [ -n "$interpreter" ]; then
  set -- "$interpreter" -s "$program" "$@"
else
  set -- "$program" "$@"
fi
if [ -d "$environment/repository" ]; then export REPO_DIR="$environment/repository"; fi
if [ -f "$environment/complete" ]; then export PYTHONUSERBASE="$HOME/.local/environments/default"; fi
if [ -f "$environment/start" ]; then set -- "$environment/start" "$@"; fi
if [ -f /etc/jupyterhub-singleuser-hooks.json ]; then
  set -- /usr/local/libexec/jupyterhub-singleuser-hooks --then "$@"
fi
if [ -f /etc/jupyterhub-home-data.json ]; then set -- /usr/local/bin/jupyterhub-home-data --then "$@"; fi
exec "$@"
