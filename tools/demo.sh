#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Bring up a hub to try in a container on this machine, or remove it.
#
# usage: tools/demo.sh up|down
# DEMO_PORT: port of the hub on 127.0.0.1; 8000 if not set
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

name=libcloudspawner-demo
port=${DEMO_PORT:-8000}
url=http://127.0.0.1:$port

container() { docker container inspect --format "$1" "$name" 2>/dev/null || true; }

check_port() {
  local used
  if [[ ! $port =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65535 ]; then
    fail "DEMO_PORT=$port is not a port. Choose one: make demo DEMO_PORT=8001"
  fi
  used=$(container '{{range index .HostConfig.PortBindings "8000/tcp"}}{{.HostPort}}{{end}}')
  if [ -n "$used" ] && [ "$used" != "$port" ]; then
    fail "the demo is there already, on port $used. Go on with it: make demo DEMO_PORT=$used" \
      "- or remove it first: make demo-down"
  fi
  if [ "$(container '{{.State.Running}}')" != true ] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "port $port of 127.0.0.1 is taken. Choose another: make demo DEMO_PORT=$((port < 65535 ? port + 1 : 8001))"
  fi
}

# secret NAME BYTES
secret() {
  [ -s "build/demo/$1" ] || od --address-radix=n --format=x1 --read-bytes="$2" /dev/urandom | tr -d ' \n' >"build/demo/$1"
  cat "build/demo/$1"
}

# What the hub in the container is made of.
fingerprint() {
  docker container inspect --format '{{.Id}}' "$name"
  find playbooks plugins roles templates spawner/src spawner/pyproject.toml inventories/demo build/demo/vars.json \
    -type f -not -name '*.pyc' -print0 | sort --zero-terminated | xargs --null sha256sum
}

login_page_answers() {
  python3 -c 'import sys, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(sys.argv[1], timeout=5)' \
    "$url/hub/login" 2>/dev/null
}

up() {
  check_port
  tools/setup.sh
  export PATH=$PWD/.venv/bin:$PATH
  tools/docker.sh
  check_port
  tools/host.sh "$name" bookworm --publish "127.0.0.1:$port:8000"

  umask 077
  mkdir -p build/demo
  password=$(secret password 6)
  admin_token=$(secret admin_token 32)
  printf '{"demo_password": "%s", "demo_admin_token": "%s"}\n' "$password" "$admin_token" >build/demo/vars.json

  local made
  made=$(fingerprint | sha256sum)
  if [ "$(cat build/demo/made 2>/dev/null)" = "$made" ]; then
    say "The hub is set up already"
  else
    say "Setting up the hub"
    if [ -t 1 ]; then export ANSIBLE_FORCE_COLOR=true; fi
    export ANSIBLE_PIPELINING=true
    ansible-playbook playbooks/site.yml --inventory inventories/demo --extra-vars @build/demo/vars.json </dev/null 2>&1 |
      narrate
    echo "$made" >build/demo/made
  fi
  wait_for 120 "the login page" login_page_answers || {
    docker exec "$name" journalctl --no-pager --lines 30 --unit 'jupyterhub*' >&2 || true
    fail "no login page at $url/hub/login"
  }

  printf '{\n  "url": "%s",\n  "user": "student",\n  "password": "%s",\n  "admin_token": "%s"\n}\n' \
    "$url" "$password" "$admin_token" >build/demo.json
  cat <<END

The hub answers on $url

    user      student
    password  $password

build/demo.json holds the same, and the token of an administrator. 'make demo-down' removes the demo.
END
}

down() {
  if docker_answers || command -v dockerd >/dev/null; then
    tools/docker.sh
    docker rm --force --volumes "$name" >/dev/null 2>&1 || true
  fi
  rm -rf build/demo build/demo.json
  say "The demo is gone. Docker, the root file system it caches, and .venv stay ('make clean' removes the last two)."
}

case ${1:-} in
  up | down) "$1" ;;
  *) fail "usage: tools/demo.sh up|down" ;;
esac
