"""A Postfix of one's own: in a folder, on loopback, beside the system's and apart from it.

It has its own configuration, queue, data and log, chrooted as Debian's services are, and
asks no DNS.  XCLIENT (smtpd_authorized_xclient_hosts) lets a session speak for any client
address.  What codomain needs in main.cf and master.cf is added to it as it is printed.
Neither /etc/postfix nor a running Postfix is touched, and /etc/postfix/main.cf need not
exist.  master(8) wants root.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Self

from codomain.errors import CodomainError
from codomain_cli.maincf import SBIN
from codomain_cli.masterlines import parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOOPBACK = "127.0.0.1"
"""Where it listens."""

SECONDS = 30.0
"""A command of Postfix, or a reply of smtpd, takes no longer; most take milliseconds."""

GREETING = 220
"""What smtpd says at the start, and after XCLIENT (RFC 5321 section 4.2.3)."""

_OLD_SECONDS = 60

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}
multi_instance_enable = no
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = gateway.test
mydestination =
local_transport = error:5.1.1 no mailboxes on this host
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtp_host_lookup = native
smtp_dns_support_level = disabled
in_flow_delay = 0
"""

_MASTER = """\
127.0.0.1:{smtp} inet n - y - - smtpd
127.0.0.1:{submission} inet n - y - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_reject_unlisted_recipient=no
  -o smtpd_relay_restrictions=permit_mynetworks,permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=
pickup    unix  n - y 60 1 pickup
cleanup   unix  n - y - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - y 1000? 1 tlsmgr
rewrite   unix  - - y - - trivial-rewrite
bounce    unix  - - y - 0 bounce
defer     unix  - - y - 0 bounce
trace     unix  - - y - 0 bounce
verify    unix  - - y - 1 verify
flush     unix  n - y 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - y - - smtp
relay     unix  - - y - - smtp
showq     unix  n - y - - showq
error     unix  - - y - - error
retry     unix  - - y - - error
discard   unix  - - y - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
lmtp      unix  - - y - - lmtp
anvil     unix  - - y - 1 anvil
scache    unix  - - y - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class PrivatePostfix:
    """One instance: its files are made with it, and :meth:`start` starts it."""

    def __init__(self, folder: Path, main: Mapping[str, str]) -> None:
        """Write its base configuration, ``main`` after the rest of it.

        Args:
            folder: a new folder, into which every user may go (smtpd runs as ``postfix``).
            main: parameters of main.cf of this instance.

        Raises:
            CodomainError: Postfix is not installed, or we are not root.

        """
        _require_root()
        self.folder = folder
        self.config = folder / "etc"
        self.queue = folder / "queue"
        self.log = folder / "log" / "mail.log"
        self.port, self.submission = free_ports(2)
        for path in (folder, *(folder / name for name in ("etc", "queue", "data", "log"))):
            path.mkdir(parents=True)
            path.chmod(0o755)  # whatever root's umask is, smtpd goes through them
        shutil.chown(folder / "data", "postfix")
        lines = "".join(f"{name} = {value}\n" for name, value in main.items())
        self._files = (self.config / "main.cf", self.config / "master.cf")
        self._files[0].write_text(_MAIN.format(folder=folder) + lines)
        self._files[1].write_text(_MASTER.format(smtp=self.port, submission=self.submission))
        for path in self._files:
            path.chmod(0o644)
        self.settle()
        # For the sockets of codomain, as its package makes it.
        (self.queue / "codomain").mkdir()
        (self.queue / "codomain").chmod(0o750)
        shutil.chown(self.queue / "codomain", group="postfix")

    def add(self, main_text: str, master_text: str) -> None:
        """Take lines of main.cf and master.cf, as ``codomain postfix`` prints them."""
        with self._files[0].open("a") as main:
            main.write(main_text)
        self.settle()
        joined = master_text.replace("\n  ", " ").splitlines()
        for service in parse(line for line in joined if not line.startswith("#")):
            self.run("postconf", "-c", f"{self.config}", "-Me", f"{service.key}={service.line()}")
            self.settle()

    def settle(self) -> None:
        """Make main.cf and master.cf look old: Postfix waits for files that just changed.

        It would take them for half written, and each program would sleep for a second or two.
        """
        old = time.time() - _OLD_SECONDS
        for path in self._files:
            os.utime(path, (old, old))

    def start(self) -> Self:
        """Start it, and return when its ports are open.

        Raises:
            CodomainError: it does not start; with what its log says.

        """
        try:
            self.command("start")
        except CodomainError as error:
            raise CodomainError(f"{error}\n{self.logged()}") from error
        return self

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._runs():
            self.command("stop")
        end = time.monotonic() + SECONDS
        while self._runs() and time.monotonic() < end:
            time.sleep(0.02)

    def command(self, *arguments: str) -> str:
        """Run postfix(1) for it."""
        return self.run("postfix", "-c", f"{self.config}", *arguments)

    def run(self, program: str, *arguments: str, text: str | bytes = b"") -> str:
        """Run a program of Postfix and return what it says.

        Raises:
            CodomainError: it fails.

        """
        done = subprocess.run(
            [_find(program), *arguments],
            input=text.encode() if isinstance(text, str) else text,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode:
            raise CodomainError(f"{program}: status {done.returncode}: {said.strip()}")
        return said

    def connect(self, client: str = "", *, port: int = 0) -> smtplib.SMTP:
        """Open an SMTP session, as a client of that address where one is given."""
        session = smtplib.SMTP(LOOPBACK, port or self.port, "client.test", SECONDS)
        session.ehlo()
        if client:
            address = f"IPV6:{client}" if ":" in client else client
            code, reply = session.docmd("XCLIENT", f"ADDR={address} NAME=[UNAVAILABLE]")
            if code != GREETING:
                session.close()
                raise CodomainError(f"XCLIENT: {code} {reply!r}")
            session.ehlo()
        return session

    def sendmail(self, sender: str, recipients: list[str], message: bytes) -> str:
        """Submit a message locally (sendmail(1), pickup)."""
        return self.run(
            *("sendmail", "-C", f"{self.config}", "-i", "-f", sender, "--", *recipients),
            text=message,
        )

    def logged(self) -> str:
        """Return its log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self) -> Self:
        """Start it."""
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _runs(self) -> bool:
        done = subprocess.run(
            [_find("postfix"), "-c", f"{self.config}", "status"],
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode == 0


def free_ports(count: int) -> list[int]:
    """Return TCP ports that are free on loopback, all different."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def _require_root() -> None:
    if os.geteuid():
        raise CodomainError("a private Postfix needs root, because master(8) does; sudo make demo")


def _find(program: str) -> str:
    path = os.pathsep.join([*SBIN, os.environ.get("PATH", os.defpath)])
    found = shutil.which(program, path=path)
    if found is None:
        raise CodomainError(
            f"{program} is not there: Postfix is not installed; apt-get install postfix"
        )
    return found
