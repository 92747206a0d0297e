"""A Debian host with Sendmail, made of namespaces: README's commands run on it as they stand.

The unpacked Sendmail is laid over /usr, and /etc, /var and /run are the host's own for this
process and its children alone: mounts, host name, network and process ids are in
namespaces that end with it.  Its loopback has the address of a stranger; the mailbox system and
the other system are on another network with one link to it, on port 25, under the addresses
of README's example.

Run as a program it takes a script, files to write, and recipients: it puts the files in
place, runs the script, asks for the recipients as a stranger, sends to those that are
taken, and prints what happened as one line of JSON.  It needs root.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import smtplib
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codomain_cli.sinks import Sinks

SECONDS = 60.0
"""The bound of every wait; all of it takes three seconds."""

STRANGER = "198.51.100.7"
EXCHANGE = "192.0.2.20"
UNIX = "192.0.2.10"
SENDER = "author@elsewhere.test"

NETWORK = f"""\
link set lo up
address add {STRANGER}/32 dev lo
link add inside type veth peer name outside
address add 192.0.2.5/24 dev inside
link set inside up
netns add systems
link set outside netns systems
-n systems address add {EXCHANGE}/24 dev outside
-n systems address add {UNIX}/24 dev outside
-n systems link set outside up
"""
"""Arguments of ip(8), a line each."""

PROGRAM = "/usr/libexec/sendmail/sendmail"

RUNTIME = ("/run/sendmail/mta", "/var/lib/sendmail/host_status")
"""Folders that Debian's package makes."""

STARTED = """
for _ in $(seq 600); do test -S /run/codomain/milter && break; sleep 0.1; done
"""
"""A reader pastes the next block when he has seen that the daemon is ready."""

SWITCH = "hosts files\naliases files\n"
"""There is no DNS here (confSERVICE_SWITCH_FILE)."""

SYSTEMCTL = f"""\
#!/bin/sh
# The one command of systemctl(1) that is needed.
[ "$*" = "restart sendmail" ] || exit 64
exec {PROGRAM} -bd
"""


