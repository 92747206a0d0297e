"""A connector as Sendmail knows it: one of its mailers, and hosts to hand to it.

Sendmail's mailertable and rulesets name a mailer and hosts; a port or a socket belongs to
the mailer's definition (Sendmail Installation and Operation Guide, section 5.4, ``M``).
``esmtp`` and ``relay`` of MAILER(smtp) serve port 25, and for every other way there is a
mailer ``codomain-TRANSPORT-PORT`` (or ``codomain-unix-CONNECTOR``), which
``codomain sendmail`` prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.settings.names import is_address

if TYPE_CHECKING:
    from codomain.connectors import Connector

SMTP_PORT = "25"
"""RFC 5321 section 4.5.4.2."""

LMTP_PORT = "24"
"""What Postfix takes for LMTP where none is written (lmtp_tcp_port, postconf(5))."""

STOCK = {"smtp": "esmtp", "relay": "relay"}
"""Mailers of MAILER(smtp), by the transport of the INI."""

_HOP = re.compile(r"\[([^\]]+)\](?::([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Way:
    """The way to one connector."""

    mailer: str
    """The name of the mailer."""

    hosts: tuple[str, ...]
    """Its smart hosts in Sendmail's brackets, without ports, in order."""

    argument: str = ""
    """``A=`` of the mailer, such as ``TCP $h 2525``; empty: it is one of MAILER(smtp)."""

    transport: str = "smtp"
    """smtp, relay or lmtp."""

    @property
    def value(self) -> str:
        """The way as a map answers it: ``esmtp:[192.0.2.10]:[192.0.2.11]``."""
        return f"{self.mailer}:{':'.join(self.hosts)}"


def way_to(connector: Connector) -> Way | None:
    """Return the way to a connector; None where Sendmail has none.

    That is where its smart hosts differ in their ports, where its transport is no protocol
    that Sendmail speaks, and where a socket's path is not absolute.
    """
    transport, _, rest = connector.next_hop.partition(":")
    hops = [hop.strip() for hop in rest.split(",")]
    if transport == "lmtp" and len(hops) == 1 and hops[0].startswith("unix:/"):
        path = hops[0].removeprefix("unix:")
        return Way(f"codomain-unix-{connector.name}", ("localhost",), f"FILE {path}", "lmtp")
    matches = [match for match in map(_HOP.fullmatch, hops) if match]
    usual = LMTP_PORT if transport == "lmtp" else SMTP_PORT
    ports = {match[2] or usual for match in matches}
    if transport not in {*STOCK, "lmtp"} or len(matches) != len(hops) or len(ports) != 1:
        return None
    hosts = tuple(_bracketed(match[1]) for match in matches)
    (port,) = ports
    if transport in STOCK and port == SMTP_PORT:
        return Way(STOCK[transport], hosts, transport=transport)
    return Way(f"codomain-{transport}-{port}", hosts, f"TCP $h {port}", transport)


def _bracketed(host: str) -> str:
    """Write a host in brackets: no MX look-up; ``IPv6:`` before an address of that kind."""
    bare = host[5:] if host.lower().startswith("ipv6:") else host
    return f"[IPv6:{bare}]" if ":" in bare and is_address(bare) else f"[{bare}]"
