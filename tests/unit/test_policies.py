"""What recipient policies change: primaries, collisions, what stays, and in which order."""

from __future__ import annotations

import random

import pytest

from codomain.config import parse
from codomain_cli.stamping.entries import Entry, entry_of
from codomain_cli.stamping.plan import Change, Planner, Used

INI = """\
[domain corp.local]
type = authoritative
[domain example.com]
[domain remote.example.net]
[directory ad]
servers = ldapi:///
[policy rest]
address_spaces = corp.local, example.com
default = yes
[policy names]
address_spaces = corp.local, example.com
primary = example.com
filter = (department=sales)
templates = %g.%s@example.com
transliterate = ü=ue
[policy remote]
address_spaces = remote.example.net
"""


def entry(cn: str, *proxies: str, **values: str) -> Entry:
    """Make an entry; its alias is its name, where nothing else is said."""
    raw = {"mailNickname": [cn.lower().encode()], "proxyAddresses": [p.encode() for p in proxies]}
    raw |= {name: [value.encode()] for name, value in values.items()}
    return entry_of("ad", f"cn={cn},dc=corp,dc=local", {k: v for k, v in raw.items() if v != [b""]})


def planned(
    *entries: Entry, policy: str = "rest", config: str = INI, remove: tuple[str, ...] = ()
) -> list[Change]:
    """Plan for entries that all have one policy."""
    read = parse(config)
    theirs = next(section for section in read.policies if section.name == policy)
    return Planner(read, Used(), remove).plan(entries, {one.id: theirs for one in entries})


def one(*entries: Entry, **options: object) -> Change:
    """Plan for entries, and return what becomes of the first one."""
    changes = planned(*entries, **options)  # type: ignore[arg-type]
    return next(change for change in changes if change.entry.id == entries[0].id)


def after(change: Change) -> Entry:
    """Return the entry as it is when its change was written."""
    kept = [value for value in change.entry.proxies if value not in change.delete]
    assert len(kept) == len(change.entry.proxies) - len(change.delete), change
    new = [value for value in (*kept, *change.add) if value not in change.remove]
    assert len(new) == len(kept) + len(change.add) - len(change.remove), change
    old = change.entry
    return Entry(
        old.directory,
        old.dn,
        tuple(new),
        (change.mail,) if change.mail else old.mail,
        old.target,
        old.names,
        old.created,
    )


def test_a_new_entry_gets_one_primary_and_the_others() -> None:
    """SMTP: in capitals is the primary address, smtp: a secondary one; mail is the primary."""
    change = one(entry("Ann"))
    assert change.add == ["SMTP:ann@corp.local", "smtp:ann@example.com"]
    assert (change.delete, change.mail) == ([], "ann@corp.local")
    assert change.gained == ["ann@corp.local", "ann@example.com"]


def test_a_changed_primary_stays_as_a_secondary() -> None:
    """Nobody loses mail by a policy."""
    change = one(
        entry("Ann", "SMTP:ann@corp.local", "smtp:a@corp.local", givenName="Ann", sn="Lee",
              mail="ann@corp.local"),
        policy="names",
    )  # fmt: skip
    assert change.primary == "Ann.Lee@example.com"
    assert change.add == ["SMTP:Ann.Lee@example.com", "smtp:ann@corp.local"]
    assert change.delete == ["SMTP:ann@corp.local"]
    assert change.lost == []
    assert sorted(after(change).addresses) == [
        "a@corp.local", "ann.lee@example.com", "ann@corp.local",
    ]  # fmt: skip


def test_a_secondary_that_becomes_primary_keeps_its_spelling() -> None:
    """Case is the owner's: only the prefix changes."""
    change = one(entry("Ann", "SMTP:old@example.com", "smtp:ANN@corp.local"))
    assert change.delete == ["smtp:ANN@corp.local", "SMTP:old@example.com"]
    assert change.add == ["SMTP:ANN@corp.local", "smtp:ann@example.com", "smtp:old@example.com"]


def test_what_mail_said_stays_as_a_secondary() -> None:
    """Mail is an address, too: where it becomes the primary, what it said is kept."""
    change = one(entry("Ann", mail="boss@example.com"))
    assert "smtp:boss@example.com" in change.add
    assert change.mail == "ann@corp.local"
    assert change.lost == []


