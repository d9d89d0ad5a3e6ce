#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Make sure that the browser of the browser tests is there. Playwright's own program needs libatomic1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

apt_install --no-install-recommends chromium fonts-dejavu-core libatomic1 libnss3-tools
