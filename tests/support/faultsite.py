"""``codomain serve`` in front of a directory that can fail, asked over its policy socket."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from codomain_cli.background import Background
from support.doors import policy_request
from support.faults import DOWN
from support.slapd import BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SECONDS = 20.0
"""The bound of every wait."""

TIMEOUT = 1.5
CONNECT = 1.2

PAUSE = 0.01
"""Seconds between two questions about the one whom everybody knows."""

_INI = """\
[codomain]
hostname = mx.example.com
postfix = off
control_socket = {folder}/control
[policyd]
listen = unix:{folder}/policy
socketmap_listen =
socket_group =
deadline = {deadline}s
[http]
listen = unix:{folder}/http
[domain example.com]
type = authoritative
{domain}
[directory people]
type = ldap
timeout = {timeout}s
connect_timeout = {connect}s
{directory}
[cache]
{cache}
"""

CACHE = "found_ttl = 1s\nnot_found_ttl = 1s\nfailed_ttl = 200ms"
"""So short that what a test knows is past its lifetime before the fault is over."""


@dataclass
class Said:
    """One answer."""

    recipient: str
    """Who was asked for."""

    reply: str
    """The action: ``DUNNO``, or code and enhanced code."""

    seconds: float
    """How long it took."""

    @property
    def right(self) -> bool:
        """Whether it is the answer of a directory that is well: u… are known, all others not."""
        return self.reply == ("DUNNO" if self.recipient[0] == "u" else "550 5.1.1")

    @property
    def down(self) -> bool:
        """Whether it says that the directory is down."""
        return self.reply == DOWN


class Asker:
    """One connection to the policy server."""

    def __init__(self, path: Path) -> None:
        self._client = socket.socket(socket.AF_UNIX)
        self._client.settimeout(SECONDS)
        self._client.connect(os.fspath(path))

    def ask(self, recipient: str) -> Said:
        """Ask about a recipient as a stranger."""
        request = policy_request(recipient=recipient, client_address="198.51.100.7")
        began = time.monotonic()
        self._client.sendall(request)
        answer = b""
        while not answer.endswith(b"\n\n"):
            more = self._client.recv(4096)
            if not more:
                raise ConnectionError("codomain hung up")
            answer += more
        action = answer.decode().strip().removeprefix("action=")
        return Said(recipient, action[:9], time.monotonic() - began)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


class Regular:
    """Somebody who asks for one known recipient all the time, on a connection of its own."""

    def __init__(self, path: Path, recipient: str) -> None:
        self._path = path
        self._recipient = recipient
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.said: list[Said] = []
        self.error: Exception | None = None

    def wrong(self) -> list[Said]:
        """Return the answers that were not the right one."""
        return [said for said in self.said if not said.right]

    def quantile(self, part: float) -> float:
        """Return the seconds within which this part of the answers came."""
        times = sorted(said.seconds for said in self.said)
        return times[min(len(times) - 1, int(len(times) * part))]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            with Asker(self._path) as asker:
                while not self._over.wait(PAUSE):
                    self.said.append(asker.ask(self._recipient))
        except OSError as error:
            self.error = error


class FaultSite:
    """A daemon in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        directory: str,
        *,
        domain: str = "",
        cache: str = CACHE,
        timeout: float = TIMEOUT,
    ) -> None:
        self.folder = folder
        self.policy = folder / "policy"
        self.ini = folder / "codomain.ini"
        self.ini.write_text(
            _INI.format(
                folder=folder,
                directory=directory,
                domain=domain,
                cache=cache,
                timeout=timeout,
                connect=min(CONNECT, timeout),
                # Past what one directory takes: the directory's own deadline is what is seen.
                deadline=timeout + 1.0,
            )
        )
        self.daemon = Background(self.ini, folder)

    def ask(self, recipient: str) -> Said:
        """Ask on a new connection."""
        with Asker(self.policy) as asker:
            return asker.ask(recipient)

    def ask_all(self, recipients: Iterable[str]) -> list[Said]:
        """Ask for all at the same time."""
        names = list(recipients)
        with ThreadPoolExecutor(len(names)) as askers:
            return list(askers.map(self.ask, names))

    def page(self, path: str) -> tuple[int, str]:
        """Get a page of the admin door."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(self.folder / "http"))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body

    def metric(self, line: str) -> float:
        """Return the value of a metric with its labels; 0.0: it is not there."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.page("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    def threads(self) -> int:
        """Count the threads of the daemon."""
        return len(os.listdir(f"/proc/{self.daemon.pid}/task"))  # noqa: PTH208

    def descriptors(self) -> int:
        """Count the open files of the daemon."""
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))  # noqa: PTH208

    def memory(self) -> int:
        """Return the resident memory of the daemon, in kB."""
        status = Path(f"/proc/{self.daemon.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        return int(found[1]) if found else 0

    def cpu(self) -> float:
        """Return the CPU seconds that the daemon has used."""
        fields = Path(f"/proc/{self.daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        self.daemon.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.stop()


def directory_keys(keys: Mapping[str, str]) -> str:
    """Write the keys of a directory."""
    return "\n".join(f"{key} = {value}" for key, value in ({"base": BASE} | dict(keys)).items())


def wait_until(true: Callable[[], object], seconds: float = SECONDS) -> bool:
    """Wait for a condition; tell whether it came true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
