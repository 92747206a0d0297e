"""Reads one line of an MTA's log for ``codomain explain --log``: whom, and from whom.

In flows a line as Postfix or Sendmail wrote it, with or without what syslog put before it;
out flows a :class:`Logged`.  The forms (smtpd's log_whatsup(), postscreen's, cleanup's for a
milter, the delivery agents' sent(), Sendmail's of check_rcpt and of milters):

    smtpd[7]: NOQUEUE: reject: RCPT from mx.test[192.0.2.1]: 550 5.1.1 <a@b.test>: Recipient
        address rejected: …; from=<c@d.test> to=<a@b.test> proto=ESMTP helo=<x>
    smtpd[7]: 4bQ1: milter-reject: RCPT from unknown[2001:db8::1]: 550 …; from=<> to=<…> …
    cleanup[7]: 4bQ1: milter-reject: END-OF-MESSAGE from mx.test[192.0.2.1]: 5.4.6 …; from=<…> …
    postscreen[7]: NOQUEUE: reject: RCPT from [192.0.2.1]:4711: 550 …; from=<…>, to=<…>, …
    smtp[7]: 4bQ1: to=<a@b.test>, orig_to=<c@d.test>, relay=…, dsn=5.1.1, status=bounced (…)
    sendmail[7]: 4bQ1: ruleset=check_rcpt, arg1=<a@b.test>, relay=mx.test [192.0.2.1],
        reject=550 5.1.1 …
    sendmail[7]: 4bQ1: Milter: to=<a@b.test>, reject=550 5.1.1 …

What a client sent stands between angle brackets, and may hold all of these forms itself, so
brackets are read with their quotes (RFC 5321 section 4.1.2), and from the left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

QUEUE_ID = re.compile(r"[0-9A-Za-z]{6,32}")
"""A queue id of Postfix, short or long, or of Sendmail (postconf(5), enable_long_queue_ids)."""

LINE_CHARACTERS = 16_384
"""A longer line is cut off: syslog's own are shorter."""

_CLIENT = r"(?P<host>[^\s\[\]]*)\[(?P<ip>[^\s\[\]]+)\](?::(?P<port>[0-9]+))?"
_WHATSUP = re.compile(
    rf"(?P<id>NOQUEUE|[0-9A-Za-z]+): (?P<what>[a-z][a-z_-]*): (?P<where>[A-Z-]+) from {_CLIENT}: "
)
_DELIVERY = re.compile(r"(?P<id>[0-9A-Za-z]{6,32}): (?=to=<)")
_RULESET = re.compile(r"ruleset=[a-zA-Z_]\w*, arg1=(?=.)")
_MILTER = re.compile(r"(?P<id>[0-9A-Za-z]{6,32}): Milter[^:]*: to=(?=<)")
_RELAY = re.compile(r"[^\[,]*\[(?:IPv6:)?(?P<ip>[0-9A-Fa-f.:]+)\]")
_SASL = re.compile(r"\bsasl_username=<?(?P<user>[^\s,>]+)")


@dataclass(frozen=True, slots=True)
class Logged:
    """What a line says of one recipient."""

    line: str
    """The line, as it was given."""

    recipient: str
    """The recipient, as the client gave it; where it was rewritten, the original one."""

    client: str = ""
    """The client's address; empty: the line names none, or it was ``unknown``."""

    sender: str = ""
    """The envelope sender."""

    sasl: str = ""
    """The name under which the client logged in."""

    reply: str = ""
    """What the client was told, or how the delivery ended."""

    queue_id: str = ""
    """The message's id in the queue; empty: it had none."""


def parse(line: str) -> Logged | None:
    """Return what a line says; None where it names no recipient in any of the forms."""
    line = line.strip()[:LINE_CHARACTERS]
    for read in (_whatsup, _ruleset, _milter, _delivery):
        found = read(line)
        if found is not None and found.recipient:
            return found
    return None


def is_queue_id(text: str) -> bool:
    """Tell whether a text can be a queue id: letters and digits, and at least one digit."""
    return bool(QUEUE_ID.fullmatch(text)) and any(c.isdigit() for c in text)


