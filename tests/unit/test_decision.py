"""Rules of the decision that no golden file shows: what it asks, and in which order.

The mail stories stand in tests/scenarios; here is what lies between their lines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from codomain.decision import decide
from codomain.finding import Need, Outage
from codomain.question import Door
from codomain.verdict import Defer, Deliver, Pass, Reason, Redirect, Refuse
from support.decisions import STRANGER, TRUSTED, Entries, ask, entry, question, rules_of, told

if TYPE_CHECKING:
    from codomain.directory.base import Recipient
    from codomain.rules import Rules

INI = """
[codomain]
hostname = gateway.example.com

[trust]
trusted_networks = 127.0.0.0/8

[domain example.com]
type = shared
deliver_to = exchange

[domain corp.local]
type = authoritative
catch_all = all@corp.local

[domain unix.example.net]
type = relay

[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes

[connector exchange]
smart_hosts = [192.0.2.20]

[connector partner]
smart_hosts = [192.0.2.30]
address_spaces = partner.test

[directory people]
type = files
path = /people.ldif

[directory others]
type = files
path = /others.ldif
"""


@pytest.fixture(scope="module")
def rules() -> Rules:
    """Give the rules of most tests."""
    return rules_of(INI)


def nothing(directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
    """Know nothing yet."""
    del directory, key
    return None  # mypy wants it said


def test_what_is_not_known_is_named(rules: Rules) -> None:
    """Decide returns the keys that it needs where peek does not know them yet."""
    need = decide(rules, question("A.Smith+x@Example.com"), nothing)
    assert need == Need("people", "a.smith+x@example.com")


def test_the_search_goes_through_all_directories_then_without_extension_then_catch_all(
    rules: Rules,
) -> None:
    """Step 3: the whole address first; then without its extension; then catch_all."""
    asked: list[tuple[str, str]] = []

    def peek(directory: str, key: str) -> tuple[Recipient, ...]:
        asked.append((directory, key))
        return ()

    ask(rules, peek, "ann+x@corp.local")
    keys = ["ann+x@corp.local", "ann@corp.local", "all@corp.local"]
    assert asked == [(d, key) for key in keys for d in ("people", "others")]


def test_a_directory_that_is_down_ends_the_search_at_once(rules: Rules) -> None:
    """Step 3: before the other directories, extension and catch-all."""
    peek = Entries(down=["people"]).add("others", entry("ann@corp.local"))
    assert told(ask(rules, peek, "ann+x@corp.local")) == "Defer directory"
    assert peek.asked == ["ann+x@corp.local"]


@pytest.mark.parametrize(
    "recipient",
    ["anyone@unix.example.net", "someone@elsewhere.test", "@example.com", "ann", "a@b_c.test"],
)
def test_no_directory_is_asked_for_what_it_does_not_hold(rules: Rules, recipient: str) -> None:
    """Steps 2 and 3: type relay: skip; foreign and malformed addresses need nobody."""
    peek = Entries()
    ask(rules, peek, recipient)
    ask(rules, peek, recipient, TRUSTED)
    assert peek.asked == []


def test_a_hidden_address_is_looked_up_as_it_stands_and_no_further(rules: Rules) -> None:
    """Step 4: an exact entry wins; without one a stranger learns nothing of the base."""
    peek = Entries(entry("ann@example.com"))
    assert told(ask(rules, peek, "ann+a%b@example.com")) == "Refuse relaying"
    assert set(peek.asked) == {"ann+a%b@example.com"}


def test_what_peek_raises_goes_through(rules: Rules) -> None:
    """The door answers 451 for a fault of ours; the decision hides none."""

    def peek(directory: str, key: str) -> tuple[Recipient, ...]:
        raise ZeroDivisionError(directory, key)

    with pytest.raises(ZeroDivisionError):
        decide(rules, question("ann@example.com"), peek)


def test_the_same_question_gets_the_same_verdict(rules: Rules) -> None:
    """The decision is pure: nothing is kept from one to the next."""
    peek = Entries(
        entry("ann@example.com"), entry("bob@example.com", target="bob@unix.example.net")
    )
    for recipient in ("ann@example.com", "bob@example.com", "nobody@example.com", "x@y.test"):
        first = ask(rules, peek, recipient)
        assert [ask(rules, peek, recipient) for _ in range(3)] == [first] * 3


def test_the_steps_are_told(rules: Rules) -> None:
    """A verdict comes with the steps that led to it."""
    steps: list[str] = []
    peek = Entries(entry("bob@example.com", target="bob@unix.example.net", dn="cn=bob"))
    ask(rules, peek, "bob@example.com", trace=lambda step, detail: steps.append(f"{step} {detail}"))
    whole = "\n".join(steps)
    for word in ("example.com", "people", "cn=bob", "bob@unix.example.net", "unix"):
        assert word in whole


def test_a_trace_changes_no_verdict(rules: Rules) -> None:
    """Explain says what mail gets."""
    peek = Entries(entry("ann@example.com"))
    for recipient in ("ann@example.com", "nobody@example.com", "x@corp.local", "a@b.test", "a"):
        plain = ask(rules, peek, recipient)
        assert ask(rules, peek, recipient, trace=lambda *_: None) == plain


def test_maps_ask_as_a_trusted_unknown_client(rules: Rules) -> None:
    """Maps don't know the client: what depends on it is never given by a map."""
    peek = Entries(entry("boss@example.com", restricted=True))
    for client in ("192.0.2.20", "192.0.2.10", STRANGER):
        for recipient, verdict in (
            ("boss@example.com", "Deliver boss@example.com via exchange"),
            ("nobody@example.com", "Relay unix"),
            ("someone@elsewhere.test", "Pass"),
            ("some%one@example.com", "Relay unix"),
        ):
            assert told(ask(rules, peek, recipient, client, door=Door.MAP)) == verdict


def test_a_foreign_domain_that_a_connector_covers_names_it_for_the_transport_map(
    rules: Rules,
) -> None:
    """Pass: transport of a foreign address that a connector covers: that connector."""
    verdict = ask(rules, Entries(), "x@partner.test", door=Door.MAP)
    assert verdict == Pass(connector=rules.connectors.by_name["partner"])
    assert told(ask(rules, Entries(), "x@partner.test")) == "Refuse relaying"


def test_a_peer_of_deliver_to_with_a_connector_that_does_not_relay_for_strangers() -> None:
    """Step 6: a peer is routed by every covering connector."""
    rules = rules_of(INI.replace("allow_relay = yes", "allow_relay = no"))
    assert told(ask(rules, Entries(), "nobody@example.com", "192.0.2.20")) == "Relay unix"
    assert told(ask(rules, Entries(), "nobody@example.com")) == "Refuse relaying"


def test_two_entries_in_two_directories_are_one_after_the_other(rules: Rules) -> None:
    """Step 3: in order; the first directory that has it answers."""
    peek = Entries(entry("ann@corp.local")).add(
        "others", entry("ann@corp.local", target="eve@evil.test")
    )
    assert told(ask(rules, peek, "ann@corp.local")) == "Deliver ann@corp.local"


def test_an_ambiguous_target_is_deferred(rules: Rules) -> None:
    """Step 3: two distinct entries for one address, on the way too."""
    peek = Entries(
        entry("a@corp.local", target="twice@corp.local"),
        entry("one@corp.local", "twice@corp.local"),
        entry("two@corp.local", "twice@corp.local"),
    )
    assert told(ask(rules, peek, "a@corp.local")) == "Defer ambiguous"


def test_a_deferral_names_the_entry_for_the_log(rules: Rules) -> None:
    """Step 5: Defer(fault) with the DN in the log."""
    peek = Entries(entry("a@corp.local", target="x@y.test, z@y.test", dn="cn=bad,dc=corp"))
    verdict = ask(rules, peek, "a@corp.local")
    assert isinstance(verdict, Defer)
    assert (verdict.reason, verdict.dn) == (Reason.FAULT, "cn=bad,dc=corp")


@pytest.mark.parametrize("depth", [1, 5])
def test_a_chain_is_followed_max_depth_times(depth: int) -> None:
    """Step 5: a target in a domain of ours is resolved again, max_depth times at most."""
    rules = rules_of(INI + f"[redirect]\nmax_depth = {depth}\n")
    chain = [entry(f"c{i}@corp.local", target=f"c{i + 1}@corp.local") for i in range(depth + 1)]
    last = f"c{depth + 1}@corp.local"
    peek = Entries(*chain, entry(last))
    assert told(ask(rules, peek, "c1@corp.local")) == f"Redirect {last}"
    assert told(ask(rules, peek, "c0@corp.local")) == "Refuse loop"


def test_a_circle_of_many_ends() -> None:
    """Step 5: back to another entry that was met, however long the way."""
    rules = rules_of(INI + "[redirect]\nmax_depth = 50\n")
    peek = Entries(
        *[entry(f"c{i}@corp.local", target=f"c{(i + 1) % 40}@corp.local") for i in range(40)]
    )
    assert told(ask(rules, peek, "c7@corp.local")) == "Refuse loop"


def test_entries_of_two_directories_with_one_dn_are_two() -> None:
    """Step 5: the same entry, not one of the same name elsewhere."""
    rules = rules_of(
        INI.replace("type = authoritative\n", "type = authoritative\ndirectory = others\n")
    )
    peek = Entries(entry("a@example.com", target="b@corp.local", dn="cn=a")).add(
        "others", entry("b@corp.local", target="c@unix.example.net", dn="cn=a")
    )
    assert told(ask(rules, peek, "a@example.com")) == "Redirect c@unix.example.net via unix"


def test_a_primary_address_out_of_bounds_lets_no_mail_through() -> None:
    """Step 5: who writes to the directory sends no mail where the configuration does not."""
    rules = rules_of(
        INI.replace("deliver_to = exchange\n", "deliver_to = exchange\ndeliver_as = primary\n", 1)
    )
    for primary in ("ann@evil.test", "a@evil.test, b@evil.test", "@x:y@evil.test"):
        verdict = ask(rules, Entries(entry("ann@example.com", primary=primary)), "ann@example.com")
        assert isinstance(verdict, Refuse | Defer)


def test_a_hidden_extension_is_never_carried_over_to_a_target(rules: Rules) -> None:
    """Step 5: never one with hidden characters, full-width forms too."""
    peek = Entries(entry("bob@example.com", target="bob@unix.example.net"))
    for hidden in ("+a%b", "+a@b", "+a!b", "+a％b", "+a＠b"):
        verdict = ask(rules, peek, f"bob{hidden}@example.com", TRUSTED)
        assert told(verdict) == "Redirect bob@unix.example.net via unix"


@pytest.mark.parametrize("char", ["\x80", "\x85", "\u2028"])
def test_an_address_that_cannot_be_written_out_is_deferred(rules: Rules, char: str) -> None:
    """Step 1: what a door emits must parse back to the same mailbox, else Defer(fault)."""
    contact = replace(entry("bob@corp.local"), target=f"b{char}b@unix.example.net")
    assert told(ask(rules, Entries(contact), "bob@corp.local")) == "Defer fault"


@pytest.mark.parametrize("char", ["\x80", "\x85", "\u2028"])
def test_an_extension_that_cannot_be_written_out_leads_to_no_entry(char: str) -> None:
    """Step 1: its base is not found, so a contact's target never gets half of it."""
    rules = rules_of(INI.replace("catch_all = all@corp.local", ""))
    peek = Entries(
        entry("bob@corp.local", target="bob@unix.example.net"),
        entry("bob@example.com", target="bob@unix.example.net"),
    )
    assert told(ask(rules, peek, f"bob+{char}x@corp.local")) == "Refuse unknown"
    assert told(ask(rules, peek, f"bob+{char}x@example.com")) == "Relay unix"


POSTMASTERS = (
    *("postmaster@example.com", "POSTMASTER@corp.local", "postmaster@unix.example.net"),
    *("postmaster+x@example.com", "postmaster+a%b@corp.local", '"postmaster"@corp.local'),
    "postmaster",
)
BOTH = ("postmaster@example.com", "postmaster@corp.local")


@pytest.mark.parametrize(
    "own",
    [
        None,
        entry(*BOTH),
        entry(*BOTH, restricted=True),
        entry(*BOTH, target="eve@evil.test"),
        entry(*BOTH, target="a, b"),
        entry(*BOTH, target="postmaster@corp.local"),
        entry(*BOTH, host="nowhere.test"),
        entry(BOTH[0], target="gone@corp.local"),
    ],
)
@pytest.mark.parametrize(
    "line", ["", "postmaster = hostmaster@corp.local", "postmaster = x@far.test"]
)
def test_postmaster_is_never_refused(own: Recipient | None, line: str) -> None:
    """replies: postmaster of one of our domains, or of none, is never refused."""
    ini = INI.replace("[codomain]\n", f"[codomain]\n{line}\n").replace(
        "catch_all = all@corp.local", ""
    )
    rules, peek = rules_of(ini), Entries(*([own] if own else []))
    for client in (STRANGER, TRUSTED, "192.0.2.20", "192.0.2.10", ""):
        for recipient in POSTMASTERS:
            verdict = ask(rules, peek, recipient, client)
            assert isinstance(verdict, Deliver | Redirect), (client, recipient, told(verdict))


def test_postmaster_waits_for_a_directory_that_is_down(rules: Rules) -> None:
    """Step 3: a directory that does not answer ends the search; 451 is no refusal."""
    for recipient in ("postmaster@example.com", "postmaster"):
        assert told(ask(rules, Entries(down=["people"]), recipient)) == "Defer directory"


def test_postmaster_without_a_domain_is_as_in_the_first_authoritative_one(rules: Rules) -> None:
    """Step 2: its entry counts."""
    peek = Entries(entry("postmaster@corp.local", target="x@unix.example.net"))
    assert told(ask(rules, peek, "Postmaster")) == "Redirect x@unix.example.net via unix"


@pytest.mark.parametrize(
    ("key", "value"), [("target", "a@evil.test"), ("target", "a@example.com"), ("restricted", True)]
)
def test_a_mailbox_host_of_the_entry_opens_no_way(rules: Rules, key: str, value: object) -> None:
    """Step 5: the next hop is always text of the configuration, never of the entry."""
    odd = replace(entry("ann@example.com", host="[203.0.113.66]"), **{key: value})  # type: ignore[arg-type]
    verdict = ask(rules, Entries(odd), "ann@example.com", TRUSTED)
    assert isinstance(verdict, Refuse | Defer)


def test_smtputf8_is_asked_where_the_door_tells(rules: Rules) -> None:
    """replies: non-ASCII recipient without SMTPUTF8, RFC 6531 section 3.5."""
    peek = Entries(entry("jürgen@example.com"))
    told_of = {
        flag: told(ask(rules, peek, "jürgen@example.com", smtputf8=flag))
        for flag in (True, False, None)
    }
    assert told_of[False] == "Refuse smtputf8"
    assert told_of[True] == told_of[None] == "Deliver jürgen@example.com via exchange"
