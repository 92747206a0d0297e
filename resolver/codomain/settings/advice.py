"""The warnings across keys: what the INI alone shows, works, and is hardly meant.

In flows the configuration, out flow warnings; each says what will happen to mail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.settings import names, policies
from codomain.settings.checks import Owners, Places
from codomain.settings.faults import Place, shown
from codomain.settings.sharedurl import parse_shared
from codomain.settings.whole import NAMED, keys_of

if TYPE_CHECKING:
    from codomain.settings.faults import Faults
    from codomain.settings.named import ConnectorSection, DirectorySection, DomainSection
    from codomain.settings.source import Source
    from codomain.settings.whole import Config

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts whose traffic leaves no machine."""


def advise(config: Config, source: Source, faults: Faults) -> None:
    """Say every warning."""
    places = Places(source)
    _house(config, places, faults)
    _shared(config, places, faults)
    carriers = _carriers(config)
    for domain in config.domains:
        spaces = (domain.name, *(f"*.{above}" for above in names.parents(domain.name)))
        covering = [connector for space in spaces for connector in carriers.get(space, ())]
        _domain(domain, covering, places, faults)
    ours = _Ours(config)
    for connector in config.connectors:
        _connector(connector, ours, places, faults)
        if config.trust.peers_may_relay:
            _peers(connector, places, faults)
    for directory in config.directories:
        _directory(directory, config, places, faults)
    policies.advise(config, Owners(config.domains).of, places, faults)


class _Ours:
    """Which address spaces hold a domain of ours."""

    def __init__(self, config: Config) -> None:
        self._owners = Owners(config.domains)
        self._spaces = {f"*.{a}" for d in config.domains for a in names.parents(d.name)}
        self._spaces.update(f"*.{d.name}" for d in config.domains if d.subdomains)

    def meet(self, space: str) -> bool:
        inside = f"x{space[1:]}" if space.startswith("*.") else space
        return space in self._spaces or self._owners.of(inside) is not None


def _carriers(config: Config) -> dict[str, list[ConnectorSection]]:
    """Return the connectors by address space."""
    found: dict[str, list[ConnectorSection]] = {}
    for connector in config.connectors:
        for space in connector.address_spaces:
            found.setdefault(space, []).append(connector)
    return found


def _house(config: Config, places: Places, faults: Faults) -> None:
    whole = places.of("codomain", "") if places.section("codomain") else _first(config)
    if not any(domain.type == "authoritative" for domain in config.domains):
        faults.warn(whole, "no domain is authoritative; write a [domain] with type = authoritative")
    if not config.codomain.postmaster:
        faults.warn(
            Place(whole.file, whole.line, "codomain", "postmaster"),
            "nobody takes postmaster's mail where the directory has no entry; write an address",
        )
    door = config.policyd
    led = door.socketmap_listen or door.redirect == "filter" or config.milter.listen is not None
    if door.listen and not led and config.codomain.mode == "enforce":
        faults.warn(
            places.of("policyd", "", "socketmap_listen"),
            "without maps a contact's mail is taken, and nothing leads it to the target;"
            " write a socket, or redirect = filter",
        )


def _shared(config: Config, places: Places, faults: Faults) -> None:
    section = config.cache
    if not section.shared:
        return
    server = parse_shared(section.shared)
    if server.scheme == "redis" and server.host not in LOOPBACK and section.shared_password_file:
        faults.warn(
            places.of("cache", "", "shared"),
            "its password and every address cross the net in the clear; write rediss://",
        )
    if server.scheme != "unix" and not section.shared_password_file:
        faults.warn(
            places.of("cache", "", "shared"),
            "whoever reaches it can say who has a mailbox here; give it a password, and"
            " write shared_password_file",
        )


def _first(config: Config) -> Place:
    return Place(str(config.files[0]) if config.files else "codomain.ini")


def _domain(
    domain: DomainSection, covering: list[ConnectorSection], places: Places, faults: Faults
) -> None:
    place = places.of("domain", domain.name)
    if domain.fallback == "refuse":
        if domain.type == "shared" and not any(c.allow_relay for c in covering):
            faults.warn(
                place,
                "no connector with allow_relay = yes covers it, and what is unknown here is"
                " refused to strangers; write a [connector]",
            )
        if domain.type == "relay" and not covering:
            faults.warn(
                place, "no connector covers it, and all its mail is refused; write a [connector]"
            )
    if domain.type == "shared" and domain.catch_all:
        faults.warn(
            places.of("domain", domain.name, "catch_all"),
            "it takes all that is unknown, and nothing reaches the other system; remove it",
        )
    for connector in covering:
        if domain.type == "shared" and connector.verify == "none":
            faults.warn(
                places.of("connector", connector.name, "verify"),
                "a shared domain goes through it, and what nobody has comes back to forged senders;"
                " write verify = callout",
            )


def _connector(connector: ConnectorSection, ours: _Ours, places: Places, faults: Faults) -> None:
    _callout(connector, places, faults)
    for space in connector.address_spaces if connector.allow_relay else ():
        if not ours.meet(space):
            faults.warn(
                places.of("connector", connector.name, "address_spaces"),
                f"no [domain] lies in {shown(space)}, and a connector accepts nothing by itself;"
                " write one",
            )


def _callout(connector: ConnectorSection, places: Places, faults: Faults) -> None:
    name = connector.name
    if connector.verify == "callout" and not connector.verify_control:
        faults.warn(
            places.of("connector", name, "verify"),
            "without an address that it surely takes none of its refusals is believed;"
            " write verify_control",
        )
    for key in ("verify_control", "tls") if connector.verify == "none" else ():
        if places.wrote("connector", name, key):
            faults.warn(
                places.of("connector", name, key),
                "means nothing with verify = none; remove it, or write verify = callout",
            )


def _peers(connector: ConnectorSection, places: Places, faults: Faults) -> None:
    if _named_peers(connector):
        faults.warn(
            places.of("connector", connector.name, "peers" if connector.peers else "smart_hosts"),
            "peers by name may relay, and who answers for the name decides; write addresses",
        )


def _named_peers(connector: ConnectorSection) -> bool:
    if connector.peers:
        return any(not _numeric(peer.partition("/")[0].strip("[]")) for peer in connector.peers)
    hosts = [host for host in connector.smart_hosts if not host.startswith("unix:")]
    return any(not _numeric(host.partition("]")[0].strip("[")) for host in hosts)


def _numeric(host: str) -> bool:
    return names.is_address(host.lower().removeprefix("ipv6:"))


def _directory(directory: DirectorySection, config: Config, places: Places, faults: Faults) -> None:
    name = directory.name
    used = [domain for domain in config.domains if domain.type != "relay"]
    if not any(name in domain.directory for domain in used):
        faults.warn(places.of("directory", name), "no domain uses it; name it, or remove it")
    for key, spec in keys_of(NAMED["directory"]).items():
        if spec.only not in {"", directory.type} and places.wrote("directory", name, key):
            faults.warn(
                places.of("directory", name, key),
                f"means nothing with type = {directory.type}; remove it",
            )
