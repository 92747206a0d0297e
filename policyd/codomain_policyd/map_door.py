"""The map door: a look-up of Postfix or Sendmail becomes a question, its verdict a value.

Maps do not know the client; they ask as a trusted unknown one, so that what depends on
the client is never answered by a map.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from codomain.address import Address, fold_domain, parse_recipient
from codomain.question import Door as Kind
from codomain.question import Question
from codomain.verdict import Pass, Refuse
from codomain_policyd.connection import Connection
from codomain_policyd.door import Asked, Door
from codomain_policyd.journal import log_refusal
from codomain_policyd.reply import (
    DOMAIN_MAPS,
    MAPS,
    TEMP,
    found,
    map_answer,
    reply_line,
    sendmail_hop,
)
from codomain_policyd.socketmap import NAME_OCTETS, NOTFOUND, MapDecoder, MapRequest, encode
from codomain_policyd.verdicts import LIFETIME

if TYPE_CHECKING:
    from codomain.resolver import Answer
    from codomain.runtime import Runtime

MAILERTABLE = b"mailertable"
"""Sendmail's map of domains, which is asked after ``route``."""

_LOGGED = frozenset({b"access", b"transport"})
"""The maps that refuse mail themselves; one refusal is asked for in up to five."""


class MapDoor(Door[MapRequest]):
    """Answers ``socketmap:`` look-ups."""

    name = Kind.MAP.value
    broken = encode(TEMP)
    pipeline = 32

    def refresh(self) -> None:
        """Start with empty verdicts, on one shelf: all look-ups have the same client, none."""
        super().refresh()
        self.shelf = self.verdicts.shelf(self.name)

    def _ask(self, request: MapRequest, runtime: Runtime, now: float) -> bytes | Asked[MapRequest]:
        reply = self._hit(self.shelf, request.frame, now)
        if reply is not None:
            return reply
        name = request.name.decode("ascii", "replace")
        if name in DOMAIN_MAPS:
            return self._domain(request, runtime, *DOMAIN_MAPS[name])
        if name in MAPS:
            address = parse_recipient(request.key)
        elif request.name == MAILERTABLE:
            address = self._any_of(request.key, runtime)
        else:
            self.throttle.warn("unknown-map", "name", map=name[:NAME_OCTETS])
            self.metrics.protocol_error(self.name, "map")
            return self.broken
        if not address.local or not address.written:
            return self._plain(request, NOTFOUND, runtime.label(""))
        question = Question(address, Kind.MAP)
        return self._peek(Asked(request, question, runtime, self.verdicts, self.shelf, now))

    def _any_of(self, key: bytes, runtime: Runtime) -> Address:
        """Return any recipient of a foreign domain; of ours ``route`` has said all there is."""
        domain = fold_domain(key.decode("utf-8", "surrogateescape"))
        if not domain or runtime.domain_kind(domain) is not None:
            return parse_recipient(b"")
        return parse_recipient(b"postmaster@" + domain.encode())

    def _answered(self, asked: Asked[MapRequest], answer: Answer) -> bytes:
        verdict, runtime, request = answer.verdict, asked.runtime, asked.request
        if request.name == MAILERTABLE:
            connector = verdict.connector if isinstance(verdict, Pass) else None
            text = NOTFOUND if connector is None else sendmail_hop(connector)
        else:
            ours = runtime.domain_kind(asked.question.recipient.domain) is not None
            text = map_answer(request.name.decode(), verdict, runtime.replies, ours=ours)
        if isinstance(verdict, Refuse) and request.name in _LOGGED:
            log_refusal(asked.question, verdict, reply_line(runtime.replies[verdict.reason]))
        reply = encode(text)
        tally = self._tally(asked, verdict)
        tally.count += 1
        if not text.startswith(b"TEMP"):
            self._keep(asked, request.frame, answer, (reply, tally))
        return reply

    def _domain(self, request: MapRequest, runtime: Runtime, wanted: str, value: str) -> bytes:
        """Answer with a value for a domain of ours of the kind that is wanted."""
        domain = fold_domain(request.key.decode("utf-8", "surrogateescape"))
        kind = runtime.domain_kind(domain) if domain else None
        answer = found(value) if kind == wanted else NOTFOUND
        return self._plain(request, answer, runtime.label(domain))

    def _plain(self, request: MapRequest, text: bytes, label: str) -> bytes:
        """Count and keep an answer that the configuration alone gives."""
        reply = encode(text)
        tally = self.metrics.requests(self.name, "domain", "", label)
        tally.count += 1
        entry = (time.monotonic() + LIFETIME, reply, tally)
        self.verdicts.keep(self.shelf, request.frame, entry, found=text != NOTFOUND)
        return reply


class MapConnection(Connection[MapRequest]):
    """One client of the maps: trivial-rewrite, smtpd, cleanup, sendmail."""

    __slots__ = ("_map_door", "_shelf")

    def __init__(self, door: MapDoor) -> None:
        super().__init__(door, MapDecoder())
        self._map_door = door
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered of the verdicts of a runtime."""
        self._shelf = self._map_door.shelf

    def data_received(self, data: bytes) -> None:
        """Answer a request; a whole netstring is its own key, so a hit is not even parsed."""
        if self._calm:
            shelf = self._shelf
            entry = shelf.found.get(data) or shelf.guessed.get(data)
            if entry is not None:
                expires, reply, tally = entry
                now = self._clock()
                if now < expires:
                    tally.count += 1
                    self._hits.count += 1
                    self.last = now
                    self._write(reply)
                    return
        self._feed(data)
