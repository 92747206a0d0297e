"""What the model reasons with: who asks, what a directory answered, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass

from support.world import Entry

Way = str | None
"""The name of a connector, or a host of an entry that the configuration allows."""

NO_ENTRY = Entry("", ())
GOES = ("Deliver", "Redirect")


@dataclass(frozen=True)
class Standing:
    """Who the client is."""

    trusted: bool
    peer_of: tuple[str, ...]
    probed: bool = False  # another gateway's call-out


@dataclass(frozen=True)
class Found:
    """How the directories answered."""

    entry: Entry = NO_ENTRY
    directory: str = ""
    extension: str = ""
    fault: str = ""

    def __bool__(self) -> bool:
        """Whether there is an entry."""
        return bool(self.entry.dn)


@dataclass(frozen=True)
class Verdict:
    """A verdict in parts."""

    word: str
    address: str = ""
    way: Way = None
    diverted: bool = False
    itself: bool = False  # the chain ended at an entry whose target is its own, or at none

    def __str__(self) -> str:
        """Write it in the words of the golden files."""
        if self.word == "Relay":
            return f"Relay {self.way}" + (" diverted" if self.diverted else "")
        if self.word in GOES:
            return f"{self.word} {self.address}" + (f" via {self.way}" if self.way else "")
        return self.word
