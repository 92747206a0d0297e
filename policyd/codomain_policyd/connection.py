"""One connection of an MTA: requests in, answers out in the order of their requests.

Answers that are known go out at once; the others wait in a queue, and whatever came after
them waits behind.  While the queue is full, or the client does not read its answers,
nothing more is read from it: so what one connection can make us hold is bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from codomain_policyd.door import Asked, Door
from codomain_policyd.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.resolver import Answer

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

UNREAD_OCTETS = 65_536
"""Answers that a client may leave unread before nothing more is read from it: what asyncio
itself buffers by default, and the longest policy request."""


TURN = 100
"""Requests of one connection that are answered in a row: some milliseconds of work at most,
then the other connections have their turn."""


class Decoder(Protocol[R_co]):
    """A sans-IO codec."""

    @property
    def empty(self) -> bool:
        """Whether no byte waits for the rest of its request."""

    def feed(self, data: bytes) -> None:
        """Take more bytes."""

    def next(self) -> R_co | None:
        """Return the next whole request, or raise ProtocolError."""


class _Slot:
    """The place of one answer in the queue."""

    __slots__ = ("reply", "task")

    def __init__(self, task: asyncio.Task[Answer] | None, reply: bytes | None = None) -> None:
        self.task = task
        self.reply = reply


class Connection(asyncio.Protocol, Generic[R]):
    """One connection, of either door."""

    __slots__ = (
        "_behind",
        "_broken",
        "_calm",
        "_clock",
        "_decoder",
        "_door",
        "_ending",
        "_eof",
        "_hits",
        "_queue",
        "_reading",
        "_transport",
        "_write",
        "last",
        "on_lost",
        "unread_since",
    )

    def __init__(self, door: Door[R], decoder: Decoder[R]) -> None:
        self._door = door
        self._decoder = decoder
        self._clock = time.monotonic
        self._hits = door.durations.hits
        self._queue: deque[_Slot] = deque()
        self._calm = False  # nothing is buffered, under way or coming to an end
        self._reading = True
        self._behind = False  # more requests are buffered than fit into one turn
        self._broken = False
        self._ending = False
        self._eof = False
        self.last = self._clock()
        """When it last asked something."""
        self.unread_since: float | None = None
        """Since when it has left too many answers unread, or its end is waited for."""
        self.on_lost: Callable[[], None] = self.forget
        """What is called when it is gone."""

    @property
    def door(self) -> str:
        """The name of its door."""
        return self._door.name

    @property
    def idle(self) -> bool:
        """Whether no answer is under way."""
        return not self._queue

    def forget(self) -> None:
        """Drop what was remembered of the verdicts of a runtime."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=UNREAD_OCTETS)
        self._write = self._transport.write
        self._door.connections.count += 1
        self._calm = True

    def connection_lost(self, exc: Exception | None) -> None:
        """End, however it came; nobody waits for the answers under way any more."""
        del exc
        self._calm = False
        self._broken = True
        self._door.connections.count -= 1
        for slot in self._queue:
            if slot.task is not None:
                slot.task.cancel()
        self._queue.clear()
        self.on_lost()

    def pause_writing(self) -> None:
        """Read nothing more: the client does not read its answers."""
        self.unread_since = self._clock()
        self._steady()

    def resume_writing(self) -> None:
        """Go on: the client has read its answers."""
        self.unread_since = None
        self._work()

    def eof_received(self) -> bool:
        """Answer what is under way, then close: the client asks nothing more."""
        self._eof = True
        self._ending = True
        self._work()
        return True

    def finish(self) -> None:
        """Close as soon as what was asked is answered."""
        self._ending = True
        self._work()

    def expire(self) -> None:
        """Close now: nothing was asked for too long, or only half of a request came."""
        self._broken = True
        self.finish()

    def abort(self) -> None:
        """Close at once, without the answers that the client has not read."""
        self._transport.abort()

    def _feed(self, data: bytes) -> None:
        self._decoder.feed(data)
        self._work()

    def _work(self) -> None:
        """Take requests until none is whole, the queue is full, or the client stops reading."""
        try:
            for _ in range(TURN):
                request = self._decoder.next() if self._has_room() else None
                if request is None:
                    break
                self._take(request)
            else:
                self._yield()
        except ProtocolError as fault:
            self._fail(fault.kind, str(fault))
        if self._eof and not (self._broken or self._behind or self._queue or self._decoder.empty):
            self._fail("truncated", "the connection ended within a request")
        self._steady()

    def _yield(self) -> None:
        """Go on in the loop's next round."""
        if not self._behind:
            self._behind = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._behind = False
        if not self._transport.is_closing():
            self._work()

    def _has_room(self) -> bool:
        return (
            not self._broken
            and self.unread_since is None
            and len(self._queue) < self._door.pipeline
        )

    def _take(self, request: R) -> None:
        self.last = now = self._clock()
        answer = self._door.answer(request, now)
        if isinstance(answer, Asked):
            task = asyncio.get_running_loop().create_task(self._door.resolve(answer))
            slot = _Slot(task)
            self._queue.append(slot)
            self._door.in_flight.count += 1
            task.add_done_callback(partial(self._done, slot, answer))
        elif self._queue:
            self._queue.append(_Slot(None, answer))
        else:
            self._write(answer)

    def _done(self, slot: _Slot, asked: Asked[R], task: asyncio.Task[Answer]) -> None:
        self._door.in_flight.count -= 1
        slot.reply = self._door.settle(asked, task)
        if not self._queue:  # the connection is gone
            return
        while self._queue and (reply := self._queue[0].reply) is not None:
            self._write(reply)
            self._queue.popleft()
        self.last = self._clock()
        self._work()

    def _fail(self, kind: str, text: str) -> None:
        """Say what is wrong with the client's bytes, and close once earlier answers are out."""
        door = self._door
        self._broken = True
        self._ending = True
        door.metrics.protocol_error(door.name, kind)
        door.throttle.warn("protocol-error", kind, door=door.name, detail=text)

    def _steady(self) -> None:
        """Read as long as there is room for more; close when all is done that was to be done."""
        transport = self._transport
        if transport.is_closing():
            self._calm = False
            return
        room = self._has_room()
        empty = self._decoder.empty
        self._calm = room and empty and not self._queue and not self._ending
        if self._ending and not self._queue and (empty or self._broken):
            if self.unread_since is None:
                self.unread_since = self._clock()
            transport.close()
            return
        # Without bytes that wait, one more chunk may come: that costs less than two calls.
        reading = (room and not self._behind) or (
            empty and not self._broken and self.unread_since is None
        )
        if reading != self._reading and not self._eof:
            self._reading = reading
            if reading:
                transport.resume_reading()
            else:
                transport.pause_reading()
