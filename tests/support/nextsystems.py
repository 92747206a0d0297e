"""What the next systems of a world say of a recipient, and which of them gets it.

Written from the rules of the call-out alone (docs/howto/callout.md); imports nothing of
codomain.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from support.boxes import has_controls

if TYPE_CHECKING:
    from support.boxes import Box
    from support.world import World

SAYS = ("known", "unknown", "unknown", "unknown", "anything", "unsure", "doubted")
"""Most say no: those are the answers by which mail is lost or taken in vain.

Doubted: it does not say now, and refused the address a while ago."""


def says(seed: int, system: str, written: str) -> str:
    """Tell what a system says of an address: the same at every time."""
    return SAYS[zlib.crc32(f"{seed} {system} {written}".encode("utf-8", "replace")) % len(SAYS)]


class NextSystems:
    """The connectors of a world that are asked."""

    def __init__(self, world: World) -> None:
        self._asked = {system.name for system in world.systems if system.verify}
        self._seed = world.answers
        self._accepts = world.on_failure == "accept"

    def outcome(self, way: str, box: Box) -> str:
        """Ask one system; what cannot be written out is asked of nobody."""
        return "unsure" if has_controls(box.local) else says(self._seed, way, box.text)

    def choose(self, ways: list[str], box: Box, *, probed: bool) -> tuple[str, str]:
        """Return the first system that takes it, or what becomes of it: one of both is empty.

        Another gateway's call-out is answered from the directories alone: what a system
        would have to be asked for is left unsure.
        """
        doubted = ""
        for way in ways:
            if way not in self._asked:
                return self._unproved(way, doubted)
            said = "unsure" if probed else self.outcome(way, box)
            if said == "unsure" and (probed or not self._accepts):
                return "", "Defer callout"
            if said == "doubted":
                doubted = doubted or way
            elif said == "anything":
                return self._unproved(way, doubted)
            elif said != "unknown":
                return way, ""
        if doubted:
            return (doubted, "") if self._accepts else ("", "Defer callout")
        return "", "Refuse unknown"

    def _unproved(self, way: str, doubted: str) -> tuple[str, str]:
        """Let who takes anything have it, unless it may have come to another and we may wait."""
        return ("", "Defer callout") if doubted and not self._accepts else (way, "")

    def knowing(self, ways: list[str], box: Box) -> str:
        """Return the first system that says that it knows the address, or nothing."""
        asked = (way for way in ways if way in self._asked)
        return next((way for way in asked if self.outcome(way, box) == "known"), "")
