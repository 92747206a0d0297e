"""One SMTP or LMTP session with a next system, for several recipients one after the other.

EHLO, STARTTLS as the connector's ``tls`` says, then for each recipient MAIL, RCPT, and
RSET; never DATA.  Beside the recipient two others are asked for where they are needed: the
control address before a refusal is believed, because most systems refuse *clients* at RCPT
too; and a name that nobody can have, to find out whether the system takes anything.

A session is worn after a few refusals, before Postfix and others slow down for a client
that makes many errors.

Standards: RFC 5321, RFC 2033 (LMTP), RFC 3207 (STARTTLS), RFC 6531 (SMTPUTF8), RFC 1870.
"""

from __future__ import annotations

import secrets
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from codomain.callout import sign
from codomain.callout.answer import Outcome
from codomain.callout.wire import Wire
from codomain.errors import NextSystemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.callout.answer import Reply
    from codomain.callout.host import Host, Hosts

    Tls = Literal["none", "may", "encrypt", "verify"]

MOST_REFUSALS = 8
"""Refusals of one session: Postfix answers a second later from the tenth error on
(smtpd_soft_error_limit, postconf(5))."""

MOST_RECIPIENTS = 80
"""Recipients of one session: Postfix counts RSETs as errors from the hundredth on
(smtpd_junk_command_limit, postconf(5)), and some recipients need two."""

CLOSING = 421
"""The server closes the connection (RFC 5321 section 3.8)."""

HOST_SHARE = 0.6
"""The part of the time that is left which one host gets to greet, while others remain."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How one system is asked."""

    hostname: str
    """The name by which this host greets."""

    sender: str = ""
    """The envelope sender; empty: ``<>``."""

    control: str = ""
    """An address that it surely knows; empty: no refusal is ever believed."""

    tls: Tls = "may"
    """How the connection is protected."""

    lmtp: bool = False
    """It speaks LMTP."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a system said of a recipient."""

    outcome: Outcome
    """What it proves."""

    detail: str = ""
    """Its words, for the log."""

    choosy: bool | None = None
    """It refuses what nobody can have; None: that was not found out."""


class TlsFailedError(NextSystemError):
    """The handshake failed, or the certificate proves nothing."""


