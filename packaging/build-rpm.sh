#!/usr/bin/env bash
# Builds the RPM from a copy of the tree: build-rpm.sh FOLDER puts it there.
# Needs rpmbuild and a Python with hatchling; on Debian: rpm python3-hatchling.

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:?usage: build-rpm.sh FOLDER}
mkdir -p "$out"
out=$(cd "$out" && pwd)

. "$project/packaging/tree.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

SOURCE_DATE_EPOCH=$(source_date "$project")
export SOURCE_DATE_EPOCH
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset PYTHONPATH VIRTUAL_ENV
PYTHON=python3 "$project/packaging/build-dist.sh" "$scratch/SOURCES"
sdist=$(basename "$scratch"/SOURCES/codomain-*.tar.gz .tar.gz)

# --nodeps: on Debian what the spec wants is there under other names.
rpmbuild -bb --quiet --nodeps \
  --define "_topdir $scratch" \
  --define "codomain_version ${sdist#codomain-}" \
  --define "use_source_date_epoch_as_buildtime 1" \
  --define "clamp_mtime_to_source_date_epoch 1" \
  --define "_buildhost localhost" \
  "$project/packaging/rpm/codomain.spec"
cp "$scratch"/RPMS/noarch/codomain-*.rpm "$out"
