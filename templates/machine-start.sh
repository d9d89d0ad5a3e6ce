#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Run a program of this machine's environment; a Python one without what users install for themselves, which must not
# be able to break the server's own start.
set -eu
program=$(command -v -- "$1")
shift
interpreter=$(sed -n '1s/^#! *\([^ ]*python[^ ]*\).*/\1/p' "$program")
if [ -n "$interpreter" ]; then
  exec "$interpreter" -s "$program" "$@"
fi
exec "$program" "$@"
