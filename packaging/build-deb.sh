#!/usr/bin/env bash
# Builds the Debian package from a copy of the tree: build-deb.sh FOLDER puts it there.
# Needs: debhelper dh-python pybuild-plugin-pyproject python3-all python3-hatchling dpkg-dev fakeroot

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:?usage: build-deb.sh FOLDER}
mkdir -p "$out"
out=$(cd "$out" && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What git would put into an archive; outside of a checkout, all but what is built.
mkdir "$scratch/codomain"
if git -C "$project" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  (cd "$project" && git ls-files -z --cached --others --exclude-standard |
    xargs -0 tar -cf - --ignore-failed-read 2>/dev/null) | tar -C "$scratch/codomain" -xf -
else
  (cd "$project" && tar -cf - --exclude=.venv --exclude=build --exclude=dist .) |
    tar -C "$scratch/codomain" -xf -
fi
cp -a "$scratch/codomain/packaging/debian" "$scratch/codomain/debian"
cd "$scratch/codomain"
# The build must not take a Python or packages of the caller's own.
env -u PYTHONPATH -u VIRTUAL_ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  dpkg-buildpackage -us -uc -b
cp "$scratch"/codomain_*.deb "$scratch"/codomain_*.changes "$scratch"/codomain_*.buildinfo "$out"
