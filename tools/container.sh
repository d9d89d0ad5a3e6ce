#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Install what the tests of a hub in a container need on this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

tools/docker.sh
tools/browser.sh
apt_install --no-install-recommends mmdebstrap docker-compose
