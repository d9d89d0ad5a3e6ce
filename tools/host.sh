#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Run a Debian host in a container, with systemd as its first process and no more privilege than that takes.
#
# usage: tools/host.sh NAME bookworm|trixie [option of 'docker run'...]
# HOST_IMAGE: an image that was made from that of tools/rootfs.sh
# HOST_TIMEOUT: how many seconds it may take to boot; 60 if not set
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

[ $# -ge 2 ] || fail "usage: tools/host.sh NAME bookworm|trixie [option of 'docker run'...]"
name=$1
suite=$2
shift 2

tools/docker.sh
state=$(docker container inspect --format '{{.State.Status}}' "$name" 2>/dev/null || true)
if [ -z "$state" ]; then
  image=${HOST_IMAGE:-$(tools/rootfs.sh "$suite")}
  # Of the cgroups it sees its own branch alone, which Docker mounts read-only and systemd writes to.
  # shellcheck disable=SC2016  # the container's shell expands it
  boot='for each in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if mountpoint --quiet "$each"; then mount --options remount,bind,rw "$each"; fi
  done
  exec /lib/systemd/systemd'
  # /tmp of a container is mounted noexec, that of a real host is not.
  docker run --detach \
    --name "$name" --hostname "$name" \
    --cap-add SYS_ADMIN \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --cgroupns private \
    --tmpfs /run --tmpfs /tmp:exec \
    --stop-signal SIGRTMIN+3 \
    "$@" "$image" /bin/sh -c "$boot" >/dev/null || {
    docker rm --force --volumes "$name" >/dev/null 2>&1 || true
    fail "the container $name could not be started"
  }
elif [ "$state" != running ]; then
  say "Starting the container $name again"
  docker start "$name" >/dev/null
fi

has_booted() {
  case $(docker exec "$name" systemctl is-system-running 2>/dev/null) in
    running | degraded) ;;
    *)
      [ "$(docker container inspect --format '{{.State.Running}}' "$name")" = true ] || {
        docker logs --tail 20 "$name" >&2
        fail "the container $name has stopped"
      }
      return 1
      ;;
  esac
}
limit=${HOST_TIMEOUT:-60}
wait_for "$limit" "systemd in $name" has_booted || {
  docker logs --tail 20 "$name" >&2
  fail "systemd in the container $name was not ready within $limit s"
}
