"""The checks across keys: what stops the start, as far as the INI alone can tell.

In flows the configuration, out flow faults.  What depends on Postfix, Sendmail or the
contents of a directory is checked by ``codomain check``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.address import fold_domain
from codomain.settings import names, policies, secret
from codomain.settings.faults import Place, WrongError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from codomain.settings.faults import Faults
    from codomain.settings.named import ConnectorSection, DirectorySection, DomainSection
    from codomain.settings.source import Joined, Source
    from codomain.settings.whole import Config

DIRECTORY_CREDENTIALS = "bind_password_file"
"""The key of a directory that names its password file."""


class Places:
    """Where the keys stand that a check across them speaks of."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def of(self, kind: str, name: str, key: str = "", item: str = "") -> Place:
        """Return the place of a key, of an item in its list, or of the section without it."""
        joined = self.section(kind, name)
        if joined is None:
            return Place("main.cf", 0, f"{kind} {name}".rstrip(), key)
        value = joined.keys.get(key)
        if value is None:
            return replace(joined.place, key=key)
        for line, text in value.parts if item else ():
            if item in (piece.strip() for piece in text.split(",")):
                return replace(value.place, line=line)
        return value.place

    def section(self, kind: str, name: str = "") -> Joined | None:
        """Return a section as it was read."""
        return self._source.sections.get(kind, {}).get(name)

    def wrote(self, kind: str, name: str, key: str) -> bool:
        """Tell whether a key was written at all."""
        joined = self.section(kind, name)
        return joined is not None and key in joined.keys

    def lacks(self, kind: str, name: str, key: str) -> bool:
        """Tell whether a key has no value: not one that cannot be used and has its fault."""
        joined = self.section(kind, name)
        value = joined.keys.get(key) if joined else None
        return value is None or not (value.parts or value.unusable)


def check(config: Config, source: Source, faults: Faults) -> None:
    """Run every check."""
    places = Places(source)
    for domain in config.domains:
        _domain(domain, config, places, faults)
    owners = Owners(config.domains)
    for connector in config.connectors:
        _connector(connector, owners, places, faults)
    for directory in config.directories:
        _directory(directory, places, faults)
    policies.check(config, owners.of, places, faults)
    _shadow(config, places, faults)
    _shared(config, places, faults)
    _http(config, places, faults)


def secrets(config: Config, source: Source, faults: Faults) -> Config:
    """Put the paths of the password files in, and check each file."""
    places = Places(source)
    directories = tuple(
        replace(d, bind_password_file=_secret(d.bind_password_file, place, faults))
        for d in config.directories
        for place in [places.of("directory", d.name, DIRECTORY_CREDENTIALS)]
    )
    place = places.of("cache", "", "shared_password_file")
    path = _secret(config.cache.shared_password_file, place, faults)
    return replace(
        config, directories=directories, cache=replace(config.cache, shared_password_file=path)
    )


class Owners:
    """Whose a name is among our domains, looked up as the decision does: the longest match."""

    def __init__(self, domains: Iterable[DomainSection]) -> None:
        self._domains = {domain.name: domain for domain in domains}

    def of(self, name: str) -> DomainSection | None:
        """Return the domain of ours to which a folded name belongs; None: it is foreign."""
        for candidate in (name, *names.parents(name)):
            domain = self._domains.get(candidate)
            if domain is not None and (candidate == name or domain.subdomains):
                return domain
        return None


def _secret(written: str, place: Place, faults: Faults) -> str:
    if not written:
        return ""
    try:
        path = secret.locate(written)
        secret.check(path)
    except WrongError as error:
        faults.add(place, str(error))
        return written
    return path


def _domain(domain: DomainSection, config: Config, places: Places, faults: Faults) -> None:
    directories = [directory.name for directory in config.directories]
    for name in domain.directory:
        if name not in directories:
            place = places.of("domain", domain.name, "directory", name)
            faults.add(place, _missing("directory", name, directories))
    connectors = [connector.name for connector in config.connectors]
    if domain.deliver_to and domain.deliver_to not in connectors:
        place = places.of("domain", domain.name, "deliver_to")
        faults.add(place, _missing("connector", domain.deliver_to, connectors))
    if domain.on_outage == "deliver" and not domain.deliver_to:
        place = places.of("domain", domain.name, "on_outage")
        faults.add(place, "deliver needs a mailbox system; write deliver_to, or defer")


def _missing(kind: str, name: str, there: Sequence[str]) -> str:
    near = nearest(name, there)
    hint = f'the nearest is "{near}"' if near else f"write a [{kind} {name}]"
    return f"there is no {kind} {shown(name)}; {hint}"


def _connector(connector: ConnectorSection, owners: Owners, places: Places, faults: Faults) -> None:
    name = connector.name
    if places.lacks("connector", name, "smart_hosts"):
        place = places.of("connector", name, "smart_hosts")
        faults.add(place, "no smart host; write where its mail goes, such as [192.0.2.10]")
    for host in connector.smart_hosts:
        if host.startswith("unix:") and connector.transport != "lmtp":
            place = places.of("connector", name, "smart_hosts", host)
            faults.add(place, f"{shown(host)} is a socket; write transport = lmtp, or a host")
        elif host.startswith("unix:") and connector.tls in {"encrypt", "verify"}:
            place = places.of("connector", name, "tls")
            faults.add(place, f"{shown(host)} is a socket and has no TLS; write tls = may")
    for space in connector.address_spaces:
        if connector.allow_relay and names.is_top_level(space):
            place = _space_place(space, connector, places)
            faults.add(place, f"{shown(space)} is a top-level domain; write one below it")
        domain = owners.of(_inside(space))
        if domain is not None and domain.type == "authoritative":
            place = _space_place(space, connector, places)
            faults.add(
                place,
                f"{shown(space)} is authoritative, and what is unknown there goes nowhere;"
                f" remove it, or write type = shared in [domain {domain.name}]",
            )


