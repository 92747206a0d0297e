"""What the comparison with the model settled, and branches that no story takes.

Each expected verdict follows from the rule that the test names.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from codomain import trust
from codomain.address import Address, parse_recipient
from codomain.question import Question
from codomain.verdict import Deliver
from codomain_policyd.policy import PolicyDecoder
from support.decisions import TRUSTED, Entries, ask, entry, rules_of, told

if TYPE_CHECKING:
    from codomain.rules import Rules

INI = """
[codomain]
hostname = gateway.example.com
{codomain}
[trust]
trusted_networks = 127.0.0.0/8
[redirect]
max_depth = 2
[domain corp.local]
type = authoritative
deliver_to = exchange
on_outage = {outage}
[domain example.com]
type = shared
deliver_to = exchange
[domain primary.example]
type = authoritative
deliver_to = exchange
deliver_as = primary
[domain lone.example]
type = shared
[domain unix.example.net]
type = relay
[connector exchange]
smart_hosts = [192.0.2.20]
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes
[connector mail1]
smart_hosts = mail1.example.com
peers = 192.0.2.41
[directory people]
type = files
path = /people.ldif
"""


def rules(postmaster: str = "", outage: str = "defer") -> Rules:
    """Give the rules of the INI above."""
    line = f"postmaster = {postmaster}" if postmaster else ""
    return rules_of(INI.format(codomain=line, outage=outage))


def verdict(recipient: str, *entries: object, client: str = "198.51.100.7", **keys: str) -> str:
    """Decide on a recipient where these are the entries."""
    return told(ask(rules(**keys), Entries(*entries), recipient, client))  # type: ignore[arg-type]


TO_POSTMASTER = entry("ops@example.com", target="postmaster@corp.local")


def test_a_contact_may_lead_to_a_postmaster_without_an_entry() -> None:
    """Step 3: postmaster of a domain of ours is never refused, as a target neither."""
    got = verdict("ops@example.com", TO_POSTMASTER)
    assert got == "Redirect postmaster@corp.local via exchange"


def test_a_contact_leads_on_to_the_postmaster_of_all_domains() -> None:
    """Step 3: no entry, so [codomain] postmaster."""
    got = verdict("ops@example.com", TO_POSTMASTER, postmaster="root@unix.example.net")
    assert got == "Redirect root@unix.example.net via unix"


def test_a_contact_of_a_postmaster_with_two_entries_is_not_held_up() -> None:
    """Step 3: none of the two leads anywhere by itself."""
    two = (entry("postmaster@corp.local", dn="a"), entry("postmaster@corp.local", dn="b"))
    got = verdict("ops@example.com", TO_POSTMASTER, *two)
    assert got == "Redirect postmaster@corp.local via exchange"


def test_a_contact_of_a_postmaster_with_an_entry_is_led_there() -> None:
    """Step 3: the entry, if there is one and it leads somewhere."""
    there = entry("postmaster@corp.local", target="p@unix.example.net")
    assert (
        verdict("ops@example.com", TO_POSTMASTER, there) == "Redirect p@unix.example.net via unix"
    )


def test_the_bound_of_a_chain_holds_for_postmaster_too() -> None:
    """Step 5: max_depth = 2, and postmaster would be the third."""
    chain = (
        entry("c1@example.com", target="c2@example.com"),
        entry("c2@example.com", target="ops@example.com"),
    )
    assert verdict("c1@example.com", *chain, TO_POSTMASTER) == "Refuse loop"


def test_two_postmasters_that_lead_to_each_other_end() -> None:
    """Step 3: [codomain] postmaster is tried once, and then it is delivered."""
    round_trip = entry("root@example.com", target="postmaster@corp.local")
    got = verdict("postmaster@example.com", round_trip, postmaster="root@example.com")
    assert got == "Redirect postmaster@corp.local via exchange"


def test_a_postmaster_whom_two_entries_claim_gets_it_all_the_same() -> None:
    """Step 3: [codomain] postmaster is a Redirect, whatever its domain says of it."""
    two = (entry("root@corp.local", dn="a"), entry("root@corp.local", dn="b"))
    got = verdict("postmaster@example.com", *two, postmaster="root@corp.local")
    assert got == "Redirect root@corp.local"


@pytest.mark.parametrize("recipient", ["postmaster@corp.local", "postmaster", '"postmaster"'])
@pytest.mark.parametrize(
    ("outage", "expected"),
    [("defer", "Defer directory"), ("deliver", "Deliver postmaster@corp.local via exchange")],
)
def test_an_outage_treats_every_postmaster_alike(
    recipient: str, outage: str, expected: str
) -> None:
    """Step 2: without a domain it is the postmaster of the first authoritative one."""
    peek = Entries(down=["people"])
    assert told(ask(rules(outage=outage), peek, recipient)) == expected


def test_where_postmaster_leads_is_not_known_while_the_directory_is_down() -> None:
    """Step 3: 451 is no refusal; a relay domain asks no directory, its target does."""
    peek = Entries(down=["people"])
    got = told(ask(rules(postmaster="root@corp.local"), peek, "postmaster@unix.example.net"))
    assert got == "Defer directory"


def test_a_host_of_an_entry_is_no_way_around_a_restriction() -> None:
    """Step 5: the target takes mail of authenticated senders only, by whatever host."""
    entries = (
        entry("to@example.com", target="boss@example.com", host="mail1.example.com"),
        entry("boss@example.com", restricted=True),
    )
    assert verdict("to@example.com", *entries) == "Refuse restricted"
    assert verdict("to@example.com", *entries, client=TRUSTED) == (
        "Redirect boss@example.com via mail1"
    )


def test_a_host_of_an_entry_hides_no_ambiguity() -> None:
    """Step 3: two entries for one address, which the MTA would ask for by itself."""
    entries = (
        entry("to@example.com", target="two@example.com", host="mail1.example.com"),
        entry("two@example.com", dn="a"),
        entry("two@example.com", dn="b"),
    )
    assert verdict("to@example.com", *entries) == "Defer ambiguous"


@pytest.mark.parametrize("client", ["198.51.100.7", "192.0.2.41"])
def test_a_target_whose_routing_address_is_its_own_replaces_the_recipient(client: str) -> None:
    """Step 5: Redirect, so that the alias map rewrites; and a Redirect asks no peer."""
    entries = (
        entry("to@corp.local", target="box@corp.local"),
        entry("box@corp.local", target="box@corp.local", host="mail1.example.com"),
    )
    assert verdict("to@corp.local", *entries, client=client) == "Redirect box@corp.local via mail1"


def test_another_address_of_a_mailbox_that_routes_to_itself_is_rewritten() -> None:
    """Step 5: it leads back to the same entry, which is a mailbox and here."""
    box = entry("box@corp.local", "alias@corp.local", target="box@corp.local")
    mailbox = type(box)(box.dn, entry("x@corp.local").kind, box.addresses, target=box.target)
    assert verdict("alias@corp.local", mailbox) == "Redirect box@corp.local via exchange"
    assert verdict("Box@corp.local", mailbox) == "Deliver Box@corp.local via exchange"


def test_a_target_on_a_host_that_nobody_configured_waits() -> None:
    """ADR 8: an entry that cannot be used defers, as a target too."""
    entries = (
        entry("to@corp.local", target="box@corp.local"),
        entry("box@corp.local", host="evil.test"),
    )
    assert verdict("to@corp.local", *entries) == "Defer fault"


def test_a_target_with_a_primary_address_abroad_waits() -> None:
    """ADR 8: the same for a primary address that no mail may go to."""
    entries = (
        entry("to@corp.local", target="box@primary.example"),
        entry("box@primary.example", primary="box@evil.test"),
    )
    assert verdict("to@corp.local", *entries) == "Defer fault"


@pytest.mark.parametrize(
    ("client", "expected"), [("198.51.100.7", "Refuse relaying"), (TRUSTED, "Refuse no_route")]
)
def test_a_target_without_a_way_out_is_refused_as_in_step_6(client: str, expected: str) -> None:
    """Step 6, none covers it: a stranger hears of relaying, a trusted client of the route."""
    away = entry("to@corp.local", target="nobody@lone.example")
    assert verdict("to@corp.local", away, client=client) == expected


@pytest.mark.parametrize(
    "known",
    [entry("ann@corp.local"), entry("ann@corp.local", target="ann@unix.example.net")],
    ids=["mailbox", "contact"],
)
def test_what_cannot_be_written_out_waits(monkeypatch: pytest.MonkeyPatch, known: object) -> None:
    """Step 1: what a door emits must parse back to the same mailbox, else Defer(fault)."""
    monkeypatch.setattr(Address, "text", lambda _self: None)
    assert verdict("ann@corp.local", known) == "Defer fault"


def test_a_mailbox_that_exists_is_delivered_unchanged() -> None:
    """Step 5: nothing is rewritten, so no alias is made."""
    got = ask(rules(), Entries(entry("ann@corp.local")), "Ann@Corp.Local")
    assert isinstance(got, Deliver)
    assert (got.address, got.changed) == ("Ann@corp.local", False)


def test_the_memory_of_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects from many addresses makes it no larger, and changes no standing."""
    monkeypatch.setattr(trust, "CLIENTS", 2)
    made = rules().trust
    recipient = parse_recipient(b"ann@corp.local")
    for _ in range(2):
        for number in range(5):
            question = Question(recipient, client=ip_address(f"198.51.100.{number}"))
            assert not made.standing(question).trusted
    assert made.standing(Question(recipient, client=ip_address(TRUSTED))).trusted
    assert len(made._clients) <= 2


def test_a_decoder_knows_whether_half_a_request_waits() -> None:
    """A stop waits for no client that has said nothing."""
    decoder = PolicyDecoder()
    assert decoder.empty
    decoder.feed(b"request=smtpd_access_policy\n")
    assert not decoder.empty


@pytest.mark.parametrize("recipient", ["postmaster@corp.local", "postmaster"])
def test_a_postmaster_whom_two_entries_claim_is_delivered(recipient: str) -> None:
    """Step 3: two entries lead nowhere, and postmaster is never refused."""
    two = (entry("postmaster@corp.local", dn="a"), entry("postmaster@corp.local", dn="b"))
    assert verdict(recipient, *two) == "Deliver postmaster@corp.local via exchange"


def test_without_any_domain_nobody_is_postmaster() -> None:
    """Step 2: there is none of whom it could be."""
    bare = rules_of("[codomain]\nhostname = gateway.example.com\n")
    assert told(ask(bare, Entries(), "postmaster")) == "Refuse malformed"
