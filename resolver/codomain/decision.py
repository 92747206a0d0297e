"""The decision: what happens to one recipient.

``decide`` is pure: it opens no socket, reads no clock, holds no lock and never waits.
What the directories know it asks of ``peek``, what the next systems know of ``ask``; where
they do not know yet, it returns :class:`Need`, and is called again when somebody has found out.

Standards: RFC 5321 sections 3.6.2 (relaying), 4.5.1 (postmaster) and 6.3 (loops); the
model is Exchange's as KB 321721 and KB 823158 describe it; routing by mailHost and
mailRoutingAddress as in Sendmail's FEATURE(ldap_routing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.address import Address, fold_local, hides_foreign
from codomain.callout.asking import nobody
from codomain.contacts import Contacts, catch_all_mark, nowhere
from codomain.finding import AmbiguousError, DownError, Need, NeedError
from codomain.verdict import Defer, Deliver, Pass, Reason, Redirect, Refuse, Relay, Verdict

if TYPE_CHECKING:
    from codomain.callout.asking import Ask
    from codomain.domains import Domain
    from codomain.finding import Found, Peek, Trace
    from codomain.question import Question
    from codomain.rules import Rules

_POSTMASTER = "postmaster"
_LEADS_ON = (Deliver, Redirect, Relay, Pass)
"""The verdicts by which mail goes somewhere."""


def decide(
    rules: Rules,
    question: Question,
    peek: Peek,
    trace: Trace | None = None,
    ask: Ask = nobody,
) -> Verdict | Need:
    """Decide on a recipient, or name what must be asked first.

    Raises nothing of its own; what ``peek`` and ``ask`` raise goes through to the door,
    which answers 451 4.3.5.
    """
    try:
        return _Case(rules, question, peek, trace or _silent, ask).decide()
    except NeedError as missing:
        return missing.need


def _silent(_step: str, _detail: str, /) -> None:
    """Hear of no step."""


def _ascii(address: Address) -> bool:
    return address.local.isascii() and address.written.isascii()


class _Case(Contacts):
    """One recipient under decision."""

    __slots__ = ("known",)

    def __init__(
        self, rules: Rules, question: Question, peek: Peek, trace: Trace, ask: Ask
    ) -> None:
        super().__init__(rules, question, peek, trace, ask)
        self.known = False  # an entry or a catch-all has the recipient, whatever comes of it

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
            return self._outage(recipient, domain, down)
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

    def _outage(self, recipient: Address, domain: Domain, down: DownError) -> Verdict:
        """Answer for a directory that is down: defer, or what the domain's INI chose."""
        detail = str(down)
        self.trace("directory", detail)
        way = domain.deliver_to
        text = recipient.text()
        chosen = domain.outage_deliver and not down.limited
        if not chosen or self.known or way is None or text is None:
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
            return self._outage(recipient, domain, down)
        except AmbiguousError:
            verdict = None
        if isinstance(verdict, _LEADS_ON):
            return verdict
        return self._postmaster_instead(recipient, domain, ())

    def _to_target(
        self, target: Address, address: Address, met: tuple[str, ...], dn: str = ""
    ) -> Verdict:
        """Decide where a target goes; postmaster of ours is never refused, as one neither."""
        domain = self.rules.domains.match(target.domain)
        if domain is None or target.key == address.key or not self._is_postmaster(target, domain):
            return super()._to_target(target, address, met, dn)
        if len(met) > self.rules.max_depth and not domain.relay:
            return super()._to_target(target, address, met, dn)
        try:
            known = not domain.relay and self.finder.find(target, domain) is not None
            verdict = super()._to_target(target, address, met, dn) if known else None
        except AmbiguousError:
            verdict = None
        if not isinstance(verdict, _LEADS_ON):
            verdict = self._postmaster_instead(target, domain, met)
        if isinstance(verdict, Deliver):
            return Redirect(verdict.address, verdict.connector, dn)
        return verdict

    def _postmaster_instead(
        self, recipient: Address, domain: Domain, met: tuple[str, ...]
    ) -> Verdict:
        """Decide on a postmaster without an entry that leads somewhere."""
        target = self.rules.postmaster
        if target is not None and target.key != recipient.key and _POSTMASTER not in met:
            self.trace("postmaster", f"goes to {target}")
            return self._postmaster_target(target, (*met, _POSTMASTER))
        self.trace("postmaster", "always taken")
        ways = [domain.deliver_to] if domain.deliver_to else []
        if domain.relay:
            ways += self.rules.connectors.covering(recipient.domain)
        text = recipient.text() or f"{_POSTMASTER}@{recipient.domain}"
        return Deliver(text, ways[0] if ways else None)

    def _postmaster_target(self, target: Address, met: tuple[str, ...]) -> Verdict:
        """Follow ``[codomain] postmaster`` as far as it leads somewhere."""
        try:
            verdict = self._to_target(target, self.recipient, met)
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
                return self._to_target(domain.catch_all, recipient, (catch_all_mark(domain),))
        return self.ways.unresolved(recipient, domain)

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
            return nowhere(found)
        return self._mailbox(found, address, domain)
