"""One smart host, greeted for ``--probe``: its certificate, and whom it takes.

In flows a host; out flows what it said.  EHLO, STARTTLS, MAIL, and RCPT for a recipient
that nobody can have; never DATA (RFC 5321, RFC 3207).  MAIL carries the sign of a call-out,
so that another codomain answers from its directories alone.
"""

from __future__ import annotations

import secrets
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.callout import sign
from codomain.callout.wire import Wire
from codomain.errors import NextSystemError

if TYPE_CHECKING:
    from codomain.callout.answer import Reply
    from codomain.callout.host import Host

SECONDS = 10.0
"""A host that says nothing for so long while somebody watches does not answer."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """What one host said."""

    fault: str = ""
    """Why it cannot be asked; empty: it was."""

    certificate: str = ""
    """What is wrong with its certificate; empty: nothing, or it has no TLS."""

    tls: bool = False
    """It offers STARTTLS."""

    reply: Reply | None = None
    """Its reply to the recipient; None: none was asked for."""


def greet(host: Host, hello: str, domain: str, *, lmtp: bool, tls: bool) -> Greeted:
    """Greet a host, and ask for a random recipient of a domain (empty: for none)."""
    fault = ""
    for verify in (True, False):
        wire = Wire()
        try:
            return _session(wire, host, hello, domain, lmtp=lmtp, tls=tls, verify=verify, bad=fault)
        except ssl.SSLError as error:
            fault = getattr(error, "verify_message", "") or error.reason or f"{error}"
        except (OSError, NextSystemError, ValueError) as error:
            return Greeted(fault=f"{error or type(error).__name__}", certificate=fault)
        finally:
            wire.close()
    return Greeted(fault=f"TLS: {fault}", tls=True)


def _session(  # noqa: PLR0913 - the parts of a session
    wire: Wire,
    host: Host,
    hello: str,
    domain: str,
    *,
    lmtp: bool,
    tls: bool,
    verify: bool,
    bad: str,
) -> Greeted:
    wire.begin(time.monotonic() + SECONDS)
    wire.connect(host)
    _yes(wire.reply(), "the greeting")
    command = f"{'LHLO' if lmtp else 'EHLO'} {hello}"
    features = _features(_yes(wire.ask(command), command))
    offered = "STARTTLS" in features and not host.path
    if offered and tls:
        _yes(wire.ask("STARTTLS"), "STARTTLS")
        wire.start_tls(_context(verify=verify), host.name)
        features = _features(_yes(wire.ask(command), command))
    reply = None
    if domain:
        size = f" {sign.PARAMETER}" if "SIZE" in features else ""
        _yes(wire.ask(f"MAIL FROM:<>{size}"), "MAIL")
        reply = wire.ask(f"RCPT TO:<nobody{secrets.token_hex(8)}@{domain}>")
    wire.say_quit()
    return Greeted(certificate=bad, tls=offered, reply=reply)


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _features(reply: Reply) -> set[str]:
    return {line.split()[0].upper() for line in reply.text.split("\n")[1:] if line.strip()}


def _yes(reply: Reply, step: str) -> Reply:
    if not reply.taken:
        raise NextSystemError(f"{step}: {reply}")
    return reply
