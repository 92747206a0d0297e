"""Rules of step 6 with call-out: which system gets what no directory knows, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from codomain.callout.answer import Outcome
from codomain.decision import decide
from codomain.finding import Inquiry, Need
from codomain.question import Door
from support.decisions import STRANGER, TRUSTED, Entries, entry, question, rules_of, told

if TYPE_CHECKING:
    from codomain.rules import Rules

INI = """
[domain example.com]
type = shared
deliver_to = exchange

[domain corp.local]
type = authoritative

[domain relayed.example]
type = relay

[connector first]
smart_hosts = [192.0.2.10]
address_spaces = example.com, relayed.example, partner.example
allow_relay = yes
verify = callout
verify_control = known@example.com

[connector second]
smart_hosts = [192.0.2.30]
address_spaces = example.com
allow_relay = yes
cost = 20
verify = callout
verify_control = known@example.com

[connector third]
smart_hosts = [192.0.2.40]
address_spaces = example.com
allow_relay = yes
cost = 30

[connector exchange]
smart_hosts = [192.0.2.20]

[directory people]
type = files
path = /x
"""
ALL_ASKED = INI.replace("cost = 30\n", "cost = 30\nverify = callout\nverify_control = k@x.test\n")
DEFER = INI + "[callout]\non_failure = defer\n"

KNOWN, UNKNOWN = Outcome.KNOWN, Outcome.UNKNOWN
ANYTHING, UNSURE, DOUBTED = Outcome.ANYTHING, Outcome.UNSURE, Outcome.DOUBTED
FIRST, SECOND, THIRD = "192.0.2.10", "192.0.2.30", "192.0.2.40"


@pytest.fixture(scope="module")
def rules() -> Rules:
    """Give the rules of most tests."""
    return rules_of(INI)


class Systems:
    """What the next systems say; whom they were asked for is noted."""

    def __init__(self, **outcomes: Outcome) -> None:
        self.outcomes = outcomes
        self.asked: list[str] = []

    def __call__(self, inquiry: Inquiry, /) -> Outcome | None:
        """Say it."""
        self.asked.append(f"{inquiry.connector} {inquiry.address}")
        return self.outcomes[inquiry.connector]


def verdict(
    rules: Rules,
    systems: Systems,
    recipient: str | bytes = "nobody@example.com",
    client: str = STRANGER,
    *,
    door: Door = Door.POLICY,
    probe: bool = False,
    entries: Entries | None = None,
) -> str:
    """Tell the verdict, in the words of the golden files."""
    asked = replace(question(recipient, client, door=door), probe=probe)
    decided = decide(rules, asked, entries or Entries(), ask=systems)
    assert not isinstance(decided, Need)
    return told(decided)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (KNOWN, UNSURE, "Relay first"),
        (ANYTHING, KNOWN, "Relay first"),
        (UNKNOWN, KNOWN, "Relay second"),
        (UNKNOWN, ANYTHING, "Relay second"),
        # third is asked nothing, and takes what comes
        (UNKNOWN, UNKNOWN, "Relay third"),
        # on_failure = accept: the chain ends where nothing is known
        (UNSURE, KNOWN, "Relay first"),
        (UNKNOWN, UNSURE, "Relay second"),
        # it is down, and did not know it a while ago: the way is the one that it was before
        (DOUBTED, KNOWN, "Relay second"),
        (DOUBTED, UNKNOWN, "Relay third"),
        (DOUBTED, UNSURE, "Relay second"),
        (UNKNOWN, DOUBTED, "Relay third"),
    ],
)
@pytest.mark.parametrize("client", [STRANGER, TRUSTED])
def test_the_first_that_knows_it_gets_it(
    rules: Rules, first: Outcome, second: Outcome, wanted: str, client: str
) -> None:
    """Unknown there → the next connector, in order of specificity and cost."""
    assert verdict(rules, Systems(first=first, second=second), client=client) == wanted


def test_unknown_in_all_is_refused() -> None:
    """550 5.1.1 at RCPT, and no back-scatter."""
    systems = Systems(first=UNKNOWN, second=UNKNOWN, third=UNKNOWN)
    assert verdict(rules_of(ALL_ASKED), systems) == "Refuse unknown"
    assert systems.asked == [f"{name} nobody@example.com" for name in ("first", "second", "third")]


def test_unsure_is_never_unknown() -> None:
    """Two that do not know it and one that does not answer: it may be there."""
    rules = rules_of(ALL_ASKED)
    systems = Systems(first=UNKNOWN, second=UNKNOWN, third=UNSURE)
    assert verdict(rules, systems) == "Relay third"
    deferring = rules_of(ALL_ASKED + "[callout]\non_failure = defer\n")
    assert verdict(deferring, systems) == "Defer callout"


@pytest.mark.parametrize("where", ["first", "second", "third"])
def test_what_was_unknown_a_while_ago_is_no_reason_to_refuse(where: str) -> None:
    """It may have come since; where nobody else takes it, on_failure decides."""
    systems = Systems(**{"first": UNKNOWN, "second": UNKNOWN, "third": UNKNOWN, where: DOUBTED})
    assert verdict(rules_of(ALL_ASKED), systems) == f"Relay {where}"
    deferring = rules_of(ALL_ASKED + "[callout]\non_failure = defer\n")
    assert verdict(deferring, systems) == "Defer callout"


@pytest.mark.parametrize(
    ("second", "wanted"),
    [
        (KNOWN, "Relay second"),
        (ANYTHING, "Defer callout"),
        (UNKNOWN, "Defer callout"),  # third takes what comes
        (UNSURE, "Defer callout"),
        (DOUBTED, "Defer callout"),
    ],
)
def test_who_takes_anything_gets_no_mail_of_a_system_that_is_down(
    second: Outcome, wanted: str
) -> None:
    """on_failure = defer: the mailbox may have come to the first; the others would bounce it."""
    assert verdict(rules_of(DEFER), Systems(first=DOUBTED, second=second)) == wanted


def test_on_failure_defers_where_the_ini_says_so() -> None:
    """451 4.4.1, and no system behind it is asked in its place."""
    systems = Systems(first=UNSURE, second=KNOWN)
    assert verdict(rules_of(DEFER), systems) == "Defer callout"
    assert systems.asked == ["first nobody@example.com"]


def test_what_a_directory_knows_is_not_asked(rules: Rules) -> None:
    """The directory goes first; nobody else is asked for its mailboxes."""
    systems = Systems()
    entries = Entries(entry("ann@example.com"), entry("to@corp.local", target="ann@example.com"))
    assert verdict(rules, systems, "ann@example.com", entries=entries) == (
        "Deliver ann@example.com via exchange"
    )
    assert verdict(rules, systems, "to@corp.local", entries=entries) == (
        "Redirect ann@example.com via exchange"
    )
    assert verdict(rules, systems, "nobody@corp.local") == "Refuse unknown"
    assert systems.asked == []


def test_a_relay_domain_is_asked_too(rules: Rules) -> None:
    """Step 6 is for shared and relay domains."""
    assert verdict(rules, Systems(first=UNKNOWN), "x@relayed.example") == "Refuse unknown"
    assert verdict(rules, Systems(first=KNOWN), "x@relayed.example") == "Relay first"


def test_what_must_be_asked_is_named(rules: Rules) -> None:
    """Decide returns what it needs: the address as RCPT will have it, and its key."""
    need = decide(rules, question('"A,b"@Example.com'), Entries(), ask=lambda _inquiry: None)
    inquiry = Inquiry("first", "a,b@example.com", '"A,b"@example.com')
    assert need == Need("", '"A,b"@example.com', inquiry)


def test_an_address_that_cannot_be_written_is_unsure(rules: Rules) -> None:
    """Bytes that are no UTF-8 get into no command."""
    systems = Systems()
    assert verdict(rules, systems, b"\xff@example.com") == "Relay first"
    assert systems.asked == []


# --- contacts


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        (KNOWN, "Redirect bob@partner.example via first"),
        (ANYTHING, "Redirect bob@partner.example via first"),
        (UNKNOWN, "Refuse unknown"),
        (UNSURE, "Redirect bob@partner.example via first"),
    ],
)
def test_a_foreign_target_is_asked_of_its_connector(
    rules: Rules, outcome: Outcome, wanted: str
) -> None:
    """Contact targets can be asked too; a target that nobody has would bounce later."""
    entries = Entries(entry("bob@example.com", target="bob@partner.example"))
    assert verdict(rules, Systems(first=outcome), "bob@example.com", entries=entries) == wanted


def test_a_target_that_may_not_be_reached_is_not_asked(rules: Rules) -> None:
    """Nobody learns by a call-out what the configuration does not let through."""
    systems = Systems()
    entries = Entries(entry("eve@example.com", target="eve@evil.test"))
    assert verdict(rules, systems, "eve@example.com", entries=entries) == "Refuse relaying"
    assert systems.asked == []


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (KNOWN, UNSURE, "Redirect x@example.com via first"),
        (UNKNOWN, KNOWN, "Redirect x@example.com via second"),
        (UNKNOWN, UNKNOWN, "Redirect x@example.com via third"),
    ],
)
def test_a_target_in_a_shared_domain_goes_along_the_chain(
    rules: Rules, first: Outcome, second: Outcome, wanted: str
) -> None:
    """As the transport map will say for the target, and not by the first connector alone."""
    entries = Entries(entry("to@corp.local", target="x@example.com"))
    systems = Systems(first=first, second=second)
    assert verdict(rules, systems, "to@corp.local", entries=entries) == wanted


def test_a_target_that_no_system_has_is_refused() -> None:
    """All were asked."""
    entries = Entries(entry("to@corp.local", target="x@example.com"))
    systems = Systems(first=UNKNOWN, second=UNKNOWN, third=UNKNOWN)
    assert verdict(rules_of(ALL_ASKED), systems, "to@corp.local", entries=entries) == (
        "Refuse unknown"
    )


def test_postmaster_is_never_refused_for_a_target_that_is_unknown(rules: Rules) -> None:
    """RFC 5321 section 4.5.1."""
    entries = Entries(entry("postmaster@example.com", target="pm@partner.example"))
    assert verdict(
        rules, Systems(first=UNKNOWN), "postmaster@example.com", entries=entries
    ).startswith("Deliver postmaster@example.com")


# --- peers


@pytest.mark.parametrize(
    ("client", "outcomes", "wanted"),
    [
        # only what comes after it
        (FIRST, {"second": KNOWN}, "Relay second diverted"),
        (FIRST, {"second": UNKNOWN}, "Relay third diverted"),
        # an earlier one only if it knows it
        (THIRD, {"first": KNOWN}, "Relay first"),
        (THIRD, {"first": UNKNOWN, "second": KNOWN}, "Relay second"),
        (THIRD, {"first": ANYTHING, "second": UNSURE}, "Refuse loop"),
        (THIRD, {"first": UNKNOWN, "second": UNKNOWN}, "Refuse loop"),
    ],
)
def test_mail_from_a_peer_moves_forward(
    rules: Rules, client: str, outcomes: dict[str, Outcome], wanted: str
) -> None:
    """Step 6: an earlier one is a way out only if its call-out says that it knows it."""
    systems = Systems(**({"first": ANYTHING, "second": UNSURE} | outcomes))
    assert verdict(rules, systems, client=client) == wanted


def test_a_chain_that_knows_nothing_of_a_peers_mail_refuses_it() -> None:
    """Unknown in all that are left: no loop, it is unknown."""
    systems = Systems(first=UNSURE, second=UNKNOWN, third=UNKNOWN)
    assert verdict(rules_of(ALL_ASKED), systems, client=FIRST) == "Refuse unknown"


def test_another_way_than_the_maps_is_told() -> None:
    """A stranger is let to the second alone; the transport map names the one that knows it."""
    rules = rules_of(INI.replace("allow_relay = yes\nverify", "allow_relay = no\nverify", 1))
    assert verdict(rules, Systems(first=KNOWN, second=KNOWN)) == "Relay second diverted"
    # unknown to the first: the map says the same as we do
    assert verdict(rules, Systems(first=UNKNOWN, second=KNOWN)) == "Relay second"


def test_maps_give_the_way_that_the_call_out_found(rules: Rules) -> None:
    """The transport map leads where the policy server said."""
    systems = Systems(first=UNKNOWN, second=KNOWN)
    assert verdict(rules, systems, client="", door=Door.MAP) == "Relay second"


# --- call-outs of another codomain


def test_a_probe_from_a_peer_is_answered_from_the_directory_alone(rules: Rules) -> None:
    """Two gateways cannot probe each other in circles; unknown here is said as such."""
    systems = Systems()
    entries = Entries(entry("ann@example.com"))
    assert verdict(rules, systems, client=THIRD, probe=True) == "Refuse unknown"
    assert verdict(
        rules, systems, "ann@example.com", client=THIRD, probe=True, entries=entries
    ) == ("Deliver ann@example.com via exchange")
    assert systems.asked == []


def test_a_probe_is_told_nothing_for_what_would_have_to_be_asked(rules: Rules) -> None:
    """The second may know it: neither yes nor no, and it is not asked."""
    systems = Systems()
    assert verdict(rules, systems, client=FIRST, probe=True) == "Defer callout"
    # third takes what comes, for a probe as for mail
    assert verdict(rules, systems, client=SECOND, probe=True) == "Relay third diverted"
    assert systems.asked == []


def test_the_sign_of_a_probe_is_nothing_in_a_strangers_hand(rules: Rules) -> None:
    """From peers only: a stranger's mail with the sign is mail as any other."""
    systems = Systems(first=UNKNOWN, second=KNOWN)
    assert verdict(rules, systems, probe=True) == "Relay second"


def test_a_probes_target_is_not_asked(rules: Rules) -> None:
    """The directory knows the contact: that is the answer."""
    systems = Systems()
    entries = Entries(
        entry("bob@example.com", target="bob@partner.example"),
        entry("to@corp.local", target="x@example.com"),
    )
    for recipient in ("bob@example.com", "to@corp.local"):
        assert verdict(
            rules, systems, recipient, client=THIRD, probe=True, entries=entries
        ).startswith("Redirect")
    assert systems.asked == []
