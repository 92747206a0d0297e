"""How the next systems fare that are asked by call-out: for the control socket and /readyz.

Nothing here makes the gateway unready: while a system is suspended, ``[callout] on_failure``
answers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.runtime import Runtime

MOST_DOMAINS = 20
"""Domains of one connector that are named; the others are counted."""


def next_systems(runtime: Runtime, now: float) -> dict[str, Any] | None:
    """Tell how each connector's system fares, and what is remembered; None: none is asked.

    On the event loop's thread; ``now`` is on the monotonic clock.  ``again`` is in seconds
    from now, 0.0 where the next recipient is the one who finds out; ``failed`` in seconds of
    Unix time, or null.
    """
    callouts = runtime.callouts
    if callouts is None:
        return None
    connectors = []
    for name, state in callouts.states.items():
        takers = callouts.results.takers(name, now)
        connectors.append(
            {
                "name": name,
                "up": not state.suspended,
                "asking": state.waiting,
                "failures": state.failures,
                "again": max(0.0, state.again - now) if state.suspended else None,
                "failed": state.failed or None,
                "detail": state.detail,
                "anything": sorted(takers)[:MOST_DOMAINS],
                "anything_domains": len(takers),
            }
        )
    kept = callouts.results.sizes()
    remembered = {kind: kept[f"callout_{kind}"] for kind in ("known", "unknown", "unsure")}
    return {"connectors": connectors, "remembered": remembered}


def written(found: Any) -> Iterator[str]:  # noqa: ANN401 - an answer's part
    """Write them for a person."""
    for system in found["connectors"]:
        asking = f", {system['asking']} call-outs under way" if system["asking"] else ""
        yield f"next system {system['name']} {_state(system)}{asking}"
        if system["failed"] is not None:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(system["failed"]))
            yield f"  failed last at {when}: {system['detail']}"
        if system["anything"]:
            more = system["anything_domains"] - len(system["anything"])
            others = f" and {more} more" if more else ""
            yield f"  takes anything in {', '.join(system['anything'])}{others}"
    kinds = ", ".join(f"{count} {kind}" for kind, count in found["remembered"].items())
    yield f"call-outs remembered: {kinds}"


def _state(system: Any) -> str:  # noqa: ANN401 - an answer's part
    if system["up"]:
        return "is up"
    again = system["again"]
    when = f"in {again:.0f} s" if again else "with the next recipient"
    return f"is suspended after {system['failures']} failures: asked again {when}"
