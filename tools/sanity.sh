#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Run ansible-test sanity on a copy of this collection.
#
# ansible-test works only below ansible_collections/<namespace>/<name>, and inside a git work tree it skips what git
# ignores: so the copy lies outside this repository.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh
trust_system_certificates

cache+=/sanity/$(pwd | sha256sum | cut -c1-12)
target=$cache/ansible_collections/libcloudspawner/jupyterhub
mkdir -p "$target"
exec 9>"$cache/lock"
flock 9
rm -rf "$target"
mkdir -p "$target"
# What is not shipped is left to ruff.
git ls-files -z --cached --others --exclude-standard --deduplicate -- \
  ':!playbooks/collections' ':!bench' ':!spawner/tests' ':!tests' |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  tar --create --null --files-from=- | tar --extract --directory="$target"

# ansible-test fetches get-pip.py from a host that may be out of reach; the interpreter's own pip will do.
get_pip=$HOME/.ansible/test/cache/get_pip_24_2.py
if [ ! -e "$get_pip" ]; then
  mkdir -p "$(dirname "$get_pip")"
  printf 'import ensurepip\n\nensurepip.bootstrap(default_pip=True)\n' >"$get_pip"
fi

python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
cd "$target"
ansible-test sanity --python "$python" --color no "$@"
