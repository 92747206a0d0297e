"""The ways out: where a recipient that nobody here knows goes, and whether a target is known there.

KB 321721, method 1: in an authoritative domain the unknown is refused; in a shared one it
goes to the connector that covers the domain, and a chain of systems always moves forward.

A connector with ``verify = callout`` is a way out only for what its system knows, or takes
like anything else; what it does not know goes to the next one, and what no one knows is
refused here, where the sender still hears it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.callout.answer import Outcome
from codomain.callout.asking import Asker
from codomain.verdict import Defer, Pass, Reason, Refuse, Relay, Verdict

if TYPE_CHECKING:
    from codomain.address import Address
    from codomain.callout.asking import Ask
    from codomain.connectors import Connector
    from codomain.domains import Domain
    from codomain.finding import Trace
    from codomain.question import Question
    from codomain.rules import Rules
    from codomain.trust import Standing


class WaysOut:
    """The ways out for one question."""

    __slots__ = ("_asker", "_probed", "_rules", "_standing", "_trace")

    def __init__(
        self, rules: Rules, standing: Standing, question: Question, ask: Ask, trace: Trace
    ) -> None:
        self._rules = rules
        self._standing = standing
        # Answered from the directories alone, or two gateways would ask each other in circles.
        self._probed = bool(standing.peer_of) and question.probe
        self._asker = Asker(ask, trace)
        self._trace = trace

    def unresolved(self, address: Address, domain: Domain) -> Verdict:
        """Decide on an address of ours that is in no directory, or leads back to itself."""
        if domain.authoritative:
            return Refuse(Reason.UNKNOWN)
        covering = self._rules.connectors.covering(address.domain)
        if not covering:
            return self._no_way(domain)
        ways, earlier = self._after_peers(covering, domain)
        if not self._standing.trusted and not self._standing.peer_of:
            for closed in (way for way in ways if not way.allow_relay):
                self._trace("connector", f"{closed.name}: takes no stranger's mail (allow_relay)")
            ways = [way for way in ways if way.allow_relay]
            if not ways:
                self._trace("connector", "none allows relaying")
                return Refuse(Reason.RELAYING, detail="no connector that covers it allows relaying")
        way = self._first(ways, address) if ways else self._sent_back()
        if isinstance(way, Refuse) and not self._probed:
            known = self._knowing(earlier, address)
            way = way if known is None else known
        if isinstance(way, Refuse | Defer):
            return way
        self._trace("connector", f"{way.name}: {way.next_hop}")
        return Relay(way, diverted=self._diverted(way, ways, covering, address))

    def to_shared(self, target: Address) -> Connector | Refuse | Defer | None:
        """Return the way to a contact's target in a domain that another system shares.

        None where no connector covers it.
        """
        covering = self._rules.connectors.covering(target.domain)
        if self._probed:
            return covering[0] if covering else None
        return self._first(covering, target) if covering else None

    def check(self, way: Connector | None, target: Address) -> Refuse | Defer | None:
        """Say what stands against a target whose way is given; None: nothing does."""
        if way is None or self._probed:
            return None
        choice = self._first([way], target)
        return choice if isinstance(choice, Refuse | Defer) else None

    def _first(self, ways: list[Connector], address: Address) -> Connector | Refuse | Defer:
        """Return the first of several that takes the address, as far as it can be told.

        One that does not say now and refused the address a while ago is passed over for one
        behind it that knows the address.  One that takes anything proves nothing of it, so
        it has the address only where ``on_failure`` accepts what is not known.
        """
        doubted = None
        for way in ways:
            if not way.verify:
                return self._unproved(way, doubted)
            outcome = Outcome.UNSURE if self._probed else self._asker.outcome(way, address)
            if outcome is Outcome.UNSURE:
                return self._unsure(way)
            if outcome is Outcome.DOUBTED:
                doubted = doubted or way
                self._trace("connector", f"{way.name}: it did not say, and refused it before")
                continue
            if outcome is Outcome.KNOWN:
                return way
            if outcome is Outcome.ANYTHING:
                return self._unproved(way, doubted)
            self._trace("connector", f"{way.name}: the recipient is unknown there")
        if doubted is not None:
            return self._unsure(doubted)
        names = ", ".join(way.name for way in ways)
        return Refuse(Reason.UNKNOWN, detail=f"unknown to {names}")

    def _unproved(self, way: Connector, doubted: Connector | None) -> Connector | Defer:
        """Return a way that takes whatever comes, unless the address may have come to another."""
        return way if doubted is None or self._rules.accepts_unsure else self._unsure(doubted)

    def _unsure(self, way: Connector) -> Connector | Defer:
        """Return what ``[callout] on_failure`` makes of a system that does not say."""
        if self._rules.accepts_unsure and not self._probed:
            return way
        # A call-out that is answered so counts as unsure where it came from.
        return Defer(Reason.CALLOUT, detail=f"connector {way.name} did not say")

    def _knowing(self, ways: list[Connector], address: Address) -> Connector | None:
        """Return the first system that knows the address, of those that had the mail before."""
        for way in ways:
            if way.verify and self._asker.outcome(way, address) is Outcome.KNOWN:
                return way
        return None

    def _diverted(
        self, way: Connector, ways: list[Connector], covering: list[Connector], address: Address
    ) -> bool:
        """Tell whether the transport map names another way out than this one."""
        if ways == covering:
            return False
        if not any(connector.verify for connector in covering):
            return way is not covering[0]
        return way is not self._first(covering, address)

    def _sent_back(self) -> Refuse:
        peers = ", ".join(self._standing.peer_of)
        if self._probed:
            return Refuse(Reason.UNKNOWN, detail=f"asked by {peers}")
        self._trace("connector", "none after the one that sent it")
        return Refuse(Reason.LOOP, detail=f"unknown, and sent by {peers}")

    def _after_peers(
        self, covering: list[Connector], domain: Domain
    ) -> tuple[list[Connector], list[Connector]]:
        """Return the ways out to systems that the mail has not been to, and those before them."""
        peers = self._standing.peer_of
        if not peers:
            return covering, []
        last = max((at for at, way in enumerate(covering) if way.name in peers), default=-1)
        ways, earlier = covering[last + 1 :], covering[: last + 1]
        if domain.deliver_to is not None and domain.deliver_to.name in peers:
            ways = [way for way in ways if way is not domain.deliver_to]
        for way in covering:
            if way.name in peers:
                self._trace("connector", f"{way.name}: the client belongs to it")
            elif way in earlier:
                self._trace("connector", f"{way.name}: it stands before the one that sent it")
        return ways, [way for way in earlier if way.name not in peers]

    def _no_way(self, domain: Domain) -> Verdict:
        self._trace("connector", "none covers the domain")
        if domain.fallback_mx:
            return Pass(ours=True)
        reason = Reason.NO_ROUTE if self._standing.trusted else Reason.RELAYING
        return Refuse(reason, detail="no connector covers the domain")
