"""An explanation as rows of a label and a text, for a terminal.

In flows the object that docs/explain-json.md describes, made here or by the daemon; out
flow rows for :func:`codomain_cli.plain.table`, which escapes what must be escaped.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain_cli.plain import Row

CLOSED = "(closed) "
"""What stands before the answer of a door that the configuration does not open."""

UNKNOWN = "not known yet"
"""What stands for an answer that nobody knows."""

SENDMAIL = frozenset({"route", "mxserved", "mailertable"})
"""The maps that Sendmail alone asks; they are shown where its milter is open."""


def rows(found: dict[str, Any]) -> Iterator[Row]:
    """Return the rows of one explanation."""
    if found.get("log"):
        yield from _log_rows(found["log"])
    address = found["address"]
    yield "recipient", found["recipient"]
    yield "parsed as", f"local part {address['local']!r}, domain {address['domain'] or 'nobody'}"
    yield "looked up as", address["key"] or "nothing: no entry can have this address"
    yield "client", _client(found["client"])
    if found["live"]:
        yield "daemon", f"configuration {found['generation']}, its cache as it is"
    else:
        yield "cache", "none: the directories were asked now; --live shows the daemon's"
    domain = found["domain"]
    if domain is not None and domain["directories"]:
        yield "directories", ", ".join(domain["directories"])
    entries = {entry["dn"]: entry for lookup in found["lookups"] for entry in lookup["entries"]}
    for step in found["steps"]:
        yield step["step"], step["detail"]
    for entry in entries.values():
        yield from _entry_rows(entry)
    for index in found["indexes"]:
        yield "index", _index(index)
    for way in found["connectors"]:
        relays = "" if way["allow_relay"] else ", allow_relay = no"
        why = way["why"] or "not asked"
        yield f"way {way['name']}", f"{way['next_hop']}, cost {way['cost']}{relays}: {why}"
    yield "verdict", _verdict(found)
    yield from _door_rows(found)


def _log_rows(log: dict[str, Any]) -> Iterator[Row]:
    yield "log line", log["line"]
    if log["reply"]:
        yield "it was told", log["reply"]


def _client(client: dict[str, Any]) -> str:
    words = [client["address"]]
    words += ["logged in"] if client["authenticated"] else []
    words += [f"context {client['context']}"] if client["context"] else []
    words += ["trusted"] if client["trusted"] else []
    words += [f"peer of {name}" for name in client["peer_of"]]
    if not client["trusted"] and not client["peer_of"]:
        words.append("a stranger")
    words += ["under the harvest brake"] if client["braked"] else []
    return ", ".join(words)


def _entry_rows(entry: dict[str, Any]) -> Iterator[Row]:
    yield "found", f"{entry['kind']} {entry['dn']}"
    yield "its addresses", ", ".join(entry["addresses"]) or "none"
    for label, key in (("primary", "primary"), ("leads to", "target"), ("mailHost", "mail_host")):
        if entry[key]:
            yield f"its {label}" if key != "target" else label, entry[key]
    if entry["restricted"]:
        yield "restricted", "it takes mail of authenticated senders only"


def _index(index: dict[str, Any]) -> str:
    if not index["usable"]:
        return f"{index['directory']}: cannot be used, every address is searched for"
    age = "of unknown age" if index["age"] is None else f"in step {index['age']:.0f} s ago"
    return f"{index['directory']}: {index['entries']} entries, {age}"


def _verdict(found: dict[str, Any]) -> str:
    said: str = found["verdict"]["summary"]
    if found["mode"] == "shadow":
        return f"let through, because shadow mode holds; enforced it would be {said}"
    return said


def _door_rows(found: dict[str, Any]) -> Iterator[Row]:
    doors = found["doors"]
    policy, milter, maps = doors["policy"], doors["milter"], doors["maps"]
    yield "policy", _answer(policy["answer"], is_open=policy["open"])
    told = _answer(milter["answer"], is_open=milter["open"])
    yield "milter", (told, *(f"at the end: {change}" for change in milter["changes"]))
    shown = [one for one in maps["answers"] if milter["open"] or one["map"] not in SENDMAIL]
    for name, group in groupby(sorted(shown, key=_place), key=lambda one: one["map"]):
        answers = list(group)
        same = len({one["answer"] for one in answers}) == 1
        texts = [
            f"{_answer(one['answer'], is_open=maps['open'])}  ({one['key']})" for one in answers
        ]
        if same and len(answers) > 1:
            keys = " and ".join(one["key"] for one in answers)
            texts = [f"{_answer(answers[0]['answer'], is_open=maps['open'])}  ({keys})"]
        yield f"map {name}", tuple(texts)


ORDER = (
    "domain",
    "mailbox-domain",
    "recipient",
    "alias",
    "transport",
    "access",
    "mxserved",
    "route",
    "mailertable",
)
"""The order in which the maps are shown: Postfix's as it asks them, then Sendmail's."""


def _place(one: dict[str, Any]) -> int:
    return ORDER.index(one["map"]) if one["map"] in ORDER else len(ORDER)


def _answer(answer: str | None, *, is_open: bool) -> str:
    return ("" if is_open else CLOSED) + (UNKNOWN if answer is None else answer)
