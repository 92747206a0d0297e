"""libmilter's side of a session without libmilter, for tests of the milter's door."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain_milter.door import MilterDoor
from codomain_milter.session import Session
from codomain_milter.trace import KEY_OCTETS, Tracer
from support.doors import FakeInForce

if TYPE_CHECKING:
    from codomain.question import Question
    from codomain.runtime import InForce, Runtime
    from codomain.verdict import Verdict

TRACER = Tracer(b"k" * KEY_OCTETS)


@dataclass
class FakeContext:
    """What the MTA was told, in its order; what it says by its macros."""

    macros: dict[str, str] = field(default_factory=dict)
    replies: list[tuple[str, ...]] = field(default_factory=list)
    done: list[tuple[object, ...]] = field(default_factory=list)
    refuses: str = ""
    undecodable: set[str] = field(default_factory=set)

    def getsymval(self, symbol: str, /) -> str | None:
        """Return a macro."""
        if symbol in self.undecodable:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        return self.macros.get(symbol)

    def setreply(self, code: str, enhanced: str, /, *lines: str) -> None:
        """Take a reply."""
        self._do("setreply")
        self.replies.append((code, enhanced, *lines))

    def addrcpt(self, recipient: str, parameters: str | None = None, /) -> None:
        """Add a recipient."""
        self._do("addrcpt", recipient, parameters)

    def delrcpt(self, recipient: str, /) -> None:
        """Delete a recipient."""
        self._do("delrcpt", recipient)

    def addheader(self, name: str, value: str, index: int = -1, /) -> None:
        """Add a field."""
        self._do("addheader", name, value, index)

    def chgheader(self, name: str, index: int, value: str | None, /) -> None:
        """Change a field."""
        self._do("chgheader", name, index, value)

    def _do(self, action: str, *values: object) -> None:
        if action == self.refuses:
            raise OSError(f"cannot {action}")
        if action != "setreply":
            self.done.append((action, *values))


class RecordingDoor(MilterDoor):
    """A door that remembers its verdicts."""

    def __init__(self, in_force: InForce, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(in_force, loop, TRACER)
        self.verdicts: list[Verdict] = []
        self.questions: list[Question] = []

    def note(
        self, runtime: Runtime, question: Question, verdict: Verdict, *, shadow: bool, reply: str
    ) -> None:
        """Remember it, too."""
        self.verdicts.append(verdict)
        self.questions.append(question)
        super().note(runtime, question, verdict, shadow=shadow, reply=reply)


class Fakes:
    """A session with everything around it."""

    def __init__(self, *, replaces: bool = True, connect: bool = True) -> None:
        self.in_force = FakeInForce()
        self.runtime = self.in_force.runtime
        self.resolver = self.runtime.resolver
        loop = asyncio.new_event_loop()
        loop.close()  # nothing here may need it
        self.door = RecordingDoor(self.in_force, loop)  # type: ignore[arg-type]
        self.context = FakeContext()
        self.session = Session(self.door, self.context, replaces=replaces)
        if connect:
            self.session.connect(("198.51.100.7", 40114))

    def count(self, verdict: str, reason: str = "", domain: str = "example.com") -> int:
        """Return how often an answer was counted."""
        return self.runtime.metrics.requests("milter", verdict, reason, domain).count
