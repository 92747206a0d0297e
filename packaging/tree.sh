# Sourced by the build scripts: what they build from.

# Copies the project into an empty folder: what git would put into an archive, with changes that
# are not committed; outside of a checkout, all but what is built. copy_tree PROJECT FOLDER
copy_tree() {
  if git -C "$1" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    # A file that was deleted and is not committed is still listed.
    git -C "$1" ls-files -z --cached --others --exclude-standard |
      tar -C "$1" --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -C "$2" -xf -
  else
    tar -C "$1" --exclude=.venv --exclude=./build --exclude=./dist --exclude=__pycache__ -cf - . |
      tar -C "$2" -xf -
  fi
}

# Prints the seconds that stand in archives and packages in place of the time of the build:
# the caller's SOURCE_DATE_EPOCH, or the last commit's. source_date PROJECT
source_date() {
  if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
    echo "$SOURCE_DATE_EPOCH"
  else
    git -C "$1" log -1 --format=%ct 2>/dev/null || date -d "$(sed -n 's/^ -- .*>  //p;T;q' \
      "$1/packaging/debian/changelog")" +%s
  fi
}
