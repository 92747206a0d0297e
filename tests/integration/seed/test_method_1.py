"""KB 321721, method 1, played: sharing by unresolved recipients, through a real Postfix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.postfix import STRANGER, wait_until
from support.seedplay import EXCHANGE, GATEWAY, LAST, OTHER, Handed, Play, play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.seeddirectory import SeedDirectory

DOMAINS = """\
[codomain]
postmaster = mailbox@xo.local

[domain xo.one]
type = shared
deliver_to = exchange

[domain xo.local]
type = authoritative
deliver_to = exchange

[connector exchange]
smart_hosts = [127.0.0.1]:{exchange}
peers = 192.168.1.20
"""
ONE = (
    DOMAINS
    + """
[connector other]
smart_hosts = [127.0.0.1]:{other}
address_spaces = xo.one
allow_relay = yes
peers = 192.168.1.10
"""
)
"""One system behind."""

CHAIN = ONE.replace("peers = 192.168.1.10", "peers = 192.168.1.10, 192.168.1.30")
"""The one behind hands on to a third one itself: its connector knows both."""

BY_COST = (
    ONE
    + """
[connector last]
smart_hosts = [127.0.0.1]:{last}
address_spaces = xo.one
allow_relay = yes
cost = 20
peers = 192.168.1.30
"""
)
"""Each gives back to the gateway, which goes on in order of cost."""

LOOP = "554 5.4.6"


@pytest.fixture(scope="module")
def seed(directory: SeedDirectory) -> Iterator[Play]:
    """Give the gateway with one system behind."""
    with play(ONE, directory.keys) as running:
        yield running


@pytest.fixture
def one(seed: Play) -> Play:
    """Put the configuration with one system behind in force."""
    seed.configure(ONE)
    return seed


def told(play: Play, client: str, recipient: str) -> str:
    """Return code and enhanced code for a recipient."""
    return play.lab.reply(client, recipient)[:9]


@pytest.mark.parametrize("client", [STRANGER, OTHER, EXCHANGE])
def test_who_resolves_gets_the_mail_here(one: Play, client: str) -> None:
    """1: a recipient that resolves to a mailbox goes to it, by either of its addresses."""
    for recipient in ("mailbox@xo.one", "Mailbox@XO.local"):
        if client == EXCHANGE:
            assert told(one, client, recipient) == LOOP  # its own system sent it
            continue
        sent = one.lab.send(client, recipient)
        assert one.lab.arrivals(sent.token, 1) == [("exchange", recipient)]


@pytest.mark.parametrize("client", [STRANGER, EXCHANGE])
def test_who_does_not_goes_to_the_other_system(one: Play, client: str) -> None:
    """2: in a shared domain the unresolved go on, a stranger's mail and our own users'."""
    sent = one.lab.send(client, "nora@xo.one", "mailbox@xo.local")
    recipients = [("other", "nora@xo.one")]
    if client == STRANGER:
        recipients = [("exchange", "mailbox@xo.local"), *recipients]
    assert one.lab.arrivals(sent.token, len(recipients)) == recipients


def test_the_unknown_in_the_private_space_is_refused(one: Play) -> None:
    """2 and 5: the organisation's own space is authoritative."""
    assert told(one, STRANGER, "nora@xo.local") == "550 5.1.1"
    assert told(one, OTHER, "nora@xo.local") == "550 5.1.1"


def test_the_connector_opens_its_own_space_alone(one: Play) -> None:
    """7: allow relaying to these domains, and to no other."""
    assert told(one, STRANGER, "someone@elsewhere.test") == "554 5.7.1"
    assert told(one, STRANGER, "someone@sub.xo.one") == "554 5.7.1"


def test_the_other_systems_users_reach_ours_by_the_private_space(one: Play) -> None:
    """4: they have contacts of their own that lead there."""
    sent = one.lab.send(OTHER, "mailbox@xo.local")
    assert one.lab.arrivals(sent.token, 1) == [("exchange", "mailbox@xo.local")]


