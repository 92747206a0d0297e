"""Rules of the decision on which mail is easily lost: each was a doubt, and is settled here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from codomain.directory.base import Kind
from codomain.finding import Outage
from support.decisions import Entries, ask, entry, rules_of, told

if TYPE_CHECKING:
    from codomain.rules import Rules

INI = """
[codomain]
hostname = gateway.example.com

[domain example.com]
type = shared
deliver_to = exchange
on_outage = deliver

[domain corp.local]
type = authoritative
deliver_to = exchange
recipient_delimiter = -

[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com
allow_relay = yes

[connector exchange]
smart_hosts = [192.0.2.20]

[connector mail1]
smart_hosts = mail1.example.com
peers = 192.0.2.41

[directory people]
type = files
path = /people.ldif
"""


@pytest.fixture(scope="module")
def rules() -> Rules:
    """Give the rules of the INI above."""
    return rules_of(INI)


def test_a_known_contact_whose_target_cannot_be_asked_for_waits(rules: Rules) -> None:
    """on_outage = deliver is for the unchecked; a contact must not reach the mailbox system."""
    contact = entry("bob@example.com", target="bob@corp.local")

    def peek(directory: str, key: str) -> object:
        return Entries(contact, down=() if key == "bob@example.com" else ["people"])(directory, key)

    assert told(ask(rules, peek, "bob@example.com")) == "Defer directory"  # type: ignore[arg-type]
    down = Entries(down=["people"])
    assert told(ask(rules, down, "eve@example.com")) == "Deliver eve@example.com via exchange"


def test_who_is_not_asked_for_because_many_are_waits(rules: Rules) -> None:
    """on_outage = deliver is for a directory that is down, not for whoever guesses fast."""

    def peek(directory: str, key: str) -> Outage:
        del directory, key
        return Outage("not asked so often", limited=True)

    assert told(ask(rules, peek, "eve@example.com")) == "Defer directory"
    assert told(ask(rules, peek, "postmaster@example.com")) == "Defer directory"
    assert told(ask(rules, Entries(down=["people"]), "eve@example.com")).startswith("Deliver ")


def test_a_routing_address_that_is_its_own_is_a_mailbox_on_its_host(rules: Rules) -> None:
    """ldap_routing: host remote + the same address is no rewriting, so the peer rule holds."""
    own = entry("ann@example.com", target="ann@example.com", host="mail1.example.com")
    assert told(ask(rules, Entries(own), "ann@example.com")) == "Deliver ann@example.com via mail1"
    assert told(ask(rules, Entries(own), "ann@example.com", "192.0.2.41")) == "Refuse loop"


def test_a_mailbox_whose_routing_address_is_its_own_is_here(rules: Rules) -> None:
    """ldap_routing: host unset + its own address; a 550 would lose a mailbox's mail."""
    own = replace(entry("ann@corp.local", target="ann@corp.local"), kind=Kind.MAILBOX)
    assert told(ask(rules, Entries(own), "ann@corp.local")) == "Deliver ann@corp.local via exchange"


def test_a_contact_that_leads_to_itself_in_an_authoritative_domain_is_a_loop(
    rules: Rules,
) -> None:
    """Step 5: in an authoritative domain there is no other system that could have it."""
    own = entry("ann@corp.local", target="ann@corp.local")
    assert told(ask(rules, Entries(own), "ann@corp.local")) == "Refuse loop"


def test_a_contact_without_a_target_waits(rules: Rules) -> None:
    """Its mail is elsewhere, and nobody says where: an entry that cannot be used (4.3.5)."""
    lost = replace(entry("ann@example.com"), kind=Kind.CONTACT)
    assert told(ask(rules, Entries(lost), "ann@example.com")) == "Defer fault"
    chained = entry("bob@example.com", target="ann@example.com")
    assert told(ask(rules, Entries(lost, chained), "bob@example.com")) == "Defer fault"


def test_an_extension_is_not_carried_where_it_would_be_part_of_a_name(rules: Rules) -> None:
    """corp.local has another delimiter: bob+list would be unknown there, and bob is not."""
    contact = entry("bob@example.com", target="bob@corp.local")
    known = Entries(contact, entry("bob@corp.local", dn="cn=target"))
    verdict = told(ask(rules, known, "bob+list@example.com"))
    assert verdict == "Redirect bob@corp.local via exchange"


def test_a_route_before_a_known_recipient_is_ignored(rules: Rules) -> None:
    """replies.md: a route to an address of ours is stripped and ignored."""
    known = Entries(entry("ann@example.com"))
    verdict = told(ask(rules, known, "@evil.test:ann@example.com"))
    assert verdict == "Deliver ann@example.com via exchange"


@pytest.mark.parametrize("recipient", ["@evil.test:who@example.com", "@a,@b:who@corp.local"])
def test_a_route_before_an_unknown_recipient_is_relaying(rules: Rules, recipient: str) -> None:
    """Postfix strips routes, so this one stood in quotes: `"@evil.test:who"@example.com`."""
    assert told(ask(rules, Entries(), recipient)) == "Refuse relaying"


def test_a_mailbox_keeps_its_extension_as_given(rules: Rules) -> None:
    """Step 5: `as` the address given; keep_extension is about contacts and primary addresses."""
    strict = rules_of(INI.replace("on_outage = deliver", "keep_extension = no"))
    known = Entries(entry("ann@example.com"))
    assert told(ask(strict, known, "ann+x@example.com")) == "Deliver ann+x@example.com via exchange"
    contact = Entries(entry("bob@example.com", target="bob@remote.example.com"))
    del rules
    verdict = told(ask(strict, contact, "bob+x@example.com"))
    assert verdict == "Refuse relaying"
