"""The parts of the page that change by themselves: traffic, refusals, what is up.

In flow what the control socket's handlers gather (:mod:`codomain_cli.handlers`), the
rates and the last refusals; out flows HTML, one ``section`` each, with an id by which the
script puts the new one in the place of the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain_cli.page import words
from codomain_cli.page.elements import facts, item, live, pill, table
from codomain_cli.page.html import Html, join, tag
from codomain_cli.page.masks import mask_address, mask_client
from codomain_cli.page.traffic import overview, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain_cli.page.recent import Refusal
    from codomain_cli.page.state import Gathered, State


def refusals(state: State) -> Html:
    """Return the last refusals; whose they were only where that may be shown."""
    show = state.runtime.config.http.show_addresses
    rows = [_refusal(refusal, state.now, show=show) for refusal in state.refusals]
    note = "" if show else "Addresses and clients are masked: [http] show_addresses."
    head = ("When", "What", "Recipient", "Client", "Reply")
    return live(
        "refusals",
        "Last refusals",
        table("Last refusals", head, rows, "None since the start."),
        tag("p", note, class_="quiet") if note and rows else Html(),
        class_="card wide",
    )


def directories(state: State) -> Html:
    """Return the directories, their servers, and how old their local indexes are."""
    show = state.runtime.config.http.show_addresses
    found = [_directory(directory, show=show) for directory in state.status["directories"]]
    return live(
        "directories", "Directories", *(found or [tag("p", "There is none.", class_="quiet")])
    )


def connectors(state: State) -> Html:
    """Return the ways out, and whether the systems behind them answer call-outs."""
    found = []
    told_of = (state.status.get("callouts") or {}).get("connectors", ())
    systems = {system["name"]: system for system in told_of}
    for connector in state.runtime.config.connectors:
        if connector.verify == "none":
            told = pill("no call-out", "")
        elif connector.name in state.suspended:
            told = pill("does not answer", "bad")
        else:
            told = pill("call-out", "good")
        pairs = [
            ("Smart hosts", ", ".join(connector.smart_hosts)),
            ("Address spaces", ", ".join(connector.address_spaces) or "none"),
            ("Strangers", "may relay" if connector.allow_relay else "may not relay"),
            ("Cost", str(connector.cost)),
            *_takers(systems.get(connector.name)),
        ]
        found.append(item(connector.name, told, facts(pairs)))
    return live(
        "connectors", "Connectors", *(found or [tag("p", "There is none.", class_="quiet")])
    )


def _takers(system: Gathered) -> list[tuple[str, str]]:
    """Return the domains of which a next system takes any recipient, if there are some."""
    if system is None or not system["anything"]:
        return []
    more = system["anything_domains"] - len(system["anything"])
    others = f" and {more} more" if more else ""
    return [("Takes anything in", ", ".join(system["anything"]) + others)]


def cache(state: State) -> Html:
    """Return what is kept, and how often that was of use."""
    stats = state.stats
    lookups = stats["lookups"]
    asked = sum(lookups.values())
    pairs = [
        ("Look-ups answered from memory", words.share(asked - lookups.get("miss", 0), asked)),
        ("Stale answers served", words.number(lookups.get("stale", 0))),
        *(
            (kind.replace("_", " ").capitalize(), words.number(count))
            for kind, count in stats["entries"].items()
        ),
        ("Room for", words.number(stats["size"])),
    ]
    shared = stats["shared"]
    beside = Html()
    if shared is not None:
        up = pill("up", "good") if shared["up"] else pill("down", "bad")
        beside = item(f"Shared: {shared['server']}", up)
    return live("cache", "Cache", facts(pairs), beside)


def _refusal(refusal: Refusal, now: float, *, show: bool) -> tuple[Html | str, ...]:
    tone = "warn" if refusal.event == "deferred" else "bad"
    what = [pill(refusal.event.capitalize(), tone), " ", tag("span", refusal.reason)]
    if refusal.shadow:
        what += [" ", pill("shadow: passed", "")]
    mask: Callable[[str], str] = str if show else mask_address
    recipient = [tag("span", mask(refusal.recipient), class_="address")]
    if show and refusal.sender:
        recipient.append(tag("span", f"from {refusal.sender}", class_="quiet address"))
    reply = [tag("span", refusal.reply)]
    why = " ".join(filter(None, (refusal.dn, refusal.detail))) if show else ""
    if why:
        reply.append(tag("span", why, class_="quiet address"))
    client = refusal.client if show else mask_client(refusal.client)
    return (
        words.clock(refusal.when, now),
        join(what),
        join(recipient),
        tag("span", client or "unknown", class_="address"),
        join(reply),
    )


def _directory(directory: Gathered, *, show: bool) -> Html:
    state = pill("answers", "good") if directory["up"] else pill("does not answer", "bad")
    parts = []
    if not directory["up"]:
        why = directory["detail"] if show else "codomain status and the log say why."
        parts.append(tag("p", why or "not asked yet", class_="quiet"))
    parts += [_index(directory["index"])] if directory["index"] is not None else []
    servers = [
        tag(
            "li",
            tag("span", server["uri"], class_="address"),
            " ",
            pill("up", "good") if server["up"] else pill("down", "bad"),
        )
        for server in directory["servers"]
    ]
    parts += [tag("ul", *servers)] if servers else []
    return item(directory["name"], join((pill(directory["type"], ""), " ", state)), *parts)


def _index(index: Gathered) -> Html:
    if not index["usable"]:
        return tag("p", pill("no index", "bad"), " every address is searched for")
    age = "of unknown age" if index["age"] is None else f"in step {words.ago(index['age'])} ago"
    return tag("p", f"Local index of {words.number(index['entries'])} entries, {age}")


PARTS = (overview, verdicts, refusals, directories, connectors, cache)
"""All parts that change by themselves."""


def parts_of(state: State) -> list[Html]:
    """Return all parts, in their order; any thread."""
    return [part(state) for part in PARTS]
