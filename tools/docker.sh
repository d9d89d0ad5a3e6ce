#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Make sure that a Docker daemon answers: install Debian's if there is none, start it if it is down.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

log=${DOCKERD_LOG:-/var/log/dockerd.log}

# After a crash the file may name a number that another process has by now, and Docker would take that one for its own.
forget_stale_pid() {
  local file=$1 program=$2 pid
  pid=$(as_root cat "$file" 2>/dev/null) || return 0
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$program" ]; then as_root rm -f "$file"; fi
}

docker_answers_root() { as_root docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

! docker_answers || exit 0

if [ -n "${DOCKER_HOST:-}" ]; then
  fail "no Docker daemon answers at DOCKER_HOST=$DOCKER_HOST. Start it there, or unset DOCKER_HOST to use this machine's own"
fi

[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
  fail "no Docker daemon answers $(id -un), and without root or sudo none can be set up"

if ! command -v dockerd >/dev/null; then
  packages=(docker.io apparmor)
  # Debian 13 has the client in a package of its own.
  if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
  if [ ! -d /run/systemd/system ]; then packages+=(cgroupfs-mount); fi
  apt_install --no-install-recommends "${packages[@]}"
fi

if ! docker_answers_root; then
  if [ -d /run/systemd/system ]; then
    say "Starting the Docker daemon"
    as_root systemctl start docker || fail "Docker does not start; 'journalctl --unit docker' says why"
  elif ! pidof dockerd >/dev/null; then
    if ! mountpoint --quiet /sys/fs/cgroup && command -v cgroupfs-mount >/dev/null; then as_root cgroupfs-mount; fi
    forget_stale_pid /var/run/docker.pid dockerd
    forget_stale_pid /var/run/docker/containerd/containerd.pid containerd
    say "Starting the Docker daemon in the background; its log is $log"
    # shellcheck disable=SC2016  # the inner shell expands it, as root
    as_root sh -c 'setsid dockerd >>"$0" 2>&1 </dev/null &' "$log"
  fi
  if ! wait_for 60 Docker docker_answers_root; then
    [ ! -r "$log" ] || tail -n 20 "$log" >&2
    fail "the Docker daemon did not answer within 60 s"
  fi
fi

docker_answers || fail "Docker runs, but $(id -un) may not use it. Run the command with sudo," \
  "or join the group 'docker' (as good as root) and sign in again: sudo usermod --append --groups docker $(id -un)"
