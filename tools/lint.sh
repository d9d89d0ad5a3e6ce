#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Run every check of style, and name those that found something.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh
export ANSIBLE_COLLECTIONS_PATH=$PWD/playbooks/collections

failed=()
check() {
  say "--- $*"
  "$@" || failed+=("$*")
}
types() (cd spawner && mypy --cache-dir ../build/mypy)

# ansible-lint takes as long as all the others together, so it runs beside them.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
ansible-lint --offline >"$log" 2>&1 &
ansible_lint=$!

check ruff check
check ruff format --check
check yamllint --strict .
check shellcheck tools/*.sh tools/*/*.sh .ci/run
check types
check antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self --skip-rstcheck .
check antsibull-changelog lint
# pylint takes longer than all its other tests; ruff stands in here, and `make pylint` runs it.
check tools/sanity.sh --skip-test pylint

say "--- ansible-lint --offline"
wait "$ansible_lint" || failed+=("ansible-lint")
cat "$log"
[ "${#failed[@]}" -eq 0 ] || fail "found something: $(printf '%s; ' "${failed[@]}")"
