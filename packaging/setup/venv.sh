#!/usr/bin/env bash
# The project's virtual environment, .venv: what the lock file names, hash by hash, and the
# project itself as an editable install. When nothing changed since the last run it does nothing.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
venv="$project/.venv"
lock="$project/packaging/requirements/dev.txt"

. "$here/python.sh"

say() { printf 'setup: %s\n' "$*"; }

# One at a time: two runs at once would clear the folder under each other's feet.
exec 9<"$here/venv.sh"
flock 9

pip() {
  "$venv/bin/python" -m pip --disable-pip-version-check -qq "$@"
}

# The stamps say what the environment was made from; a copied or moved tree has another path.
packages_stamp() {
  { cat "$lock" "$here/venv.sh" "$here/python.sh"; echo "$project"; } | sha256sum
}
project_stamp() {
  cat "$project/pyproject.toml" "$project/resolver/codomain/__init__.py" | sha256sum
}

# Parts the lock file in two: pymilter with its hashes, and all the rest.
split_lock() {
  awk -v wheels="$venv/wheels.txt" -v sources="$venv/sources.txt" '
    /^[^ ]/ { out = /^pymilter==/ ? sources : wheels }
    { print >out }' "$lock"
}

is_current() {
  [ -f "$venv/.$1" ] && [ "$(cat "$venv/.$1")" = "$2" ]
}

if ! is_current packages-stamp "$(packages_stamp)" || ! "$venv/bin/python" -c '' 2>/dev/null; then
  if ! python=$(find_python); then
    printf 'setup: no Python 3.11 or newer with venv was found\n' >&2
    exit 1
  fi
  say "virtual environment: building .venv with $("$python" -V)"
  "$python" -m venv --clear "$venv"
  # Wheels alone: a source archive would run its build with packages that nobody locked. pymilter
  # has no wheel, so it is built last, by the setuptools of the lock file.
  # The lock is whole, so nothing is resolved: pip would look for the newest release of a
  # package that another one asks for with an extra, and then refuse it for its hash.
  split_lock
  pip install --no-deps --require-hashes --only-binary :all: -r "$venv/wheels.txt"
  pip install --no-deps --require-hashes --no-binary pymilter --no-build-isolation \
    -r "$venv/sources.txt"
  packages_stamp >"$venv/.packages-stamp"
fi

if ! is_current project-stamp "$(project_stamp)"; then
  rm -f "$venv/.project-stamp"
  pip install --no-deps --no-build-isolation --editable "$project"
  project_stamp >"$venv/.project-stamp"
fi
say "virtual environment: ready"
