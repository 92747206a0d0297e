"""What a decision goes by: domains, connectors, trust and targets of one configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.address import hides_foreign, parse_mailbox
from codomain.connectors import (
    NO_SPACES,
    Connector,
    Connectors,
    Spaces,
    host_name,
    next_hop,
    resolve_host,
)
from codomain.domains import Domains, domain_from
from codomain.trust import Trust

if TYPE_CHECKING:
    from codomain.address import Address
    from codomain.config import Config
    from codomain.connectors import Lookup


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that :func:`codomain.decision.decide` reads beside the question."""

    domains: Domains
    """The domains of ours."""

    connectors: Connectors
    """The ways out."""

    trust: Trust
    """Who may do what."""

    targets: Spaces = NO_SPACES
    """``allowed_targets``: where contacts may lead beside our domains and connectors."""

    max_depth: int = 5
    """How many contacts may follow upon each other."""

    postmaster: Address | None = None
    """Takes postmaster's mail where no entry does."""

    hostname: str = ""
    """This host's name in lower case; a mailHost that names it is local."""

    accepts_unsure: bool = True
    """``[callout] on_failure = accept``: what the next system does not answer for is taken."""

    hosts: tuple[tuple[str, str, Connector], ...] = ()
    """``allowed_hosts``: directory, host in lower case, and the way there."""

    def way_to(self, directory: str, mail_host: str) -> Connector | None:
        """Return the configured way to the host that an entry names; None: it is not allowed."""
        named = self.connectors.named_by(mail_host)
        if named is not None:
            return named
        host = host_name(mail_host)
        return next((c for d, h, c in self.hosts if d == directory and h == host), None)

    def allows(self, domain: str) -> bool:
        """Tell whether the configuration lets mail that is led elsewhere go to this domain."""
        return (
            self.domains.match(domain) is not None
            or self.targets.cover(domain)
            or any(way.allow_relay for way in self.connectors.covering(domain))
        )

    def leads(self, domain: str, way: Connector | None) -> bool:
        """Tell whether mail for a domain is led there when the MTA asks for it by itself.

        Ours is decided on anew; a foreign one takes the connector that covers it, or its MX.
        """
        return self.domains.match(domain) is not None or (
            self.allows(domain) and way in self.connectors.covering(domain)[:1]
        )

    def carries(self, extension: str, target: Address) -> bool:
        """Tell whether an extension means the same where the target is.

        A target in a domain of ours with an extension of its own gets no second one: cut
        at the first delimiter, both together could be found as somebody else's.
        """
        if not extension or hides_foreign(extension):
            return False
        domain = self.domains.match(target.domain)
        if domain is None or domain.relay:
            return True
        return extension[0] in domain.delimiters and target.extension(domain.delimiters) is None

    @property
    def divertible(self) -> bool:
        """Whether a stranger's way out can differ from what the transport map answers."""
        spaces = {space for c in self.connectors.by_name.values() for space in c.spaces}
        for space in spaces:
            ways = self.connectors.covering(space.removeprefix("*."))
            ways += self.connectors.covering(space.replace("*.", "x.", 1))
            if any(c.allow_relay for c in ways) and not all(c.allow_relay for c in ways):
                return True
        return False


def rules_from(config: Config, lookup: Lookup = resolve_host) -> Rules:
    """Build the rules of a configuration; ``lookup`` finds peers that are given by name."""
    connectors = Connectors(config.connectors, lookup)
    directories = tuple(section.name for section in config.directories)
    return Rules(
        domains=Domains(
            domain_from(section, connectors.by_name, directories) for section in config.domains
        ),
        connectors=connectors,
        trust=Trust(
            config.trust.trusted_networks,
            connectors,
            sasl=config.trust.trust_sasl,
            certificates=config.trust.trust_certificates,
            contexts=[context.name for context in config.contexts if context.trusted],
            peers_may_relay=config.trust.peers_may_relay,
        ),
        targets=Spaces(frozenset(config.redirect.allowed_targets)),
        max_depth=config.redirect.max_depth,
        postmaster=parse_mailbox(config.codomain.postmaster),
        hostname=config.codomain.hostname.lower(),
        accepts_unsure=config.callout.on_failure == "accept",
        hosts=tuple(
            (section.name, host_name(host), Connector(host, next_hop("smtp", [host])))
            for section in config.directories
            for host in section.allowed_hosts
        ),
    )