def path_at(text: str, start: int) -> tuple[str, int]:
    """Read what stands in angle brackets from ``start`` on; its content, and where it ends.

    A ``>`` in quotes is content.  Where the quotes do not close, what is written is not
    quoted at all (smtpd's internal form), and the first ``>`` ends it.
    """
    quoted = False
    at = start + 1
    while at < len(text):
        char = text[at]
        if char == "\\" and quoted:
            at += 1
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            return text[start + 1 : at], at + 1
        at += 1
    end = text.find(">", start)
    return (text[start + 1 : end], end + 1) if end >= 0 else (text[start + 1 :], len(text))


def _whatsup(line: str) -> Logged | None:
    """Read a line of smtpd, postscreen or cleanup."""
    match = _WHATSUP.search(line)
    if match is None:
        return None
    begin = _parameters(line, match.end())
    found = _pairs(line, begin)
    sasl = _SASL.search(line, begin)
    queue_id = match["id"]
    return Logged(
        line,
        found.get("to", ""),
        _ip(match["ip"]),
        found.get("from", ""),
        sasl["user"] if sasl else "",
        line[match.end() : begin].rstrip("; "),
        "" if queue_id == "NOQUEUE" else queue_id,
    )


def _parameters(line: str, start: int) -> int:
    """Return where the parameters behind a reply begin.

    The reply may hold the recipient, and so a text like theirs: what stands in its brackets
    is passed over.
    """
    at = start
    while at < len(line):
        if line[at] == "<":
            _, at = path_at(line, at)
        elif line.startswith(("; from=<", "; to=<", "; proto=", "; client="), at):
            return at
        else:
            at += 1
    # No parameters outside of brackets: the quotes of an address did not close.
    found = [line.find(mark, start) for mark in ("; from=<", "; to=<", "; proto=")]
    return min((at for at in found if at >= 0), default=len(line))


def _pairs(line: str, start: int) -> dict[str, str]:
    """Read ``name=<path>`` pairs, with or without commas between; the first of a name counts."""
    found: dict[str, str] = {}
    pair = re.compile(r"[;,\s]*(?:([a-z_]+)=)")
    at = start
    while (match := pair.match(line, at)) is not None:
        at = match.end()
        if line.startswith("<", at):
            value, at = path_at(line, at)
        else:
            end = re.compile(r"[,\s]").search(line, at)
            value, at = line[at : end.start() if end else None], end.start() if end else len(line)
        found.setdefault(match[1], value)
    return found


def _delivery(line: str) -> Logged | None:
    """Read a line of a delivery agent; an alias's original recipient is whom it was for."""
    match = _DELIVERY.search(line)
    if match is None:
        return None
    found = _pairs(line, match.end())
    status = line.find("status=", match.end())
    recipient = found.get("orig_to") or found.get("to", "")
    reply = line[status + len("status=") :] if status >= 0 else ""
    return Logged(line, recipient, reply=reply, queue_id=match["id"])


def _ruleset(line: str) -> Logged | None:
    """Read a line of a ruleset of Sendmail that refused a recipient."""
    match = _RULESET.search(line)
    if match is None or "check_rcpt" not in match[0]:
        return None
    if line.startswith("<", match.end()):
        recipient, at = path_at(line, match.end())
    else:
        at = line.find(", relay=", match.end())
        recipient, at = (line[match.end() : at], at) if at >= 0 else ("", match.end())
    relay = line.find("relay=", at)
    peer = _RELAY.match(line, relay + len("relay=")) if relay >= 0 else None
    return Logged(line, recipient, _ip(peer["ip"]) if peer else "", reply=_reject(line, at))


def _milter(line: str) -> Logged | None:
    """Read a line of Sendmail about a milter's reply to a recipient; it names no client."""
    match = _MILTER.search(line)
    if match is None:
        return None
    recipient, at = path_at(line, match.end())
    return Logged(line, recipient, reply=_reject(line, at), queue_id=match["id"])


def _reject(line: str, start: int) -> str:
    at = line.find("reject=", start)
    return line[at + len("reject=") :] if at >= 0 else ""


def _ip(text: str) -> str:
    return "" if text == "unknown" else text.removeprefix("IPv6:")
