"""Stamping: the changes of a plan, written to the directory over LDAP.

What comes to an entry is one modify request (RFC 4511 section 4.6), which a server carries
out as a whole or not at all: values are taken away and added one by one, never replaced in
bulk, so that an address that somebody else added meanwhile stays.  A run that was ended
midway is made again: what was written is then found to be right.

What ``--remove`` takes away goes in a second request, when everybody has what is new: were
it gone before, a run that is made again would find it free, and give it to somebody who is
to have another one.
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
    from collections.abc import Generator, Iterator, Sequence

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
    sections: Sequence[DirectorySection], changes: Sequence[Change]
) -> Generator[Outcome, None, None]:
    """Carry changes out, and yield what became of each.

    What a server refuses does not stop the rest.

    Raises:
        DirectoryError: no server takes the connection, or it failed midway; what was
            written stays, and a new run goes on from there.

    """
    losing = []
    for change, fault in _wave(sections, [(change, gains(change)) for change in changes]):
        if fault or losses(change) is None:
            yield Outcome(change, fault)
        else:
            losing.append(change)
    for change, fault in _wave(sections, [(change, losses(change)) for change in losing]):
        yield Outcome(change, fault)


def gains(change: Change) -> Modification | None:
    """Return what comes: the server finds SMTP:x and smtp:x alike, so one goes first."""
    return _modification(
        change, change.delete, change.add, "" if change.loses_mail else change.mail
    )


def losses(change: Change) -> Modification | None:
    """Return what goes in the end."""
    return _modification(change, change.remove, [], change.mail if change.loses_mail else "")


def _modification(
    change: Change, delete: Sequence[str], add: Sequence[str], mail: str
) -> Modification | None:
    if not (delete or add or mail):
        return None
    return Modification(
        change.entry.dn,
        delete={PROXIES: _octets(delete)} if delete else {},
        add={PROXIES: _octets(add)} if add else {},
        replace={MAIL: _octets([mail])} if mail else {},
    )


def _wave(
    sections: Sequence[DirectorySection], wanted: Sequence[tuple[Change, Modification | None]]
) -> Iterator[tuple[Change, str]]:
    """Send requests to every directory; yield each change with the server's fault, or none."""
    yield from ((change, "") for change, request in wanted if request is None)
    for section in sections:
        by_request = {
            id(request): (change, request)
            for change, request in wanted
            if request is not None and change.entry.directory == section.name
        }
        if by_request:
            with closing(connect(section)) as wire:
                requests = [request for _, request in by_request.values()]
                for request, result in wire.carry_out(requests):
                    fault = "" if result.code == SUCCESS else result.describe()
                    yield by_request[id(request)][0], fault


def _octets(values: Sequence[str]) -> list[bytes]:
    return [value.encode() for value in values]
