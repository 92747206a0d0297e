"""Who may read the admin door, under which name, and what a browser may do with it.

A page on a loopback port is not private: every account of the host reaches it, and so does
every site that a browser on the host has open, under a name of its own that its DNS leads
to 127.0.0.1 (DNS rebinding).  So the peer must be this host or a network of
``[http] allow``, and the ``Host`` of a request a name that is ours.  Over a unix socket
neither is looked at: its mode decides, and no browser gets there.

There is nothing to change here: only GET and HEAD are answered (RFC 9110 section 9.2.1).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.address import fold_domain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codomain.config import Config, Network

METHODS = ("GET", "HEAD")
"""What is answered; all else gets 405."""

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""The names that always mean this host (RFC 6761 section 6.3)."""

HEADERS = {
    # Nothing but what this origin serves itself; no inline script or style at all.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    # The address that is explained stands in the URL.
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "codomain",
}
"""What goes with every answer."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not answered."""

    status: int
    """403 (not from there), 421 (not under that name, RFC 9110 section 15.5.20) or 405."""

    text: str
    """What to do about it."""


def refusal(
    config: Config, method: str, hosts: Sequence[str], peer: str | None, local: str | None
) -> Refused | None:
    """Return why a request is not answered; None: it is.

    Args:
        config: the configuration in force.
        method: the request's method.
        hosts: its ``Host`` fields, as they were written.
        peer: the address that it came from; None: over a unix socket.
        local: the address that it came to.

    """
    if peer is not None and not _may(peer, config.http.allow):
        return Refused(403, "not from there: [http] allow names the networks that may ask")
    if peer is not None and not _ours(hosts, config, local):
        return Refused(421, "not under that name: [http] hosts names those that are ours")
    if method not in METHODS:
        return Refused(405, "nothing can be changed here")
    return None


def _may(peer: str, allow: Sequence[Network]) -> bool:
    address = _address(peer)
    if address is None:
        return False
    return address.is_loopback or any(address in network for network in allow)


def _ours(hosts: Sequence[str], config: Config, local: str | None) -> bool:
    """Tell whether the one Host is ours; without one it is no browser that asks."""
    if not hosts:
        return True
    name = _without_port(hosts[0])
    if len(hosts) > 1 or name is None:
        return False
    literal = _address(name.strip("[]"))
    if literal is not None and local is not None and literal == _address(local):
        return True  # an address has no DNS that could be turned
    return name in {*LOCAL_HOSTS, fold_domain(config.codomain.hostname), *config.http.hosts}


def _without_port(host: str) -> str | None:
    """Return the name of a Host field, folded; None: it is none (RFC 9110 section 7.2)."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name = host
    elif not port.isascii() or (port and not port.isdigit()):
        return None
    name = name.lower()
    if name.startswith("["):
        return name if name.endswith("]") else None
    return name if _address(name) is not None else fold_domain(name) or None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
