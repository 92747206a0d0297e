"""What the directories and the next systems say, written down for ``codomain explain``.

:class:`AtOnce` asks the directories itself, and waits for them: it is a
:class:`codomain.finding.Peek` and, by :meth:`AtOnce.ask`, a
:class:`codomain.callout.asking.Ask`.  What the running daemon has in memory is looked at
by :mod:`codomain_cli.memory`.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codomain.callout.answer import Outcome
from codomain.directory.opening import open_directory
from codomain.errors import DirectoryError
from codomain.finding import Outage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codomain.config import Config
    from codomain.directory.base import Directory, Recipient
    from codomain.finding import Inquiry, Trace


_ESCAPE = re.compile(
    r"\\(2[0-7b-f]|3[0-9a-f]|4[0-9a-f]|5[0-9abd-f]|6[0-9a-f]|7[0-9a-e])", re.IGNORECASE
)
"""An escape of a printable ASCII character other than parentheses, asterisk and backslash."""


@dataclass(slots=True)
class Lookup:
    """One address looked up in one directory."""

    directory: str
    """The directory's name."""

    key: str
    """The address as it is compared."""

    source: str
    """``files``, ``index``, ``cache``, ``search``; ``none``: nobody has asked for it yet."""

    state: str = ""
    """What it is: found, absent, ambiguous, down, unknown (nobody has asked for it yet)."""

    entries: tuple[Recipient, ...] = ()
    """The entries to which it resolves."""

    detail: str = ""
    """What was wrong, where it is down."""

    cache: str = ""
    """What the cache has of it: fresh, stale, absent, failed."""

    age: float | None = None
    """Seconds since the directory said so; None: not known."""

    left: float | None = None
    """Seconds until it is asked for again; None: no cache has it."""

    shared: bool = False
    """Another gateway was told so, and this one had it from the second level of the cache."""

    server: str = ""
    """The URI of the server that answered."""

    base: str = ""
    """The DN below which was searched."""

    filter: str = ""
    """The filter, as it is sent (for the daemon's: as it would be)."""

    seconds: float | None = None
    """How long it took to find out; None: it was in memory."""

    def settle(self, answer: tuple[Recipient, ...] | Outage) -> None:
        """Take note of the answer."""
        if isinstance(answer, Outage):
            self.state, self.detail = "down", answer.detail
        else:
            self.entries = answer
            self.state = ("absent", "found", "ambiguous")[min(len(answer), 2)]


@dataclass(frozen=True, slots=True)
class Callout:
    """One recipient about whom a next system was asked, or would be."""

    connector: str
    """The connector's name."""

    address: str
    """The recipient as the system is given it."""

    source: str
    """``asked``, ``cache``; ``none``: nobody has asked."""

    outcome: str
    """known, unknown, anything, unsure."""

    reply: str = ""
    """The system's own words."""

    left: float | None = None
    """Seconds until it is asked again; None: it was asked now, or never."""

    seconds: float | None = None
    """How long it took; None: it was not asked now."""


