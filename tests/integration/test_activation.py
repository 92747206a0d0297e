"""`codomain serve` under systemd's protocols: sockets that outlive it, and signs of life."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.doors import policy_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 20.0
"""The bound of every wait; on a quiet machine all of them take less than a second."""

# systemd moves the socket to descriptor 3 and sets LISTEN_PID between fork and exec.
AS_SYSTEMD = """\
import os, sys
os.dup2(int(sys.argv.pop(1)), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
from codomain_cli.main import main
main()
"""

REQUEST = policy_request(recipient="ann@example.com", client_address="198.51.100.7")


class Unit:
    """What systemd does for a service with a socket: holds it open, and listens to signs."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "policy"
        self.ini = folder / "codomain.ini"
        people = folder / "people.ldif"
        people.write_text(
            "dn: cn=Ann,dc=example,dc=com\nobjectClass: user\ncn: Ann\nmailNickname: ann\n"
            "proxyAddresses: SMTP:ann@example.com\n"
        )
        self.ini.write_text(
            "[codomain]\nhostname = mx.example.com\npostfix = off\ncontrol_socket =\n"
            f"[policyd]\nlisten = unix:{self.path}\nsocketmap_listen =\nsocket_group =\n"
            f"[http]\nlisten = unix:{folder / 'http'}\n"
            "[domain example.com]\ntype = authoritative\n"
            f"[directory people]\ntype = files\npath = {people}\n"
        )
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(self.path))
        self.listener.listen()
        self.signs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.signs.bind(os.fspath(folder / "notify"))
        self.signs.settimeout(SECONDS)
        self._environment = os.environ | {
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "policy",
            "NOTIFY_SOCKET": os.fspath(folder / "notify"),
            "WATCHDOG_USEC": "300000",
        }

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start the service; it is ended in any case."""
        number = self.listener.fileno()
        arguments = [str(number), "serve", "--config", os.fspath(self.ini)]
        process = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD, *arguments],
            env=self._environment,
            pass_fds=(number,),
            stderr=subprocess.PIPE,
        )
        try:
            self.await_sign("READY=1")
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SECONDS)

    def await_sign(self, wanted: str) -> None:
        """Wait until the service says a thing; the socket's time-out is the bound."""
        while self.signs.recv(256).decode() != wanted:
            pass

    def connect(self) -> socket.socket:
        """Connect as an smtpd process does."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(SECONDS)
        client.connect(os.fspath(self.path))
        return client

    def close(self) -> None:
        """Close what systemd would hold open."""
        self.listener.close()
        self.signs.close()


def test_who_asks_while_the_daemon_is_down_waits_for_it(tmp_path: Path) -> None:
    """The socket of the unit stays open and keeps its file, so no smtpd is refused."""
    unit = Unit(tmp_path)
    try:
        with unit.running() as first, unit.connect() as client:
            client.sendall(REQUEST)
            assert client.recv(4096) == b"action=DUNNO\n\n"
        assert first.returncode == 0
        assert unit.path.is_socket()
        with unit.connect() as waiting:
            waiting.sendall(REQUEST)
            with unit.running():
                assert waiting.recv(4096) == b"action=DUNNO\n\n"
    finally:
        unit.close()


def test_systemd_is_told_that_look_ups_work(tmp_path: Path) -> None:
    """sd_notify(3), WATCHDOG=1: again and again within WatchdogSec=."""
    unit = Unit(tmp_path)
    try:
        with unit.running():
            unit.await_sign("WATCHDOG=1")
            unit.await_sign("WATCHDOG=1")
    finally:
        unit.close()
