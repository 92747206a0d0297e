"""Following a directory: what a way of following is given, and what it has to keep.

A :class:`Source` is one way to learn what a directory holds and what changes in it:
syncrepl (:mod:`codomain.directory.syncrepl`), paged searches
(:mod:`codomain.directory.paged`), Active Directory's uSNChanged
(:mod:`codomain.directory.usn`).  In flows a bound connection
(:class:`~codomain.directory.wire.Wire`); out flow entries, through a :class:`Copy`, into
the local index.  :mod:`codomain.directory.follower` chooses the way and the server, and
does what is to be done when either fails.

"Unknown user" is a permanent answer, and it is given from the copy.  So an incomplete
load is never committed, a loss that is too large is refused, and the copy is called in
step only by :meth:`Copy.confirm`.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from codomain.directory.index import ShrinkError
from codomain.directory.schema import PLACEHOLDER, SCHEMAS, Attributes, Schema
from codomain.errors import CodomainError, DirectoryError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from codomain.directory.base import Recipient
    from codomain.directory.index import IndexWriter, Load
    from codomain.directory.section import Section
    from codomain.directory.wire import Wire

CONFIRM_SECONDS = 1.0
"""How often a source confirms that it is in step; the daemon believes a miss for five."""

MANY_CHANGES = 50_000
"""Changes that are held in memory for one transaction; where there are more, everything is
loaded anew, which needs no memory: some 40 MB of entries."""

WINDOW_SECONDS = 3600.0
"""Losses within this time are added up against ``max_shrink``: whoever deletes a thousand
people one after the other takes minutes for it."""

FLOOR = 10
"""Fewer lost entries than these within the window are daily life, however small the
directory is."""


class RefusedError(DirectoryError):
    """This server cannot be followed in this way; another way is taken at once.

    Nothing reaches the MTA: the index stays what it was.
    """


@dataclass(frozen=True, slots=True)
class Extent:
    """Which entries are followed, and what is read of each."""

    base: str
    """The DN below which they are."""

    scope: str
    """``base``, ``onelevel`` or ``subtree``."""

    filter: str
    """Finds every entry that has an address (RFC 4515), and no ``%s`` in it."""

    schema: Schema
    """Reads an entry; names the attributes to ask for."""

    @classmethod
    def of(cls, section: Section) -> Extent:
        """Read a ``[directory]`` section.

        Raises:
            DirectoryError: its filter holds ``%s``: what it finds cannot be known ahead.

        """
        schema = SCHEMAS[section.schema]
        custom = section.filter.strip()
        if PLACEHOLDER in custom:
            raise DirectoryError(
                f"[directory {section.name}] filter: %s stands for one address, and a copy has "
                "all of them: with mode = sync write the other conditions alone"
            )
        if custom and not custom.startswith("("):
            custom = f"({custom})"
        names = dict.fromkeys(attribute for attribute, _ in schema.assertions)
        present = "".join(f"({name}=*)" for name in names)
        own = f"(|{present})" if len(names) > 1 else present
        return cls(
            base=section.base,
            scope=section.scope,
            filter=f"(&{custom}{own})" if custom else own,
            schema=schema,
        )

    def recipient(self, dn: str, raw: Mapping[str, Sequence[bytes]]) -> Recipient | None:
        """Read an entry as live look-ups do; None: no mail address in it, as if it were gone."""
        recipient = self.schema.recipient(dn, Attributes(raw))
        return recipient if recipient.addresses else None

    def mark(self) -> str:
        """Return what a cookie is bound to beside its server: another extent, another mark."""
        text = f"{self.base}\0{self.scope}\0{self.filter}\0{self.schema.name}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a directory is followed."""

    max_shrink: float
    """The part of all entries, or of one domain's addresses, that may be lost."""

    accept_shrink: bool = False
    """Whatever is lost until the copy is in step for the first time is accepted."""

    once: bool = False
    """It ends when the copy is in step."""


class Source(Protocol):
    """One way of following; made anew for each connection."""

    how: str
    """Its name, for logs and ``codomain sync --status``: one word."""

    def follow(self, wire: Wire, copy: Copy) -> None:
        """Bring the copy in step with the server and keep it so; ends where it is told to.

        It calls :meth:`Copy.confirm` each time that the copy holds everything which the
        server had, at least every :data:`CONFIRM_SECONDS` while it can know, and returns
        when that, or :meth:`Copy.pause`, says False.  A wait on the wire ends with
        BrokenError when the whole is to end.  A cookie that it cannot read, or that
        belongs to another server, means to load everything.

        Raises:
            RefusedError: the server does not let itself be followed in this way.
            DirectoryError: it failed or contradicted itself; the copy is what it was
                after the last change, and another server is tried.
            ShrinkError: too much would be lost (from the copy's own methods).

        """


