"""Where a recipient that a directory knows goes: its mailbox, or wherever its target leads.

The decision hands a found entry over; out comes a verdict.  A target is one mailbox, it is
authorised, and a target in a domain of ours is resolved again.

Standards: as :mod:`codomain.decision`; routing by mailHost and mailRoutingAddress as in
Sendmail's FEATURE(ldap_routing).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from codomain.address import hides_foreign, parse_mailbox
from codomain.directory.base import Kind
from codomain.finding import Finder
from codomain.question import Door
from codomain.trust import Standing
from codomain.unresolved import WaysOut
from codomain.verdict import Defer, Deliver, Reason, Redirect, Refuse, Verdict

if TYPE_CHECKING:
    from codomain.address import Address
    from codomain.callout.asking import Ask
    from codomain.connectors import Connector
    from codomain.domains import Domain
    from codomain.finding import Found, Peek, Trace
    from codomain.question import Question
    from codomain.rules import Rules

_MAP_STANDING = Standing(trusted=True, sends_out=True)
"""Maps do not know the client: they ask as a trusted unknown one."""


def nowhere(found: Found) -> Defer:
    """Return the verdict on a contact that has no target at all."""
    return Defer(Reason.FAULT, found.entry.dn, "a contact without a target")


def catch_all_mark(domain: Domain) -> str:
    """Stand for the catch-all of a domain in a chain of contacts."""
    return f"\0{domain.name}"


class Contacts:
    """One recipient under decision, as far as its entry leads."""

    __slots__ = ("_ask", "finder", "question", "recipient", "rules", "standing", "trace")

    def __init__(
        self, rules: Rules, question: Question, peek: Peek, trace: Trace, ask: Ask
    ) -> None:
        self.rules = rules
        self.question = question
        self.recipient = question.recipient
        self.trace = trace
        self.finder = Finder(peek, trace)
        self.standing: Standing = (
            _MAP_STANDING if question.door is Door.MAP else rules.trust.standing(question)
        )
        self._ask = ask

    @property
    def ways(self) -> WaysOut:
        """The ways out; most recipients need none."""
        return WaysOut(self.rules, self.standing, self.question, self._ask, self.trace)

    def _mailbox(self, found: Found, address: Address, domain: Domain) -> Verdict:
        entry = found.entry
        way = self._way_to_mailbox(found, domain)
        if isinstance(way, Defer):
            return way
        if way is not None and way.name in self.standing.peer_of:
            self.trace("connector", f"{way.name}: the client belongs to it")
            return Refuse(Reason.LOOP, entry.dn, f"connector {way.name} sent it")
        final = self._delivered_as(found, address, domain, way)
        if final is None:
            return Defer(Reason.FAULT, entry.dn, "its primary address cannot be used")
        text = final.text()
        if text is None:
            return Defer(Reason.FAULT, entry.dn, "an address that cannot be written out")
        self.trace("mailbox", f"{text} via {way.name if way else 'this host'}")
        return Deliver(text, way, changed=final.key != address.key, dn=entry.dn)

    def _way_to_mailbox(self, found: Found, domain: Domain) -> Connector | Defer | None:
        host = found.entry.mail_host
        if not host or self._is_local(host):
            return domain.deliver_to
        way = self.rules.way_to(found.directory, host)
        if way is None:
            return Defer(Reason.FAULT, found.entry.dn, f"its mailHost {host!r} is not configured")
        return way

    def _delivered_as(
        self, found: Found, address: Address, domain: Domain, way: Connector | None
    ) -> Address | None:
        """Return the address that the mailbox system gets; None: the entry's is unusable."""
        if not domain.primary or not found.entry.primary:
            return address
        extension = found.extension if domain.keep_extension else ""
        primary = parse_mailbox(found.entry.primary)
        if primary is None or not self.rules.leads(primary.domain, way):
            return None
        return primary.with_local(primary.local + extension)

    def _is_local(self, mail_host: str) -> bool:
        return mail_host.strip().rstrip(".").lower() == self.rules.hostname

    # --- contacts

    def _contact(
        self, found: Found, address: Address, domain: Domain, met: tuple[str, ...]
    ) -> Verdict:
        """Follow an entry's target; ``met`` are the entries that led here."""
        entry = found.entry
        target = parse_mailbox(entry.target)
        if target is None or hides_foreign(target.local):
            self.trace("target", f"{entry.target!r} is no single mailbox")
            return Defer(Reason.FAULT, entry.dn, f"its target {entry.target!r} is no mailbox")
        if domain.keep_extension and self.rules.carries(found.extension, target):
            target = target.with_local(target.local + found.extension)
        self.trace("target", str(target))
        way = None
        if entry.mail_host and not self._is_local(entry.mail_host):
            way = self.rules.way_to(found.directory, entry.mail_host)
            if way is None:
                detail = f"its mailHost {entry.mail_host!r} is not configured"
                return Defer(Reason.FAULT, entry.dn, detail)
            if target.key == address.key:
                # It is a mailbox on that host; of the recipient itself nothing is rewritten.
                mailbox = self._target_mailbox if met else self._mailbox
                return mailbox(found, address, domain)
            return self._unusable(target, entry.dn) or self._asked(target, way, entry.dn)
        return self._to_target(target, address, (*met, found.identity), entry.dn)

    def _unusable(self, target: Address, dn: str) -> Verdict | None:
        """Say no to a target that its entry sends through a host, and that is not for all.

        It is in a domain of ours, and the MTA asks for it by itself: where it is unknown it
        would bounce, and nobody would look again whether it takes a stranger's mail.
        """
        domain = self.rules.domains.match(target.domain)
        if domain is None or domain.relay:
            return None
        found = self.finder.find(target, domain)
        if found is None and domain.authoritative and domain.catch_all is None:
            return Defer(Reason.FAULT, dn, f"{target} is unknown, whatever its mailHost")
        if found is not None and found.entry.restricted and not self.standing.trusted:
            return Refuse(Reason.RESTRICTED, found.entry.dn)
        return None

    def _to_target(  # noqa: PLR0911  # one for each kind of target
        self, target: Address, address: Address, met: tuple[str, ...], dn: str = ""
    ) -> Verdict:
        """Decide where the mail for a target goes; a target in a domain of ours is resolved."""
        domain = self.rules.domains.match(target.domain)
        if domain is None:
            ways = self.rules.connectors.covering(target.domain)
            return self._asked(target, ways[0] if ways else None, dn)
        if domain.relay:
            return self._outward(target, address, domain, dn)
        if len(met) > self.rules.max_depth:
            return Refuse(Reason.LOOP, dn, f"more than {self.rules.max_depth} contacts in a row")
        found = self.finder.find(target, domain)
        if found is None:
            return self._target_unknown(target, address, domain, met, dn)
        if found.entry.restricted and not self.standing.trusted:
            return Refuse(Reason.RESTRICTED, found.entry.dn)
        if found.leads_nowhere:
            return nowhere(found)
        if not found.entry.target:
            return self._target_mailbox(found, target, domain)
        return self._target_contact(found, target, address, domain, met)

    def _target_contact(
        self,
        found: Found,
        target: Address,
        address: Address,
        domain: Domain,
        met: tuple[str, ...],
    ) -> Verdict:
        """Follow a target that leads on, and end where it leads back."""
        identity, dn = found.identity, found.entry.dn
        if identity not in met:
            return self._contact(found, target, domain, met)
        if identity != met[-1]:
            self.trace("target", f"comes back to {dn}")
            return Refuse(Reason.LOOP, dn, f"contacts lead in a circle by {dn}")
        if domain.authoritative and found.entry.kind is not Kind.CONTACT:
            # A mailbox whose routing address is its own (ldap_routing): it is here.
            if target.key == address.key and not met[1:]:
                return self._mailbox(found, address, domain)
            return self._target_mailbox(found, target, domain)
        return self._outward(target, address, domain, dn)

    def _target_unknown(
        self,
        target: Address,
        address: Address,
        domain: Domain,
        met: tuple[str, ...],
        dn: str,
    ) -> Verdict:
        """Decide on a target in a domain of ours that no entry has."""
        mark = catch_all_mark(domain)
        if domain.catch_all is not None and mark not in met:
            return self._to_target(domain.catch_all, address, (*met, mark), dn)
        if domain.authoritative:
            return Refuse(Reason.UNKNOWN, dn, f"its target {target} is unknown")
        return self._outward(target, address, domain, dn)

    def _target_mailbox(self, found: Found, target: Address, domain: Domain) -> Verdict:
        way = self._way_to_mailbox(found, domain)
        if isinstance(way, Defer):
            return way
        final = self._delivered_as(found, target, domain, way)
        if final is None:
            return Defer(Reason.FAULT, found.entry.dn, "its primary address cannot be used")
        return self._redirect(final, way, found.entry.dn)

    def _outward(self, target: Address, address: Address, domain: Domain, dn: str) -> Verdict:
        """Send a target of a shared or relay domain to the other system."""
        if domain.authoritative:
            return Refuse(Reason.LOOP, dn, f"its target {target} is its own address")
        if target.key == address.key and address is self.recipient:
            # Nothing is rewritten, so the mail could come straight back: as unresolved.
            return self.ways.unresolved(address, domain)
        way = self.ways.to_shared(target)
        if isinstance(way, Refuse | Defer):
            return replace(way, dn=dn, detail=f"its target {target}: {way.detail}")
        if way is None and not domain.fallback_mx:
            reason = Reason.NO_ROUTE if self.standing.trusted else Reason.RELAYING
            return Refuse(reason, dn, f"no connector covers its target {target}")
        return self._redirect(target, way, dn)

    def _asked(self, target: Address, way: Connector | None, dn: str) -> Verdict:
        """Redirect to a target that no directory of ours knows, unless its system says no."""
        verdict = self._redirect(target, way, dn)
        if isinstance(verdict, Redirect) and (no := self.ways.check(way, target)) is not None:
            return replace(no, dn=dn, detail=f"its target {target}: {no.detail}")
        return verdict

    def _redirect(self, target: Address, way: Connector | None, dn: str) -> Verdict:
        if not self.rules.allows(target.domain):
            self.trace("target", f"{target} is not allowed")
            return Refuse(Reason.RELAYING, dn, f"the target {target} is not allowed")
        text = target.text()
        if text is None:
            return Defer(Reason.FAULT, dn, "a target that cannot be written out")
        self.trace("redirect", f"{text} via {way.name if way else 'its MX'}")
        return Redirect(text, way, dn)
