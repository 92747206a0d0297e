"""Whose domain it is, and the rules of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.address import Address, parse_mailbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from codomain.config import DomainSection
    from codomain.connectors import Connector


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain of ours."""

    name: str
    """In lower-case A-labels, or a literal."""

    authoritative: bool = False
    """What the directories do not know does not exist."""

    relay: bool = False
    """No directory is asked: another system has all of its mailboxes."""

    subdomains: bool = False
    """Everything below it is meant, too."""

    directories: tuple[str, ...] = ()
    """The directories to be asked, in order."""

    deliver_to: Connector | None = None
    """The way to its mailboxes; None: this host delivers them."""

    primary: bool = False
    """Mailboxes get mail under their primary address (``deliver_as``)."""

    delimiters: str = "+"
    """The characters that begin an extension; empty: there are none."""

    keep_extension: bool = True
    """The extension goes along to a primary address or a target."""

    catch_all: Address | None = None
    """Who gets mail for the unknown; None: nobody."""

    fallback_mx: bool = False
    """Where no connector takes the unknown, the MTA routes it by MX."""

    outage_deliver: bool = False
    """While the directory is down mail goes unchecked to :attr:`deliver_to`."""

    mode: str = ""
    """``enforce`` or ``shadow``; empty: as in ``[codomain]``."""

    @property
    def type(self) -> str:
        """Its type, as the INI names it."""
        if self.relay:
            return "relay"
        return "authoritative" if self.authoritative else "shared"


class Domains:
    """All domains of ours."""

    def __init__(self, domains: Iterable[Domain]) -> None:
        self.by_name: dict[str, Domain] = {domain.name: domain for domain in domains}
        self._has_below = any(domain.subdomains for domain in self.by_name.values())

    def match(self, name: str) -> Domain | None:
        """Return the domain of ours that a folded name belongs to, the longest match first."""
        domain = self.by_name.get(name)
        if domain is not None or not self._has_below or name.startswith("["):
            return domain
        rest = name
        while "." in rest:
            rest = rest.partition(".")[2]
            domain = self.by_name.get(rest)
            if domain is not None and domain.subdomains:
                return domain
        return None

    def postmasters(self) -> Domain | None:
        """Return the domain of a ``postmaster`` without a domain: the first authoritative one.

        Without any, the first one: postmaster is never refused (RFC 5321 section 4.5.1).
        """
        every = list(self.by_name.values())
        return next(
            (domain for domain in every if domain.authoritative), every[0] if every else None
        )


def domain_from(
    section: DomainSection, connectors: Mapping[str, Connector], directories: tuple[str, ...]
) -> Domain:
    """Build a domain from its section; ``directories`` are all of them, for the default."""
    return Domain(
        name=section.name,
        authoritative=section.type == "authoritative",
        relay=section.type == "relay",
        subdomains=section.subdomains,
        directories=() if section.type == "relay" else section.directory or directories,
        deliver_to=connectors[section.deliver_to] if section.deliver_to else None,
        primary=section.deliver_as == "primary",
        delimiters=section.recipient_delimiter,
        keep_extension=section.keep_extension,
        catch_all=parse_mailbox(section.catch_all) if section.catch_all else None,
        fallback_mx=section.fallback == "mx",
        outage_deliver=section.on_outage == "deliver",
        mode=section.mode,
    )
