"""Questions, entries and verdicts in a few words, for tests of the decision."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from codomain.address import parse_mailbox, parse_recipient
from codomain.config import parse
from codomain.decision import decide
from codomain.directory.base import Kind, Recipient
from codomain.finding import Need, Outage
from codomain.question import Door, Question
from codomain.rules import Rules, rules_from
from codomain.verdict import Defer, Deliver, Pass, Redirect, Refuse, Relay, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

    from codomain.finding import Peek, Trace

STRANGER = "198.51.100.7"
TRUSTED = "127.0.0.1"
DOWN = Outage("connection refused")


def no_lookup(name: str) -> list[IPv4Address | IPv6Address]:
    """Find no address for any name: a test asks no DNS."""
    del name
    return []


def rules_of(ini: str) -> Rules:
    """Build the rules of an INI."""
    return rules_from(parse(ini), no_lookup)


def entry(
    *addresses: str,
    target: str = "",
    host: str = "",
    primary: str = "",
    restricted: bool = False,
    dn: str = "",
) -> Recipient:
    """Make an entry with these addresses; the first one names it."""
    keys = []
    for address in addresses:
        mailbox = parse_mailbox(address)
        assert mailbox is not None, address
        keys.append(mailbox.key)
    kind = Kind.CONTACT if target else Kind.MAILBOX
    return Recipient(
        dn or f"cn={addresses[0]}", kind, tuple(keys), primary, target, host, restricted
    )


class Entries:
    """What the directories know: a :class:`codomain.finding.Peek` that remembers its keys."""

    def __init__(
        self, *entries: Recipient, directory: str = "people", down: Iterable[str] = ()
    ) -> None:
        self._known: dict[tuple[str, str], tuple[Recipient, ...]] = {}
        self.down = set(down)
        self.asked: list[str] = []
        self.add(directory, *entries)

    def add(self, directory: str, *entries: Recipient) -> Entries:
        """Put entries into a directory."""
        for one in entries:
            for key in one.addresses:
                known = self._known.get((directory, key), ())
                self._known[directory, key] = (*known, one)
        return self

    def __call__(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Answer, or fail where the directory is down and knows nothing of it."""
        self.asked.append(key)
        known = self._known.get((directory, key))
        if known is None and directory in self.down:
            return DOWN
        return known or ()


def question(  # one argument for each field
    recipient: str | bytes,
    client: str = STRANGER,
    *,
    door: Door = Door.POLICY,
    sasl: bool = False,
    fingerprint: str = "",
    smtputf8: bool | None = None,
    context: str = "",
) -> Question:
    """Ask about a recipient as the policy protocol writes it; an empty client is unknown."""
    raw = recipient if isinstance(recipient, bytes) else recipient.encode("utf-8")
    return Question(
        recipient=parse_recipient(raw),
        door=door,
        client=ip_address(client) if client else None,
        authenticated=sasl,
        fingerprint=fingerprint,
        smtputf8=smtputf8,
        context=context,
    )


def ask(
    rules: Rules,
    peek: Peek,
    recipient: str | bytes,
    client: str = STRANGER,
    *,
    door: Door = Door.POLICY,
    sasl: bool = False,
    fingerprint: str = "",
    smtputf8: bool | None = None,
    context: str = "",
    trace: Trace | None = None,
) -> Verdict:
    """Decide where everything is known."""
    asked = question(
        recipient,
        client,
        door=door,
        sasl=sasl,
        fingerprint=fingerprint,
        smtputf8=smtputf8,
        context=context,
    )
    verdict = decide(rules, asked, peek, trace)
    assert not isinstance(verdict, Need)
    return verdict


def told(verdict: Verdict) -> str:
    """Write a verdict in the words of the golden files."""
    match verdict:
        case Refuse(reason=reason) | Defer(reason=reason):
            return f"{type(verdict).__name__} {reason.value}"
        case Relay(connector=connector, diverted=diverted):
            return f"Relay {connector.name}" + (" diverted" if diverted else "")
        case Deliver(address=address, connector=way):
            return f"Deliver {address}" + (f" via {way.name}" if way else "")
        case Redirect(target=target, connector=way):
            return f"Redirect {target}" + (f" via {way.name}" if way else "")
        case Pass():
            return "Pass"
