#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Make a Docker image of a small Debian that boots systemd, and print its name.
#
# usage: tools/rootfs.sh bookworm|trixie
# MIRROR: where the packages come from; a URL, or lines of a sources.list. Else: where this machine has its own from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

[ $# -eq 1 ] || fail "usage: tools/rootfs.sh bookworm|trixie"
suite=$1
packages=systemd-sysv,dbus,python3,python3-apt,ca-certificates,iproute2,procps

sources=${MIRROR:-$(roles/container/files/own-sources "$suite")}
shopt -s nullglob
certificates=(/usr/local/share/ca-certificates/*.crt)
hash=$({
  printf '%s\n' "$suite" "$sources" "$(dpkg --print-architecture)"
  cat tools/rootfs.sh "${certificates[@]}"
} | sha256sum | cut -c1-12)
image=libcloudspawner/debian-systemd:$suite-$hash

is_there() { docker image inspect "$image" >/dev/null 2>&1; }

if ! is_there; then
  mkdir -p "$cache"
  exec 9>"$cache/rootfs.lock"
  flock --nonblock 9 || { say "Waiting for another build of a root file system" && flock 9; }
fi

if ! is_there; then
  apt_install --no-install-recommends mmdebstrap
  say "Building $image (a minute or two, once)"
  work=$(mktemp --directory)
  trap 'rm -rf "$work"' EXIT
  hooks=()
  if [ "${#certificates[@]}" -gt 0 ]; then
    hooks+=("--customize-hook=copy-in ${certificates[*]@Q} /usr/local/share/ca-certificates")
    # shellcheck disable=SC2016  # mmdebstrap's shell expands it
    hooks+=('--customize-hook=chroot "$1" update-ca-certificates')
  fi
  # The package lists stay in, as on any host: check mode fetches none.
  # Into a file rather than a pipe, so that a broken build is never imported.
  as_root mmdebstrap \
    --variant=minbase \
    --include="$packages" \
    --skip=cleanup/apt/lists \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "${hooks[@]}" \
    "$suite" - ${sources:+"$sources"} 2>&1 >"$work/root.tar" </dev/null | narrate >&2
  docker import \
    --change 'CMD ["/lib/systemd/systemd"]' \
    --change 'ENV container=docker' \
    "$work/root.tar" "$image" >&2
fi
echo "$image"
