"""The report of shadow mode: what would have been refused or redirected, how often, of whom.

In flows what was noted, in the daemon (:class:`codomain.shadow.Shadowed`) or from its log
(:mod:`codomain_cli.shadowlog`); out flows one object of plain values, and from it lines for
a person and rows for a spreadsheet.

The object, whose keys are only ever added while :data:`VERSION` stays the same: ``version``;
``since``, in seconds of Unix time, null where it is not known; ``total``; ``reasons``,
``domains``: ``[{"reason" or "domain", "count"}]``, the greatest first; ``recipients``:
``[{"reason", "domain", "recipient", "count", "first", "last", "client", "sender",
"detail"}]``, where client, sender and detail are those of the last one; ``forgotten``: how
many of the total concern recipients that are not listed.
"""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from codomain_cli.plain import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.shadow import Shadowed

VERSION = 1
"""The version of the object."""

LISTED = 2000
"""Recipients of one answer of the daemon: at their longest they fit its answer's limit
(:data:`codomain_cli.wire.ANSWER_OCTETS`)."""

COLUMNS = ("reason", "domain", "recipient", "count", "first", "last", "client", "sender", "detail")
"""The columns of the CSV."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, in full width too (OWASP, CSV
Injection)."""

OTHERS = "(other recipients)"
"""The recipient of the rows that stand for those who are not listed."""


def as_object(shadowed: Shadowed, listed: int = LISTED) -> dict[str, Any]:
    """Return the report; of the recipients the most frequent are listed."""
    totals = shadowed.totals()
    recipients = shadowed.recipients()[:listed]
    reasons: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    for one in totals:
        reasons[one.reason] += one.count
        domains[one.domain] += one.count
    total = sum(reasons.values())
    return {
        "version": VERSION,
        "since": shadowed.since or None,
        "total": total,
        "reasons": [{"reason": name, "count": count} for name, count in _sorted(reasons)],
        "domains": [{"domain": name, "count": count} for name, count in _sorted(domains)],
        "totals": [
            {"reason": one.reason, "domain": one.domain, "count": one.count} for one in totals
        ],
        "recipients": [asdict(one) for one in recipients],
        "forgotten": total - sum(one.count for one in recipients),
    }


def rows(found: dict[str, Any], top: int) -> Iterator[tuple[str, str]]:
    """Return the rows of a terminal; of each list the first ``top``."""
    yield "since", _when(found["since"])
    yield "would-be refusals and redirects", str(found["total"])
    for name in ("reason", "domain"):
        for one in found[f"{name}s"][:top]:
            yield f"{name} {one[name]}", str(one["count"])
    for one in found["recipients"][:top]:
        words = [f"{one['count']} times", one["reason"], f"last {_when(one['last'])}"]
        words += [f"from {one['client']}"] if one["client"] else []
        words += [one["detail"]] if one["detail"] else []
        yield one["recipient"], ", ".join(words)
    left = max(0, len(found["recipients"]) - top)
    if left or found["forgotten"]:
        more = f"{found['forgotten']} more refusals of recipients that are not listed"
        yield "and", f"{left} more recipients; {more}" if found["forgotten"] else f"{left} more"


def as_csv(found: dict[str, Any]) -> str:
    """Return the report as CSV (RFC 4180), safe to open in a spreadsheet.

    A row for each recipient, and one for all others of each reason and domain, so that the
    counts add up.  What a spreadsheet would take for a formula gets an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    left = Counter({(one["reason"], one["domain"]): one["count"] for one in found["totals"]})
    for one in found["recipients"]:
        left[one["reason"], one["domain"]] -= one["count"]
        values = {**one, "first": _when(one["first"]), "last": _when(one["last"])}
        writer.writerow([cell(values[column]) for column in COLUMNS])
    for (reason, domain), count in left.items():
        if count > 0:
            values = {"reason": reason, "domain": domain, "recipient": OTHERS, "count": count}
            writer.writerow([cell(values.get(column, "")) for column in COLUMNS])
    return text.getvalue()


def cell(value: object) -> str:
    """Return a value for a cell of a spreadsheet: no formula, and nothing that cannot be seen."""
    text = str(value)
    # Before and after escaping: a tab becomes the plain letters \t, and is defused all the same.
    guard = "'" if text.startswith(FORMULA) else ""
    return guard + printable(text)


def _sorted(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _when(seconds: float | None) -> str:
    if not seconds:
        return "unknown"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