def test_the_other_system_sends_back_and_is_told(one: Play) -> None:
    """4: the last system must not send the unresolved back: it hears 5.4.6, and nothing loops."""
    one.behave({"other": {"nora@xo.one"}}, {"other": GATEWAY})
    known = one.lab.send(STRANGER, "nora@xo.one")
    assert one.lab.arrivals(known.token, 1) == [("other", "nora@xo.one")]
    sent = one.lab.send(STRANGER, "nobody@xo.one")
    (handed,) = one.wait_handed(1)
    assert handed.reply.startswith(LOOP)
    one.lab.wait_until_empty()
    assert one.lab.arrivals(sent.token, 1) == [("other", "nobody@xo.one")]


def test_a_chain_of_three_delivers_at_its_last_link(seed: Play) -> None:
    """3: the others are links of a chain, as many as you like; the last one delivers."""
    seed.configure(CHAIN)
    seed.behave({"other": {"nora@xo.one"}}, {"other": "last"})
    sent = seed.lab.send(STRANGER, "nora@xo.one", "mailbox@xo.one", "liz@xo.one")
    assert seed.lab.arrivals(sent.token, 4) == [
        ("exchange", "mailbox@xo.one"),
        ("last", "liz@xo.one"),
        ("other", "liz@xo.one"),
        ("other", "nora@xo.one"),
    ]


def test_a_chain_whose_last_link_sends_back_does_not_loop(seed: Play) -> None:
    """4, with three systems: the gateway knows it as one that stands behind its connector."""
    seed.configure(CHAIN)
    seed.behave({"other": set(), "last": {"liz@xo.one"}}, {"other": "last", "last": GATEWAY})
    sent = seed.lab.send(STRANGER, "nobody@xo.one")
    handed = seed.wait_handed(2)
    assert {h.system: h.reply[:9] for h in handed}["last"] == LOOP
    seed.lab.wait_until_empty()
    assert seed.lab.arrivals(sent.token, 2) == [
        ("last", "nobody@xo.one"),
        ("other", "nobody@xo.one"),
    ]


def test_a_chain_by_cost_moves_forward_and_ends(seed: Play) -> None:
    """7 and 3: each gives back what it does not know; the gateway goes on, never round."""
    seed.configure(BY_COST)
    seed.behave({"other": set(), "last": {"liz@xo.one"}}, {"other": GATEWAY, "last": GATEWAY})
    sent = seed.lab.send(STRANGER, "liz@xo.one")
    assert seed.lab.arrivals(sent.token, 2) == [("last", "liz@xo.one"), ("other", "liz@xo.one")]
    seed.wait_handed(1)
    lost = seed.lab.send(STRANGER, "nobody@xo.one")
    handed = seed.wait_handed(3)
    assert handed[-1] == Handed("last", GATEWAY, "nobody@xo.one", handed[-1].reply)
    assert handed[-1].reply.startswith(LOOP)
    seed.lab.wait_until_empty()
    assert len(seed.lab.arrivals(lost.token, 2)) == 2


def test_a_last_link_that_is_no_peer_loops_until_the_hop_limit(seed: Play) -> None:
    """What the seed warns of: whom no connector names is a stranger, and the mail goes round."""
    seed.configure(ONE)
    seed.behave({"other": set(), "last": set()}, {"other": "last", "last": GATEWAY})
    sent = seed.lab.send(STRANGER, "nobody@xo.one")
    # Postfix counts Received fields (hopcount_limit), and ends it.
    wait_until(lambda: any("too many hops" in h.reply for h in seed.handed))
    assert next(h.reply[:3] for h in seed.handed if h.system == "last") == "250"
    seed.lab.wait_until_empty()
    assert len(seed.lab.arrivals(sent.token, 2)) > 2
    seed.configure(CHAIN)
    assert told(seed, LAST, "nobody@xo.one") == LOOP


def test_a_change_takes_effect_when_the_service_reads_it(one: Play) -> None:
    """9: at the restart there, at the reload here; until then nothing is another."""
    one.write(ONE.replace("type = shared", "type = authoritative").replace("= xo.one\nallow", "= "
              "xo.two\nallow"))  # fmt: skip
    assert told(one, STRANGER, "nora@xo.one") == "250 2.1.5"
    one.reload()
    assert told(one, STRANGER, "nora@xo.one") == "550 5.1.1"
    one.write("[domain")
    one.reload('"reload failed"')
    assert told(one, STRANGER, "nora@xo.one") == "550 5.1.1"
