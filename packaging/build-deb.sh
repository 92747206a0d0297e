#!/usr/bin/env bash
# Builds the Debian package from a copy of the tree: build-deb.sh FOLDER puts it there.
# Needs: debhelper dh-python pybuild-plugin-pyproject python3-all python3-hatchling dpkg-dev fakeroot

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:?usage: build-deb.sh FOLDER}
mkdir -p "$out"
out=$(cd "$out" && pwd)

. "$project/packaging/tree.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir "$scratch/codomain"
copy_tree "$project" "$scratch/codomain"
cp -a "$scratch/codomain/packaging/debian" "$scratch/codomain/debian"
cd "$scratch/codomain"
# The build must not take a Python or packages of the caller's own.
env -u PYTHONPATH -u VIRTUAL_ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  dpkg-buildpackage -us -uc -b
cp "$scratch"/codomain_*.deb "$scratch"/codomain_*.changes "$scratch"/codomain_*.buildinfo "$out"