def visit(
    root: Path, blocks: Sequence[str], files: Mapping[str, str], recipients: Sequence[str]
) -> dict[str, Any]:
    """Run blocks of a shell script on a new host; return ``said``, ``replies`` and ``arrived``.

    ``root`` is the folder of the unpacked Sendmail.
    """
    script = "".join(block + STARTED * block.endswith("&\n") for block in blocks)
    flags = ("--mount", "--uts", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
    with tempfile.TemporaryDirectory(prefix="host-") as scratch:
        task = {
            "root": str(root),
            "scratch": scratch,
            "script": script,
            "files": dict(files),
            "recipients": list(recipients),
        }
        done = subprocess.run(
            ["unshare", *flags, sys.executable, __file__],
            input=json.dumps(task),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=4 * SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=SECONDS, stdout=2)


def _furnish(root: str, scratch: Path) -> None:
    """Make the host: its folders, its network, Debian's configuration of Sendmail."""
    _run("mount", "-t", "tmpfs", "tmpfs", f"{scratch}")
    for name in ("etc", "var"):
        upper, work = scratch / name, scratch / f"{name}.work"
        upper.mkdir()
        work.mkdir()
        layers = f"lowerdir=/{name},upperdir={upper},workdir={work}"
        _run("mount", "-t", "overlay", "overlay", "-o", layers, f"/{name}")
    _run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={root}/usr:/usr", "/usr")
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    _run("hostname", "gateway.test")
    for line in NETWORK.splitlines():
        _run("ip", *line.split())
    for name in ("/etc/group", "/etc/passwd"):
        with Path(name).open("a") as file:
            file.write("smmta:x:990:\n" if name == "/etc/group" else "smmta:x:990:990::/:/bin/sh\n")
    Path("/etc/hosts").write_text("127.0.0.1 localhost gateway.test\n203.0.113.9 elsewhere.test\n")
    for folder in ("/etc/mail/m4", "/var/spool/mqueue", *RUNTIME):
        Path(folder).mkdir(parents=True, exist_ok=True)
    Path("/var/spool/mqueue").chmod(0o700)
    mail = Path("/etc/mail")
    shutil.copy("/usr/share/sendmail/cf/debian/sendmail.mc", mail)
    for name in ("m4/dialup.m4", "m4/provider.m4", "local-host-names", "relay-domains", "access"):
        (mail / name).touch()
    (mail / "aliases").write_text("postmaster: root\n")
    (mail / "service.switch").write_text(SWITCH)
    commands = scratch / "bin"
    commands.mkdir()
    (commands / "sendmail").symlink_to(PROGRAM)
    (commands / "systemctl").write_text(SYSTEMCTL)
    (commands / "systemctl").chmod(0o755)
    found = [os.fspath(path) for path in Path(root).glob("usr/lib/*-linux-*")]
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(found)
    here = os.path.dirname(sys.executable)  # noqa: PTH120  # where the command codomain is
    os.environ["PATH"] = f"{commands}:{here}:{os.environ['PATH']}"
    with (mail / "sendmail.cf").open("w") as file:
        subprocess.run(["m4", mail / "sendmail.mc"], stdout=file, check=True)
    _run("/usr/libexec/sendmail/makemap", "hash", "/etc/mail/access")


@contextmanager
def _among_the_systems() -> Iterator[None]:
    """Have the threads that are started now live where the two systems are (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as home, Path("/run/netns/systems").open() as there:
        for file in (there, home):
            if libc.setns(file.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")
            if file is there:
                yield


def _write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def _connected() -> smtplib.SMTP:
    """Open a session, as soon as Sendmail and codomain are there."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            session = smtplib.SMTP("127.0.0.1", 25, "client.test", SECONDS, (STRANGER, 0))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            session.ehlo()
            return session


def _ask(recipients: Sequence[str], sinks: Sinks) -> dict[str, Any]:
    replies = {}
    with _connected() as session:
        session.docmd("MAIL", f"FROM:<{SENDER}>")
        for to in recipients:
            code, text = session.docmd("RCPT", f"TO:<{to}>")
            replies[to] = f"{code} {text.decode()}"
        taken = [to for to, reply in replies.items() if reply.startswith("250")]
        last = session.data("Subject: x\r\n\r\nx\r\n") if taken else (0, b"")
    arrived = sinks.wait_for(lambda arrivals: len(arrivals) >= len(taken), SECONDS)
    return {
        "replies": replies,
        "last": f"{last[0]} {last[1].decode()}",
        "arrived": sorted([a.system, a.recipient] for a in arrived),
    }


def main() -> None:
    """Be the host."""
    from codomain_cli.sinks import Sinks  # noqa: PLC0415  # this process alone has the path

    task = json.load(sys.stdin)
    _furnish(task["root"], Path(task["scratch"]))
    for path, text in task["files"].items():
        _write(path, text)
    with ExitStack() as stack, Path("/run/said").open("w+") as said:
        with _among_the_systems():
            sinks = stack.enter_context(Sinks())
            sinks.smtp("exchange", at=(EXCHANGE, 25))
            sinks.smtp("unix", at=(UNIX, 25))
        done = subprocess.run(
            ["bash", "-eu"], input=task["script"].encode(), stdout=said, stderr=said, check=False
        )
        text = Path("/run/said").read_text()
        if done.returncode:
            raise SystemExit(f"the script: status {done.returncode}\n{text}")
        answer = _ask(task["recipients"], sinks)
    answer["said"] = re.sub(r"\x1b\[[0-9;]*m", "", Path("/run/said").read_text())
    print(json.dumps(answer), flush=True)  # noqa: T201  # it is what this process is for


if __name__ == "__main__":
    main()