def _inside(space: str) -> str:
    """Return a domain that a space covers: for ``*.x`` some name below x."""
    return f"x{space[1:]}" if space.startswith("*.") else space


def _space_place(space: str, connector: ConnectorSection, places: Places) -> Place:
    joined = places.section("connector", connector.name)
    value = joined.keys.get("address_spaces") if joined else None
    for _, text in value.parts if value else ():
        for piece in filter(None, (piece.strip() for piece in text.split(","))):
            if names.read_space(piece) == space:
                return places.of("connector", connector.name, "address_spaces", piece)
    return places.of("connector", connector.name, "address_spaces")


def _directory(directory: DirectorySection, places: Places, faults: Faults) -> None:
    name = directory.name
    needed = "servers" if directory.type == "ldap" else "path"
    if places.lacks("directory", name, needed):
        place = places.of("directory", name, needed)
        faults.add(place, f"none is given for type = {directory.type}; write where it is")
    if directory.ca_file and not Path(directory.ca_file).is_file():
        place = places.of("directory", name, "ca_file")
        faults.add(place, f"{shown(directory.ca_file)} is not there; write the path of a file")
    if directory.type == "ldap" and directory.bind_dn:
        _bind(directory, places, faults)


def _bind(directory: DirectorySection, places: Places, faults: Faults) -> None:
    name = directory.name
    place = places.of("directory", name, "bind_dn")
    plain = [server for server in directory.servers if server.startswith("ldap://")]
    if plain and not directory.starttls:
        faults.add(
            place,
            f"its password would cross the net to {plain[0]} in the clear;"
            " write ldaps://, or starttls = yes",
        )
    if places.lacks("directory", name, DIRECTORY_CREDENTIALS):
        faults.add(
            place, "an empty password is an anonymous bind; write bind_password_file beside it"
        )


def _shared(config: Config, places: Places, faults: Faults) -> None:
    path = config.cache.shared_ca_file
    if path and not Path(path).is_file():
        place = places.of("cache", "", "shared_ca_file")
        faults.add(place, f"{shown(path)} is not there; write the path of a file")


def _http(config: Config, places: Places, faults: Faults) -> None:
    if config.http.allow:
        return
    for endpoint in config.http.listen:
        if not names.is_loopback(endpoint):
            faults.add(
                places.of("http", "", "listen", str(endpoint)),
                f"{shown(str(endpoint))} is reached from other hosts, and nothing says by whom;"
                " write their networks under allow, or listen on 127.0.0.1",
            )


def _shadow(config: Config, places: Places, faults: Faults) -> None:
    if not config.policyd.socketmap_listen:
        return
    shadowed = [("codomain", "")] if config.codomain.mode == "shadow" else []
    shadowed += [("domain", domain.name) for domain in config.domains if domain.mode == "shadow"]
    shadowed += [("context", c.name) for c in config.contexts if c.mode == "shadow"]
    for kind, name in shadowed:
        faults.add(
            places.of(kind, name, "mode"),
            "maps that route cannot be in shadow;"
            " write enforce, or an empty socketmap_listen in [policyd]",
        )


def classes(config: Config, postfix: Mapping[str, str], faults: Faults) -> None:
    """Check that each domain of ours is in its own address class of Postfix, and in no other.

    Address classes: ADDRESS_CLASS_README.  Where nothing is routed by us (no maps, no
    FILTER) the site's own classes are right.
    """
    if not config.policyd.socketmap_listen and config.policyd.redirect != "filter":
        return
    for parameter in ("mydestination", "virtual_alias_domains", *_LISTS):
        for item in dict.fromkeys(re.split(r"[,\s]+", postfix.get(parameter, ""))):
            domain = next((d for d in config.domains if d.name == fold_domain(item)), None)
            if domain is None or parameter == (own := _class_of(domain)):
                continue
            other = re.split(r"[,\s]+", postfix.get(own, ""))
            if parameter in _LISTS and not any(
                name.startswith("socketmap:") or fold_domain(name) == domain.name for name in other
            ):
                continue
            faults.add(Place("main.cf", 0, "", parameter), _other_class(parameter, item, domain))


_LISTS = ("relay_domains", "virtual_mailbox_domains")
"""The classes that our maps answer for."""


def _class_of(domain: DomainSection) -> str:
    here = domain.type != "relay" and not domain.deliver_to
    return "virtual_mailbox_domains" if here else "relay_domains"


def _other_class(parameter: str, item: str, domain: DomainSection) -> str:
    told = {
        "mydestination": "refuses who has no account on this host",
        "virtual_alias_domains": "refuses who is no alias",
    }.get(parameter, f"finds it in two classes, this one and {_class_of(domain)}")
    return f"{shown(item)} is a domain of ours, and Postfix {told}; remove it there"
