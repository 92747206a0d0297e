"""A search that the event loop waits for, without a thread: sent, read as it comes, concluded.

The loop does what is plain: a connection is there, the server answers with a success, and
every entry is whole.  Whatever else happens (nothing idle, a failure, silence, values kept
back, a miss that needs proof) goes on in a thread, with the same connection and deadline,
as if it had begun there: so there is one place that decides about servers and answers, and
handing a search to a thread and back, which costs more than the search, is rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from codomain.directory.base import Recipient
    from codomain.directory.exchange import Answer, Collector
    from codomain.directory.link import Link

PROMPT_OCTETS = 32_768
"""The longest answer that the loop reads: with more values to fold it would hold the doors for
milliseconds, so a thread goes on.  A usual one has some hundred octets."""


@dataclass(slots=True)
class Started:
    """A search under way on the loop; it holds a slot and a connection of its directory."""

    link: Link
    """The connection."""

    key: str
    """The address."""

    beside: str
    """The witness that was asked for beside it; empty: none."""

    began: float
    """When it was sent, on the monotonic clock."""

    until: float
    """When the whole search has to end, with all servers that are tried."""

    share: float
    """When this server has to have answered."""

    collector: Collector | None = None
    """What has come; None: it could not be sent."""

    answer: Answer | None = None
    """The answer, once it is whole."""

    failure: Exception | None = None
    """Why there is none; a fault of ours, too, which must not end in the loop."""

    @property
    def keys(self) -> list[str]:
        """The addresses that were asked for."""
        return [self.key, self.beside] if self.beside else [self.key]

    def read(self) -> bool:
        """Take what has come; whether the loop has done its part."""
        collector = self.collector
        if collector is None:
            return True
        try:
            self.answer = self.link.read(collector, PROMPT_OCTETS)
        except Exception as error:  # noqa: BLE001  # the thread that goes on raises it
            self.failure = error
            return True
        return self.answer is not None or collector.octets > PROMPT_OCTETS

    def late(self) -> None:
        """Give up: the time is up."""
        self.failure = self.link.late()

    def finish(self) -> Answer:
        """Return the answer, in a thread that may wait for the rest of it.

        Raises:
            BrokenError: the connection failed, or the time was up.
            ResultError: the server gave another result than success.

        """
        if self.failure is not None or self.collector is None:
            raise self.failure or DirectoryError("not sent")
        return self.link.finish(self.collector, self.answer)

    @property
    def heavy(self) -> bool:
        """Whether a thread should read its entries."""
        return self.collector is None or self.collector.octets > PROMPT_OCTETS


@runtime_checkable
class Prompt(Protocol):
    """A directory that can be searched on the event loop's thread."""

    def begin(self, key: str, timeout: float) -> Started | bool:
        """Send a search without waiting; it has ``timeout`` seconds.

        True: no slot is free now, and one will be when a search ends.  False: a thread has
        to search (``find``), because a connection must be opened or a server be tried.
        """

    def conclude(self, started: Started) -> tuple[Recipient, ...] | None:
        """Return what a search has found, and end it; None: call :meth:`resume` in a thread."""

    def resume(self, started: Started) -> tuple[Recipient, ...]:
        """Go on in a thread, and end the search; raises what ``find`` raises."""
