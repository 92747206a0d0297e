#!/usr/bin/env bash
# axe-core for the tests of the status page: the rules by which its accessibility is judged in a
# real browser. One file of one npm package, pinned by version and by hash, is fetched by npm
# from wherever npm is configured to, and unpacked into a cache; nothing is installed and no script of
# the package runs. When it is there already nothing is done. Where it cannot be had the setup goes
# on, because nothing but one test needs it; that test then fails and names this script.

set -euo pipefail

version=4.14.1
sha512=FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==

cache="${XDG_CACHE_HOME:-$HOME/.cache}/codomain"
target="$cache/axe-core-$version/axe.min.js"

say() { printf 'setup: %s\n' "$*"; }

warn() {
  printf 'setup: %s\n' "$@" >&2
  exit 0
}

main() {
  local archive found
  if [ -s "$target" ]; then
    say "axe-core for the tests: there"
    return 0
  fi
  command -v npm >/dev/null 2>&1 ||
    warn "there is no npm to fetch axe-core with; a test of the status page will fail"
  say "fetching axe-core $version for the tests into $cache"
  mkdir -p "$cache"
  scratch=$(mktemp -d "$cache/new.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  (cd "$scratch" && npm pack --silent --ignore-scripts "axe-core@$version" >/dev/null) ||
    warn "axe-core could not be fetched; a test of the status page will fail"
  archive="$scratch/axe-core-$version.tgz"
  found=$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)
  if [ "$found" != "$sha512" ]; then
    printf 'setup: axe-core %s is not what it was: its sha512 is %s\n' "$version" "$found" >&2
    exit 1
  fi
  tar -xzf "$archive" -C "$scratch" package/axe.min.js
  mkdir -p "${target%/*}"
  # Whole or not at all, also where two of us run at once.
  mv -T "$scratch/package/axe.min.js" "$target"
  say "axe-core for the tests: there"
}

main "$@"
