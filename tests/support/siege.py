"""A daemon under attack: every door open, limits of its process as a test sets them.

The process is started with a prelude of Python, which may lower a limit of the kernel's
(setrlimit(2)) or lie about the time; what it uses is read from /proc (proc(5)).
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from codomain_cli import background
from codomain_cli.background import Background
from support.doors import map_request, policy_request
from support.site import SECONDS, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGER = "198.51.100.7"
DUNNO = b"action=DUNNO\n\n"

DESCRIPTORS = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}))\n"
"""A prelude: so many open files, and no way to get more."""

_TICKS = os.sysconf("SC_CLK_TCK")

PEOPLE = """\
dn: cn=Ann,dc=example,dc=com
objectClass: user
cn: Ann
mailNickname: ann
proxyAddresses: SMTP:ann@example.com
"""


class Siege(Site):
    """One gateway whose every door listens on a unix socket."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.map = folder / "map"
        self.milter = folder / "milter"
        self.people = folder / "people.ldif"
        self.people.write_text(PEOPLE)
        (folder / "conf.d").mkdir()
        self.write(
            f"type = files\npath = {self.people}",
            codomain=f"state_directory = {folder}\n",
            more="[connector unix]\nsmart_hosts = [192.0.2.10]\naddress_spaces = shared.test\n"
            "allow_relay = yes\n[domain shared.test]\ntype = shared\n"
            f"[milter]\nlisten = unix:{self.milter}\n",
        )
        self.set("policyd", f"socketmap_listen = unix:{self.map}")

    def set(self, section: str, *lines: str) -> None:
        """Override keys of a section; before the start, or before a reload."""
        text = "\n".join([f"[{section}]", *lines, ""])
        (self.folder / "conf.d" / f"{section}.ini").write_text(text)

    @contextmanager
    def under(self, prelude: str = "", *options: str) -> Iterator[Background]:
        """Run the daemon, with a prelude of Python before it and options of ``serve``."""
        before = background._RUN
        more = f"import sys; sys.argv[1:] += {list(options)!r}\n"
        background._RUN = f"{prelude}\n{more}{before}"
        daemon = Background(self.ini, self.folder)
        try:
            daemon.start()
        finally:
            background._RUN = before
        try:
            yield daemon
        finally:
            daemon.stop()

    def connect(self, path: Path) -> socket.socket:
        """Connect to a door."""
        client = socket.socket(socket.AF_UNIX)
        try:
            client.settimeout(SECONDS)
            client.connect(os.fspath(path))
        except BaseException:
            client.close()
            raise
        return client

    def look(self, name: str, key: str) -> bytes:
        """Ask a map, on a new connection."""
        with self.connect(self.map) as client:
            client.sendall(map_request(name, key))
            return client.recv(4096)

    def serves(self) -> None:
        """Assert that the doors of the MTA answer as the rules say (decisions.md, steps 5, 6)."""
        assert self.ask("ann@example.com") == "action=DUNNO"
        assert self.ask("nobody@example.com").startswith("action=550 5.1.1 ")
        assert self.look("recipient", "ann@example.com") == b"11:OK accepted,"
        assert self.look("transport", "nobody@shared.test") == b"20:OK smtp:[192.0.2.10],"


def asked(client: socket.socket, recipient: str = "ann@example.com") -> bytes:
    """Ask the policy server on a connection that is open; empty: it was closed."""
    client.sendall(policy_request(recipient=recipient, client_address=STRANGER))
    return client.recv(4096)


def ended(client: socket.socket) -> bytes:
    """Return what comes until the other side ends a connection."""
    got = b""
    try:
        while piece := client.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def cpu_seconds(pid: int) -> float:
    """Return the CPU that a process has used, all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    """Return the octets that a process holds of its own (RssAnon)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


def descriptors(pid: int) -> int:
    """Return how many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