def test_other_systems_addresses_are_left_alone() -> None:
    """X400:, x500:, sip: are no addresses of SMTP."""
    change = one(entry("Ann", "X400:c=us;a= ;p=x;", "sip:ann@corp.local", "x500:/o=x/cn=ann"))
    assert change.add == ["SMTP:ann@corp.local", "smtp:ann@example.com"]
    assert change.delete == []


@pytest.mark.parametrize("policy", ["rest", "names"])
def test_a_second_run_changes_nothing(policy: str) -> None:
    """Idempotent, whatever the first one found."""
    entries = [
        entry("Ann", givenName="Ann", sn="Lee"),
        entry("Ann2", "SMTP:ann.lee@example.com", givenName="Ann", sn="Lee"),
        entry("Tom", "SMTP:TOM@example.com", "smtp:x@corp.local", mail="t@example.com", sn="Lee"),
        entry("Con", "smtp:con@example.com", targetAddress="SMTP:con@elsewhere.test"),
        entry("Bad", "SMTP:a1@example.com", "SMTP:a2@example.com"),
        entry("None", givenName="Иван"),
    ]
    first = planned(*entries, policy=policy)
    second = planned(*map(after, first), policy=policy)
    assert any(change.changes for change in first)
    assert [change for change in second if change.changes] == []


def test_a_taken_address_gets_the_least_free_number_from_2() -> None:
    """Exchange appends 2, 3 and so on; the owner of the plain one keeps it."""
    change = one(
        entry("New", mailNickname="ann"),
        entry("Old", "SMTP:Ann@corp.local"),
        entry("Two", "smtp:ann2@corp.local"),
    )
    assert change.primary == "ann3@corp.local"
    assert any(
        "ann3@corp.local, because ann@corp.local is that of cn=Old" in n for n in change.notes
    )


@pytest.mark.parametrize("elsewhere", ["mail", "targetAddress"])
def test_mail_and_targets_of_others_are_taken_as_well(elsewhere: str) -> None:
    """Whatever leads to somebody else is never given away."""
    other = entry("Other", **{elsewhere: "ann@corp.local", "mailNickname": "o"})
    assert one(entry("Ann"), other).primary == "ann2@corp.local"


def test_an_address_outside_of_the_stamped_directories_is_taken() -> None:
    """Another directory, or a file, may hold it."""
    config = parse(INI)
    used = Used()
    used.put("ann@corp.local", ("files", "x"), "x.ldif:1")
    ann = entry("Ann")
    (change,) = Planner(config, used).plan([ann], {ann.id: config.policies[0]})
    assert change.primary == "ann2@corp.local"


def test_the_older_entry_gets_the_plain_address() -> None:
    """Order: by age, unknown age last, then by DN; never that in which a server answers."""
    entries = [
        entry("Z", mailNickname="ann", whenCreated="20200101000000.0Z"),
        entry("A", mailNickname="ann", createTimestamp="20210101000000Z"),
        entry("C", mailNickname="ann"),
        entry("B", mailNickname="ann"),
    ]
    wanted = {"Z": "ann", "A": "ann2", "B": "ann3", "C": "ann4"}
    for seed in range(6):
        shuffled = entries[:]
        random.Random(seed).shuffle(shuffled)
        got = {c.entry.dn[3]: c.primary.partition("@")[0] for c in planned(*shuffled)}
        assert got == wanted


def test_a_number_is_kept_when_the_plain_address_becomes_free() -> None:
    """Whose mail came to ann@ before is not for ann2 to get."""
    change = one(entry("Ann", "SMTP:ann2@corp.local", "smtp:ann@example.com"))
    assert change.primary == "ann2@corp.local"
    assert change.add == []


@pytest.mark.parametrize("other", ["anna", "ann1", "ann01", "ann2x", "ann02", "ann20000", "xann"])
def test_only_a_number_from_2_counts_as_the_same_name(other: str) -> None:
    """ann2 is ann's; anything else is another name."""
    change = one(entry("Ann", f"SMTP:{other}@corp.local"))
    assert change.primary == "ann@corp.local"


def test_the_plain_address_goes_before_its_own_numbers() -> None:
    """Who has both keeps the plain one as primary."""
    assert one(entry("Ann", "SMTP:ann3@corp.local", "smtp:ann@corp.local")).primary == (
        "ann@corp.local"
    )


