"""What would be answered about an address, from what the daemon knows at this moment.

Nothing is asked: no directory, no next system, no other gateway; nothing is counted, and
no verdict is kept.  Files, local indexes and the cache are looked at, and where they do
not know, that is what the page says.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain.address import parse_recipient
from codomain.decision import decide
from codomain.finding import Need, Outage
from codomain.question import Door, Question
from codomain.resolver import View
from codomain.verdict import Defer, Deliver, Pass, Redirect, Refuse, Relay, Verdict
from codomain_cli.page.masks import mask_text
from codomain_policyd.reply import map_answer, policy_action

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from codomain.directory.base import Recipient
    from codomain.runtime import Runtime

MAPS = ("recipient", "alias", "transport", "access")
"""The maps whose answers are shown."""

ADDRESS_CHARACTERS = 1000
"""The longest text that is taken for an address: three times the longest address."""


@dataclass(slots=True)
class Explained:
    """One decision, as it would be taken now."""

    address: str
    """What was asked for, as it was written."""

    standing: str = ""
    """Who the client is to us."""

    summary: str = ""
    """What happens to the mail."""

    tone: str = ""
    """``good``, ``bad`` or ``warn``."""

    steps: list[tuple[str, str]] = field(default_factory=list)
    """Every step: its name and what it found."""

    doors: list[tuple[str, str]] = field(default_factory=list)
    """What each door answers."""

    fault: str = ""
    """What of the form makes no sense; then there is nothing else."""


class Glance(View):
    """What one decision sees that leaves no trace behind."""

    __slots__ = ("names",)

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime.resolver, time.monotonic(), _nothing, _nothing)
        self.names: set[str] = set()

    def __call__(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Look an address up (:class:`codomain.finding.Peek`)."""
        behind = self._resolver.directories[directory]
        look = getattr(behind, "shown", behind.peek)
        seen: tuple[Recipient, ...] | Outage | None = look(key)
        if seen is None:
            seen = self._cached((directory, key))
        if isinstance(seen, tuple):
            self.names.update(entry.dn for entry in seen)
        return seen


def explain(runtime: Runtime, address: str, client: str, *, authenticated: bool) -> Explained:
    """Decide on an address from memory; what of it may be shown, ``show_addresses`` says."""
    explained = Explained(address)
    try:
        ip = _client(client)
    except ValueError:
        explained.fault = "The client is no IP address, such as 198.51.100.7 or 2001:db8::1."
        return explained
    if len(address) > ADDRESS_CHARACTERS:
        explained.fault = "This is longer than any address."
        return explained
    recipient = parse_recipient(address.encode("utf-8", "surrogatepass"))
    question = Question(recipient, client=ip, authenticated=authenticated)
    glance = Glance(runtime)
    steps: list[tuple[str, str]] = []
    verdict = decide(runtime.rules, question, glance, lambda *step: steps.append(step), glance.ask)
    for_maps = decide(runtime.rules, Question(recipient, door=Door.MAP), glance, ask=glance.ask)
    show = runtime.config.http.show_addresses

    def shown(text: str) -> str:
        return text if show else mask_text(text, glance.names, keep=recipient.key or address)

    explained.standing = _standing(runtime, question)
    explained.steps = [(name, shown(detail)) for name, detail in steps]
    explained.summary, explained.tone = _summary(verdict)
    explained.summary = shown(explained.summary)
    if runtime.shadow(question):
        explained.summary += " In shadow mode this is only counted, and the mail passes."
    explained.doors = [
        (name, shown(answer)) for name, answer in _doors(runtime, question, verdict, for_maps)
    ]
    return explained


def _nothing(_what: object) -> None:
    """Take no note."""


def _client(text: str) -> IPv4Address | IPv6Address | None:
    if not text:
        return None
    ip = ipaddress.ip_address(text)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def _standing(runtime: Runtime, question: Question) -> str:
    standing = runtime.trust.standing(question)
    words = ["trusted"] if standing.trusted else []
    words += [f"peer of {name}" for name in standing.peer_of]
    return ", ".join(words) or "a stranger"


def _summary(verdict: Verdict | Need) -> tuple[str, str]:  # noqa: PLR0911  # one for each verdict
    """Say what happens to the mail in one sentence, and whether that is good."""
    match verdict:
        case Need(directory="", inquiry=inquiry) if inquiry is not None:
            return f"Not in memory: the system behind {inquiry.connector} would be asked.", "warn"
        case Need(directory=directory):
            return f"Not in memory: directory {directory} would be asked.", "warn"
        case Pass(ours=True):
            return "Let through: the MTA finds the way by MX.", "good"
        case Pass():
            return "Let through: not ours to judge.", "good"
        case Deliver(connector=way):
            return f"Delivered {'through ' + way.name if way else 'on this host'}.", "good"
        case Redirect(target=target, connector=way):
            return f"Redirected to {target}, {'through ' + way.name if way else 'by MX'}.", "good"
        case Relay(connector=way):
            return f"Unknown here: relayed through {way.name}.", "good"
        case Refuse(reason=reason, detail=detail):
            return f"Refused: {reason.value}{_because(detail)}.", "bad"
        case Defer(reason=reason, detail=detail):
            return f"Deferred: {reason.value}{_because(detail)}.", "warn"


def _because(detail: str) -> str:
    return f" ({detail})" if detail else ""


def _doors(
    runtime: Runtime, question: Question, verdict: Verdict | Need, for_maps: Verdict | Need
) -> list[tuple[str, str]]:
    by_filter = runtime.config.policyd.redirect == "filter"
    doors = []
    if not isinstance(verdict, Need):
        action = policy_action(verdict, runtime.replies, by_filter=by_filter)
        doors.append(("policy server", action.decode("utf-8", "replace").strip()))
    if not isinstance(for_maps, Need):
        ours = runtime.rules.domains.match(question.recipient.domain) is not None
        for name in MAPS:
            answer = map_answer(name, for_maps, runtime.replies, ours=ours)
            doors.append((f"map {name}", answer.decode("utf-8", "replace").strip()))
    return doors
