#!/usr/bin/env bash
# Writes packaging/requirements/dev.txt: every run-time dependency and tool, for every Python and
# platform that pyproject.toml permits, by hash. The file holds no address of any index: whoever
# installs from it decides where packages come from, and the hashes decide whether they are right.

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lock="$project/packaging/requirements/dev.txt"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

. "$project/packaging/setup/python.sh"

"$(find_python)" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip --disable-pip-version-check -qq install uv
cd "$project"
# Written to a new file, so that no old pin is kept. pymilter comes as source only: venv.sh builds
# it with the setuptools that is locked here.
"$scratch/venv/bin/uv" pip compile --quiet --universal --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
  --extra demo --extra milter --extra shared --extra sync --extra uvloop --extra dev \
  --output-file "$scratch/dev.txt" pyproject.toml
if grep -q '://' "$scratch/dev.txt"; then
  echo 'lock: the result names an address; nothing was written' >&2
  exit 1
fi
cp "$scratch/dev.txt" "$lock"
echo "lock: $(grep -c '==' "$lock") packages in packaging/requirements/dev.txt"
