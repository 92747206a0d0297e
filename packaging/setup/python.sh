# Sourced by system.sh and venv.sh: which Python carries the project.

# Prints the first Python that is new enough and can make a virtual environment. Debian ships
# `ensurepip` apart from Python (python3-venv), hence the import.
find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
      >/dev/null 2>&1; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

# Tells whether C extensions can be built for a Python: Debian ships its headers apart.
has_headers() {
  "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

# Prints the Debian package of a Python's headers: python3-dev for python3, python3.13-dev for
# python3.13.
headers_of() {
  printf '%s-dev\n' "${1##*/}"
}
