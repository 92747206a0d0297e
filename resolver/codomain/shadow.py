"""Shadow mode: whether it holds for a question, and what would have happened to mail.

In flow the would-be refusals and redirects of the doors; out flow counts by reason and
domain, and the recipients concerned, for ``codomain shadow report``.  What strangers can
make at will is bounded: of more recipients than :data:`RECIPIENTS` those seen least and
longest ago are forgotten, and only counted.

The doors note on different threads (the event loop's, libmilter's): one lock guards all.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from codomain.verdict import Defer, Redirect, Refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from codomain.domains import Domains
    from codomain.question import Question
    from codomain.verdict import Verdict

SHADOW = "shadow"
"""The value of the three ``mode`` keys."""

REDIRECT = "redirect"
"""What stands in place of a reason where a recipient would have been replaced."""

RECIPIENTS = 10_000
"""Recipients that are remembered one by one, some 500 octets each: as many as one gateway
refuses in a day (a report is read by a person)."""

LOOKED_AT = 8
"""Of the recipients seen longest ago so many are compared when one has to go: somebody who
guesses names pushes out his own guesses, and not who is asked for again and again."""

TEXT_CHARACTERS = 320
"""The longest address (RFC 5321 section 4.5.3.1: 64 + 1 + 255); more of a text is cut off."""


@dataclass(slots=True)
class Seen:
    """What would have happened to one recipient, for one reason."""

    reason: str
    """The reason, or :data:`REDIRECT`."""

    domain: str
    """The metrics' label: a domain of ours, or ``other``."""

    recipient: str
    """The recipient as it is looked up; as it was written where no entry can have it."""

    count: int = 0
    """How often."""

    first: float = 0.0
    """When first, in seconds of Unix time; 0.0: not known."""

    last: float = 0.0
    """When last."""

    client: str = ""
    """Who sent the last one."""

    sender: str = ""
    """The last one's envelope sender."""

    detail: str = ""
    """What the log said of the last one; for a redirect its target."""

    def again(self, when: float, client: str, sender: str, detail: str) -> None:
        """Count one more."""
        self.count += 1
        self.first = self.first or when
        self.last = max(self.last, when)
        self.client = client[:TEXT_CHARACTERS]
        self.sender = sender[:TEXT_CHARACTERS]
        self.detail = detail[:TEXT_CHARACTERS]


class Shadowed:
    """What shadow mode has let through since :attr:`since`."""

    def __init__(
        self, recipients: int = RECIPIENTS, clock: Callable[[], float] = time.time
    ) -> None:
        """Remember so many recipients; ``clock`` gives the seconds of Unix time."""
        self.since = clock()
        self._clock = clock
        self._limit = recipients
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str], Seen] = {}
        self._seen: OrderedDict[tuple[str, str, str], Seen] = OrderedDict()

    def note(self, question: Question, verdict: Verdict, domain: str) -> None:
        """Take note of a verdict that was not carried out; others than those are let be."""
        reason = would_be(verdict)
        if not reason:
            return
        recipient = question.recipient
        detail = verdict.target if isinstance(verdict, Redirect) else _detail(verdict)
        client = str(question.client or "unknown")
        self.add(reason, domain, recipient.key or str(recipient), client, question.sender, detail)

    def add(  # noqa: PLR0913, PLR0917  # what a line of the report has
        self,
        reason: str,
        domain: str,
        recipient: str,
        client: str = "",
        sender: str = "",
        detail: str = "",
        when: float | None = None,
    ) -> None:
        """Count one recipient; ``when``: it was logged then, 0.0: nobody knows when."""
        now = self._clock() if when is None else when
        recipient = recipient[:TEXT_CHARACTERS]
        with self._lock:
            total = self._totals.setdefault((reason, domain), Seen(reason, domain, ""))
            total.again(now, "", "", "")
            key = (reason, domain, recipient)
            seen = self._seen.get(key)
            if seen is None:
                self._make_room()
                seen = self._seen[key] = Seen(reason, domain, recipient)
            else:
                self._seen.move_to_end(key)
            seen.again(now, client, sender, detail)

    def totals(self) -> list[Seen]:
        """Return the counts by reason and domain, the greatest first."""
        with self._lock:
            return _sorted(self._totals.values())

    def recipients(self) -> list[Seen]:
        """Return the recipients that are remembered, the most frequent first."""
        with self._lock:
            return _sorted(self._seen.values())

    def _make_room(self) -> None:
        if len(self._seen) >= self._limit:
            oldest = list(islice(self._seen.items(), LOOKED_AT))
            key, _ = min(oldest, key=lambda item: item[1].count)
            del self._seen[key]


def mode_of(question: Question, contexts: Mapping[str, str], domains: Domains, default: str) -> str:
    """Return the mode that holds for a question: the context's, the domain's, or the general one.

    ``contexts`` are the modes of the ``[context …]`` sections by name; empty: none is chosen.
    """
    mode = contexts.get(question.context, "") if question.context else ""
    if not mode:
        domain = domains.match(question.recipient.domain)
        mode = domain.mode if domain is not None else ""
    return mode or default


def would_be(verdict: Verdict) -> str:
    """Return as what shadow mode counts a verdict; empty: it changes nothing for the mail."""
    if isinstance(verdict, Refuse | Defer):
        return verdict.reason.value
    return REDIRECT if isinstance(verdict, Redirect) else ""


def _detail(verdict: Verdict) -> str:
    return verdict.detail if isinstance(verdict, Refuse | Defer) else ""


def _sorted(seen: Iterable[Seen]) -> list[Seen]:
    return sorted(
        (replace(one) for one in seen),
        key=lambda one: (-one.count, one.reason, one.domain, one.recipient),
    )
