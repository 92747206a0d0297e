"""The defaults that are no constants: those of main.cf, of the host, and of other sections.

In flow the sections as the INI has them and the values of main.cf; out flow the same
sections with what the INI leaves open.  Semantics of the parameters: postconf(5).
"""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from codomain.address import fold_domain
from codomain.settings import names
from codomain.settings.faults import Place, WrongError, shown
from codomain.settings.named import DomainSection
from codomain.settings.source import MAIN_CF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codomain.settings.faults import Faults
    from codomain.settings.sections import CodomainSection, TrustSection
    from codomain.settings.source import Source
    from codomain.settings.whole import Config

MAIN_CF_DEFAULTS = (
    "mynetworks",
    "myhostname",
    "recipient_delimiter",
    "relay_domains",
    "mydestination",
    "parent_domain_matches_subdomains",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
)
"""The parameters of main.cf from which defaults are taken."""

_SEPARATORS = re.compile(r"[,\s]+")


def complete(config: Config, source: Source, postfix: Mapping[str, str], faults: Faults) -> Config:
    """Fill in what the INI leaves open."""
    return replace(
        config,
        codomain=_codomain(config.codomain, postfix),
        trust=_trust(config.trust, source, postfix, faults),
        domains=_domains(config, source, postfix, faults),
    )


def _codomain(section: CodomainSection, postfix: Mapping[str, str]) -> CodomainSection:
    if section.hostname:
        return section
    # Not getfqdn: it asks the DNS, and a start must not hang on that.
    named = postfix.get("myhostname", "").strip()
    return replace(section, hostname=named if fold_domain(named) else socket.gethostname())


def _trust(
    section: TrustSection, source: Source, postfix: Mapping[str, str], faults: Faults
) -> TrustSection:
    if "trusted_networks" in source.single("trust").keys or "mynetworks" not in postfix:
        return section
    place = Place(MAIN_CF, 0, "", "mynetworks")
    found = []
    for item in _items(postfix["mynetworks"]):
        try:
            found.append(names.read_network(item))
        except WrongError as error:
            exact = error if re.fullmatch(r"[0-9./]+", item) else f"{shown(item)} cannot be read"
            what = str(exact).partition(";")[0]
            faults.add(place, f"{what}; write [trust] trusted_networks, which goes before it")
    return replace(section, trusted_networks=tuple(found))


def _domains(
    config: Config, source: Source, postfix: Mapping[str, str], faults: Faults
) -> tuple[DomainSection, ...]:
    """Give each domain its delimiter and directories, and add those that Postfix relays for."""
    delimiter = _delimiter(postfix, faults)
    every = tuple(directory.name for directory in config.directories)
    written = {joined.name: joined.keys for joined in source.named("domain")}
    domains = []
    for domain in (*config.domains, *_relayed(config, postfix, faults)):
        keys = written.get(domain.name, {})
        changed = replace(domain, directory=domain.directory or every)
        if "recipient_delimiter" not in keys and delimiter is not None:
            changed = replace(changed, recipient_delimiter=delimiter)
        domains.append(changed)
    return tuple(domains)


def _delimiter(postfix: Mapping[str, str], faults: Faults) -> str | None:
    if "recipient_delimiter" not in postfix:
        return None
    try:
        return names.read_delimiter(postfix["recipient_delimiter"].strip())
    except WrongError as error:
        faults.add(Place(MAIN_CF, 0, "", "recipient_delimiter"), str(error))
        return None


def _relayed(config: Config, postfix: Mapping[str, str], faults: Faults) -> list[DomainSection]:
    """Make a domain of each plain name in relay_domains that has no section.

    Without them mail for what Postfix relays would be refused as foreign.  They go where
    a connector takes them, and else where Postfix itself would send them.
    """
    known = {domain.name for domain in config.domains}
    # Before compatibility level 1 the default of relay_domains is $mydestination.
    known.update(fold_domain(item) for item in _items(postfix.get("mydestination", "")))
    below = "relay_domains" in _items(postfix.get("parent_domain_matches_subdomains", ""))
    found = []
    for item in _items(postfix.get("relay_domains", "")):
        name = fold_domain(item)
        if not name:
            # Our own map stands there when main.cf is the one that `codomain postfix` prints.
            if not item.startswith("socketmap:"):
                faults.warn(
                    Place(MAIN_CF, 0, "", "relay_domains"),
                    f"{shown(item)} cannot be read, and its domains are foreign to us;"
                    " write a [domain] for each",
                )
        elif name not in known and not names.is_top_level(name):
            known.add(name)
            found.append(DomainSection(name=name, type="relay", fallback="mx", subdomains=below))
    return found


def _items(text: str) -> list[str]:
    return [item for item in _SEPARATORS.split(text) if item]
