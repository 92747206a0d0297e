"""A directory that is asked over LDAP: which server, how long, and what an answer is worth.

In flow an address; out flow the entries to which it resolves.  What a server finds is
compared again by our own fold, because its matching rules are not ours; what it does not
find is believed only from a plain success that also shows somebody who must be there
(:mod:`codomain.directory.witness`).  Everything else is a
:class:`~codomain.errors.DirectoryError`.

One search takes one connection of the pool and one deadline.  A connection that turns out
to be dead is replaced at once; a server that fails is left alone for a while, and the
next one is asked, once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.directory.link import (
    INVALID_CREDENTIALS,
    SERVER_TROUBLE,
    BrokenError,
    Link,
    ResultError,
)
from codomain.directory.messages import SCOPES
from codomain.directory.pool import Pool, SlotError
from codomain.directory.prompt import Started
from codomain.directory.reading import Reading
from codomain.directory.schema import SCHEMAS, address_key, next_ranges
from codomain.directory.servers import Servers, parse_server
from codomain.directory.tls import Trust
from codomain.directory.witness import Witnesses
from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.directory.base import Recipient
    from codomain.directory.messages import Entry
    from codomain.directory.section import Section
    from codomain.directory.servers import Server

TRIES = 2
"""The most servers that one search asks: the first choice, and one more."""

FAIR_TRY = 0.5
"""Seconds (or half the directory's ``timeout``) after which silence is a server's fault.

A caller with less time than that left says nothing about the server.
"""

CHECK_KEY = "postmaster@invalid"
"""What :meth:`LdapDirectory.check` asks for without a canary: nobody has it (RFC 2606)."""


@dataclass(frozen=True, slots=True)
class LdapTrace:
    """How an answer came about, for ``codomain explain``."""

    filter: str
    """The filter for the address; what was sent asks for a witness beside it."""

    base: str
    """The DN below which was searched."""

    server: str
    """The URI of the server that answered."""

    seconds: float
    """How long it took, with everything."""

    recipients: tuple[Recipient, ...]
    """The entries to which the address resolves."""


class _WitnessError(DirectoryError):
    """The server does not show whom it must have, so whom else it lacks says nothing."""


class LdapDirectory:
    """An LDAP directory; for any number of threads."""

    def __init__(
        self,
        section: Section,
        observe: Callable[[str, str, float], None] | None = None,
    ) -> None:
        """Read the section; no connection is opened, and no server needs to be there.

        ``observe`` is told how each server that was asked answered: its URI, ``found``,
        ``not_found``, ``error`` or ``timeout``, and the seconds it took.  Where no server
        could be asked (all are down, or all connections are in use) the URI is empty.

        Raises:
            DirectoryError: the section names no server, or what is no server, no schema
                or no scope: a fault of the configuration.

        """
        self.name = section.name
        self._section = section
        self._observe = observe or _ignore
        try:
            self._schema = SCHEMAS[section.schema]
            _ = SCOPES[section.scope]
            servers = [parse_server(uri) for uri in section.servers]
        except KeyError as error:
            raise DirectoryError(f"{error.args[0]}: no such schema or scope") from error
        except ValueError as error:
            raise DirectoryError(str(error)) from error
        if not servers:
            raise DirectoryError("no server")
        self._servers = Servers(servers)
        self._pool = Pool(section.pool_size)
        self._trust = Trust(section.ca_file)
        self._witnesses = Witnesses(address_key(section.canary))
        self._reading = Reading(section, self._schema)
        self._met: dict[bytes, Entry] = {}  # of the loop's thread

    def peek(self, key: str) -> tuple[Recipient, ...] | None:  # noqa: ARG002 - the protocol's
        """Return None: every address is asked for."""
        return None

    def find(self, key: str, timeout: float) -> tuple[Recipient, ...]:
        """Return the entries to which an address resolves; none: it is not there.

        Takes as long as the section's ``timeout`` at most, or ``timeout`` if that is less.

        Raises:
            DirectoryError: there was no plain answer in time; the MTA gets 451 4.4.3, or
                an earlier answer that still serves.

        """
        return self._find(key, timeout)[1]

    def trace(self, key: str, timeout: float) -> LdapTrace:
        """Find an address and tell how: see :meth:`find`."""
        began = time.monotonic()
        server, recipients = self._find(key, timeout)
        return LdapTrace(
            filter=self.filter(key),
            base=self._section.base,
            server=server.uri,
            seconds=time.monotonic() - began,
            recipients=recipients,
        )

    def _find(self, key: str, timeout: float) -> tuple[Server, tuple[Recipient, ...]]:
        began = time.monotonic()
        until = began + min(timeout, self._section.timeout)
        try:
            with self._pool.slot(until):
                return self._ask_servers(key, until)
        except SlotError:
            self._observe("", "timeout", time.monotonic() - began)
            raise

    # --- on the event loop

    def begin(self, key: str, timeout: float) -> Started | bool:
        """Begin a search for the loop (:class:`codomain.directory.prompt.Prompt`)."""
        try:
            if not self._pool.try_slot():
                return True
        except DirectoryError:
            return False
        link, began = None, time.monotonic()
        try:
            server = self._servers.first_up()
            link = None if server is None else self._pool.take(server)
            if server is None or link is None:
                return False
            until = began + min(timeout, self._section.timeout)
            other = self._servers.another([server])
            beside = self._witnesses.beside(key)
            share = (began + until) / 2 if other else until
            started = Started(link, key, beside, began, until, share)
        except DirectoryError:  # it was closed meanwhile
            return False
        finally:
            if link is None:
                self._pool.free_slot()
        self._send(started)
        return started

    def _send(self, started: Started) -> None:
        section, link = self._section, started.link
        try:
            sought = self._reading.sought(started.keys)
            started.collector = link.begin(
                section.base,
                section.scope,
                sought,
                self._schema.attributes,
                started.share,
                self._met,
            )
        except Exception as error:  # noqa: BLE001  # the thread that goes on raises it
            started.failure = error

    def conclude(self, started: Started) -> tuple[Recipient, ...] | None:
        """Return what a search has found, if that is plain; None: :meth:`resume`, in a thread."""
        answer, key, beside = started.answer, started.key, started.beside
        if answer is None or answer.done.code or answer.references or started.failure:
            return None
        if any(next_ranges(entry.raw) for entry in answer.entries):
            return None
        found = self._reading.found(started.link, started.keys, answer, started.share)
        recipients = found[key]
        if recipients:
            self._witnesses.seen(recipients[0].dn, key)
        elif not (found[beside] if beside else not self._witnesses.canary):
            return None
        link = started.link
        link.used()
        self._pool.give_back(link)
        self._pool.free_slot()
        result = "found" if recipients else "not_found"
        self._observe(link.server.uri, result, time.monotonic() - started.began)
        self._servers.answered(link.server)
        return recipients

    def resume(self, started: Started) -> tuple[Recipient, ...]:
        """Go on in a thread with a search that was begun; as :meth:`find` from then on."""
        try:
            return self._ask_servers(started.key, started.until, started)[1]
        finally:
            self._pool.free_slot()

    # --- in a thread

    def filter(self, key: str) -> str:
        """Return the filter that is sent for an address."""
        return self._schema.filter(key, self._section.filter)

    def servers(self) -> list[tuple[str, bool]]:
        """Return each server's URI and whether its last answer was one, in order."""
        return self._servers.status()

    def check(self) -> None:
        """Tell whether the directory answers now: the canary, or any plain answer.

        Raises:
            DirectoryError: it does not, with the reason; ``/readyz`` answers 503.

        """
        self.find(self._witnesses.canary or CHECK_KEY, self._section.timeout)

    def close(self) -> None:
        """Close all connections; searches under way end with DirectoryError."""
        self._pool.close()

    def _ask_servers(
        self, key: str, until: float, started: Started | None = None
    ) -> tuple[Server, tuple[Recipient, ...]]:
        tried: list[Server] = []
        faults: list[str] = []
        while len(tried) < TRIES:
            first = None if tried else started
            server = self._servers.choose(tried) if first is None else first.link.server
            if server is None:
                break
            tried.append(server)
            share = until if first is None else first.share
            if first is None and len(tried) < TRIES and self._servers.another(tried):
                share = (time.monotonic() + until) / 2  # a silent one leaves time for the next
            try:
                return server, self._ask(server, key, share, first)
            except DirectoryError as error:
                faults.append(str(error))
        if not tried:
            self._observe("", "error", 0.0)
            wait = self._servers.next_try()
            faults.append(f"no server is up; the next try is in {wait:.0f} s")
        raise DirectoryError("; ".join(faults))

    def _ask(
        self, server: Server, key: str, until: float, first: Started | None = None
    ) -> tuple[Recipient, ...]:
        """Ask one server, and keep the books on it."""
        began = time.monotonic() if first is None else first.began
        result = "error"
        try:
            recipients = self._ask_once_or_twice(server, key, until, first)
            result = "found" if recipients else "not_found"
        except DirectoryError as error:
            if isinstance(error, BrokenError) and error.timed_out:
                result = "timeout"
            self._blame(server, error, until - began)
            raise
        finally:
            self._observe(server.uri, result, time.monotonic() - began)
        self._servers.answered(server)
        return recipients

    def _blame(self, server: Server, error: DirectoryError, had: float) -> None:
        """Decide whether a failure says that the server is down."""
        if isinstance(error, ResultError):
            if error.code in SERVER_TROUBLE:
                # A wrong password is not tried again and again: it would lock the account.
                self._servers.failed(server, at_once=error.code == INVALID_CREDENTIALS)
            else:
                self._servers.answered(server)
        elif isinstance(error, _WitnessError):
            self._servers.answered(server)  # what it finds is still believed
        elif isinstance(error, BrokenError):
            if error.timed_out and had < min(FAIR_TRY, self._section.timeout / 2):
                return
            self._servers.failed(server)
            self._pool.discard_idle(server)

    def _ask_once_or_twice(
        self, server: Server, key: str, until: float, first: Started | None
    ) -> tuple[Recipient, ...]:
        """Ask over an idle connection, and over a new one where that proves dead."""
        link = self._pool.take(server) if first is None else first.link
        if link is not None:
            try:
                return self._ask_over(link, key, until, first)
            except BrokenError as error:
                if error.timed_out:
                    raise
                self._pool.discard_idle(server)  # the server restarted: all are dead
        link = Link(server, self._section, self._trust, until)
        self._pool.add(link)
        return self._ask_over(link, key, until)

    def _ask_over(
        self, link: Link, key: str, until: float, first: Started | None = None
    ) -> tuple[Recipient, ...]:
        keep = False
        try:
            recipients = self._recipients(link, key, until, first)
            keep = True
        except ResultError as error:
            keep = error.code not in SERVER_TROUBLE
            raise
        finally:
            if keep:
                self._pool.give_back(link)
            else:
                self._pool.discard(link)
        return recipients

    def _recipients(
        self, link: Link, key: str, until: float, first: Started | None
    ) -> tuple[Recipient, ...]:
        """Search one address, and believe that nobody has it only where others are shown."""
        if first is None:
            beside = self._witnesses.beside(key)
            found = self._reading.search(link, [key, beside] if beside else [key], until)
        else:
            beside = first.beside
            found = self._reading.found(link, first.keys, first.finish(), until)
        recipients = found[key]
        if recipients:
            self._witnesses.seen(recipients[0].dn, key)
        elif self._witnesses.canary:
            if not beside or not found[beside]:
                canary = self._section.canary
                raise _WitnessError(f"{link.server.uri}: the canary {canary} is not found")
        elif beside and not found[beside]:
            self._ask_the_others(link, key, beside, until)
        return recipients

    def _ask_the_others(self, link: Link, key: str, missing: str, until: float) -> None:
        """Look whether anybody is shown of whom this directory showed lately."""
        keys = self._witnesses.others(key, missing)
        found = self._reading.search(link, keys, until) if keys else {}
        shown = [other for other in keys if found[other]]
        if not shown:
            raise _WitnessError(
                f"{link.server.uri}: none of those whom it showed lately is shown now: has it "
                "lost its entries, or codomain its rights to them? If they were deleted, reload"
            )
        self._witnesses.gone(missing, *(other for other in keys if not found[other]))


def _ignore(server: str, result: str, seconds: float) -> None:
    """Take no notice."""
