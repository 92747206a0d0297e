#!/usr/bin/env bash
# A Sendmail for the tests, unpacked into a cache and not installed: Debian's Sendmail and Postfix
# exclude each other. Its packages, m4 and those of its libraries that this machine lacks are
# downloaded by apt-get and unpacked by dpkg; no service is started and no package is installed.
# When it is there already nothing is done. Where it cannot be had the setup goes on, because the
# demo needs none; the tests of Sendmail then fail and name this script.

set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/codomain"
root="$cache/sendmail"
packages=(sendmail-bin sendmail-cf m4)

say() { printf 'setup: %s\n' "$*"; }

warn() {
  printf 'setup: %s\n' "$@" >&2
  exit 0
}

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c2)" = i ]
}

update() {
  if [ "$(id -u)" -eq 0 ]; then apt-get -q update; else sudo -n apt-get -q update; fi
}

# Into the folder where it is called. The lists may be missing, or name what the archive no longer
# has.
download() {
  local options=(-q)
  # Root's folders are closed to apt's own user, and apt would complain of that.
  [ "$(id -u)" -ne 0 ] || options+=(-o APT::Sandbox::User=root)
  apt-get "${options[@]}" download "$@" && return 0
  update && apt-get "${options[@]}" download "$@"
}

# The libraries that the downloaded packages want and that this machine does not have.
find_libraries() {
  local name package
  libraries=()
  for name in $(for package in *.deb; do dpkg-deb -f "$package" Depends; done |
    tr ',' '\n' | awk '$1 ~ /^lib/ && !seen[$1]++ { print $1 }'); do
    is_installed "$name" || libraries+=("$name")
  done
}

main() {
  local package
  if [ -x "$root/usr/libexec/sendmail/sendmail" ]; then
    say "Sendmail for the tests: there"
    return 0
  fi
  if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg >/dev/null 2>&1; then
    warn "no Sendmail can be unpacked here, because this is no Debian system; its tests will fail"
  fi
  say "unpacking a Sendmail for the tests into $root"
  mkdir -p "$cache"
  scratch=$(mktemp -d "$cache/new.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  mkdir "$scratch/debs" "$scratch/root"
  cd "$scratch/debs"
  download "${packages[@]}" || warn "Sendmail could not be downloaded; its tests will fail"
  find_libraries
  if [ "${#libraries[@]}" -gt 0 ]; then
    download "${libraries[@]}" || warn "Sendmail's libraries could not be downloaded; its tests will fail"
  fi
  for package in *.deb; do
    dpkg -x "$package" "$scratch/root"
  done
  # Whole or not at all, also where two of us run at once.
  rm -rf "$root"
  mv -T "$scratch/root" "$root"
  say "Sendmail for the tests: there"
}

main "$@"
