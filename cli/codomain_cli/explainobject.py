"""An explanation as one object of plain values: what ``--json`` prints, and ``--live`` carries.

In flows an :class:`codomain_cli.explanation.Explanation`; out flows the object that
docs/explain-json.md describes.  Keys are only ever added while :data:`VERSION` stays the
same.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from codomain.shadow import SHADOW
from codomain.verdict import Defer, Deliver, Pass, Redirect, Refuse, Relay, Verdict
from codomain_cli.lookups import indexes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codomain.connectors import Connector
    from codomain.directory.base import Recipient
    from codomain.domains import Domain
    from codomain.finding import Need
    from codomain_cli.explanation import Explanation
    from codomain_cli.lookups import Lookup

VERSION = 1
"""The version of the object (docs/explain-json.md)."""


def as_object(explanation: Explanation) -> dict[str, Any]:
    """Return the explanation as ``--json`` prints it (docs/explain-json.md)."""
    question, in_force = explanation.question, explanation.in_force
    recipient = question.recipient
    return {
        "version": VERSION,
        "live": in_force.generation is not None,
        "generation": in_force.generation,
        "recipient": str(recipient),
        "address": {
            "local": recipient.local,
            "domain": recipient.domain,
            "written": recipient.written,
            "key": recipient.key,
        },
        "client": {
            "address": str(question.client or "unknown"),
            "authenticated": question.authenticated,
            "certificate": question.fingerprint,
            "context": question.context,
            "sender": question.sender,
            "trusted": explanation.standing.trusted,
            "peer_of": list(explanation.standing.peer_of),
            "sends_out": explanation.standing.sends_out,
            "braked": explanation.braked,
        },
        "domain": _domain_object(explanation.domain),
        "mode": SHADOW if explanation.shadow else "enforce",
        "steps": [{"step": step, "detail": detail} for step, detail in explanation.steps],
        "lookups": [_lookup_object(lookup) for lookup in explanation.lookups],
        "indexes": indexes(in_force.directories, time.time()),
        "connectors": ways(explanation),
        "callouts": [asdict(callout) for callout in explanation.callouts],
        "verdict": _verdict_object(explanation.outcome, explanation.needs),
        "doors": _doors_object(explanation),
    }


def ways(explanation: Explanation) -> list[dict[str, Any]]:
    """Return the connectors that might have been a way out, and what came of each."""
    verdict = explanation.verdict
    connectors = explanation.in_force.rules.connectors
    domain, chosen = explanation.question.recipient.domain, None
    if isinstance(verdict, Deliver | Redirect | Relay | Pass):
        chosen = verdict.connector
    if isinstance(verdict, Redirect):
        domain = verdict.target.rpartition("@")[2]
    listed: list[Connector] = connectors.covering(domain) if domain else []
    mine = explanation.domain.deliver_to if explanation.domain is not None else None
    for more in (chosen, mine):
        if more is not None and more not in listed:
            listed = [more, *listed]
    return [
        {
            "name": way.name,
            "next_hop": way.next_hop,
            "cost": way.cost,
            "allow_relay": way.allow_relay,
            "verify": "callout" if way.verify else "none",
            "chosen": way is chosen,
            "why": _why(way, chosen, explanation, deliver_to=way is mine),
        }
        for way in listed
    ]


def _why(
    way: Connector, chosen: Connector | None, explanation: Explanation, *, deliver_to: bool
) -> str:
    """Say why a connector is the way out, or why it is not."""
    verdict = explanation.verdict
    said = [
        detail.partition(": ")[2]
        for step, detail in explanation.steps
        if step == "connector" and detail.startswith(f"{way.name}: ")
    ]
    said = [words for words in said if words != way.next_hop]
    if way is chosen:
        return "; ".join(["the way out", *said])
    if said:
        return "; ".join(said)
    if deliver_to:
        return "the way to the mailboxes of the domain"
    if chosen is not None and isinstance(verdict, Relay | Redirect):
        return f"not needed: {chosen.name} goes before it"
    if isinstance(verdict, Deliver):
        return "not needed: the directory has the recipient"
    return ""


def summary(verdict: Verdict) -> str:  # noqa: PLR0911  # one for each verdict
    """Say in one sentence what happens to the mail."""
    match verdict:
        case Pass(ours=True):
            return "let through: the MTA finds the way by MX"
        case Pass():
            return "not ours to judge: the MTA does what it would do without us"
        case Deliver(address=address, connector=way):
            return f"delivered to {address}, {'through ' + way.name if way else 'on this host'}"
        case Redirect(target=target, connector=way):
            return f"redirected to {target}, {'through ' + way.name if way else 'by its MX'}"
        case Relay(connector=way):
            return f"unknown here: relayed through {way.name} ({way.next_hop})"
        case Refuse(reason=reason, detail=detail):
            return f"refused: {reason.value}" + (f" ({detail})" if detail else "")
        case Defer(reason=reason, detail=detail):
            return f"deferred: {reason.value}" + (f" ({detail})" if detail else "")


def _verdict_object(verdict: Verdict | None, needs: Need | None) -> dict[str, Any]:
    what = "an answer that nobody has asked for yet"
    if needs is not None:
        who = f"directory {needs.directory}" if needs.directory else "the next system"
        what = f"not known: {who} has not been asked for {needs.key} yet"
    way = getattr(verdict, "connector", None)
    refused = isinstance(verdict, Refuse | Defer)
    return {
        "kind": "unknown" if verdict is None else type(verdict).__name__.lower(),
        "reason": verdict.reason.value if isinstance(verdict, Refuse | Defer) else None,
        "summary": what if verdict is None else summary(verdict),
        "address": _leads_to(verdict),
        "connector": None if way is None else way.name,
        "next_hop": None if way is None else way.next_hop,
        "entry": getattr(verdict, "dn", "") or None,
        "detail": (getattr(verdict, "detail", "") or None) if refused else None,
    }


def _leads_to(verdict: Verdict | None) -> str | None:
    match verdict:
        case Deliver(address=address) | Redirect(target=address):
            return address
        case _:
            return None


def _domain_object(domain: Domain | None) -> dict[str, Any] | None:
    if domain is None:
        return None
    return {
        "name": domain.name,
        "type": domain.type,
        "directories": list(domain.directories),
        "deliver_to": None if domain.deliver_to is None else domain.deliver_to.name,
    }


def _lookup_object(lookup: Lookup) -> dict[str, Any]:
    made = {name: getattr(lookup, name) for name in lookup.__slots__}
    made["entries"] = [_entry_object(entry) for entry in lookup.entries]
    return made


def _entry_object(entry: Recipient) -> Mapping[str, Any]:
    return {
        "dn": entry.dn,
        "kind": entry.kind.value,
        "addresses": list(entry.addresses),
        "primary": entry.primary,
        "target": entry.target,
        "mail_host": entry.mail_host,
        "restricted": entry.restricted,
    }


def _doors_object(explanation: Explanation) -> dict[str, Any]:
    config, answer = explanation.in_force.config, explanation.answers
    return {
        "policy": {"open": bool(config.policyd.listen), "answer": answer.policy},
        "milter": {
            "open": config.milter.listen is not None,
            "answer": answer.milter,
            "changes": list(answer.changes),
        },
        "maps": {
            "open": bool(config.policyd.socketmap_listen),
            "answers": [asdict(one) for one in answer.maps],
        },
    }
