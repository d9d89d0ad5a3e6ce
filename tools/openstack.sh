#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Run a real OpenStack in a container: Keystone, Glance, Placement, Neutron and Nova, whose machines QEMU emulates.
#
# usage: tools/openstack.sh build|up|down
#   build  make the images of machines and of the cloud; they are kept until something that goes into them changes
#   up     build, start, and write build/openstack.json, which says what there is and how to get at it
#   down   remove the container, with all machines, and its network
# HUB_ADDRESS: whom machines let in on port 8000; 10.87.0.20 if not set
# NO_CACHE: keep no image of the finished cloud; a first start is faster by half a minute, each later one slower by far
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

name=libcloudspawner-cloud
# Docker gives containers addresses of 10.87.0.0/24, Neutron machines those of 10.87.1.0/24.
network=libcloudspawner-cloud
address=10.87.0.10
gateway=10.87.0.1
subnet=10.87.0.0/16
image=libcloudspawner/openstack

is_there() { docker image inspect "$1" >/dev/null 2>&1; }

hash_of() { sha256sum | cut -c1-12; }

state() { docker container inspect --format "$1" "$name" 2>/dev/null || true; }

# Those that containers are given, without the resolver that a host runs for itself alone.
nameservers() {
  local file
  for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
    if [ -r "$file" ]; then
      awk '$1 == "nameserver" && $2 ~ /^[0-9.]+$/ && $2 !~ /^127\./ { print $2 }' "$file"
    fi
  done | sort --unique | paste --serial --delimiters ' '
}

in_cloud() {
  docker exec \
    --env CLOUD_ADDRESS="$address" --env CLOUD_GATEWAY="$gateway" --env CLOUD_SUBNET="$subnet" \
    --env CLOUD_POOL_START=10.87.1.10 --env CLOUD_POOL_END=10.87.1.250 \
    --env CLOUD_NAMESERVERS="$(nameservers)" \
    "$name" "$@"
}

cloud() {
  # shellcheck disable=SC2016  # the inner shell expands it
  in_cloud bash -c '. /root/openrc; exec python3 /opt/cloud/cloud.py "$@"' cloud "$@"
}

make_network() {
  docker network inspect "$network" >/dev/null 2>&1 ||
    docker network create --subnet "$subnet" --ip-range 10.87.0.0/24 --gateway "$gateway" "$network" >/dev/null
}

# start IMAGE: what systemd, libvirt and Neutron need, and no more privilege than that takes. Nova notes the time when
# it uses an image, so these cannot be read-only.
start() {
  local tun=()
  make_network
  if [ -e /dev/net/tun ]; then tun=(--device /dev/net/tun); fi
  HOST_IMAGE=$1 HOST_TIMEOUT=600 tools/host.sh "$name" bookworm \
    --network "$network" --ip "$address" \
    --cap-add NET_ADMIN --cap-add DAC_READ_SEARCH --cap-add SYS_NICE --cap-add SYS_PTRACE --cap-add IPC_LOCK \
    "${tun[@]}" --tmpfs /run/lock --volume "$guests:/guests" --stop-timeout 90
}

remove() { docker rm --force --volumes "$name" >/dev/null 2>&1 || true; }

# forget TAGS: what was kept and is of no more use.
forget() {
  docker images --quiet --filter "reference=$image:$1" | sort --unique |
    xargs --no-run-if-empty docker rmi --force >/dev/null
}

build_packages() {
  ! is_there "$packages" || return 0
  say "Installing OpenStack into an image (two to four minutes, once)"
  docker rm --force "$name-build" >/dev/null 2>&1 || true
  docker run --name "$name-build" --volume "$PWD/tools/openstack:/opt/cloud:ro" "$base" \
    bash /opt/cloud/packages.sh </dev/null 2>&1 | narrate >&2
  forget '*'
  docker commit --change 'CMD ["/lib/systemd/systemd"]' "$name-build" "$packages" >/dev/null
  docker rm "$name-build" >/dev/null
}

build_cloud() {
  remove
  say "Setting up the cloud (two to four minutes, once)"
  start "$packages"
  docker exec "$name" mkdir -p /opt/cloud
  docker cp tools/openstack/. "$name:/opt/cloud/" >&2
  in_cloud bash /opt/cloud/configure.sh </dev/null 2>&1 | narrate >&2
  say "Uploading the images of machines"
  cloud images /guests 2>&1 | narrate >&2
  [ -z "${NO_CACHE:-}" ] || return 0
  say "Keeping the cloud as $ready"
  docker stop "$name" >/dev/null
  forget 'ready-*'
  docker commit "$name" "$ready" >/dev/null
  docker rm --volumes "$name" >/dev/null
}

# Makes what the cloud is made of, and sets $guests, $packages and $ready.
prepare() {
  tools/docker.sh
  mkdir -p "$cache"
  exec 8>"$cache/openstack.lock"
  flock --nonblock 8 || { say "Waiting for another start of the cloud" && flock 8; }
  base=$(tools/rootfs.sh bookworm)
  packages=$image:packages-$({ echo "$base" && cat tools/openstack/packages.sh; } | hash_of)

  # Two builds of minutes at once: mostly, the one waits for packages while the other computes.
  local answer guest
  answer=$(mktemp)
  tools/guest.sh >"$answer" &
  guest=$!
  build_packages || { wait "$guest" || true; fail "OpenStack could not be installed"; }
  wait "$guest" || fail "the images of machines could not be made"
  guests=$(cat "$answer")
  rm -f "$answer"

  ready=$image:ready-$({ echo "$packages" "$guests" && cat tools/openstack.sh tools/openstack/*; } | hash_of)
}

build() {
  prepare
  is_there "$ready" || NO_CACHE="" build_cloud
}

up() {
  prepare
  if [ "$(state '{{.State.Running}}')" = true ] && [ "$(docker exec "$name" cat /run/cloud/whole)" = "$ready" ] &&
    [ -s build/openstack.json ]; then
    say "The cloud runs already"
    return 0
  fi
  remove
  if ! is_there "$ready"; then build_cloud; fi
  if [ -z "$(state '{{.State.Status}}')" ]; then
    say "Starting the cloud"
    start "$ready"
  fi
  cloud ready 2>&1 | narrate >&2
  mkdir -p build
  (umask 077 && cloud operator "${HUB_ADDRESS:-10.87.0.20}" >build/openstack.json.new)
  mv build/openstack.json.new build/openstack.json
  docker exec "$name" sh -c 'echo "$1" >/run/cloud/whole' sh "$ready"
  say "The cloud is ready; build/openstack.json says how to get at it"
}

down() {
  if docker_answers; then
    remove
    docker network rm "$network" >/dev/null 2>&1 || true
  fi
  rm -f build/openstack.json
}

case ${1:-} in
  build | up | down) "$1" ;;
  *) fail "usage: tools/openstack.sh build|up|down" ;;
esac
