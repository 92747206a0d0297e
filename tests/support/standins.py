"""The commands that stand in on the gateway where the manuals are read.

systemctl(1) starts, stops and reloads the daemon, and fails where systemd would say that it
does not run; journalctl(1) shows the daemon's log by the few options that the manuals use;
fail2ban-client(1) is no part of a gateway.  A use that they do not know ends with 64 or 2.
"""

from __future__ import annotations

import sys
from pathlib import Path

LOG = Path("/run/daemon.log")
"""What the daemon writes to standard error."""

SYSTEMCTL = """\
#!/bin/bash
# The daemon's unit, and Sendmail's: what systemd would do with them.
log=/run/daemon.log
runs() { pid=$(cat /run/daemon.pid 2>/dev/null) && grep -qs '^State:.[^Z]' "/proc/$pid/status"; }
count() { grep -cE "$1" $log; }
start() {
  before=$(count 'event=ready ')
  ${1:-codomain serve} </dev/null >>$log 2>&1 &
  echo $! >/run/daemon.pid
  for _ in $(seq 600); do
    [ "$(count 'event=ready ')" -gt "$before" ] && return 0
    runs || break
    sleep 0.05
  done
  tail $log; return 1
}
stop() {
  runs || return 0
  kill "$pid"
  for _ in $(seq 600); do runs || return 0; sleep 0.05; done
  return 1
}
reload() {
  runs || { echo "codomain.service is not active, cannot reload." >&2; return 1; }
  told='event="(configuration in force|the configuration in force stays)"'
  before=$(count "$told")
  kill -HUP "$pid"
  for _ in $(seq 600); do [ "$(count "$told")" -gt "$before" ] && return 0; sleep 0.05; done
  return 1
}
enable() {
  for unit in "$@"; do
    unit=/etc/systemd/system/${unit%.service}
    test -f "$unit" || test -f "$unit.service" || { echo "no unit $unit" >&2; return 1; }
  done
  stop && start "$(sed -n 's/^ExecStart=//p' /etc/systemd/system/codomain.service)"
}
case "$*" in
  "daemon-reload") test -f /etc/systemd/system/codomain.service ;;
  "enable --now "*) shift 2; enable "$@" ;;
  "start codomain") start ;;
  "stop codomain") stop ;;
  "reload codomain") reload ;;
  "restart codomain") stop && start ;;
  "restart sendmail") exec /usr/libexec/sendmail/sendmail -bd ;;
  *) exit 64 ;;
esac
"""

JOURNALCTL = f"""\
#!{sys.executable} -SE
# journalctl(1) for the daemon's log, with the options that the manuals use.
import argparse, datetime, re, sys
reader = argparse.ArgumentParser()
reader.add_argument("-u", required=True, choices=["codomain"])
reader.add_argument("-p", choices=["warning"])
reader.add_argument("-g")
reader.add_argument("-o", choices=["short-iso"])
reader.add_argument("--since", choices=["today", "-15min"])
# getopt_long(3) takes the word behind --since whatever it begins with.
given = sys.argv[1:]
if "--since" in given:
    at = given.index("--since")
    given[at : at + 2] = [f"--since={{given[at + 1]}}"]
asked = reader.parse_args(given)
now = datetime.datetime.now()
since = now.replace(hour=0, minute=0, second=0, microsecond=0)
if asked.since == "-15min":
    since = now - datetime.timedelta(minutes=15)
shape = re.compile(r"time=(\\S+) (level=(\\w+) .*)")
for line in open("{LOG}"):
    when, text, level = shape.match(line).groups()
    then = datetime.datetime.fromisoformat(when)
    if asked.since and then < since:
        continue
    if asked.p and level not in ("warning", "error", "critical"):
        continue
    if asked.g and not re.search(asked.g, text):
        continue
    form = "%Y-%m-%dT%H:%M:%S+0000" if asked.o else "%b %d %H:%M:%S"
    print(f"{{then.strftime(form)}} gateway codomain[4711]: {{text}}")
"""

FAIL2BAN = """\
#!/bin/sh
# It would read these two files, and say so where one is missing.
[ "$*" = reload ] || exit 64
exec cat /etc/fail2ban/filter.d/codomain.conf /etc/fail2ban/jail.d/codomain.conf
"""

STAND_INS = {"systemctl": SYSTEMCTL, "journalctl": JOURNALCTL, "fail2ban-client": FAIL2BAN}
