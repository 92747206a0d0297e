"""Ask a real MTA for each form of a relay tester, and send a message wherever it lets one.

In flow an SMTP session and the forms, out flows what was taken.  Octets go onto the wire as
they are: a form with a line end in it is two commands, as a client that smuggles writes it.
"""

from __future__ import annotations

import smtplib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.postfix import message
from support.relayforms import SENDERS, forms

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.relayforms import Form

FORMS_A_SESSION = 8
"""Postfix sleeps for a second after each error beyond the tenth (smtpd_soft_error_limit)."""


@dataclass
class Outcome:
    """What an MTA made of the forms."""

    options: bytes = b""
    """What stands behind MAIL FROM."""
    asked: int = 0
    taken: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Sender and recipient of each that was taken."""
    deferred: int = 0
    """How many were refused for now."""


def ask_all(connect: Callable[[], smtplib.SMTP], token: str, utf8: bytes = b"") -> Outcome:
    """Ask for every form from every sender; send a message to what is taken."""
    outcome, content = Outcome(utf8), message(token)
    session = connect()
    every = forms()
    for sender in dict.fromkeys([*SENDERS, *(form.sender or b"" for form in every)]):
        own = [form for form in every if form.sender in {None, sender}]
        for form in every if sender in SENDERS else own:
            outcome.asked += 1
            if outcome.asked % FORMS_A_SESSION == 0:
                session.close()
                session = connect()
            try:
                _ask(session, sender, form, content, outcome)
            except (smtplib.SMTPServerDisconnected, OSError):
                session.close()
                session = connect()  # it hangs up on whom it takes for an attacker
    session.close()
    return outcome


def _ask(
    session: smtplib.SMTP, sender: bytes, form: Form, message: bytes, outcome: Outcome
) -> None:
    """Ask for one form, and answer all that its octets come to."""
    session.send(b"MAIL FROM:<" + sender + b">" + outcome.options + b"\r\n")
    if session.getreply()[0] != 250:
        session.rset()
        return
    session.send(b"RCPT TO:<" + form.recipient + b">\r\n")
    codes = [session.getreply()[0] for _ in range(form.recipient.count(b"\n") + 1)]
    outcome.deferred += sum(400 <= code < 500 for code in codes)
    if not {250, 251}.isdisjoint(codes):  # 221 is a good-bye
        outcome.taken.append((sender, form.recipient))
        session.data(message)
    session.rset()
