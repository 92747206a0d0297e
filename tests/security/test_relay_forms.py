"""What relay testers ask for, at every door, without an MTA in between.

The MTAs take some of these forms apart or refuse them; here each reaches the decision as it
is, quoted by the milter's rules and unquoted by the policy protocol's.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from codomain.address import parse_path, parse_recipient
from codomain.config import parse
from codomain.decision import decide
from codomain.finding import Need
from codomain.question import Door, Question
from codomain.replies import Replies
from codomain.rules import rules_from
from codomain.verdict import Defer, Refuse
from codomain_policyd.reply import map_answer, policy_action
from support.decisions import Entries, entry, no_lookup, told
from support.relayforms import CONTACTS, SENDERS, forms, plausible

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.address import Address
    from codomain.directory.base import Recipient
    from codomain.finding import Peek
    from codomain.verdict import Verdict

INI = """\
[codomain]
hostname = gateway.test
postfix = off
[trust]
trusted_networks = 127.0.0.0/8
[domain example.com]
type = shared
deliver_to = exchange
[domain corp.local]
type = authoritative
deliver_to = exchange
[domain unix.example.net]
type = relay
[connector exchange]
smart_hosts = [192.0.2.20]
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes
[directory people]
type = files
path = /people.ldif
"""

READERS: list[Callable[[bytes], Address]] = [
    parse_recipient,
    lambda raw: parse_path(b"<" + raw + b">"),
]
STRANGERS = ("198.51.100.7", "192.0.2.10", "192.0.2.20", "2001:db8::7", "")
"""Strangers, peers, and a client that is not known."""


class Gateway:
    """A configuration and its directory; down: the directory does not answer."""

    def __init__(self, *entries: Recipient) -> None:
        config = parse(INI)
        self.rules = rules_from(config, no_lookup)
        self.replies = Replies(config.replies)
        self.up = Entries(*entries)
        self.down = Entries(down=["people"])

    def ask(self, question: Question, peek: Peek | None = None) -> Verdict:
        """Decide."""
        verdict = decide(self.rules, question, peek or self.up)
        assert not isinstance(verdict, Need)
        return verdict


@pytest.fixture(scope="module")
def gateway() -> Gateway:
    """Give a gateway with the contacts of the forms."""
    contacts = [entry(*addresses.split(), target=to) for addresses, to in CONTACTS.items()]
    return Gateway(entry("ann@corp.local", "ann@example.com"), *contacts)


@pytest.mark.parametrize("state", ["up", "down"])
@pytest.mark.parametrize("client", STRANGERS)
@pytest.mark.parametrize("reader", READERS, ids=["unquoted", "quoted"])
def test_no_form_is_let_through(
    gateway: Gateway, reader: Callable[[bytes], Address], client: str, state: str
) -> None:
    """Refused, or deferred: the forms name no mailbox of ours and none of the other system."""
    wrong = []
    for form in forms():
        # two commands for an MTA, and no recipient that one would ask for
        if form.family in {"control", "list"} and (b"\r\n" in form.recipient):
            continue
        question = Question(reader(form.recipient), client=ip_address(client) if client else None)
        verdict = gateway.ask(question, gateway.up if state == "up" else gateway.down)
        if not isinstance(verdict, Refuse | Defer):
            wrong.append((form.recipient, form.form, told(verdict)))
    assert not wrong


def test_no_form_reaches_a_map_as_a_route_out(gateway: Gateway) -> None:
    """Maps don't know the client: none makes a foreign address ours or leads it anywhere."""
    for form in forms():
        address = parse_recipient(form.recipient)
        if not address.domain.endswith(("elsewhere.test", "198.51.100.9]")):
            continue
        verdict = gateway.ask(Question(address, Door.MAP))
        for name in ("recipient", "alias", "transport", "access"):
            answer = map_answer(name, verdict, gateway.replies, ours=False)
            assert answer == b"NOTFOUND ", (form, name, answer)


@pytest.mark.parametrize("sender", SENDERS)
def test_a_sender_changes_no_verdict(gateway: Gateway, sender: bytes) -> None:
    """A forged sender makes nobody trusted."""
    for form in forms():
        address = parse_recipient(form.recipient)
        plain = gateway.ask(Question(address))
        forged = Question(address, sender=sender.decode())
        assert gateway.ask(forged) == plain


def test_the_file_holds_what_the_relay_testers_ask() -> None:
    """16 of nmap, 17 of the family of mail-abuse.org, and as many again of our own."""
    families = Counter(form.family for form in forms())
    assert (families["nmap"], families["abuse"]) == (16, 17)
    assert sum(families.values()) > 130
    assert {
        "percent", "bang", "at", "quoted", "route", "literal", "dots", "below", "case", "idn",
        "control", "list", "long", "contact",
    } <= set(families)  # fmt: skip


CORPUS = 10_000


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    """Give 10,000 plausible local parts."""
    return plausible(CORPUS)


def test_no_plausible_address_is_refused(corpus: list[str]) -> None:
    """Where it has an entry it is delivered, with any tag, and as it was written."""
    known = [entry(f"{local}@corp.local") for local in corpus]
    gateway = Gateway(*known)
    wrong = []
    for local in corpus:
        path = f"<{local}@Corp.LOCAL>".encode()
        verdict = gateway.ask(Question(parse_path(path)))
        if told(verdict) != f"Deliver {local}@corp.local via exchange":
            wrong.append((local, told(verdict)))
    assert not wrong


def test_no_plausible_address_of_the_other_system_is_refused(
    gateway: Gateway, corpus: list[str]
) -> None:
    """Unknown here: it goes to the system that shares the domain, unquoted or quoted."""
    wrong = []
    for local in corpus:
        raw = f"{local}@example.com".encode()
        for reader in READERS:
            verdict = gateway.ask(Question(reader(raw)))
            if told(verdict) != "Relay unix":
                wrong.append((local, told(verdict)))
    assert not wrong


def test_the_policy_server_has_nothing_against_them(gateway: Gateway, corpus: list[str]) -> None:
    """DUNNO for each, also for a trusted client that sends them elsewhere."""
    for local in corpus[:1000]:
        for domain, client in (("example.com", "198.51.100.7"), ("far.test", "127.0.0.1")):
            address = parse_recipient(f"{local}@{domain}".encode())
            question = Question(address, client=ip_address(client))
            verdict = gateway.ask(question)
            assert policy_action(verdict, gateway.replies, by_filter=False) == (
                b"action=DUNNO\n\n"
            ), local