class Lookups(ABC):
    """What both ways have in common: what was found, in the order in which it was asked for."""

    def __init__(self, trace: Trace) -> None:
        """Take who hears of each look-up as a step."""
        self.trace = trace
        self.made: dict[tuple[str, str], Lookup] = {}
        self.callouts: dict[Inquiry, Callout] = {}
        self._answers: dict[tuple[str, str], tuple[Recipient, ...] | Outage] = {}

    @abstractmethod
    def __call__(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Look an address up (:class:`codomain.finding.Peek`)."""

    @abstractmethod
    def ask(self, inquiry: Inquiry, /) -> Outcome | None:
        """Say what a next system says (:class:`codomain.callout.asking.Ask`)."""

    def _take(self, lookup: Lookup, answer: tuple[Recipient, ...] | Outage | None) -> None:
        """Keep a look-up and tell of it; an answer of None leaves it open."""
        if answer is None:
            lookup.state = "unknown"
        else:
            lookup.settle(answer)
            self._answers[lookup.directory, lookup.key] = answer
        self.made[lookup.directory, lookup.key] = lookup
        if lookup.filter:
            where = f" at {lookup.server}" if lookup.server else ""
            self.trace("filter", f"{lookup.filter} below {lookup.base}{where}")
        self.trace("look-up", told(lookup))

    def _tell(self, inquiry: Inquiry, callout: Callout) -> Outcome:
        self.callouts[inquiry] = callout
        if callout.source != "none":
            spent = "" if callout.seconds is None else f", {callout.seconds * 1000:.1f} ms"
            left = "" if callout.left is None else f", asked again in {callout.left:.0f} s"
            self.trace(
                "asked", f"{callout.connector}: {callout.reply or callout.outcome}{spent}{left}"
            )
        return Outcome(callout.outcome)


class AtOnce(Lookups):
    """Asks the directories now; the next systems too, if that is wanted."""

    def __init__(self, config: Config, trace: Trace, *, callout: bool) -> None:
        """Open the directories.

        Raises:
            RecordError: a files directory holds a bad record.
            DirectoryError: a section cannot be used.

        """
        super().__init__(trace)
        self.directories: dict[str, Directory] = {
            section.name: open_directory(section, state_directory=config.codomain.state_directory)
            for section in config.directories
        }
        self._sections = {section.name: section for section in config.directories}
        self._asker: Any = None
        if callout:
            # It needs ssl and threads, which cost a start a tenth of a second.
            from codomain.callout.atonce import AtOnce as Asker

            self._asker = Asker(config, self._heard)
        self._words = ""

    def __call__(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage:
        """Look an address up (:class:`codomain.finding.Peek`)."""
        if (directory, key) not in self._answers:
            self._look(directory, key)
        return self._answers[directory, key]

    def ask(self, inquiry: Inquiry, /) -> Outcome:
        """Say what a next system says (:class:`codomain.callout.asking.Ask`)."""
        known = self.callouts.get(inquiry)
        if known is not None:
            return Outcome(known.outcome)
        if self._asker is None:
            self.trace("call-out", f"{inquiry.connector}: not asked now; --callout asks")
            return self._tell(
                inquiry, Callout(inquiry.connector, inquiry.address, "none", Outcome.UNSURE.value)
            )
        began = time.monotonic()
        outcome: Outcome = self._asker(inquiry)
        spent = time.monotonic() - began
        words = self._words.rpartition(", ")[0]
        callout = Callout(
            inquiry.connector, inquiry.address, "asked", outcome.value, words, seconds=spent
        )
        return self._tell(inquiry, callout)

    def close(self) -> None:
        """Close all directories and sessions."""
        if self._asker is not None:
            self._asker.close()
        for directory in self.directories.values():
            directory.close()

    def _heard(self, _step: str, detail: str, /) -> None:
        """Keep a system's words for the callout that is being made."""
        self._words = detail.partition(": ")[2]

    def _look(self, name: str, key: str) -> None:
        directory = self.directories[name]
        known = directory.peek(key)
        if known is not None:
            self._take(Lookup(name, key, in_memory(directory)), known)
            return
        lookup = Lookup(name, key, "search")
        began = time.monotonic()
        try:
            answer: tuple[Recipient, ...] | Outage = self._search(directory, lookup)
        except DirectoryError as error:
            answer = Outage(str(error))
            describe(lookup, directory, self._sections[name].base)
        lookup.seconds = time.monotonic() - began
        self._take(lookup, answer)

    def _search(self, directory: Directory, lookup: Lookup) -> tuple[Recipient, ...]:
        section = self._sections[lookup.directory]
        trace = getattr(directory, "trace", None)
        if trace is None:
            found = directory.find(lookup.key, section.timeout)
            describe(lookup, directory, section.base)
            return found
        traced = trace(lookup.key, section.timeout)
        lookup.server, lookup.base = traced.server, traced.base
        lookup.filter = readable(traced.filter)
        entries: tuple[Recipient, ...] = traced.recipients
        return entries


def in_memory(directory: Directory) -> str:
    """Return from where a directory answers without asking anybody."""
    return "index" if hasattr(directory, "usable") else "files"


def describe(lookup: Lookup, directory: Directory, base: str) -> None:
    """Write down what a directory over LDAP sends, and to whom it would."""
    live: Any = getattr(directory, "live", directory)
    make = getattr(live, "filter", None)
    if make is None:
        return
    lookup.filter, lookup.base = readable(make(lookup.key)), base
    if not lookup.server:
        up = [uri for uri, answers in live.servers() if answers]
        lookup.server = ", ".join(up) or "no server"


def readable(text: str) -> str:
    """Return a filter without the escapes that it does not need: the same octets are sent.

    RFC 4515 section 3 wants NUL, parentheses, asterisk and backslash escaped; what is not
    plain ASCII stays escaped, too, so that it can be pasted into ldapsearch(1) anywhere.
    """
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def told(lookup: Lookup) -> str:
    """Say in a line how a look-up went."""
    parts = [f"{lookup.directory}: {lookup.key}: {lookup.state}"]
    if lookup.source == "none":
        parts.append("not in the cache; --ask searches now")
    elif lookup.source == "cache":
        parts.append(f"from the {'shared ' if lookup.shared else ''}cache ({lookup.cache})")
    elif lookup.source == "search":
        parts.append("searched now")
    else:
        parts.append(f"from the {lookup.source}")
    if lookup.seconds is not None:
        parts.append(f"{lookup.seconds * 1000:.1f} ms")
    if lookup.age is not None:
        parts.append(f"{lookup.age:.0f} s old")
    if lookup.left is not None:
        parts.append(f"asked again in {lookup.left:.0f} s")
    if lookup.detail:
        parts.append(lookup.detail)
    return ", ".join(parts)


def indexes(directories: Iterable[Directory], now: float) -> list[dict[str, object]]:
    """Return the state of each local index (``mode = sync``); ``now`` is Unix time."""
    found: list[dict[str, object]] = []
    for directory in directories:
        usable = getattr(directory, "usable", None)
        if usable is None:
            continue
        synced = float(getattr(directory, "synced", 0.0))
        found.append(
            {
                "directory": directory.name,
                "usable": usable,
                "entries": getattr(directory, "entries", 0),
                "age": max(0.0, now - synced) if synced else None,
            }
        )
    return found
