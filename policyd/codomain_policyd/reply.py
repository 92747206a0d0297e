"""What the policy server and the maps make of a verdict.

Policy actions are those of access(5).  ``OK`` is never among them: in
smtpd_relay_restrictions it would open a relay, so what is accepted gets ``DUNNO``, and
the restrictions that follow have their say.  Maps answer as socketmap_table(5) says;
what they mean to their asker stands in postconf(5): relay_recipient_maps,
virtual_alias_maps, transport_maps, check_recipient_access.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codomain.address import parse_mailbox
from codomain.verdict import Defer, Deliver, Pass, Redirect, Refuse, Relay
from codomain_policyd.mailer import way_to
from codomain_policyd.socketmap import NOTFOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codomain.connectors import Connector
    from codomain.replies import Replies, Reply
    from codomain.verdict import Verdict

DUNNO = b"action=DUNNO\n\n"
"""Nothing against it; the restrictions that follow decide."""

BROKEN = b"action=451 4.3.5 Recipient cannot be checked now: server error, try again later\n\n"
"""Our own fault (RFC 3463, X.3.5); it must depend on nothing that can break."""

TEMP = b"TEMP temporarily unavailable"
"""A map's answer where we do not know; the text reaches the log of the MTA only."""

REPLY_OCTETS = 510
"""The longest reply line without its CR LF (RFC 5321 section 4.5.3.1.5)."""

ACCEPTED = b"OK accepted"
"""relay_recipient_maps wants a value, and reads none."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def policy_action(verdict: Verdict, replies: Replies, *, by_filter: bool) -> bytes:
    """Return the answer of the policy server; ``by_filter``: ``redirect = filter`` is set.

    FILTER and REDIRECT act on the whole message: see :mod:`codomain_policyd.route`.
    """
    match verdict:
        case Refuse(reason=reason) | Defer(reason=reason):
            return reply_action(replies[reason])
        case Relay(connector=connector, diverted=diverted) if diverted or by_filter:
            return _action(f"FILTER {connector.next_hop}")
        case Deliver(connector=connector) if by_filter and connector is not None:
            return _action(f"FILTER {connector.next_hop}")
        case Redirect(target=target) if by_filter:
            return _redirect(target)
        case _:
            return DUNNO


def reply_action(reply: Reply) -> bytes:
    """Return the answer of the policy server that makes smtpd give a reply."""
    return _action(reply_line(reply))


def reply_line(reply: Reply) -> str:
    """Return a reply as one line of UTF-8 without control characters, short enough for SMTP."""
    line = clean(reply.line).encode("utf-8", "replace")[:REPLY_OCTETS]
    return line.decode("utf-8", "ignore")


def clean(text: str) -> str:
    """Replace control characters and line ends by spaces: they would end the answer."""
    return _CONTROL.sub(" ", text)


def map_answer(name: str, verdict: Verdict, replies: Replies, *, ours: bool) -> bytes:
    """Return what a map of recipients answers, without its netstring.

    ``name`` is one of :data:`MAPS`; ``ours``: the recipient's domain is one of ours.
    """
    if isinstance(verdict, Defer):
        return TEMP
    return MAPS[name](verdict, replies, ours)


def found(value: str) -> bytes:
    """Return the answer ``OK value``."""
    return b"OK " + clean(value).encode("utf-8", "surrogateescape")


def sendmail_hop(connector: Connector) -> bytes:
    """Return a connector as Sendmail's mailertable writes it: ``esmtp:[a]:[b]``.

    TEMP, so that the mail waits, where Sendmail has no way to it.
    """
    way = way_to(connector)
    if way is None:
        return b"TEMP connector " + connector.name.encode() + b" has no form in a mailertable"
    return found(way.value)


def _redirect(target: str) -> bytes:
    """Return REDIRECT with a target as Postfix wants it there: without quotes (access(5)).

    What stands before the local part's first character is a blank to Postfix: a local part
    that begins with one waits.
    """
    address = parse_mailbox(target)
    if address is None or address.local.startswith(" "):
        return BROKEN
    return _action(f"REDIRECT {address.local}@{address.domain}")


def _action(text: str) -> bytes:
    return b"action=%s\n\n" % clean(text).encode("utf-8", "surrogateescape")


def _recipient(verdict: Verdict, _replies: Replies, _ours: bool) -> bytes:  # noqa: FBT001
    match verdict:
        case Deliver() | Redirect() | Relay() | Pass(ours=True):
            return ACCEPTED
        case _:
            return NOTFOUND


def _alias(verdict: Verdict, _replies: Replies, _ours: bool) -> bytes:  # noqa: FBT001
    match verdict:
        case Redirect(target=target):
            return found(target)
        case Deliver(address=address, changed=True):
            return found(address)
        case _:
            return NOTFOUND


def _transport(verdict: Verdict, replies: Replies, ours: bool) -> bytes:  # noqa: FBT001
    match verdict:
        case Refuse(reason=reason) if ours:
            # error(8) bounces; what the INI has made temporary waits, through retry(8).
            reply = replies[reason]
            service = "retry" if reply.temporary else "error"
            return found(f"{service}:{reply.enhanced} {reply.text}")
        case Refuse() | Defer():
            return NOTFOUND
        case _:
            connector = verdict.connector
            return NOTFOUND if connector is None else found(connector.next_hop)


def _access(verdict: Verdict, replies: Replies, _ours: bool) -> bytes:  # noqa: FBT001
    if isinstance(verdict, Refuse):
        return found(reply_line(replies[verdict.reason]))
    return NOTFOUND


def _route(verdict: Verdict, replies: Replies, ours: bool) -> bytes:  # noqa: FBT001
    match verdict:
        case Refuse(reason=reason) if ours:
            # For what has passed no milter; Sendmail's rules make the reply, from the code alone.
            return found(f"error:{replies[reason].enhanced}")
        case Refuse() | Defer():
            return NOTFOUND
        case _:
            return NOTFOUND if verdict.connector is None else sendmail_hop(verdict.connector)


MAPS: Mapping[str, Callable[[Verdict, Replies, bool], bytes]] = {
    "recipient": _recipient,
    "alias": _alias,
    "transport": _transport,
    "access": _access,
    "route": _route,
}
"""The maps that are asked for a recipient."""

RELAYED = "localhost."
"""What Sendmail's rules look for in ``mxserved``: a name of the host itself (class w)."""

DOMAIN_MAPS: Mapping[str, tuple[str, str]] = {
    "domain": ("relay", "relay"),
    "mailbox-domain": ("mailbox", "mailbox"),
    "mxserved": ("relay", RELAYED),
}
"""The maps that are asked for a domain: the kind of domain that each holds, and its value.

``mxserved`` is Sendmail's, by a name that its rulesets give: what it may relay to.  Unlike
the access map it is asked for the domain itself and never for those above it.
"""