def test_an_address_that_two_have_is_a_conflict() -> None:
    """Its mail is deferred as ambiguous: somebody must decide whose it is."""
    change = one(entry("Ann", "SMTP:ann@corp.local"), entry("B", "smtp:ann@corp.local"))
    assert change.conflicts == ["ann@corp.local is also that of cn=B,dc=corp,dc=local"]
    assert change.delete == []


def test_two_primaries_are_a_conflict_and_nothing_is_changed() -> None:
    """SMTP: doubled: which one counts is not ours to guess."""
    change = one(entry("Ann", "SMTP:a@example.com", "SMTP:b@example.com"))
    assert change.conflicts == ["2 primary addresses: a@example.com, b@example.com"]
    assert not change.changes


def test_values_that_a_server_keeps_back_are_a_conflict() -> None:
    """Active Directory's range=0-1499: a part of the addresses is no base for a decision."""
    raw = {"mailNickname": [b"ann"], "proxyAddresses;range=0-1499": [b"SMTP:a@example.com"]}
    change = one(entry_of("ad", "cn=Ann,dc=corp,dc=local", raw))
    assert change.conflicts == ["the server keeps a part of its addresses back"]
    assert not change.changes


def test_a_name_that_gives_no_address_is_a_conflict_and_the_rest_is_done() -> None:
    """The primary stays what it was; the other templates still count."""
    change = one(entry("Ivan", "SMTP:i@corp.local", givenName="Иван", sn="Lee"), policy="names")
    assert "givenName holds" in change.conflicts[0]
    assert change.primary == "i@corp.local"
    assert change.add == ["smtp:ivan@corp.local"]


def test_a_contact_keeps_its_target_as_primary() -> None:
    """KB 321721: targetAddress is the contact's primary address; the policy adds the others."""
    contact = entry(
        "Con", "SMTP:con@elsewhere.test", targetAddress="SMTP:con@elsewhere.test",
        mail="con@elsewhere.test",
    )  # fmt: skip
    change = one(contact)
    assert change.add == ["smtp:con@corp.local", "smtp:con@example.com"]
    assert (change.delete, change.mail) == ([], "")
    assert one(entry("Con", targetAddress="SMTP:con@elsewhere.test")).primary == (
        "con@elsewhere.test"
    )


def test_the_seeds_contact_of_a_null_filter_policy_is_never_touched() -> None:
    """KB 321721, method 2: nobody is stamped with the remote domain, and its people stay."""
    contact = entry("Con", "SMTP:c@remote.example.net", targetAddress="SMTP:c@remote.example.net")
    change = one(contact)
    assert not change.changes
    assert "policy without a filter" in change.notes[0]
    named = INI.replace("[policy remote]", "[policy remote]\nfilter = (cn=*)")
    assert one(contact, config=named).changes


def test_a_target_that_is_no_address_is_a_conflict() -> None:
    """X400: as a target: there is no primary address of SMTP to keep."""
    change = one(entry("Con", targetAddress="X400:c=us;a= ;p=x;"))
    assert "is no address" in change.conflicts[0]
    assert not change.changes


def test_exchanges_mark_leaves_an_entry_alone() -> None:
    """msExchPoliciesExcluded: addresses of this one are not updated by policies."""
    change = one(entry("Ann", msExchPoliciesExcluded="{26491CFC-9E50-4857-861B-0CB8DF22B5D7}"))
    assert not change.changes
    assert "msExchPoliciesExcluded" in change.notes[0]


def test_nothing_is_removed_without_remove() -> None:
    """A secondary address is somebody's mail."""
    assert one(entry("Ann", "SMTP:ann@corp.local", "smtp:old@example.com")).lost == []


def test_remove_takes_what_the_policy_does_not_give() -> None:
    """In the named domain alone; what the policy gives, other systems' and the target stay."""
    change = one(
        entry("Ann", "SMTP:ann@corp.local", "smtp:old@example.com", "smtp:ann@example.com",
              "smtp:x@corp.local", "X400:c=us;a= ;", mail="mine@example.com"),
        remove=("example.com",),
    )  # fmt: skip
    assert change.lost == ["old@example.com", "mine@example.com"]
    assert change.mail == "ann@corp.local"
    assert sorted(after(change).addresses) == [
        "ann@corp.local", "ann@example.com", "x@corp.local",
    ]  # fmt: skip
    assert planned(after(change), remove=("example.com",))[0].changes is False


