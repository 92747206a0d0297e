"""A recipient that nobody here knows: refused, or the way out to the other system.

KB 321721, method 1: in an authoritative domain it is refused; in a shared one it goes to
the connector that covers the domain, and a chain of systems always moves forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.verdict import Pass, Reason, Refuse, Relay, Verdict

if TYPE_CHECKING:
    from codomain.address import Address
    from codomain.connectors import Connector
    from codomain.domains import Domain
    from codomain.finding import Trace
    from codomain.rules import Rules
    from codomain.trust import Standing


def unresolved(
    rules: Rules, standing: Standing, address: Address, domain: Domain, trace: Trace
) -> Verdict:
    """Decide on an address of ours that is not in the directories, or leads back to itself."""
    if domain.authoritative:
        return Refuse(Reason.UNKNOWN)
    covering = rules.connectors.covering(address.domain)
    if not covering:
        return _no_way(standing, domain, trace)
    ways = _after_peers(covering, standing, domain)
    if not ways:
        trace("connector", "none after the one that sent it")
        return Refuse(Reason.LOOP, detail=f"unknown, and sent by {', '.join(standing.peer_of)}")
    if not standing.trusted and not standing.peer_of:
        ways = [way for way in ways if way.allow_relay]
        if not ways:
            trace("connector", "none allows relaying")
            return Refuse(Reason.RELAYING, detail="no connector that covers it allows relaying")
    trace("connector", f"{ways[0].name}: {ways[0].next_hop}")
    return Relay(ways[0], diverted=ways[0] is not covering[0])


def _after_peers(covering: list[Connector], standing: Standing, domain: Domain) -> list[Connector]:
    """Return the ways out to systems that the mail has not been to."""
    peers = standing.peer_of
    if not peers:
        return covering
    last = max((at for at, way in enumerate(covering) if way.name in peers), default=-1)
    ways = covering[last + 1 :]
    if domain.deliver_to is not None and domain.deliver_to.name in peers:
        ways = [way for way in ways if way is not domain.deliver_to]
    return ways


def _no_way(standing: Standing, domain: Domain, trace: Trace) -> Verdict:
    trace("connector", "none covers the domain")
    if domain.fallback_mx:
        return Pass(ours=True)
    reason = Reason.NO_ROUTE if standing.trusted else Reason.RELAYING
    return Refuse(reason, detail="no connector covers the domain")
