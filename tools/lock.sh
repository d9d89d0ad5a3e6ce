#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Make each lock file from the requirements.in beside it. Versions stay as they are, unless UPGRADE is set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh
trust_system_certificates

lock() {
  uv pip compile --quiet --universal --generate-hashes --excludes roles/environment/files/exclude.txt ${UPGRADE:+--upgrade} \
    --custom-compile-command "make lock" --python-version "$1" --output-file "${2%.in}.txt" "$2"
}

lock 3.11 requirements/dev.in
for requirements in roles/*/files/{,*/}requirements.in tests/integration/older/requirements.in; do lock 3.10 "$requirements"; done