def test_remove_takes_a_former_primary_too() -> None:
    """What was primary is a secondary one now."""
    change = one(entry("Ann", "SMTP:old@example.com"), remove=("example.com",))
    assert change.lost == ["old@example.com"]
    assert change.primary == "ann@corp.local"
    # Until it goes it is a secondary one: two primary addresses would be a conflict.
    assert change.delete == ["SMTP:old@example.com"]
    assert change.add[-1] == "smtp:old@example.com"
    assert change.remove == ["smtp:old@example.com"]


def test_what_is_taken_away_is_given_to_nobody_in_the_same_run() -> None:
    """Nor in one that is made again after it was ended midway: who gains comes first."""
    loser = entry("Zed", "SMTP:zed@corp.local", "smtp:ann@example.com", mail="zed@corp.local")
    ann = entry("Ann")
    first = {c.entry.dn: c for c in planned(loser, ann, remove=("example.com",))}
    assert first[ann.dn].gained == ["ann@corp.local", "ann2@example.com"]
    assert first[loser.dn].lost == ["ann@example.com"]
    assert first[loser.dn].add == ["smtp:zed@example.com"]
    assert first[loser.dn].remove == ["smtp:ann@example.com"]
    again = {c.entry.dn: c for c in planned(loser, after(first[ann.dn]), remove=("example.com",))}
    assert not again[ann.dn].changes
    assert again[loser.dn].remove == ["smtp:ann@example.com"]


def test_two_spellings_of_one_address_never_become_two_primaries() -> None:
    """A domain in Unicode and in ASCII: the primary one counts, and the other one stays."""
    config = INI.replace("example.com", "bücher.example")
    change = one(
        entry("Ann", "SMTP:ann@corp.local", "smtp:ann@bücher.example",
              "smtp:ann@xn--bcher-kva.example", mail="ann@corp.local"),
        config=config,
    )  # fmt: skip
    assert not change.changes
    primary = entry("Ann", "SMTP:ann@bücher.example", "smtp:ann@xn--bcher-kva.example",
                    givenName="ann", mail="ann@bücher.example")  # fmt: skip
    change = one(primary, policy="names", config=config)
    assert sum(value.startswith("SMTP:") for value in after(change).proxies) == 1


def test_remove_never_takes_a_target() -> None:
    """A contact's primary address is its target."""
    contact = entry("C", "SMTP:c@example.com", "smtp:c2@example.com", targetAddress="c@example.com")
    change = one(contact, remove=("example.com",))
    assert "c@example.com" not in change.lost
    assert change.primary == "c@example.com"


def test_a_space_that_is_not_enabled_gives_no_address() -> None:
    """Each space of a policy can be enabled or not; what is there stays."""
    config = INI.replace("default = yes", "default = yes\nenabled = corp.local")
    assert one(entry("Ann"), config=config).gained == ["ann@corp.local"]
    there = entry("Ann", "SMTP:ann@corp.local", "smtp:ann@example.com", mail="ann@corp.local")
    assert not one(there, config=config).changes


def test_a_delimiter_of_the_domain_never_comes_in() -> None:
    """bob+ann would be bob's extension; each domain has its own delimiters."""
    config = INI.replace("type = authoritative", "type = authoritative\nrecipient_delimiter = +-")
    change = one(entry("Bob", mailNickname="bob+a-b"), config=config)
    assert change.gained == ["bobab@corp.local", "boba-b@example.com"]


def test_thousands_of_one_name_are_numbered_in_linear_time() -> None:
    """The next free number is remembered: 5,000 times 5,000 look-ups would take minutes."""
    entries = [entry(f"P{number:05}", mailNickname="john") for number in range(5000)]
    changes = planned(*entries)
    assert changes[-1].primary == "john5000@corp.local"
    assert len({change.primary for change in changes}) == 5000


def test_entries_without_an_alias_are_for_no_policy() -> None:
    """Exchange's policies are for mail-enabled objects: those with a mailNickname."""
    assert not entry_of("ad", "cn=x", {"mail": [b"x@example.com"]}).stampable
    assert entry_of("ad", "cn=x", {"mailNickname": [b"x"]}).stampable
