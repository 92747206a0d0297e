"""One connector's system as it is asked: its sessions, kept for the next recipient.

All methods may be called from several threads; each call of :meth:`System.ask` blocks for
no longer than the time that it is given.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING

from codomain.address import fold_domain, parse_mailbox
from codomain.callout.host import Hosts, host_from
from codomain.callout.session import Contexts, Manner, Session, opened
from codomain.errors import NextSystemError

if TYPE_CHECKING:
    from codomain.callout.session import Said
    from codomain.config import Config, ConnectorSection

IDLE_SECONDS = 2.0
"""A session that nobody needs for so long is ended (smtp_connection_cache_time_limit,
postconf(5))."""


class System:
    """One next system."""

    def __init__(self, manner: Manner, hosts: Hosts) -> None:
        self._manner = manner
        self._hosts = hosts
        self._contexts = Contexts()
        self._idle: list[Session] = []
        self._all: weakref.WeakSet[Session] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, address: str, seconds: float, *, judged: bool) -> Said:
        """Ask about one recipient, written out as RCPT wants it.

        ``judged``: it is known that the system is choosy about this domain.

        Raises:
            NextSystemError: it cannot be asked now.

        """
        until = time.monotonic() + seconds
        session = self._take()
        if session is not None:
            try:
                return self._said(session, address, until, judged=judged)
            except (ConnectionError, NextSystemError):
                pass  # a session in use again may have ended meanwhile: a new one will tell
            except OSError as error:
                raise NextSystemError(f"{error or type(error).__name__}") from error
        session = opened(self._make, self._hosts, until)
        try:
            return self._said(session, address, until, judged=judged)
        except OSError as error:
            raise NextSystemError(f"{error or type(error).__name__}") from error

    def tidy(self) -> bool:
        """End the sessions that nobody has needed lately; tell whether some are left."""
        before = time.monotonic() - IDLE_SECONDS
        with self._lock:
            old = [session for session in self._idle if session.idle_since <= before]
            self._idle = [session for session in self._idle if session.idle_since > before]
            left = bool(self._idle)
        for session in old:
            session.end()
        return left

    def close(self) -> None:
        """End all sessions; whoever waits for one in use is told so at once."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            used = [session for session in self._all if session not in idle]
        for session in idle:
            session.end()
        for session in used:
            session.abort()

    def _make(self) -> Session:
        """Make a session that :meth:`close` can break off."""
        with self._lock:
            if self._closed:
                raise NextSystemError("its configuration is no longer in force")
            session = Session(self._manner, self._contexts)
            self._all.add(session)
        return session

    def _said(self, session: Session, address: str, until: float, *, judged: bool) -> Said:
        try:
            said = session.ask(address, until, judged=judged)
        except BaseException:
            session.close()
            raise
        self._give(session)
        return said

    def _take(self) -> Session | None:
        """Return the session that was used last, if it still serves."""
        before = time.monotonic() - IDLE_SECONDS
        while True:
            with self._lock:
                if not self._idle:
                    return None
                session = self._idle.pop()
            if session.idle_since > before and not session.worn:
                return session
            session.end()

    def _give(self, session: Session) -> None:
        session.idle_since = time.monotonic()
        worn = session.worn
        with self._lock:
            keep = not worn and not self._closed
            if keep:
                self._idle.append(session)
        if not keep:
            session.end()


def _written(address: str) -> str:
    """Return an address of the configuration as a command has it, its domain in A-labels."""
    mailbox = parse_mailbox(address) if address else None
    return (mailbox.text() if mailbox else None) or address


def system_from(section: ConnectorSection, config: Config) -> System:
    """Build the system of a connector with ``verify = callout``."""
    lmtp = section.transport == "lmtp"
    hostname = config.codomain.hostname
    manner = Manner(
        hostname=fold_domain(hostname) or hostname,
        sender=_written(config.callout.sender),
        control=_written(section.verify_control),
        tls=section.tls,
        lmtp=lmtp,
    )
    return System(manner, Hosts(host_from(host, lmtp=lmtp) for host in section.smart_hosts))
