"""The decision: what happens to one recipient.

``decide`` is pure: it opens no socket, reads no clock, holds no lock and never waits.
What the directories know it asks of ``peek``; where ``peek`` does not know yet, it
returns :class:`Need`, and is called again when somebody has found out.

Standards: RFC 5321 sections 3.6.2 (relaying), 4.5.1 (postmaster) and 6.3 (loops); the
model is Exchange's as KB 321721 and KB 823158 describe it; routing by mailHost and
mailRoutingAddress as in Sendmail's FEATURE(ldap_routing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.address import Address, fold_local, hides_foreign, parse_mailbox
from codomain.directory.base import Kind
from codomain.finding import AmbiguousError, DownError, Finder, Need, NeedError
from codomain.question import Door
from codomain.trust import Standing
from codomain.unresolved import unresolved
from codomain.verdict import Defer, Deliver, Pass, Reason, Redirect, Refuse, Relay, Verdict

if TYPE_CHECKING:
    from codomain.connectors import Connector
    from codomain.domains import Domain
    from codomain.finding import Found, Peek, Trace
    from codomain.question import Question
    from codomain.rules import Rules


_POSTMASTER = "postmaster"
_MAP_STANDING = Standing(trusted=True, sends_out=True)
"""Maps do not know the client: they ask as a trusted unknown one."""


def decide(
    rules: Rules, question: Question, peek: Peek, trace: Trace | None = None
) -> Verdict | Need:
    """Decide on a recipient, or name what must be asked first.

    Raises nothing of its own; what ``peek`` raises goes through to the door, which
    answers 451 4.3.5.
    """
    try:
        return _Case(rules, question, peek, trace).decide()
    except NeedError as missing:
        return missing.need


def _silent(_step: str, _detail: str, /) -> None:
    """Hear of no step."""


def _ascii(address: Address) -> bool:
    return address.local.isascii() and address.written.isascii()


def _nowhere(found: Found) -> Defer:
    return Defer(Reason.FAULT, found.entry.dn, "a contact without a target")


def _catch_all(domain: Domain) -> str:
    """Stand for the catch-all of a domain in a chain of contacts."""
    return f"\0{domain.name}"


class _Case:
    """One recipient under decision."""

    __slots__ = ("finder", "known", "question", "recipient", "rules", "standing", "trace")

    def __init__(self, rules: Rules, question: Question, peek: Peek, trace: Trace | None) -> None:
        self.rules = rules
        self.question = question
        self.recipient = question.recipient
        self.trace = trace or _silent
        self.finder = Finder(peek, self.trace)
        self.known = False  # an entry or a catch-all has the recipient, whatever comes of it
        self.standing: Standing = (
            _MAP_STANDING if question.door is Door.MAP else rules.trust.standing(question)
        )

    # --- whose domain

    def decide(self) -> Verdict:
        """Take the steps in their order."""
        recipient = self.recipient
        if not recipient.written:
            return self._without_domain()
        domain = self.rules.domains.match(recipient.domain) if recipient.domain else None
        if domain is None:
            return self._foreign()
        self.trace("domain", f"{domain.name}: {domain.type}")
        if recipient.broken:
            return Refuse(Reason.MALFORMED)
        if self.question.smtputf8 is False and not _ascii(recipient):
            return Refuse(Reason.SMTPUTF8)
        if self._is_postmaster(recipient, domain):
            return self._postmaster(recipient, domain)
        try:
            return self._ours(domain)
        except DownError as down:
            return self._outage(domain, str(down))
        except AmbiguousError as ambiguous:
            return Defer(Reason.AMBIGUOUS, detail=str(ambiguous))

    def _without_domain(self) -> Verdict:
        if fold_local(self.recipient.local) == _POSTMASTER:
            domain = self.rules.domains.postmasters()
            if domain is not None:
                self.trace("domain", f"none: postmaster of {domain.name}")
                key = f"{_POSTMASTER}@{domain.name}"
                address = Address(_POSTMASTER, domain.name, domain.name, key=key)
                return self._postmaster(address, domain)
        self.trace("domain", "none")
        return Refuse(Reason.MALFORMED)

    def _foreign(self) -> Verdict:
        recipient = self.recipient
        self.trace("domain", f"{recipient.written or 'none'}: not ours")
        if not self.standing.sends_out:
            return Refuse(Reason.RELAYING)
        ways = self.rules.connectors.covering(recipient.domain) if recipient.domain else []
        return Pass(connector=ways[0] if ways else None)

    def _outage(self, domain: Domain, detail: str) -> Verdict:
        """Answer for a directory that is down: defer, or what the domain's INI chose."""
        self.trace("directory", detail)
        way = domain.deliver_to
        text = self.recipient.text()
        if not domain.outage_deliver or self.known or way is None or text is None:
            return Defer(Reason.DIRECTORY, detail=detail)
        if self._hides_foreign() or way.name in self.standing.peer_of:
            return Defer(Reason.DIRECTORY, detail=detail)
        return Deliver(text, way)

    def _hides_foreign(self) -> bool:
        """Tell whether the recipient may hide a foreign address, and nobody vouches for it.

        Postfix strips source routes: what looks like one here stood in quotes.
        """
        if self.standing.trusted:
            return False
        return self.recipient.routed or hides_foreign(self.recipient.local)

    # --- postmaster

    def _is_postmaster(self, recipient: Address, domain: Domain) -> bool:
        if recipient.key == f"{_POSTMASTER}@{recipient.domain}":
            return True
        parts = recipient.extension(domain.delimiters)
        return parts is not None and fold_local(parts[0].local) == _POSTMASTER

    def _postmaster(self, recipient: Address, domain: Domain) -> Verdict:
        """Decide on postmaster, who is never refused (RFC 5321 section 4.5.1)."""
        try:
            found = None if domain.relay else self.finder.find(recipient, domain)
            verdict = self._found(found, recipient, domain) if found else None
        except DownError as down:
            return self._outage(domain, str(down))
        except AmbiguousError:
            verdict = None
        if isinstance(verdict, Deliver | Redirect | Relay):
            return verdict
        target = self.rules.postmaster
        if target is not None and target.key != recipient.key:
            self.trace("postmaster", f"goes to {target}")
            return self._postmaster_target(target)
        self.trace("postmaster", "always taken")
        ways = [domain.deliver_to] if domain.deliver_to else []
        if domain.relay:
            ways += self.rules.connectors.covering(recipient.domain)
        text = recipient.text() or f"{_POSTMASTER}@{recipient.domain}"
        return Deliver(text, ways[0] if ways else None)

    def _postmaster_target(self, target: Address) -> Verdict:
        """Follow ``[codomain] postmaster`` as far as it leads somewhere."""
        try:
            verdict = self._to_target(target, self.recipient, ())
        except DownError as down:
            # Where to is not known now, and a map would say so only after the message.
            return Defer(Reason.DIRECTORY, detail=str(down))
        except AmbiguousError:
            verdict = None
        if isinstance(verdict, Redirect):
            return verdict
        ways = self.rules.connectors.covering(target.domain)
        return Redirect(target.text() or "", ways[0] if ways else None)

    # --- finding

    def _ours(self, domain: Domain) -> Verdict:
        recipient = self.recipient
        if not domain.relay:
            found = self.finder.whole(recipient, domain)
            if found is not None:
                return self._found(found, recipient, domain)
        if self._hides_foreign():
            self.trace("local part", "it may hide a foreign address")
            return Refuse(Reason.RELAYING, detail="a foreign address hidden in the local part")
        if not domain.relay:
            found = self.finder.base(recipient, domain)
            if found is not None:
                return self._found(found, recipient, domain)
            if domain.catch_all is not None:
                self.trace("catch-all", f"goes to {domain.catch_all}")
                self.known = True  # its own directories have said all: no outage delivers it
                return self._to_target(domain.catch_all, recipient, (_catch_all(domain),))
        return unresolved(self.rules, self.standing, recipient, domain, self.trace)

    # --- found

    def _found(self, found: Found, address: Address, domain: Domain) -> Verdict:
        """Decide on a recipient that the directory knows."""
        entry = found.entry
        self.known = True
        if entry.restricted and not self.standing.trusted:
            self.trace("entry", "takes mail of authenticated senders only")
            return Refuse(Reason.RESTRICTED, entry.dn)
        if entry.target:
            return self._contact(found, address, domain, ())
        if found.leads_nowhere:
            return _nowhere(found)
        return self._mailbox(found, address, domain)

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
                # Nothing is rewritten: it is a mailbox on that host.
                return self._mailbox(found, address, domain)
            if self._bounces(target):
                return Defer(Reason.FAULT, entry.dn, f"{target} is unknown, whatever its mailHost")
            return self._redirect(target, way, entry.dn)
        return self._to_target(target, address, (*met, found.identity), entry.dn)

    def _bounces(self, target: Address) -> bool:
        """Tell whether a target is unknown where it is: the MTA asks for it by itself."""
        domain = self.rules.domains.match(target.domain)
        if domain is None or not domain.authoritative or domain.catch_all is not None:
            return False
        return self.finder.find(target, domain) is None

    def _to_target(
        self, target: Address, address: Address, met: tuple[str, ...], dn: str = ""
    ) -> Verdict:
        """Decide where the mail for a target goes; a target in a domain of ours is resolved."""
        domain = self.rules.domains.match(target.domain)
        if domain is None:
            ways = self.rules.connectors.covering(target.domain)
            return self._redirect(target, ways[0] if ways else None, dn)
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
            return _nowhere(found)
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
            return self._mailbox_itself(found, target, address, domain)
        return self._outward(target, address, domain, dn)

    def _mailbox_itself(
        self, found: Found, target: Address, address: Address, domain: Domain
    ) -> Verdict:
        if target.key == address.key:
            return self._mailbox(found, address, domain)
        return self._target_mailbox(found, target, domain)

    def _target_unknown(
        self,
        target: Address,
        address: Address,
        domain: Domain,
        met: tuple[str, ...],
        dn: str,
    ) -> Verdict:
        """Decide on a target in a domain of ours that no entry has."""
        mark = _catch_all(domain)
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
            return unresolved(self.rules, self.standing, target, domain, self.trace)
        ways = self.rules.connectors.covering(target.domain)
        if not ways and not domain.fallback_mx:
            return Refuse(Reason.NO_ROUTE, dn, f"no connector covers its target {target}")
        return self._redirect(target, ways[0] if ways else None, dn)

    def _redirect(self, target: Address, way: Connector | None, dn: str) -> Verdict:
        if not self.rules.allows(target.domain):
            self.trace("target", f"{target} is not allowed")
            return Refuse(Reason.RELAYING, dn, f"the target {target} is not allowed")
        text = target.text()
        if text is None:
            return Defer(Reason.FAULT, dn, "a target that cannot be written out")
        self.trace("redirect", f"{text} via {way.name if way else 'its MX'}")
        return Redirect(text, way, dn)
