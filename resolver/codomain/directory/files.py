"""A directory of files: LDIF and csvde CSV, read whole into memory.

In flow the files that the patterns of ``path`` match (``.ldif`` and ``.csv``); out flow
recipients by address, at once and without asking anybody.

"Unknown user" is a permanent answer, so nothing may turn people into unknown ones by
accident.  A start or a reload is refused when a pattern matches nothing, when a file
that served is gone, cannot be read or decoded, or holds no record, and when any record
is bad; a refused reload keeps the data it had.  ``skip_bad_records = yes`` leaves bad
records out, each with a warning, and nothing else of this.

A file that is written while it is read shows half of its records.  Write the new file
beside the old one, under a name that no pattern matches (``people.ldif.new``), and rename
it (rename(2) is atomic); then reload.  To take a file away for good, restart.

The readers are :mod:`codomain.directory.ldif` and :mod:`codomain.directory.csvde`; which
encoding a file has is found by :mod:`codomain.directory.text`.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple, Protocol

from codomain.directory import csvde, ldif, text
from codomain.directory.record import LineError, Record, lacks_nickname, recipient_of, shown
from codomain.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from codomain.directory.base import Recipient

MAX_FAULTS = 50
"""Error lines of one load: as many as a person mends before trying again."""

MAX_WARNINGS = 1000
"""Warning lines that are kept; the rest are counted (a file may hold a million)."""

MAX_CLAIMS = 10
"""Entries that are kept for one address; two already make it ambiguous."""

_DN_SEPARATOR = re.compile(r"(?<!\\)([,=+;])")
_DN_BLANKS = re.compile(r"\s[\s,=+;]|[,=+;]\s")


class FilesSection(Protocol):
    """What is read of the configuration's ``[directory NAME]`` section."""

    @property
    def name(self) -> str:
        """The section's name."""

    @property
    def path(self) -> tuple[str, ...]:
        """Patterns of files (glob(7))."""

    @property
    def encoding(self) -> str:
        """The encoding of files that have no byte order mark and are no UTF-8."""

    @property
    def skip_bad_records(self) -> bool:
        """Leave bad records out instead of refusing the whole."""


class _Format(NamedTuple):
    """How the files of one suffix are read."""

    read: Callable[[Iterable[str]], Iterator[Record | LineError]]
    newline: str
    """Where its lines end, as :func:`codomain.directory.text.lines` takes it."""


# A CR inside of LDIF text must reach the reader, which refuses it; csv wants all three.
_FORMATS = {".ldif": _Format(ldif.read, "\n"), ".csv": _Format(csvde.read, "")}


@dataclass(frozen=True, slots=True)
class _Data:
    """What one load gave; swapped whole."""

    index: dict[str, tuple[Recipient, ...]]
    size: int
    paths: tuple[str, ...]
    warnings: tuple[str, ...]


class FilesDirectory:
    """The entries of some files, in memory; a :class:`codomain.directory.base.Directory`."""

    def __init__(self, section: FilesSection, in_service: tuple[str, ...] = ()) -> None:
        """Load the files; none of those ``in_service`` may be gone.

        Raises:
            RecordError: they cannot be used; one line per fault, ``file:line: what``,
                at most :data:`MAX_FAULTS` and the number of the others.

        """
        self.name = section.name
        self._section = section
        self._data = _load(section, in_service)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the last good load has to say, a line each; at most twice MAX_WARNINGS."""
        return self._data.warnings

    @property
    def paths(self) -> tuple[str, ...]:
        """The files in service, in the order in which they were read."""
        return self._data.paths

    def __len__(self) -> int:
        """Count the entries."""
        return self._data.size

    def recipients(self) -> Iterator[Recipient]:
        """Give every entry once, for ``codomain check``; those without an address are left out."""
        seen: set[str] = set()
        for claims in self._data.index.values():
            for recipient in claims:
                if recipient.dn not in seen:
                    seen.add(recipient.dn)
                    yield recipient

    def peek(self, key: str) -> tuple[Recipient, ...]:
        """Return the entries that an :attr:`Address.key` resolves to, none or several."""
        return self._data.index.get(key, ())

    def find(self, key: str, timeout: float) -> tuple[Recipient, ...]:
        """Return what :meth:`peek` does, at once; it never raises."""
        del timeout
        return self.peek(key)

    def reload(self) -> None:
        """Read the files again, and put what they say in service at once.

        Raises:
            RecordError: they cannot be used, as for a start, or a file that was in
                service is gone.  The data in service stays: nobody becomes unknown.

        """
        self._data = _load(self._section, self._data.paths)

    def check(self) -> None:
        """Do nothing: what is loaded answers."""

    def close(self) -> None:
        """Do nothing: no file stays open after a load."""


class _Lines:
    """Lines for a person: the first ones, and the number of all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: list[str] = []
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, line: str) -> None:
        self._count += 1
        if len(self._lines) < self._limit:
            self._lines.append(line)

    def all(self) -> list[str]:
        more = self._count - len(self._lines)
        return [*self._lines, f"and {more} more"] if more else self._lines


