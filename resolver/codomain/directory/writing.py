"""Changing the entries of a directory: add and modify, many requests under way at a time.

In flow requests, out flow the server's results, each with the request that it is for, in
the order in which the server gives them.  Nothing here decides what is changed, nothing
deletes an entry or gives it another name.  The daemon never writes: only the
administrator's commands do.
LDAP: RFC 4511 sections 4.6 (modify) and 4.7 (add).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from codomain.directory import ber, messages
from codomain.directory.messages import Done
from codomain.directory.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from codomain.directory.messages import Message

WINDOW = 64
"""Requests under way at a time: OpenLDAP closes a session in which more than conn_max_pending,
100, are waiting (slapd.conf(5)), and more than these make no server faster."""

_MODIFY, _MODIFIED, _ADD, _ADDED = 0x66, 0x67, 0x68, 0x69
_DONE = 0x65
_ADD_VALUES, _DELETE, _REPLACE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Addition:
    """A new entry."""

    dn: str
    """Its name."""

    attributes: Mapping[str, Sequence[bytes]]
    """Its values by attribute; each attribute has at least one."""

    def encode(self) -> bytes:
        """Write the operation (AddRequest)."""
        attributes = [_attribute(name, values) for name, values in self.attributes.items()]
        return ber.sequence(ber.octets(self.dn), ber.sequence(*attributes), tag=_ADD)


@dataclass(frozen=True, slots=True)
class Modification:
    """Values taken away from some attributes of an entry, and then values added.

    What is not named stays, also what somebody else added meanwhile.  All of it is done, or
    none: noSuchAttribute (16) where a value to be taken away is not there any more.
    """

    dn: str
    """The entry's name."""

    delete: Mapping[str, Sequence[bytes]]
    """The values that go."""

    add: Mapping[str, Sequence[bytes]]
    """The values that come, after the others have gone."""

    replace: Mapping[str, Sequence[bytes]]
    """The values that attributes have afterwards, whatever they had."""

    def encode(self) -> bytes:
        """Write the operation (ModifyRequest)."""
        changes = [
            ber.sequence(ber.integer(kind, ber.ENUMERATED), _attribute(name, values))
            for kind, attributes in (
                (_DELETE, self.delete),
                (_ADD_VALUES, self.add),
                (_REPLACE, self.replace),
            )
            for name, values in attributes.items()
        ]
        return ber.sequence(ber.octets(self.dn), ber.sequence(*changes), tag=_MODIFY)


_Request = TypeVar("_Request", bound=Addition | Modification)


class WritingWire(Wire):
    """A bound connection over which entries are changed; for one thread."""

    def carry_out(self, requests: Iterable[_Request]) -> Iterator[tuple[_Request, Done]]:
        """Send the requests and yield how each ended, whatever the server says.

        They do not wait for each other: none may depend on another one of them.

        Raises:
            BrokenError: the connection failed or was silent.  The requests whose result was
                not yielded may have been carried out, or not.

        """
        under_way: dict[int, _Request] = {}
        waiting = iter(requests)
        while True:
            while len(under_way) < WINDOW and (request := next(waiting, None)) is not None:
                under_way[self._write(request)] = request
            if not under_way:
                return
            message = self.due()
            if isinstance(message, Done) and message.id in under_way:
                yield under_way.pop(message.id), message

    def _write(self, request: Addition | Modification) -> int:
        identity = self._next()
        self._send(ber.sequence(ber.integer(identity), request.encode()))
        return identity

    def _parse(self) -> Message | None:
        """Read the results of both operations as those of a search: they have the same form.

        Section 4.1.9: all are an LDAPResult, and the tag alone tells them apart.  Where
        nothing is written they stay unknown, so that none passes for the end of a search.
        """
        size = messages.size(self._buffer, self._at)
        end = self._at + size
        if size and end <= len(self._buffer):
            _, at, _ = ber.header(self._buffer, self._at, end)
            _, _, operation = ber.header(self._buffer, at, end)
            if operation < end and self._buffer[operation] in {_MODIFIED, _ADDED}:
                rest = self._buffer[operation + 1 :]
                self._buffer = self._buffer[:operation] + bytes((_DONE,)) + rest
        return super()._parse()


def _attribute(name: str, values: Sequence[bytes]) -> bytes:
    return ber.sequence(ber.octets(name), ber.sequence(*map(ber.octets, values), tag=ber.SET))
