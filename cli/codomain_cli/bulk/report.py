"""What a plan, or what came of it, looks like: for a person, and as JSON.

Every record that is refused or stands against another is named, with file, line and
reason; of the others so many that a screen shows them, and all with ``--verbose``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from codomain_cli.bulk.plan import What

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain_cli.bulk.applying import Outcome
    from codomain_cli.bulk.plan import Plan
    from codomain_cli.bulk.records import Fault

SHOWN = 20
"""Records of a kind that are shown without being asked for: a screen has 24 lines."""


def planned(plan: Plan, path: str, *, verbose: bool) -> Iterator[str]:
    """Give the lines of a plan."""
    for unit in plan.units:
        yield f"create unit  {unit}"
    for what in (What.CREATE, What.CHANGE, *((What.SAME,) if verbose else ())):
        steps = list(plan.steps_of(what))
        for step in steps if verbose else steps[:SHOWN]:
            yield f"{what.value:<12} {step.contact.name}"
            yield from (f"{'':<12}   {line}" for line in step.changes)
        if len(steps) > SHOWN and not verbose:
            yield f"{what.value:<12} and {len(steps) - SHOWN} more (--verbose shows them)"
    yield from faults(plan, path)
    yield from plan.notes
    counts = ", ".join(f"{count} {what.value}" for what, count in plan.counts().items())
    yield f"planned: {counts}"


def faults(plan: Plan, path: str) -> Iterator[str]:
    """Give a line for every record that is not carried out."""
    for what, found in (("conflict", plan.conflicts), ("refused", plan.refused)):
        yield from (_fault(what, fault, path) for fault in found)


def done(outcome: Outcome, path: str) -> Iterator[str]:
    """Give the lines of what was done."""
    yield from (_fault("failed", fault, path) for fault in outcome.faults)
    units = f"{outcome.units} units and " if outcome.units else ""
    yield (
        f"done: {units}{outcome.created} contacts created, {outcome.changed} changed,"
        f" {len(outcome.faults)} failed"
    )


def as_json(plan: Plan, outcome: Outcome | None, told: str) -> str:
    """Give all of it as JSON, in ASCII: any terminal and any locale takes it."""
    found: dict[str, object] = {
        "counts": {what.value: count for what, count in plan.counts().items()},
        "units": [str(unit) for unit in plan.units],
        "records": [
            {
                "what": step.what.value,
                "line": step.contact.line,
                "dn": str(step.contact.name),
                "changes": list(step.changes),
            }
            for step in plan.steps
        ],
        "conflicts": [_as_object(fault) for fault in plan.conflicts],
        "refused": [_as_object(fault) for fault in plan.refused],
        "notes": plan.notes,
        "applied": None,
    }
    if outcome is not None:
        found["applied"] = {
            "units": outcome.units,
            "created": outcome.created,
            "changed": outcome.changed,
            "failed": [_as_object(fault) for fault in outcome.faults],
            "daemon": told,
        }
    return json.dumps(found, indent=2)


def _fault(what: str, fault: Fault, path: str) -> str:
    place = f"{path}:{fault.line}: " if fault.line else f"{path}: "
    dn = f"{fault.dn}: " if fault.dn else ""
    return f"{what:<12} {place}{dn}{fault.why}"


def _as_object(fault: Fault) -> dict[str, object]:
    return {"line": fault.line, "dn": fault.dn, "why": fault.why}