class Copy:
    """The local copy, as a source sees it: what it holds, changes, and whether to go on."""

    def __init__(
        self,
        writer: IndexWriter,
        extent: Extent,
        stop: threading.Event,
        terms: Terms,
        watch: Watch | None = None,
    ) -> None:
        """Guard a writer; ``stop`` is set when the source is to end."""
        self.extent = extent
        self._writer = writer
        self._stop = stop
        self._once = terms.once
        self._max_shrink = terms.max_shrink
        self._accepts = terms.accept_shrink
        self._watch = watch or Watch()
        self._sizes: deque[tuple[float, int]] = deque()
        self._revision = writer.status.revision

    def use(self, writer: IndexWriter) -> None:
        """Go on with the same index, opened again; what was lost lately still counts.

        Unless somebody else changed it meanwhile: then a loss was looked at, and accepted.
        """
        self._writer = writer
        if writer.status.revision != self._revision:
            self._sizes.clear()
            self._revision = writer.status.revision

    @property
    def cookie(self) -> bytes:
        """What the source stored with the last change; empty: load everything."""
        status = self._writer.status
        return status.cookie if status.complete else b""

    @property
    def stopping(self) -> bool:
        """Tell whether the source is to end."""
        return self._stop.is_set()

    def get(self, identity: bytes) -> Recipient | None:
        """Return an entry of the copy."""
        return self._writer.get(identity)

    def ids(self) -> Iterator[bytes]:
        """Return the ids of all entries of the copy."""
        return self._writer.ids()

    def load(self) -> Loading:
        """Begin to load everything: a context manager; nothing changes before its commit."""
        return Loading(self._writer.load(), self._watch, self._limit, self._loaded)

    def change(
        self,
        changes: Mapping[bytes, Recipient | None],
        cookie: bytes,
        synced: float | None = None,
    ) -> None:
        """Change entries, and the cookie with them, at once; None: the entry is gone.

        ``synced`` is the time (:func:`time.time`) of which the copy now is; default: now.

        Raises:
            ShrinkError: too much would be lost; nothing is changed.

        """
        if not changes and cookie == self._writer.status.cookie:
            return
        if not self._accepts:
            self._guard(changes)
        self._writer.change(
            changes.items(),
            cookie=cookie,
            synced=time.time() if synced is None else synced,
            max_shrink=self._limit(),
        )
        self._revision = self._writer.status.revision
        if changes:
            self._watch.changed(changes)

    def confirm(self, synced: float | None = None) -> bool:
        """Say that the copy holds all that the server had at ``synced``; default: now.

        Returns whether the source is to go on.
        """
        self._writer.confirm(time.time() if synced is None else synced)
        self._accepts = False
        self._watch.in_step()
        return not (self._once or self.stopping)

    def pause(self, seconds: float) -> bool:
        """Wait, and return whether the source is to go on."""
        return not self._stop.wait(seconds)

    def _loaded(self) -> None:
        self._revision = self._writer.status.revision

    def _limit(self) -> float | None:
        return None if self._accepts else self._max_shrink

    def _guard(self, changes: Mapping[bytes, Recipient | None]) -> None:
        """Refuse a change after which too little is left of what there was an hour ago."""
        now, entries = time.monotonic(), self._writer.status.entries
        while self._sizes and self._sizes[0][0] < now - WINDOW_SECONDS:
            self._sizes.popleft()
        # Only peaks matter: what is smaller than a later size is never the largest.
        while self._sizes and self._sizes[-1][1] <= entries:
            self._sizes.pop()
        self._sizes.append((now, entries))
        gone = [identity for identity, recipient in changes.items() if recipient is None]
        if not gone:
            return
        most = self._sizes[0][1]
        lost = most - entries + sum(self._writer.get(identity) is not None for identity in gone)
        lost -= sum(
            recipient is not None and self._writer.get(identity) is None
            for identity, recipient in changes.items()
        )
        if lost >= FLOOR and lost > self._max_shrink * most:
            raise ShrinkError(f"{lost} of {most} entries would be gone within an hour")


class Loading:
    """A load under way; without :meth:`commit` nothing changes."""

    def __init__(
        self,
        load: Load,
        watch: Watch,
        limit: Callable[[], float | None],
        committed: Callable[[], None],
    ) -> None:
        self._load = load
        self._watch = watch
        self._limit = limit
        self._committed = committed
        self.count = 0
        """How many entries were put."""

    def put(self, identity: bytes, recipient: Recipient) -> None:
        """Take in an entry."""
        self._load.put(identity, recipient)
        self.count += 1
        if not self.count % 1000:
            self._watch.loading(self.count)

    def commit(self, cookie: bytes, synced: float | None = None) -> None:
        """Let what was put take the place of everything.

        Raises:
            ShrinkError: too much would be lost; nothing is changed.

        """
        report = self._load.commit(
            cookie=cookie,
            synced=time.time() if synced is None else synced,
            max_shrink=self._limit(),
        )
        self._committed()
        self._watch.loaded(self.count, report.duplicates)

    def __enter__(self) -> Self:
        """Begin."""
        self._load.__enter__()
        self._watch.loading(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give up what was not committed."""
        self._load.__exit__(kind, error, trace)


class Watch:
    """Hears what becomes of one copy; does nothing, and is there to be overridden.

    Called on the thread that follows.
    """

    def connected(self, how: str, server: str) -> None:
        """Hear which server is followed now, and in which way."""

    def loading(self, count: int) -> None:
        """Hear how many entries a load has taken in so far."""

    def loaded(self, count: int, duplicates: Mapping[str, Iterable[str]]) -> None:
        """Hear that a load is complete, with the addresses of more than one entry."""

    def changed(self, changes: Mapping[bytes, Recipient | None]) -> None:
        """Hear what was changed."""

    def in_step(self) -> None:
        """Hear that the copy holds what the server has."""

    def failed(self, error: CodomainError, server: str, retry: float) -> None:
        """Hear why following ended, and in how many seconds it is tried again."""