class _Loader:
    """One load under way."""

    def __init__(self, section: FilesSection) -> None:
        self.index: dict[str, tuple[Recipient, ...]] = {}
        self.size = 0
        self.faults = _Lines(MAX_FAULTS)
        self.skipped = _Lines(MAX_WARNINGS)
        self.warnings = _Lines(MAX_WARNINGS)
        self._encoding = section.encoding
        self._bad = self.skipped if section.skip_bad_records else self.faults
        self._places: dict[str, tuple[str, int]] = {}

    def file(self, path: str) -> None:
        """Read one file."""
        form = _FORMATS.get(PurePath(path).suffix.lower())
        if form is None:
            self.faults.add(f"{path}: its name ends in neither .ldif nor .csv")
            return
        seen = good = 0
        try:
            with text.lines(path, self._encoding, form.newline) as lines:
                for item in form.read(lines):
                    seen += 1
                    good += self._take(path, item)
        except OSError as error:
            self.faults.add(f"{path}: {error.strerror or error}")
        except (UnicodeError, RecordError) as error:
            self.faults.add(f"{path}: {error}")
        else:
            if not good:
                why = "none of its records can be used" if seen else "it holds no record"
                self.faults.add(f"{path}: {why}")

    def _take(self, path: str, item: Record | LineError) -> bool:
        """Take one record in service; whether it was good."""
        place = f"{path}:{item.line}"
        try:
            if isinstance(item, LineError):
                raise item
            recipient = recipient_of(item, place)
            if recipient is not None:
                self._enter(recipient, path, item.line)
                if lacks_nickname(item):
                    self.warnings.add(f"{place}: no mailNickname; Exchange would not import it")
        except RecordError as error:
            self._bad.add(f"{place}: {error}")
            return False
        return True

    def _enter(self, recipient: Recipient, path: str, line: int) -> None:
        name = _fold_dn(recipient.dn)
        there = self._places.setdefault(name, (path, line))
        if there != (path, line):
            raise RecordError(f"the DN {shown(recipient.dn)} stands at {there[0]}:{there[1]} too")
        self.size += 1
        alone = (recipient,)
        for key in recipient.addresses:
            claims = self.index.setdefault(key, alone)
            if claims is not alone:
                if len(claims) < MAX_CLAIMS:
                    self.index[key] = (*claims, recipient)
                first, at = self._places[_fold_dn(claims[0].dn)]
                self.warnings.add(
                    f"{path}:{line}: {key} is an address of the entry at {first}:{at} too;"
                    " mail to it is deferred"
                )


def _load(section: FilesSection, before: tuple[str, ...]) -> _Data:
    """Read all files; ``before`` are those in service, none of which may be gone."""
    loader = _Loader(section)
    paths: dict[str, None] = {}
    for pattern in section.path:
        found = sorted(glob.glob(pattern))  # noqa: PTH207 - Path.glob knows no absolute pattern
        if not found:
            loader.faults.add(f"[directory {section.name}] path: no file matches {pattern}")
        paths.update(dict.fromkeys(found))
    for path in before:
        if path not in paths:
            loader.faults.add(f"{path}: it is gone, and its recipients with it (restart for that)")
    for path in paths:
        loader.file(path)
    if not loader.size and not loader.faults:
        loader.faults.add(f"[directory {section.name}] path: no recipient in any of its files")
    if loader.faults:
        raise RecordError("\n".join(loader.faults.all()))
    warnings = (*loader.skipped.all(), *loader.warnings.all())
    return _Data(loader.index, loader.size, tuple(paths), warnings)


def _fold_dn(dn: str) -> str:
    """Fold a DN for comparison: case, and blanks that mean nothing (RFC 4514, RFC 4518).

    A place that stands for a DN has no ``=`` and stays: file names have cases.
    """
    if "=" not in dn:
        return dn
    if _DN_BLANKS.search(dn):
        dn = "".join([" ".join(part.split()) for part in _DN_SEPARATOR.split(dn)])
    return dn.lower()
