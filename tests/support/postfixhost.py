"""A Debian host with Postfix, made of namespaces: the manuals' commands run on it as they stand.

/etc, /var and /run are the host's own for this process and its children alone; mounts, host
name, network and process ids are in namespaces that end with it.  The gateway has a network of
its own, with one link to that of this process, where strangers and the two systems are,
under the addresses of the manuals' examples.  Postfix runs before codomain comes.  Two
commands are stand-ins: apt(8), which does what the package's scripts do and starts the
daemon, and systemctl(1), which hands a reload on to it.  With a package /usr is the host's own,
too, and apt(8) is the real one; what systemd would do then, which is to start the daemon, is
all that is added to it.

Run as a program it takes a script and rows of who sends to whom; it runs the script, asks for
each recipient, sends to those that are taken, and prints what happened as one line of JSON.
It needs root.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import smtplib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROJECT = Path(__file__).resolve().parents[2]

SECONDS = 60.0
"""The bound of every wait; all of it takes some seconds."""

EXCHANGE = "192.0.2.20"
UNIX = "192.0.2.10"
STRANGER = "198.51.100.7"
TRUSTED = "192.0.2.1"
GATEWAY = "192.0.2.5"

NETWORK = f"""\
link set lo up
link add outside type veth peer name inside
address add {UNIX}/24 dev outside
address add {EXCHANGE}/32 dev outside
address add {TRUSTED}/32 dev outside
address add {STRANGER}/32 dev outside
link set outside up
netns add gateway
link set inside netns gateway
-n gateway link set lo up
-n gateway address add {GATEWAY}/24 dev inside
-n gateway link set inside up
-n gateway route add default via {UNIX}
"""
"""Arguments of ip(8), a line each."""

AT_THE_GATEWAY = ("nsenter", "--net=/run/netns/gateway")

MAIN_CF = f"""\
compatibility_level = 3.6
myhostname = gateway.example.com
mydestination = localhost
inet_protocols = ipv4
mynetworks = 127.0.0.0/8, {TRUSTED}
maillog_file = /var/log/mail.log
"""

APT = f"""\
#!/bin/sh
# What the package does when it is installed, and its unit when it is started.
[ "$*" = "install ./codomain_*.deb" ] || exit 64
mkdir -p /etc/codomain/recipients.d /var/lib/codomain /run/codomain
install -d -g postfix -m 0750 /var/spool/postfix/codomain
cp {PROJECT}/packaging/debian/codomain.ini /etc/codomain/codomain.ini
codomain serve </dev/null >/run/daemon.log 2>&1 &
echo $! >/run/daemon.pid
for _ in $(seq 600); do test -S /var/spool/postfix/codomain/map && exit 0; sleep 0.1; done
cat /run/daemon.log; exit 1
"""

REAL_APT = """\
#!/bin/sh
# The real one, and then what systemd does with the unit that was installed.
/usr/bin/apt -y "$@" || exit
install -d -o codomain -g codomain -m 0750 /run/codomain
start=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/codomain.service)
setpriv --reuid=codomain --regid=codomain --groups=codomain,postfix \\
  $start </dev/null >/run/daemon.log 2>&1 &
echo $! >/run/daemon.pid
for _ in $(seq 600); do test -S /var/spool/postfix/codomain/map && exit 0; sleep 0.1; done
cat /run/daemon.log; exit 1
"""

SYSTEMCTL = """\
#!/bin/sh
[ "$*" = "reload codomain" ] || exit 64
in_force() { grep -c 'event="configuration in force"' /run/daemon.log; }
before=$(in_force)
kill -HUP "$(cat /run/daemon.pid)"
for _ in $(seq 600); do test "$(in_force)" -gt "$before" && exit 0; sleep 0.1; done
cat /run/daemon.log; exit 1
"""


def visit(
    script: str, rows: Sequence[tuple[str, str, bool]], package: Path | None = None
) -> dict[str, Any]:
    """Run a script on a new host; return ``said``, ``replies``, ``arrived`` and ``seconds``.

    ``rows``: the address of the client, the recipient, and whether mail is sent to him if he
    is taken.  ``package``: a folder with the Debian package, where the script begins.
    ``seconds``: of the processor, until the first recipient is answered.
    """
    task = {"script": script, "rows": list(rows), "package": package and f"{package}"}
    flags = ("--mount", "--uts", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
    with tempfile.TemporaryDirectory(prefix="host-") as scratch:
        done = subprocess.run(
            ["unshare", *flags, sys.executable, __file__],
            input=json.dumps({"scratch": scratch, **task}),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=4 * SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run(*command: str) -> None:
    """Run a command that must work; what it says goes to standard error."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=SECONDS, stdout=2)


