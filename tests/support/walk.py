"""Somebody who reads a manual and does what it says, line by line, on a gateway.

In flow a page and a host; out flow what each command said.  Every command line of the page's
blocks has its turn, in its order and as it stands there: at the end of the walk none may be
left.  The files are the page's own blocks.
"""

from __future__ import annotations

import configparser
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.commands import in_blocks
from support.documents import PROJECT, Block, blocks, tables
from support.postfixhost import STRANGER, TRUSTED
from support.readergateway import HOSTS, INI

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from support.readerhost import ReaderHost

HEADER = ("mail from", "to", "what happens")
CLIENTS = {"a stranger": STRANGER, "a trusted client": TRUSTED}
DOWN = ", while the directory is down"

_ADDRESSES = {name: address for address, names in HOSTS.items() for name in names}
_ARRIVES = re.compile(
    r"(?:(?:delivered|relayed)|redirected to (?P<target>\S+)) through (?P<way>\w+)"
)


class Walk:
    """One page, read on one host."""

    def __init__(self, host: ReaderHost, page: str) -> None:
        """Open the page."""
        self.host = host
        self._page = PROJECT / page
        self._left = list(in_blocks(self._page))

    @property
    def left(self) -> list[list[str]]:
        """The commands that have not had their turn."""
        return self._left

    def texts(self, language: str) -> list[str]:
        """Return the page's blocks of a language."""
        return [block.text for block in self._blocks(language)]

    def paste(self, *statuses: int, folder: str = "/srv/reader") -> list[str]:
        """Carry out the next block of commands; return what each of them said.

        ``statuses``: how each ends, where the page lets a reader expect more than success.
        """
        lines = self._left.pop(0)
        expected = statuses or (0,) * len(lines)
        said = []
        for line, status in zip(lines, expected, strict=True):
            ended, text = self.host.run(line, folder)
            assert ended == status, f"{self._page.name}: {line}: status {ended}\n{text}"
            assert "Traceback" not in text, text
            said.append(text)
        return said

    def install(self, number: int = 0, extra: str = "") -> None:
        """Write the page's INI, the n-th one, and its entries where the INI has its files."""
        text = self.texts("ini")[number]
        self.host.write(f"{INI}", text + extra)
        match = re.search(r"(?m)^path = (\S+)/\*\.(\w+)$", text)
        if match is not None:
            for order, entries in enumerate(self.texts(match[2])):
                self.host.write(f"{match[1]}/{order}.{match[2]}", entries)

    def promises(
        self, number: int = 0, ini: Sequence[int] = (0,), instead: Mapping[str, str] | None = None
    ) -> None:
        """Ask by SMTP what the n-th table of the page says, and see the mail arrive.

        ``ini``: the blocks that say which system a connector leads to.  Rows for the time of
        an outage are left to :meth:`outage`.  ``instead``: replies of which the page says that this
        mail server gives others.
        """
        rows = [row for row in self._rows(number) if not row[0].endswith(DOWN)]
        ways = self._ways(ini)
        wanted = []
        for who, recipient, happens in rows:
            arrives = _ARRIVES.match(happens)
            reply = self.host.ask(CLIENTS.get(who, who), recipient, send=arrives is not None)
            code = code_of(happens)
            assert reply.startswith((instead or {}).get(code, code)), f"{who}, {recipient}: {reply}"
            if arrives is not None:
                wanted.append((ways[arrives["way"]], arrives["target"] or recipient))
        arrived = self.host.arrivals(len(wanted))
        assert arrived == sorted(wanted), f"{arrived} and not {sorted(wanted)}"

    def outage(self, number: int = 0) -> None:
        """Ask what the table says of the time in which the directory is down."""
        for who, recipient, happens in self._rows(number):
            if who.endswith(DOWN):
                client = CLIENTS[who.removesuffix(DOWN)]
                assert self.host.ask(client, recipient).startswith(code_of(happens))

    def _blocks(self, language: str) -> list[Block]:
        return [block for block in blocks(self._page) if block.language == language]

    def _rows(self, number: int) -> list[tuple[str, ...]]:
        found = [table for table in tables(self._page) if table.header == HEADER]
        return list(found[number].rows)

    def _ways(self, numbers: Sequence[int]) -> dict[str, str]:
        """Return the address of the first smart host of each connector."""
        reader = configparser.ConfigParser(interpolation=None, strict=False)
        for number in numbers:
            reader.read_string(self.texts("ini")[number])
        found = {}
        for section in reader.sections():
            if section.startswith("connector "):
                first = re.split(r",\s*", reader[section]["smart_hosts"])[0].strip("[]")
                found[section.split()[1]] = _ADDRESSES.get(first, first)
        return found


@contextmanager
def walking(host: ReaderHost, *pages: str) -> Iterator[list[Walk]]:
    """Read pages on a host that is as after the installation; none of their commands is left."""
    host.fresh()
    walks = [Walk(host, page) for page in pages]
    yield walks
    for walk in walks:
        assert not walk.left, f"never run: {walk.left}"


def code_of(happens: str) -> str:
    """Return how the reply begins that a table promises."""
    _, _, code = happens.partition(": ")
    return code or "250 2.1.5"
