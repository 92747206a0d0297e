"""Stamping: the changes of a plan, written to the directory over LDAP.

Each entry is one modify request (RFC 4511 section 4.6), which a server carries out as a
whole or not at all: values are taken away and added one by one, never replaced in bulk, so
that an address that somebody else added meanwhile stays.  A run that was ended midway is
made again: what was written is then found to be right.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.directory.messages import SUCCESS
from codomain.directory.writing import Modification
from codomain_cli.bulk.connecting import connect
from codomain_cli.stamping.entries import MAIL, PROXIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from codomain.config import DirectorySection
    from codomain_cli.stamping.plan import Change


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change."""

    change: Change
    """The change."""

    fault: str = ""
    """Why it was not made; empty: it was."""


def write(
    section: DirectorySection, changes: Sequence[Change], done: Callable[[], None]
) -> Iterator[Outcome]:
    """Carry changes of one directory out, and yield what became of each.

    ``done`` is called after each of them.  What the server refuses does not stop the rest.

    Raises:
        DirectoryError: no server takes the connection, or it failed midway; what was
            written stays, and a new run goes on from there.

    """
    by_dn = {change.entry.dn: change for change in changes}
    with closing(connect(section)) as wire:
        for request, result in wire.carry_out(map(modification, changes)):
            done()
            fault = "" if result.code == SUCCESS else result.describe()
            yield Outcome(by_dn[request.dn], fault)


def modification(change: Change) -> Modification:
    """Return a change as a request: the server finds SMTP:x and smtp:x alike, so one goes first."""
    return Modification(
        change.entry.dn,
        delete={PROXIES: _octets(change.delete)} if change.delete else {},
        add={PROXIES: _octets(change.add)} if change.add else {},
        replace={MAIL: _octets([change.mail])} if change.mail else {},
    )


def _octets(values: Sequence[str]) -> list[bytes]:
    return [value.encode() for value in values]
