#!/usr/bin/env bash
# What `make demo` needs from the system: a Postfix, a slapd, openssl, a C compiler and what
# pymilter is built with: the headers of libmilter and of Python. With the argument `tests`, also
# the servers of `make test` (Samba's domain controller, Redis, Prometheus), Chromium, and the tools
# that build and judge the packages. Missing Debian packages are installed, as root or through
# sudo. It starts no service, asks no question, removes no package and never replaces another mail
# transport agent. When all is there it changes nothing and needs no privilege.
#
# CODOMAIN_SETUP_ROOT: a folder to look into in place of /, for the tests of this script.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${CODOMAIN_SETUP_ROOT:-}
policy="$root/usr/sbin/policy-rc.d"
marker='# Written by codomain'\''s setup while it installs packages; safe to remove.'
packages=(postfix slapd openssl gcc libc6-dev libmilter-dev)
programs=(postfix slapd slapadd openssl gcc)
if [ "${1:-}" = tests ]; then
  packages+=(samba samba-ad-dc samba-ad-provision samba-dsdb-modules python3-samba ldb-tools)
  packages+=(redis-server prometheus iproute2)
  # What the Debian package is built, looked over and installed with, and its manual pages.
  packages+=(debhelper dh-python pybuild-plugin-pyproject python3-all python3-hatchling)
  packages+=(dpkg-dev fakeroot lintian mandoc groff-base systemd)
  # The RPM is built and unpacked here, too; the containers' YAML is read, contrib is tried.
  packages+=(rpm cpio python3-yaml ansible-core logrotate)
  packages+=(python3-aiohttp python3-cachetools python3-click python3-idna python3-ldap3)
  packages+=(python3-lmdb python3-milter python3-prometheus-client python3-redis python3-rich)
  packages+=(python3-uvloop)
  # The status page is looked at in a real browser; npm fetches the rules it is judged by.
  packages+=(chromium)
  command -v npm >/dev/null 2>&1 || packages+=(npm)
  programs+=(samba ldbmodify redis-server prometheus promtool ip mandoc groff systemd-analyze chromium npm)
  programs+=(rpmbuild rpm2cpio cpio ansible-playbook logrotate)
fi

. "$here/python.sh"

say() { printf 'setup: %s\n' "$*"; }

stop() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# sudo that would ask for a password is of use only where somebody can type it.
may_become_root() {
  [ "$(id -u)" -eq 0 ] && return 0
  command -v sudo >/dev/null 2>&1 || return 1
  sudo -n true >/dev/null 2>&1 || [ -t 0 ]
}

is_installed() {
  # The abbreviation's second letter is the state: i is installed, whatever is wanted of it.
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c2)" = i ]
}

find_missing() {
  local package python
  missing=()
  for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  if ! python=$(find_python); then
    missing+=(python3-venv python3-dev)
  elif ! has_headers "$python"; then
    missing+=("$(headers_of "$python")")
  fi
}

# Debian's MTAs conflict with each other: installing Postfix would remove the one that is there.
refuse_other_mta() {
  local other path
  is_installed postfix && return 0
  other=$(dpkg-query -W -f '${db:Status-Abbrev}|${Package}|${Provides}\n' 2>/dev/null |
    awk -F'|' 'substr($1, 2, 1) == "i" && $3 ~ /(^|[ ,])mail-transport-agent($|[ ,(])/ { print $2; exit }')
  if [ -n "$other" ]; then
    stop "another mail transport agent is installed: $other." \
      "Codomain's tests and demo need Postfix, and Debian has only one of them at a time." \
      "Nothing was changed. Use another machine, or replace it yourself: apt-get install postfix"
  fi
  for path in "$root/usr/sbin/sendmail" "$root/usr/lib/sendmail"; do
    if [ -e "$path" ] || [ -L "$path" ]; then
      stop "another mail transport agent is installed: $path is not Postfix's." \
        "Codomain's tests and demo need Postfix, which brings a file of that name." \
        "Nothing was changed. Use another machine, or move it away yourself."
    fi
  done
}

# invoke-rc.d and deb-systemd-invoke start no service while this file answers 101.
forbid_services() {
  local package answer
  if [ -e "$policy" ] && ! grep -qxF "$marker" "$policy"; then
    for package in "${missing[@]}"; do
      answer=0
      "$policy" "$package" start >/dev/null 2>&1 || answer=$?
      [ "$answer" -eq 101 ] || stop \
        "$policy is there and would let $package start when it is installed." \
        "Nothing was changed. Make it answer 101, or install by hand:" "  $line"
    done
    return 0
  fi
  trap allow_services EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # shellcheck disable=SC2016  # the inner shell expands its own arguments
  as_root sh -c 'rm -f "$1" && set -C && printf "%s\n" "#!/bin/sh" "$2" "exit 101" >"$1" && chmod 755 "$1"' \
    sh "$policy" "$marker"
}

allow_services() {
  if [ -e "$policy" ] && grep -qxF "$marker" "$policy"; then as_root rm -f "$policy"; fi
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 "$@"
}

preseed() {
  printf '%s\n' \
    'postfix postfix/main_mailer_type select No configuration' \
    'slapd slapd/no_configuration boolean true' |
    { grep -E "^($(IFS='|'; echo "${missing[*]}")) " || true; } |
    as_root debconf-set-selections
}

install_missing() {
  local options=(install --no-install-recommends --no-remove)
  local updated=no
  say "installing ${missing[*]}; no service will be started"
  forbid_services
  preseed
  if ! apt-get -s -q "${options[@]}" "${missing[@]}" >/dev/null 2>&1; then
    apt update
    updated=yes
  fi
  if ! apt "${options[@]}" "${missing[@]}"; then
    # The lists may name a version that the archive no longer has.
    [ "$updated" = no ] || stop "the packages could not be installed: ${missing[*]}"
    apt update
    apt "${options[@]}" "${missing[@]}"
  fi
}

without_debian() {
  local name python wanting=()
  PATH="$PATH:$root/usr/sbin:$root/sbin:$root/usr/libexec:$root/usr/lib/openldap"
  for name in "${programs[@]}"; do
    command -v "$name" >/dev/null 2>&1 || wanting+=("$name")
  done
  if ! python=$(find_python); then
    wanting+=("python3 (3.11 or newer, with venv and headers)")
  elif ! has_headers "$python"; then
    wanting+=("the headers of $python (Python.h)")
  fi
  if [ ! -e "$root/usr/include/libmilter/mfapi.h" ]; then
    wanting+=("libmilter's headers (libmilter/mfapi.h)")
  fi
  if [ "${#wanting[@]}" -gt 0 ]; then
    stop "this is no Debian system: install these by your own means, then try again:" \
      "${wanting[@]/#/  }"
  fi
}

main() {
  if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    without_debian
    say "all that is needed is there"
    return 0
  fi
  find_missing
  if [ "${#missing[@]}" -eq 0 ]; then
    say "system packages: all there"
    return 0
  fi
  refuse_other_mta
  line="apt-get install --no-install-recommends --no-remove ${missing[*]}"
  if ! may_become_root; then
    stop "these system packages are missing: ${missing[*]}" "Run as root:" "  $line" \
      "or run packaging/setup/system.sh as root, which starts no service and asks nothing."
  fi
  install_missing
  find_missing
  if [ "${#missing[@]}" -gt 0 ]; then
    stop "still missing after the installation: ${missing[*]}" \
      "(python3-venv is named here if no Python is 3.11 or newer.)"
  fi
  say "system packages: all there"
}

main "$@"
