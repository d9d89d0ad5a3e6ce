# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# What the scripts of this folder share. Standard output is left to results; talk goes to standard error.

say() { printf '%s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Debian's own accounts have no sbin in PATH, and dockerd lives there.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "this needs root: $* (run as root, or install sudo)"
  fi
}

# pip before 24.2 and uv do not look by themselves at the certificates that the system trusts.
trust_system_certificates() {
  local bundle=/etc/ssl/certs/ca-certificates.crt
  if [ -z "${PIP_CERT:-}" ] && [ -r "$bundle" ]; then export PIP_CERT=$bundle; fi
  export UV_SYSTEM_CERTS=true
}

# Passes lines on, and says that work goes on when there was none for 15 seconds.
narrate() {
  local line rest="" started=$SECONDS status
  while true; do
    status=0
    IFS= read -r -t 15 line || status=$?
    if [ "$status" -eq 0 ]; then
      printf '%s\n' "$rest$line"
      rest=""
    elif [ "$status" -gt 128 ]; then
      rest+=$line
      printf '... still working (%d s)\n' "$((SECONDS - started))"
    else
      printf '%s' "$rest$line"
      return 0
    fi
  done
}

is_installed() { dpkg-query --show --showformat '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

# apt_install [apt option...] package...
apt_install() {
  local argument options=() missing=()
  for argument in "$@"; do
    case $argument in
      -*) options+=("$argument") ;;
      *) is_installed "$argument" || missing+=("$argument") ;;
    esac
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "please install: ${missing[*]} (this machine has no apt-get to do it with)"
  say "Installing with apt: ${missing[*]}"
  {
    as_root apt-get --option DPkg::Lock::Timeout=300 update
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
      apt-get --option DPkg::Lock::Timeout=300 --yes "${options[@]}" install "${missing[@]}"
  } </dev/null 2>&1 | narrate >&2
}

# wait_for SECONDS WHAT COMMAND...: repeats the command until it succeeds.
wait_for() {
  local limit=$1 what=$2 started=$SECONDS said=$SECONDS
  shift 2
  until "$@"; do
    [ $((SECONDS - started)) -lt "$limit" ] || return 1
    if [ $((SECONDS - said)) -ge 10 ]; then
      said=$SECONDS
      say "... still waiting for $what ($((SECONDS - started)) s)"
    fi
    sleep 1
  done
}

# shellcheck disable=SC2034  # for the scripts that read this file
cache=${XDG_CACHE_HOME:-$HOME/.cache}/libcloudspawner

docker_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
