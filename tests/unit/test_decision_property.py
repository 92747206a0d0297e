"""What no configuration and no entry may do: open a relay, or lose mail in an outage."""

from __future__ import annotations

import itertools
import random
from functools import lru_cache
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from codomain.address import Address, parse_mailbox
from codomain.verdict import Defer, Deliver, Pass, Redirect, Relay
from support.decisions import Entries, ask, entry, rules_of, told

if TYPE_CHECKING:
    from codomain.rules import Rules

OURS = ("shared.test", "auth.test", "relay.test", "x.shared.test")
FOREIGN = ("evil.test", "partner.test", "open.test", "closed.test", "a.wild.test", "wild.test")
LOCALS = ("ann", "bob", "postmaster", "ann+x", "a%b", "bob+a!b", "＠", "a@b", "nobody", "")

CHOICES = {
    "peers_may_relay": ["yes", "no"],
    "fallback": ["refuse", "mx"],
    "subdomains": ["yes", "no"],
    "deliver_to": ["", "mail"],
    "deliver_as": ["given", "primary"],
    "catch_all": ["", "ann@auth.test", "x@evil.test", "x@partner.test"],
    "on_outage": ["defer", "deliver"],
    "allow": ["yes", "no"],
    "postmaster": ["", "ann@auth.test", "hostmaster@open.test"],
}
CONFIGURATIONS = 80
"""Of the 3,072 that the choices make: building one costs more than a hundred decisions."""

CONFIGURATION = """
[codomain]
hostname = gateway.test
postmaster = {postmaster}
[trust]
trusted_networks = 127.0.0.0/8
peers_may_relay = {peers_may_relay}
[domain shared.test]
type = shared
subdomains = {subdomains}
fallback = {fallback}
deliver_to = {deliver_to}
deliver_as = {deliver_as}
on_outage = {outage}
[domain auth.test]
type = authoritative
catch_all = {catch_all}
[domain relay.test]
type = relay
fallback = {fallback}
[connector mail]
smart_hosts = [192.0.2.20], mail.test
[connector open]
smart_hosts = [192.0.2.10]
address_spaces = shared.test, relay.test, open.test
allow_relay = yes
[connector closed]
smart_hosts = [192.0.2.30]
address_spaces = shared.test, closed.test, *.shared.test
allow_relay = {allow}
cost = 5
[redirect]
allowed_targets = partner.test, *.wild.test
[directory people]
type = files
path = /people.ldif
"""

addresses = st.builds(
    lambda local, domain: f"{local}@{domain}",
    st.sampled_from([local for local in LOCALS if local.isascii() and "@" not in local and local]),
    st.sampled_from(OURS + FOREIGN),
)
recipients = st.builds(
    lambda route, local, domain: f"{route}{local}@{domain}",
    st.sampled_from(["", "@evil.test:", "@shared.test:"]),
    st.sampled_from(LOCALS),
    st.sampled_from(OURS + FOREIGN),
) | st.sampled_from(["", "ann", "postmaster", "ann@"])
entries = st.lists(
    st.builds(
        entry,
        addresses.filter(lambda text: text.endswith(OURS)),
        target=st.just("")
        | addresses
        | st.sampled_from(["a@evil.test, b@evil.test", "@x:a@evil.test"]),
        host=st.sampled_from(["", "gateway.test", "mail.test", "evil.test", "[192.0.2.10]"]),
        primary=st.just("") | addresses,
        restricted=st.booleans(),
        dn=st.uuids().map(str),
    ),
    max_size=8,
)
untrusted = st.sampled_from(["198.51.100.7", "192.0.2.10", "192.0.2.20", "192.0.2.30", "", "::1"])


def configurations() -> list[dict[str, str]]:
    """Choose some configurations: always the same."""
    every = [dict(zip(CHOICES, row, strict=True)) for row in itertools.product(*CHOICES.values())]
    return random.Random(1).sample(every, CONFIGURATIONS)


@lru_cache(maxsize=CONFIGURATIONS)
def rules_for(items: tuple[tuple[str, str], ...]) -> Rules:
    """Build the rules of a configuration, once."""
    values = dict(items)
    outage = values["on_outage"] if values["deliver_to"] else "defer"
    return rules_of(CONFIGURATION.format(**values, outage=outage))


ini = st.sampled_from(configurations())


def read(text: str) -> Address:
    """Read what a verdict lets out: it must be one mailbox."""
    address = parse_mailbox(text)
    assert address is not None, text
    return address


def allowed(rules: Rules, target: Address) -> bool:
    """Tell whether the INI above lets a target be: by hand, not by the code under test."""
    domain = target.domain
    below = domain.endswith(".shared.test")
    return (
        domain in {"shared.test", "auth.test", "relay.test", "open.test", "partner.test"}
        or domain.endswith(".wild.test")
        or (below and rules.domains.by_name["shared.test"].subdomains)
        or ((domain == "closed.test" or below) and rules.connectors.by_name["closed"].allow_relay)
    )


@given(ini, entries, recipients, untrusted)
@settings(max_examples=2000, deadline=None)
def test_what_an_untrusted_client_gets_through_ends_where_the_configuration_lets_it(
    values: dict[str, str], known: list[object], recipient: str, client: str
) -> None:
    """A verdict that lets mail through ends in a domain of ours or in a target that is allowed."""
    rules = rules_for(tuple(values.items()))
    peek = Entries(*known)  # type: ignore[arg-type]
    verdict = ask(rules, peek, recipient, client)
    domain = recipient.rpartition("@")[2]
    ours = domain in OURS[:3] or (domain == "x.shared.test" and values["subdomains"] == "yes")
    peer = client.startswith("192.0.2.")
    match verdict:
        case Deliver(address=address, connector=way):
            assert ours or recipient == "postmaster"
            assert allowed(rules, read(address))
            assert way is None or way in rules.connectors.by_name.values()
        case Redirect(target=target, connector=way):
            assert ours or recipient == "postmaster"
            assert allowed(rules, read(target)) or target == values["postmaster"]
            assert way is None or way in rules.connectors.by_name.values()
        case Relay(connector=way):
            assert ours
            assert way.allow_relay or peer
            assert domain in way.spaces or f"*.{domain.partition('.')[2]}" in way.spaces
        case Pass():
            assert (ours and values["fallback"] == "mx") or (
                peer and values["peers_may_relay"] == "yes"
            )
        case _:
            pass


@given(ini, entries, recipients, untrusted | st.just("127.0.0.1"))
@settings(max_examples=500, deadline=None)
def test_no_mail_is_refused_as_unknown_while_the_directory_is_down(
    values: dict[str, str], known: list[object], recipient: str, client: str
) -> None:
    """Only "I asked, and it is not there" is 550: an outage makes nobody unknown."""
    rules = rules_for(tuple(values.items()))
    up = Entries(*known)  # type: ignore[arg-type]
    down = Entries(*known, down=["people"])  # type: ignore[arg-type]
    was, verdict = ask(rules, up, recipient, client), ask(rules, down, recipient, client)
    assert told(verdict) != "Refuse unknown"
    if isinstance(was, Deliver | Redirect | Relay):
        assert isinstance(verdict, Deliver | Redirect | Relay | Defer), (told(was), told(verdict))
