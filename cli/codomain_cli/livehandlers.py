"""What the daemon does for ``codomain explain --live`` and ``codomain shadow report``.

``explain``: of ``{"address", "client", "sender", "sasl", "context", "certificate", "ask",
"callout"}``, of which all but the address may be left out, the explanation
(:mod:`codomain_cli.explanation`) with the cache as it is; ``ask`` searches the directories
for what is not in it, ``callout`` asks the next systems, and the daemon keeps the answers.

``shadow.report``: what shadow mode has let through since the daemon began
(:mod:`codomain_cli.shadowreport`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from codomain.decision import decide
from codomain.finding import Need
from codomain_cli.asking import Asking, question_of
from codomain_cli.exits import RequestError
from codomain_cli.explainobject import as_object
from codomain_cli.explanation import InForce, Steps, explained
from codomain_cli.memory import InDaemon
from codomain_cli.shadowreport import as_object as report_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codomain.question import Question
    from codomain.runtime import InForce as Held
    from codomain_cli.control import Handler, Peer

ROUNDS = 20
"""Addresses and systems that are asked for one explanation: a chain of contacts ends after
``max_depth``, each of which is looked up with and without its extension."""


class LiveHandlers:
    """The commands that look at decisions."""

    def __init__(self, in_force: Held) -> None:
        self._in_force = in_force

    def table(self) -> dict[str, Handler]:
        """Return the handlers by the names of their commands."""
        return {"explain": self.explain, "shadow.report": self.shadow_report}

    async def explain(self, arguments: Mapping[str, Any], _peer: Peer) -> object:
        """Explain one decision with what is in memory."""
        asking = _asking(arguments)
        try:
            question = question_of(asking)
        except ValueError as error:
            raise RequestError("arguments", str(error)) from error
        runtime = self._in_force.runtime
        steps = Steps()
        lookups = InDaemon(runtime, steps)
        if asking.ask or asking.callout:
            await _fetch(question, asking, lookups, steps)
        in_force = InForce(
            runtime.config,
            runtime.rules,
            runtime.replies,
            runtime.directories.values(),
            runtime.generation,
        )
        brake = runtime.brake
        braked = brake is not None and brake.holds(
            question.client, runtime.trust.standing(question)
        )
        return as_object(explained(question, in_force, lookups, steps, braked=braked))

    async def shadow_report(self, _arguments: Mapping[str, Any], _peer: Peer) -> object:
        """Tell what shadow mode has let through."""
        # In a thread: ten thousand recipients are sorted.
        return await asyncio.to_thread(report_object, self._in_force.runtime.metrics.shadowed)


async def _fetch(question: Question, asking: Asking, lookups: InDaemon, steps: Steps) -> None:
    """Ask for what the decision needs, one after the other, as the resolver does."""
    for _ in range(ROUNDS):
        verdict = decide(lookups.rules, question, lookups, steps, lookups.ask)
        if not isinstance(verdict, Need):
            return
        if verdict.inquiry is None and not asking.ask:
            return
        if not await lookups.fetch(verdict, callout=asking.callout):
            return


def _asking(arguments: Mapping[str, Any]) -> Asking:
    texts = ("address", "client", "sender", "context", "certificate")
    flags = ("sasl", "ask", "callout")
    unknown = set(arguments) - {*texts, *flags}
    if unknown:
        raise RequestError("arguments", f"there is no {min(unknown)}")
    for name in texts:
        if not isinstance(arguments.get(name, ""), str):
            raise RequestError("arguments", f"{name} must be a text")
    for name in flags:
        if not isinstance(arguments.get(name, False), bool):
            raise RequestError("arguments", f"{name} must be true or false")
    return Asking(**arguments) if "address" in arguments else _no_address()


def _no_address() -> Asking:
    raise RequestError("arguments", "address is missing")
