"""The ways out, followed to their end: which smart host is this host, or the system it came from.

In flow the configuration and what is known of this host; out flow findings with the whole
path: domain, connector, smart host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.connectors import host_name
from codomain.rules import rules_from
from codomain_cli.checks.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config, ConnectorSection
    from codomain_cli.checks.hosts import Lookup, ThisHost


def findings(config: Config, host: ThisHost, lookup: Lookup | None = None) -> Iterator[Finding]:
    """Return the ways that lead back; ``lookup`` may ask DNS where smart hosts are."""
    for connector in config.connectors:
        for smart_host in connector.smart_hosts:
            if host.is_here(smart_host, lookup):
                yield _here(config, connector, smart_host)
    yield from _same(config)
    if not any(domain.recipient_delimiter for domain in config.domains) and config.domains:
        place = config.origins.get(("domain", config.domains[0].name, "recipient_delimiter"))
        place = place or config.origins.get(("domain", "", "recipient_delimiter"))
        yield Finding(
            "domain.recipient_delimiter",
            Severity.ADVICE,
            "no domain has a recipient_delimiter: mail for ann+lists@ is for somebody unknown",
            "recipient_delimiter = +",
            place.file if place else "",
            place.line if place else 0,
            place.section if place else "",
            "recipient_delimiter",
        )
    yield from _shadow(config)


def _here(config: Config, connector: ConnectorSection, smart_host: str) -> Finding:
    ways = [*_domains(config, connector)]
    path = " → ".join(
        [", ".join(ways) or "nothing yet", f"connector {connector.name}", smart_host, "this host"]
    )
    return found(
        config,
        "connector.smart_hosts.this_host",
        Severity.ERROR,
        f"mail comes back here, where it is refused as a loop and returned to its sender: {path}",
        "smart_hosts = the other system",
        connector.name,
        "smart_hosts",
    )


def _domains(config: Config, connector: ConnectorSection) -> Iterator[str]:
    """Name the domains whose mail a connector takes."""
    rules = rules_from(config, lambda _name: [])
    for domain in config.domains:
        covering = [way.name for way in rules.connectors.covering(domain.name)]
        if connector.name in {domain.deliver_to, *covering}:
            yield domain.name
    for space in connector.address_spaces:
        if rules.domains.match(space.replace("*.", "x.", 1)) is None:
            yield space


def _same(config: Config) -> Iterator[Finding]:
    """Find a shared domain whose unknown people go to the system that has its mailboxes."""
    rules = rules_from(config, lambda _name: [])
    hosts = {c.name: {_folded(h) for h in c.smart_hosts} for c in config.connectors}
    for domain in config.domains:
        if domain.type != "shared" or not domain.deliver_to:
            continue
        mailboxes = hosts[domain.deliver_to]
        for way in rules.connectors.covering(domain.name):
            if mailboxes & hosts[way.name]:
                at = next(iter(mailboxes & hosts[way.name]))
                yield found(
                    config,
                    "connector.smart_hosts.leads_back",
                    Severity.WARNING,
                    f"who is unknown in {domain.name} goes to the system that has its mailboxes:"
                    f" {domain.name} → connector {way.name} → {at}, which sends it back here,"
                    " where it is refused as a loop",
                    f"take {domain.name} out of address_spaces, or write the other system",
                    way.name,
                    "smart_hosts",
                )


def _folded(smart_host: str) -> str:
    if smart_host.startswith("unix:"):
        return smart_host
    port = smart_host.rpartition("]")[2].rpartition(":")[2] or "25"
    return f"[{host_name(smart_host)}]:{port if port.isdigit() else 25}"


def _shadow(config: Config) -> Iterator[Finding]:
    shadowed = [("codomain", "", "everything")] * (config.codomain.mode == "shadow")
    shadowed += [("domain", d.name, d.name) for d in config.domains if d.mode == "shadow"]
    contexts = [context.name for context in config.contexts if context.mode == "shadow"]
    shadowed += [("context", name, f"context {name}") for name in contexts]
    for kind, name, what in shadowed:
        place = config.origins.get((kind, name, "mode"))
        yield Finding(
            f"{kind}.mode",
            Severity.ADVICE,
            f"shadow: for {what} decisions are counted and logged, and no mail is refused or led"
            " elsewhere",
            "mode = enforce, when codomain shadow report shows what you want",
            place.file if place else "",
            place.line if place else 0,
            f"{kind} {name}".rstrip(),
            "mode",
        )


def found(  # noqa: PLR0913, PLR0917 - a finding has so many parts
    config: Config,
    kind: str,
    severity: Severity,
    what: str,
    remedy: str,
    name: str,
    key: str,
    section: str = "connector",
) -> Finding:
    """Return a finding about a key of a section that has a name."""
    own = [place for (k, n, _), place in config.origins.items() if (k, n) == (section, name)]
    place = config.origins.get((section, name, key)) or (own[0] if own else None)
    file = place.file if place else ""
    return Finding(
        kind, severity, what, remedy, file, place.line if place else 0, f"{section} {name}", key
    )