def furnish(
    scratch: Path, stand_ins: Mapping[str, str], *, packaged: bool, over: Sequence[str] = ()
) -> None:
    """Make the host: its folders, its network, its Postfix, and the commands that stand in.

    ``packaged``: codomain comes from its package, and /usr is the host's own.  So it is where
    there are folders to be laid over it.
    """
    run("mount", "-t", "tmpfs", "tmpfs", f"{scratch}")
    scratch.chmod(0o755)
    for name in ("etc", "var", "usr") if packaged or over else ("etc", "var"):
        upper, work = scratch / name, scratch / f"{name}.work"
        upper.mkdir()
        work.mkdir()
        lower = ":".join([*over, "/usr"]) if name == "usr" else f"/{name}"
        layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", layers, f"/{name}")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("hostname", "gateway.example.com")
    for line in NETWORK.splitlines():
        run("ip", *line.split())
    Path("/etc/hosts").write_text("127.0.0.1 localhost gateway.example.com\n")
    shutil.rmtree("/etc/codomain", ignore_errors=True)
    Path("/etc/postfix/main.cf").write_text(MAIN_CF)
    shutil.copy("/usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf")
    # A Postfix of the machine that runs outside of these namespaces is none of this host's.
    Path("/var/spool/postfix/pid/master.pid").unlink(missing_ok=True)
    Path("/var/lib/postfix/master.lock").unlink(missing_ok=True)
    commands = scratch / "bin"
    commands.mkdir()
    for name, text in stand_ins.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    here = os.path.dirname(sys.executable)  # noqa: PTH120  # where the command codomain is
    before = "" if packaged else f"{here}:"
    os.environ["PATH"] = f"{commands}:{before}/usr/sbin:/usr/bin:/sbin:/bin"
    run(*AT_THE_GATEWAY, "postfix", "start")


def _connected(client: str) -> smtplib.SMTP:
    """Open a session, as soon as Postfix is there."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            session = smtplib.SMTP(GATEWAY, 25, "client.test", SECONDS, (client, 0))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            session.ehlo()
            return session


def ask(client: str, recipient: str, *, send: bool) -> tuple[str, bool]:
    """Ask for one recipient; return the reply, and whether the message was taken."""
    with _connected(client) as session:
        session.docmd("MAIL", "FROM:<author@elsewhere.test>")
        code, text = session.docmd("RCPT", f"TO:<{recipient}>")
        sent = send and code == 250  # RFC 5321 section 4.2.2
        if sent:
            sent = session.data("Subject: x\r\n\r\nx\r\n")[0] == 250
        return f"{code} {text.decode()}", sent


def main() -> None:
    """Be the host."""
    from codomain_cli.sinks import Sinks  # noqa: PLC0415  # this process alone has the path

    task = json.load(sys.stdin)
    packaged = task["package"] is not None
    stand_ins = {"apt": REAL_APT if packaged else APT, "systemctl": SYSTEMCTL}
    furnish(Path(task["scratch"]), stand_ins, packaged=packaged)
    with Sinks() as sinks, Path("/run/said").open("w+") as said:
        sinks.smtp("exchange", at=(EXCHANGE, 25))
        sinks.smtp("unix", at=(UNIX, 25))
        done = subprocess.run(
            [*AT_THE_GATEWAY, "bash", "-eux"],
            input=task["script"].encode(),
            stdout=said,
            stderr=said,
            check=False,
            cwd=task["package"],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        text = Path("/run/said").read_text()
        if done.returncode:
            raise SystemExit(f"the script: status {done.returncode}\n{text}")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        replies, sent = [], 0
        for client, recipient, send in task["rows"]:
            reply, taken = ask(client, recipient, send=send)
            replies.append(reply)
            sent += taken
        arrived = sinks.wait_for(lambda arrivals: len(arrivals) >= sent, SECONDS)
    answer = {
        "said": re.sub(r"\x1b\[[0-9;]*m", "", text),
        "replies": replies,
        "arrived": sorted([a.system, a.recipient] for a in arrived),
        "seconds": used.ru_utime + used.ru_stime,
    }
    print(json.dumps(answer), flush=True)  # noqa: T201  # it is what this process is for


if __name__ == "__main__":
    main()
