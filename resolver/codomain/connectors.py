"""The ways out: connectors, the address spaces that they cover, and their order.

A next hop is always text of the configuration.  A smart host is a host, never an MX
look-up (KB 321721), so a name is put in brackets for the MTA (transport(5)).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.settings.faults import WrongError
from codomain.settings.names import read_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from codomain.config import ConnectorSection

    Lookup = Callable[[str], Iterable[IPv4Address | IPv6Address]]
    """Turns a host name into addresses; empty where it has none now."""

_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^\[\]:]+)(?P<port>:[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Connector:
    """One other mail system and the way to it."""

    name: str
    """The name of its section in the INI."""

    next_hop: str
    """What a transport map answers, whole: ``smtp:[192.0.2.10]:25, [relay2.example.net]``."""

    allow_relay: bool = False
    """It takes strangers' mail for its address spaces."""

    cost: int = 10
    """Of two that cover a space equally, the cheaper one goes first."""

    spaces: tuple[str, ...] = ()
    """The address spaces that it covers, folded."""

    hosts: frozenset[str] = frozenset()
    """Its smart hosts in lower case, without brackets and port, to match a mailHost with."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Where its system, and all behind it, sends from: its peers."""

    verify: bool = False
    """Its system is asked whether it knows the recipient (``verify = callout``)."""

    def is_peer(self, client: IPv4Address | IPv6Address | None) -> bool:
        """Tell whether mail from this client comes from the connector's own system."""
        return client is not None and any(client in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Spaces:
    """A set of address spaces: ``example.com`` itself, ``*.example.com`` all below it."""

    names: frozenset[str]
    """The spaces, folded as :func:`codomain.address.fold_domain` does."""

    def cover(self, domain: str) -> bool:
        """Tell whether one of the spaces covers the domain."""
        return any(space in self.names for space in spaces_over(domain))


NO_SPACES = Spaces(frozenset())
"""Covers nothing."""


class Connectors:
    """All connectors, by the spaces that they cover and by their smart hosts."""

    def __init__(self, sections: Iterable[ConnectorSection], lookup: Lookup) -> None:
        """Build them; ``lookup`` finds the peers that are given by name."""
        self._by_space: dict[str, list[Connector]] = {}
        self._by_host: dict[str, Connector] = {}
        self.by_name: dict[str, Connector] = {}
        for section in sections:
            connector = connector_from(section, lookup)
            self.by_name[connector.name] = connector
            for space in section.address_spaces:
                self._by_space.setdefault(space, []).append(connector)
            for host in connector.hosts:
                self._by_host.setdefault(host, connector)
        for listed in self._by_space.values():
            listed.sort(key=lambda connector: connector.cost)

    def covering(self, domain: str) -> list[Connector]:
        """Return the connectors whose spaces cover a domain, in the order to be tried.

        The most specific space first, then by cost, then as the INI lists them.
        """
        found: list[Connector] = []
        for space in spaces_over(domain):
            found += [c for c in self._by_space.get(space, ()) if c not in found]
        return found

    def peers_of(self, client: IPv4Address | IPv6Address | None) -> tuple[str, ...]:
        """Return the names of the connectors whose peer the client is."""
        return tuple(name for name, c in self.by_name.items() if c.is_peer(client))

    def named_by(self, mail_host: str) -> Connector | None:
        """Return the connector one of whose smart hosts an entry's mailHost names."""
        return self._by_host.get(host_name(mail_host))


def spaces_over(domain: str) -> list[str]:
    """Return every address space that would cover a domain, the most specific first."""
    spaces = [domain]
    if not domain.startswith("["):
        labels = domain.split(".")
        spaces += ["*." + ".".join(labels[index:]) for index in range(1, len(labels))]
    return spaces


def host_name(smart_host: str) -> str:
    """Return a smart host or mailHost without brackets and port, in lower case."""
    match = _HOST.fullmatch(smart_host.strip())
    host = match["host"].strip("[]") if match else smart_host.strip()
    return host.lower().removeprefix("ipv6:").rstrip(".")


def next_hop(transport: str, smart_hosts: Iterable[str]) -> str:
    """Write smart hosts as a transport map answers them, names in brackets (transport(5))."""
    hops = [hop if hop.startswith("unix:") else _bracketed(hop) for hop in smart_hosts]
    return f"{transport}:{', '.join(hops)}"


def connector_from(section: ConnectorSection, lookup: Lookup) -> Connector:
    """Build a connector; where the INI gives no peers, they are its smart hosts' addresses."""
    hosts = [host for host in section.smart_hosts if not host.startswith("unix:")]
    return Connector(
        name=section.name,
        next_hop=next_hop(section.transport, section.smart_hosts),
        allow_relay=section.allow_relay,
        cost=section.cost,
        spaces=tuple(section.address_spaces),
        hosts=frozenset(host_name(host) for host in hosts),
        networks=tuple(_networks(section.peers or [host_name(host) for host in hosts], lookup)),
        verify=section.verify == "callout",
    )


def resolve_host(name: str) -> list[IPv4Address | IPv6Address]:
    """Look a host name up in the system's resolver; empty where that fails now."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list({ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in found})


def _networks(peers: Iterable[str], lookup: Lookup) -> Iterable[IPv4Network | IPv6Network]:
    for peer in peers:
        try:
            yield read_network(peer)  # in brackets or IPv4-mapped, too: clients count as IPv4
        except WrongError:
            yield from (ipaddress.ip_network(address) for address in lookup(peer))


def _bracketed(smart_host: str) -> str:
    if smart_host.startswith("["):
        return smart_host
    host, colon, port = smart_host.partition(":")
    return f"[{host}]{colon}{port}"
