"""This host: by which names, addresses and ports mail would come back to it.

Names come from the configuration and the system, addresses from the kernel (proc(5):
fib_trie, if_inet6); no DNS is asked but where it is asked for.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.callout.host import host_from

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from codomain.config import Config
    from codomain_cli.checks.instance import Instance

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Lookup = Callable[[str], Collection[Address]]

SMTP_PORTS = {"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465}
"""Names in services(5) that stand in master.cf."""

TAKES_MAIL = frozenset({"smtpd", "postscreen"})
"""Programs of Postfix behind which a port takes mail."""


@dataclass(frozen=True, slots=True)
class ThisHost:
    """What leads here."""

    names: frozenset[str]
    """Its names, in lower case."""

    addresses: frozenset[Address]
    """Its addresses, loopback among them."""

    listens: frozenset[tuple[str, int]]
    """Where the MTA takes mail: address (empty: all of them) and port."""

    def is_here(self, smart_host: str, lookup: Lookup | None = None) -> bool:
        """Tell whether a smart host is this host's own MTA; ``lookup`` may ask DNS."""
        if smart_host.startswith("unix:"):
            return False
        host = host_from(smart_host)
        name = host.name.lower().rstrip(".")
        try:
            at: set[Address] = {ipaddress.ip_address(name)}
        except ValueError:
            if name in self.names:
                return any(port == host.port for _, port in self.listens)
            at = set(lookup(name)) if lookup else set()
        here = {address for address in at if address in self.addresses or address.is_loopback}
        return any(
            port == host.port and (not bound or any(f"{one}" == bound for one in here))
            for bound, port in self.listens
            if here
        )


def this_host(
    config: Config, instance: Instance | None = None, ports: Iterable[int] = (25,)
) -> ThisHost:
    """Return what is known of this host; ``ports`` where no Postfix tells."""
    names = {config.codomain.hostname, socket.gethostname(), "localhost"}
    listens = frozenset(("", port) for port in ports)
    if instance is not None:
        names.add(instance.value("myhostname"))
        taking = [s for s in instance.services if s.command in TAKES_MAIL and s.type == "inet"]
        listens = frozenset(filter(None, (_listens(service.name) for service in taking)))
    return ThisHost(
        frozenset(name.lower().rstrip(".") for name in names if name),
        frozenset(own_addresses()),
        listens,
    )


def own_addresses(proc: Path = Path("/proc/net")) -> set[Address]:
    """Return the addresses of this host's interfaces."""
    found: set[Address] = set()
    for match in re.finditer(
        r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", _text(proc / "fib_trie"), re.MULTILINE
    ):
        found.add(ipaddress.ip_address(match[1]))
    for line in _text(proc / "if_inet6").splitlines():
        found.add(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))
    return found


def _listens(service: str) -> tuple[str, int] | None:
    host, _, port = service.rpartition(":")
    number = SMTP_PORTS.get(port) or (int(port) if port.isdigit() else 0)
    host = host.strip("[]")
    try:
        bound = f"{ipaddress.ip_address(host)}"
    except ValueError:
        bound = ""
    return (bound, number) if number else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
