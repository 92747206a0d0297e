"""The hosts of one next system: where they are, and which of them is tried first."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SMTP_PORT = 25
"""The port of SMTP (RFC 5321 section 4.5.4.2)."""

LMTP_PORT = 24
"""The port of LMTP in Postfix's lmtp(8), which IANA gave to private mail systems."""

QUEUE = "/var/spool/postfix"
"""Where a relative path of a socket begins: queue_directory's default (postconf(5))."""

REST_SECONDS = 30.0
"""A host that failed is tried after the others for so long."""

PLAIN_SECONDS = 600.0
"""A host whose TLS failed is greeted without it for so long (``tls = may``)."""

_HOST = re.compile(r"\[?(?:IPv6:)?(?P<name>[^\]]+?)\]?(?::(?P<port>[0-9]+))?", re.IGNORECASE)
_BRACKETED = re.compile(r"\[(?:IPv6:)?(?P<name>[^\]]+)\](?::(?P<port>[0-9]+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Host:
    """One smart host."""

    name: str
    """Its name or address, without brackets."""

    port: int
    """The TCP port."""

    path: str = ""
    """The socket's path; empty: TCP."""


def host_from(smart_host: str, *, lmtp: bool = False) -> Host:
    """Read a smart host as the configuration checked it."""
    if smart_host.startswith("unix:"):
        path = smart_host.removeprefix("unix:")
        return Host("", 0, path if path.startswith("/") else f"{QUEUE}/{path}")
    match = _BRACKETED.fullmatch(smart_host) or _HOST.fullmatch(smart_host)
    name, port = (match["name"], match["port"]) if match else (smart_host, None)
    return Host(name, int(port) if port else (LMTP_PORT if lmtp else SMTP_PORT))


class Hosts:
    """The hosts of one system, for several threads."""

    def __init__(self, hosts: Iterable[Host], clock: Callable[[], float] = time.monotonic) -> None:
        """Take the hosts in their order, and the clock, in seconds."""
        self._hosts = tuple(hosts)
        self._clock = clock
        self._resting: dict[Host, float] = {}
        self._plain: dict[Host, float] = {}
        self._lock = threading.Lock()

    def order(self) -> list[Host]:
        """Return all of them: those that failed a moment ago last."""
        now = self._clock()
        with self._lock:
            resting = {host for host, until in self._resting.items() if now < until}
        return sorted(self._hosts, key=lambda host: host in resting)

    def failed(self, host: Host) -> None:
        """Let a host rest."""
        with self._lock:
            self._resting[host] = self._clock() + REST_SECONDS

    def is_plain(self, host: Host) -> bool:
        """Tell whether TLS failed with this host a moment ago."""
        with self._lock:
            return self._clock() < self._plain.get(host, 0.0)

    def set_plain(self, host: Host) -> None:
        """Greet a host without TLS for a while."""
        with self._lock:
            self._plain[host] = self._clock() + PLAIN_SECONDS

    def answered(self, host: Host) -> None:
        """Take note that a host answers."""
        with self._lock:
            self._resting.pop(host, None)
