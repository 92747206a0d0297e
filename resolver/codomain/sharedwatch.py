"""The thread that hears what other gateways purge, and keeps the second level in use.

It subscribes first, then makes good what is owed and compares the epoch: another one than
it knew means that purges were missed, and nothing that is kept is believed any more.  Only
then look-ups begin.  When the connection is lost, or is silent in spite of a question, what
came from the second level is not believed any more, look-ups end, and it connects again,
at growing intervals.  Entries that are not believed still serve while the directory is
down, too.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from codomain.journal import Throttle
from codomain.log import event
from codomain.shared import log
from codomain.sharedkeys import EPOCH, MARK_OCTETS, Purge, channel, read_mark, unpack_purge
from codomain.sharedlink import LinkError, RefusedError
from codomain.sharedvalue import SurpriseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.shared import Shared
    from codomain.sharedlink import Link

LISTEN_TIMEOUT = 1.0
"""Seconds in which the server must answer the watch: a purge reaches all within a second."""

TURN = 0.25
"""Seconds after which a silent server is asked whether it is there."""

MISSED = 3
"""Turns without an answer after which it is not."""

BACK_OFF = 0.2
"""Seconds before the first try to connect again."""

BACK_OFF_MAX = 5.0
"""The longest pause between two tries: doubling ends here."""

_THREAD = "shared-watch"


class Watch:
    """One thread, from :meth:`start` to :meth:`close`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)
        self._changed: Callable[[Purge | None], object] = _nothing
        self._link: Link | None = None
        self._told: bool | None = None
        self._throttle = Throttle(log)
        self._epoch: str | None = None

    def start(self, changed: Callable[[Purge | None], object]) -> None:
        """Begin, or go on with another function to be told.

        ``changed`` is called in this thread when something was forgotten or is not believed
        any more: verdicts that were made of it must go.  It is given the purge of another
        gateway, or None.
        """
        self._changed = changed
        if not self._thread.ident:
            self._thread.start()

    def close(self) -> None:
        """End it; it ends by itself within a second."""
        self._stop.set()
        link = self._link
        if link is not None:
            link.abort()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        if self._thread.ident:
            self._thread.join(seconds)

    def _run(self) -> None:
        pause = BACK_OFF
        while not self._stop.is_set():
            link = self._link = self._shared.way.link(LISTEN_TIMEOUT)
            try:
                self._begin(link.open())
                pause = BACK_OFF
                self._hear(link)
            except (LinkError, RefusedError) as error:
                detail = str(error)
            except Exception as error:  # noqa: BLE001 - the edge of a thread: it must go on
                log.exception("the watch failed by a fault of our own")
                detail = f"internal error: {type(error).__name__}"
            else:
                detail = ""
            finally:
                link.close()
            self._lost(detail)
            self._stop.wait(pause)
            pause = min(pause * 2, BACK_OFF_MAX)

    def _begin(self, link: Link) -> None:
        shared = self._shared
        link.exchange(("SUBSCRIBE", channel(shared.way.server.database)))
        # Whatever is published from here on waits in the connection until we hear.
        self._provide()
        self._beside(self._compare)
        self._beside(shared.purges.settle)
        shared.opened()
        self._tell(up=True)

    def _compare(self, beside: Link) -> None:
        """Doubt what is kept where the epoch is another one: purges were missed.

        A server that has no epoch, as after a restart, has had no purge since.
        """
        (raw,) = beside.exchange(("GETRANGE", EPOCH, 0, MARK_OCTETS - 1))
        try:
            epoch = read_mark(raw)
        except SurpriseError:
            epoch = "?"
        if epoch not in {"", self._epoch}:
            self._shared.cache.doubt()
            self._changed(None)
        self._epoch = epoch

    def _hear(self, link: Link) -> None:
        missed = 0
        while not self._stop.is_set():
            said = link.hear(TURN)
            if said is None:
                missed += 1
                if missed >= MISSED:
                    raise LinkError("it does not answer")
                link.tell("PING")
                continue
            missed = 0
            self._said(said)
            self._provide()
            self._catch_up()

    def _said(self, said: Any) -> None:  # noqa: ANN401 - whatever RESP2 can hold
        if not isinstance(said, list) or not said or said[0] != b"message":
            return  # the answer to PING
        try:
            purge = unpack_purge(said[-1])
        except SurpriseError as error:
            event(log, logging.WARNING, "not understood", server=self._shared.name, detail=error)
            self._shared.cache.doubt()
            self._changed(None)
            return
        self._epoch = purge.epoch
        if purge.by != self._shared.purges.me:
            self._obey(purge)

    def _obey(self, purge: Purge) -> None:
        shared = self._shared
        if purge.keys:
            self._beside(lambda beside: shared.purges.clear_own(beside, purge))
        if purge.everything:
            shared.cache.flush()
        else:
            names = shared.fingerprints
            shared.cache.purge((name, key) for name in names for key in purge.keys)
        self._changed(purge)
        what = "everything" if purge.everything else f"{len(purge.keys)} addresses"
        event(log, logging.INFO, "purged by another gateway", server=shared.name, what=what)

    def _beside(self, what: Callable[[Link], object]) -> None:
        """Say something on another connection: one that is subscribed takes no commands."""
        link = self._shared.way.link(LISTEN_TIMEOUT)
        try:
            what(link.open())
        finally:
            link.close()

    def _provide(self) -> None:
        """Open the connections that look-ups lack."""
        for _ in range(self._shared.links.wanted()):
            way = self._shared.way
            self._shared.links.add(way.link(way.timeout).open())

    def _catch_up(self) -> None:
        """Make good what came to be owed while the connection stands."""
        if self._shared.purges.owes:
            self._beside(self._shared.purges.settle)
            self._shared.opened()

    def _lost(self, detail: str) -> None:
        if self._shared.closed(detail):
            self._shared.cache.doubt(shared_only=True)
            self._changed(None)
        if not self._stop.is_set():
            self._tell(up=False, detail=detail)

    def _tell(self, *, up: bool, detail: str = "") -> None:
        """Log a change of state once."""
        if self._told is up or not self._throttle.passes("state"):
            return
        level = logging.INFO if up and self._told is None else logging.WARNING
        self._told = up
        name = "shared cache up" if up else "shared cache down"
        event(log, level, name, server=self._shared.name, detail=detail)


def _nothing(_purge: Purge | None) -> None:
    """Tell nobody."""
