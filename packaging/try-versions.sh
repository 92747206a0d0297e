#!/usr/bin/env bash
# Runs the unit and scenario tests on every Python from 3.11 to 3.13 that is at hand, with the
# oldest releases of the dependencies that pyproject.toml permits there, and with the newest.
#
#   packaging/try-versions.sh [oldest|newest|both] [PYTHON ...]
#
# Without a PYTHON it takes those on the PATH and those of pyenv, one of each minor version. A copy
# of the tree is tested, in environments that are made in a scratch folder; .venv is left alone.
# Status 1: a run has failed.
#
# "Oldest" is the oldest that can be installed: a release without a wheel for that Python is passed
# over, since its sources were written for older ones. pymilter has no wheels, and is built.
#
# CODOMAIN_TRY_TESTS: what is run in place of "tests/unit tests/scenarios".

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

. "$project/packaging/setup/python.sh"
. "$project/packaging/tree.sh"

sets=(oldest newest)
case "${1:-both}" in
oldest | newest) sets=("$1"); shift ;;
both) [ $# -eq 0 ] || shift ;;
-*) sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 64 ;;
esac

# Prints the minor version of a Python that can carry the project; fails for every other.
minor_of() {
  "$1" -c 'import sys, venv, ensurepip
print("%d.%d" % sys.version_info[:2])
sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

# The first of each minor version wins; a pyenv shim that leads nowhere fails and is passed over.
pythons_at_hand() {
  local minor candidate
  for minor in 11 12 13; do
    for candidate in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python3; do
      if [ "$(minor_of "$candidate")" = "3.$minor" ]; then
        command -v "$candidate"
        break
      fi
    done
  done
}

if [ $# -gt 0 ]; then pythons=("$@"); else mapfile -t pythons < <(pythons_at_hand); fi
if [ "${#pythons[@]}" -eq 0 ]; then
  echo 'try-versions: no Python from 3.11 to 3.13 was found' >&2
  exit 1
fi

mkdir "$scratch/tree"
copy_tree "$project" "$scratch/tree"
cd "$scratch/tree"

"$(find_python)" -m venv "$scratch/uv"
"$scratch/uv/bin/python" -m pip --disable-pip-version-check -qq install uv
uv() { "$scratch/uv/bin/uv" --quiet "$@"; }
wheels=(--only-binary :all: --no-binary pymilter)

# Makes an environment: furnish PYTHON SET FOLDER. The tools of the tests are always the newest.
furnish() {
  local resolution=highest
  [ "$2" = newest ] || resolution=lowest-direct
  uv pip compile --python "$1" --resolution "$resolution" "${wheels[@]}" --no-header --no-annotate \
    --extra demo --extra milter --extra shared --extra sync --extra uvloop \
    --output-file "$3.txt" pyproject.toml
  uv venv --python "$1" "$3"
  uv pip install --python "$3/bin/python" "${wheels[@]}" --all-extras \
    --constraint "$3.txt" --requirement pyproject.toml
  uv pip install --python "$3/bin/python" --no-deps --no-build-isolation --editable .
}

failed=()
read -r -a tests <<<"${CODOMAIN_TRY_TESTS:-tests/unit tests/scenarios}"
for python in "${pythons[@]}"; do
  minor=$(minor_of "$python") || { echo "try-versions: $python is not from 3.11 to 3.13" >&2; exit 64; }
  for set in "${sets[@]}"; do
    name="python$minor-$set"
    echo "== $name: $("$python" -V)"
    furnish "$python" "$set" "$scratch/$name"
    tr '\n' ' ' <"$scratch/$name.txt" | fold -s -w 100
    echo
    "$scratch/$name/bin/python" -m pytest -p no:cacheprovider -q -n 2 "${tests[@]}" ||
      failed+=("$name")
    rm -rf "${scratch:?}/$name"
  done
done

if [ "${#failed[@]}" -gt 0 ]; then
  echo "try-versions: failed: ${failed[*]}" >&2
  exit 1
fi
echo "try-versions: ${#pythons[@]} Pythons, ${sets[*]}: all passed"
