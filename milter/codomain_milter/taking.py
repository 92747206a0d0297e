"""What a milter makes of a verdict on one recipient: whether it can carry it out, and how.

In flow a verdict and RCPT's octets; out flows a verdict that a milter can carry out, and
what the end of the message has to know of the recipient.  Pure: it talks to no MTA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.address import parse_mailbox
from codomain.verdict import Defer, Deliver, Pass, Reason, Redirect, Refuse, Relay
from codomain_milter.envelope import Taken

if TYPE_CHECKING:
    from codomain.question import Question
    from codomain.verdict import Verdict


def feasible(verdict: Verdict, recipient: bytes, *, replaces: bool) -> Verdict:
    """Return a verdict that a milter can carry out: Refuse or Defer in place of what it cannot.

    ``replaces``: the MTA lets recipients be added and deleted.
    """
    if isinstance(verdict, Relay) and verdict.diverted:
        way = verdict.connector.name
        return Refuse(Reason.LOOP, detail=f"it goes by {way}, and a milter leads nowhere")
    target = _target(verdict)
    if not target:
        return verdict
    if not replaces:
        return Defer(Reason.FAULT, detail="the MTA lets no recipient be replaced")
    if not _is_utf8(recipient):
        return Defer(Reason.FAULT, detail="a recipient that is no UTF-8 cannot be replaced")
    if parse_mailbox(target) is None:
        return Defer(Reason.FAULT, detail=f"the target {target!r} is no mailbox")
    return verdict


def taken(recipient: bytes, question: Question, verdict: Verdict, *, shadow: bool) -> Taken:
    """Return what is known of a recipient that was not refused; its DSN parameters are not."""
    given = recipient.decode("utf-8", "surrogateescape")
    key = question.recipient.key or given
    target = "" if shadow else _target(verdict)
    return Taken(given, key, target, connector=_connector(verdict), shadow=shadow)


def unbracketed(path: bytes) -> str:
    """Return a path of MAIL or RCPT without its brackets; octets that are no UTF-8 survive."""
    text = path.decode("utf-8", "surrogateescape").strip(" \t")
    return text[1:].removesuffix(">") if text.startswith("<") else text


def announced(parameters: tuple[bytes, ...]) -> bool:
    """Tell whether MAIL's parameters announce SMTPUTF8 (RFC 6531 section 3.4)."""
    return any(parameter.partition(b"=")[0].upper() == b"SMTPUTF8" for parameter in parameters)


def _target(verdict: Verdict) -> str:
    match verdict:
        case Redirect(target=target) | Deliver(address=target, changed=True):
            return target
        case _:
            return ""


def _connector(verdict: Verdict) -> str:
    if isinstance(verdict, Pass | Refuse | Defer) or verdict.connector is None:
        return ""
    return verdict.connector.name


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
