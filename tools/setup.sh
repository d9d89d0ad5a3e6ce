#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Make .venv, which holds every tool of this repository, pinned by requirements/dev.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

# A new .venv is made with the Python of the system, also while the old one is active.
PATH=${PATH//"$PWD/.venv/bin:"/}

apt_line="apt-get install git make python3-venv"
for program in git make python3; do
  command -v "$program" >/dev/null || fail "$program is missing. Please run: $apt_line"
done
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "Python 3.11 or newer is needed, and this is $(python3 --version). On Debian 12 or 13: $apt_line"
python3 -c 'import ensurepip, venv' 2>/dev/null || fail "python3 has no venv. Please run: $apt_line"

stamp=$(cat requirements/dev.txt tools/setup.sh | sha256sum)
is_made() { [ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ] && .venv/bin/python -c 'import ansible' 2>/dev/null; }

mkdir -p build
exec 9>build/setup.lock
flock 9
! is_made || exit 0

say "Making .venv with the tools of requirements/dev.txt (about a minute)"
python3 -m venv --clear .venv

trust_system_certificates
sed -n '/^uv==/,/[^\]$/p' requirements/dev.txt >.venv/uv.txt
{
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement .venv/uv.txt
  .venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements/dev.txt
} 2>&1 | narrate >&2
echo "$stamp" >.venv/stamp
say "The tools are in .venv; '. .venv/bin/activate' puts them on PATH"