class Contexts:
    """The TLS contexts, made at first need: the system's store takes 20 ms to read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[bool, ssl.SSLContext] = {}

    def of(self, tls: Tls) -> ssl.SSLContext:
        """Return the context of a mode: with ``verify`` chain, dates and name are checked."""
        verify = tls == "verify"
        with self._lock:
            if verify not in self._made:
                context = ssl.create_default_context()
                if not verify:
                    context.check_hostname = False
                    context.verify_mode = ssl.CERT_NONE
                self._made[verify] = context
            return self._made[verify]


class Session:
    """One connection, greeted."""

    def __init__(self, manner: Manner, contexts: Contexts) -> None:
        self._manner = manner
        self._contexts = contexts
        self._wire = Wire()
        self._features: frozenset[str] = frozenset()
        self._vouched = False
        self._refusals = 0
        self._recipients = 0
        self._broken = False
        self._mail = ""
        self.idle_since = 0.0

    @property
    def may_be_plain(self) -> bool:
        """Whether it may go on without TLS where that fails."""
        return self._manner.tls == "may"

    @property
    def worn(self) -> bool:
        """Whether it serves for no other recipient."""
        return (
            self._broken
            or self._refusals >= MOST_REFUSALS
            or self._recipients >= MOST_RECIPIENTS
            or self._wire.stale()
        )

    def greet(self, host: Host, until: float, *, plain: bool = False) -> None:
        """Connect to a host and greet it; ``plain``: without TLS, although ``tls = may``.

        Raises:
            OSError: it is not there, or does not answer in time.
            TlsFailedError: the connection could not be protected.
            NextSystemError: it refuses us.

        """
        wire, tls = self._wire, self._manner.tls
        wire.begin(until)
        wire.connect(host)
        _must(wire.reply(), "the greeting")
        self._hello()
        if tls == "none" or plain or host.path:
            return
        if "STARTTLS" in self._features:
            reply = wire.ask("STARTTLS")
            if not reply.taken:
                raise TlsFailedError(f"STARTTLS: {reply}")
            try:
                wire.start_tls(self._contexts.of(tls), host.name)
            except TimeoutError:
                raise
            except OSError as error:  # ssl.SSLError is one, and so is a closed connection
                raise TlsFailedError(f"TLS: {error}") from error
            self._hello()
        elif tls != "may":
            raise TlsFailedError("it offers no STARTTLS")

    def _hello(self) -> None:
        name = self._manner.hostname
        reply = self._wire.ask(f"LHLO {name}" if self._manner.lmtp else f"EHLO {name}")
        if not reply.taken and reply.code != CLOSING and not self._manner.lmtp:
            reply = _must(self._wire.ask(f"HELO {name}"), "HELO")
            self._features = frozenset()
            return
        _must(reply, "EHLO")
        lines = reply.text.split("\n")[1:]
        self._features = frozenset(line.split()[0].upper() for line in lines if line.strip())

    def ask(self, address: str, until: float, *, judged: bool) -> Said:
        """Ask about a recipient; ``judged``: it is known that its domain is choosy.

        Raises:
            OSError: the connection broke, or there was no answer in time.
            NextSystemError: the system refuses to be asked.

        """
        wire, sender = self._wire, self._manner.sender
        wire.begin(until)
        self._recipients += 1
        mail = f"MAIL FROM:<{sender}>"
        if "SIZE" in self._features:
            mail += f" {sign.PARAMETER}"
        if not (address + sender).isascii():
            if "SMTPUTF8" not in self._features:
                return Said(Outcome.UNSURE, "it has no SMTPUTF8")
            mail += " SMTPUTF8"
        self._broken = True  # until all has been said
        self._mail = mail
        _must(wire.ask(mail), "MAIL")
        said = self._rcpt(address, judged=judged)
        self._reset()
        return said

    def _rcpt(self, address: str, *, judged: bool) -> Said:
        try:
            reply = self._recipient(address)
        except ValueError:  # longer than a command may be
            return Said(Outcome.UNSURE, "no command can hold it")
        if reply.taken:
            return Said(Outcome.KNOWN, f"{reply}") if judged else self._judge(address, reply)
        if not reply.says_unknown:
            return Said(Outcome.UNSURE, f"{reply}")
        if not self._vouched:
            control = self._manner.control
            if not control:
                return Said(Outcome.UNSURE, f"{reply}; there is no verify_control")
            vouching = self._beside(control)
            if not vouching.taken:
                return Said(Outcome.UNSURE, f"{reply}; of {control} it says {vouching}")
            self._vouched = True
        return Said(Outcome.UNKNOWN, f"{reply}")

    def _judge(self, address: str, reply: Reply) -> Said:
        """Find out whether an address was taken because every one is."""
        domain = address.rpartition("@")[2]
        try:
            other = self._beside(f"nobody{secrets.token_hex(8)}@{domain}")
        except (OSError, NextSystemError):
            return Said(Outcome.KNOWN, f"{reply}")
        if other.taken:
            return Said(Outcome.ANYTHING, f"{reply}", choosy=False)
        return Said(Outcome.KNOWN, f"{reply}", choosy=True if other.says_unknown else None)

    def _beside(self, address: str) -> Reply:
        """Ask for another recipient, in a transaction of its own.

        Some systems let a message from <> have one recipient only.
        """
        _must(self._wire.ask("RSET"), "RSET")
        _must(self._wire.ask(self._mail), "MAIL")
        return self._recipient(address)

    def _recipient(self, address: str) -> Reply:
        # Not smtplib's rcpt, which cuts "a,b"@c to pieces: the address is quoted already.
        reply = self._wire.ask(f"RCPT TO:<{address}>")
        if reply.code == CLOSING:
            raise NextSystemError(f"RCPT: {reply}")
        self._refusals += not reply.taken
        return reply

    def _reset(self) -> None:
        """End the transaction; what was said holds also where this fails."""
        try:
            self._broken = not self._wire.ask("RSET").taken
        except (OSError, NextSystemError):
            self._broken = True

    def end(self) -> None:
        """Say QUIT, and close without waiting for the reply (smtp_skip_quit_response)."""
        if not self._broken:
            self._wire.say_quit()
        self.close()

    def abort(self) -> None:
        """Let whatever waits for the server fail at once; from another thread."""
        self._wire.abort()

    def close(self) -> None:
        """Close the connection at once."""
        self._broken = True
        self._wire.close()


def opened(make: Callable[[], Session], hosts: Hosts, until: float) -> Session:
    """Return a session with the first host that greets us; ``make`` gives new ones.

    Raises:
        NextSystemError: none does; with what was wrong with each.

    """
    failures = []
    order = hosts.order()
    for number, host in enumerate(order, 1):
        now = time.monotonic()
        last = number == len(order)
        share = until if last else now + (until - now) * HOST_SHARE
        try:
            session = _greeted(make, hosts, host, share)
        except (OSError, NextSystemError) as error:
            hosts.failed(host)
            failures.append(f"{host.path or host.name}: {error or type(error).__name__}")
        else:
            hosts.answered(host)
            return session
    raise NextSystemError("; ".join(failures) or "it has no host")


def _greeted(make: Callable[[], Session], hosts: Hosts, host: Host, until: float) -> Session:
    """Greet a host; with ``tls = may`` without TLS where that fails, as Postfix does."""
    session = make()
    try:
        session.greet(host, until, plain=hosts.is_plain(host))
    except TlsFailedError:
        session.close()
        if not session.may_be_plain:
            raise
        hosts.set_plain(host)
        return _greeted(make, hosts, host, until)
    except BaseException:
        session.close()
        raise
    return session


def _must(reply: Reply, step: str) -> Reply:
    """Return a reply that says yes.

    Raises:
        NextSystemError: it says no.

    """
    if not reply.taken:
        raise NextSystemError(f"{step}: {reply}")
    return reply
