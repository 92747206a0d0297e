#!/usr/bin/env bash
# Builds the sdist, and from it the wheel: build-dist.sh FOLDER puts both there. The same tree and
# the same SOURCE_DATE_EPOCH (without it: the last commit's time) give the same bytes.
# Needs a Python with hatchling: PYTHON, else that of .venv, else python3 (Debian: python3-hatchling).

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:?usage: build-dist.sh FOLDER}
mkdir -p "$out"
out=$(cd "$out" && pwd)

. "$project/packaging/tree.sh"

if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  [ ! -x "$project/.venv/bin/python" ] || PYTHON="$project/.venv/bin/python"
fi
SOURCE_DATE_EPOCH=$(source_date "$project")
export SOURCE_DATE_EPOCH

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/tree" "$scratch/unpacked"
copy_tree "$project" "$scratch/tree"

# What the builder says is shown where it fails. -P: the folder is no place for modules.
build() {
  (cd "$1" && "$PYTHON" -P -m hatchling build -t "$2" -d "$scratch") >"$scratch/said" 2>&1 ||
    { cat "$scratch/said" >&2; exit 1; }
}

build "$scratch/tree" sdist
tar -C "$scratch/unpacked" -xzf "$scratch"/codomain-*.tar.gz
# Out of the sdist, as pip would do it: what it lacks, the wheel lacks.
build "$scratch"/unpacked/codomain-* wheel
cp "$scratch"/codomain-*.tar.gz "$scratch"/codomain-*.whl "$out"
