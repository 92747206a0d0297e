"""Rules of a plan: which records are carried out, which stand against something, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.config import parse as parse_ini
from codomain.directory.messages import Entry
from codomain.directory.record import Record
from codomain.directory.writing import Addition, Modification
from codomain.errors import DirectoryError
from codomain_cli.bulk.held import Held, known_of
from codomain_cli.bulk.names import parse
from codomain_cli.bulk.outlook import Outlook
from codomain_cli.bulk.plan import Plan, Step, What, plan_of
from codomain_cli.bulk.records import Contact, contact_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

BASE = parse("dc=xo,dc=one")
INI = """
[codomain]
hostname = gateway.example.com
[domain xo.one]
type = authoritative
[domain remote.test]
type = shared
[connector remote]
smart_hosts = [192.0.2.60]
address_spaces = remote.test
allow_relay = yes
[directory people]
servers = ldap://127.0.0.1
base = dc=xo,dc=one
"""


def contact(line: int, name: str, *proxies: str, target: str = "", unit: str = "") -> Contact:
    """Make a good record; the first address is the primary one, and the target."""
    attributes: dict[str, list[str | bytes]] = {
        "objectclass": ["contact"],
        "proxyaddresses": list(proxies),
        "targetaddress": [target or proxies[0]],
        "mailnickname": [name],
    }
    dn = f"cn={name},{unit}dc=xo,dc=one"
    made = contact_of(Record(line, dn, attributes), BASE, frozenset())
    assert made is not None
    return made


def entry(name: str, *proxies: str, kind: str = "contact") -> Entry:
    """Make an entry of the directory, as a record of that name would make it."""
    raw = {"objectClass": [kind.encode()], "proxyAddresses": [p.encode() for p in proxies]}
    if kind == "contact":
        raw |= {"targetAddress": [proxies[0].encode()], "mailNickname": [name.encode()]}
    return Entry(1, f"cn={name},dc=xo,dc=one", raw, ())


def held(*entries: Entry, others: Iterable[str] = (), missing: Iterable[str] = ()) -> Held:
    """Make what the directory has."""
    every = [known_of(each) for each in entries]
    return Held(
        {known.name.key: known for known in every},
        {parse(dn).key for dn in others},
        missing={parse(dn).key for dn in missing},
    )


def plan(contacts: list[Contact], there: Held, ini: str = INI, **options: bool) -> Plan:
    """Make the plan."""
    return plan_of(contacts, there, Outlook(parse_ini(ini), "people"), **options)


def whats(made: Plan) -> list[tuple[int, str]]:
    """Give line and outcome of each step."""
    return [(step.contact.line, step.what.value) for step in made.steps]


def said(made: Plan) -> list[tuple[int, str]]:
    """Give line and reason of everything that is not carried out."""
    return [(fault.line, fault.why) for fault in (*made.conflicts, *made.refused)]


def test_create_change_and_same() -> None:
    """A contact that is not there, that is there otherwise, that is there as the file says."""
    made = plan(
        [
            contact(2, "new", "SMTP:new@remote.test", "smtp:new@xo.one"),
            contact(3, "old", "SMTP:old@remote.test", "smtp:old@xo.one"),
            contact(4, "kept", "SMTP:kept@remote.test", "smtp:kept@xo.one"),
        ],
        held(
            entry("old", "SMTP:old@remote.test"),
            entry("kept", "SMTP:kept@remote.test", "smtp:kept@xo.one"),
        ),
    )
    assert whats(made) == [(2, "create"), (3, "change"), (4, "same")]
    new, old, kept = made.steps
    assert new.request == Addition(
        "cn=new,dc=xo,dc=one",
        {
            "objectClass": (b"contact",),
            "cn": (b"new",),
            "proxyAddresses": (b"SMTP:new@remote.test", b"smtp:new@xo.one"),
            "targetAddress": (b"SMTP:new@remote.test",),
            "mailNickname": (b"new",),
        },
    )
    added = {"proxyAddresses": (b"smtp:old@xo.one",)}
    assert old.request == Modification("cn=old,dc=xo,dc=one", {}, added, {})
    assert old.changes == ("proxyAddresses: +smtp:old@xo.one",)
    assert kept.request is None
    assert made.works()
    assert made.counts() == {
        What.CREATE: 1,
        What.CHANGE: 1,
        What.SAME: 1,
        What.CONFLICT: 0,
        What.REFUSED: 0,
    }


@pytest.mark.parametrize("kind", ["user", "group", "inetOrgPerson"])
def test_an_entry_that_is_no_contact_is_never_touched(kind: str) -> None:
    """A mailbox of that DN, with an address or without one."""
    contacts = [contact(2, "ann", "SMTP:a@remote.test"), contact(3, "bob", "SMTP:b@remote.test")]
    there = held(entry("ann", "SMTP:ann@xo.one", kind=kind), others=["cn=Bob,dc=xo,dc=one"])
    made = plan(contacts, there)
    why = "the entry of this DN is no contact, and is not touched"
    assert said(made) == [(2, why), (3, why)]
    assert not made.works()


def test_a_user_that_is_also_a_contact_is_a_user() -> None:
    """The mailbox decides: an entry of both classes is not ours to change."""
    both = entry("ann", "SMTP:ann@xo.one")._replace(
        raw={"objectClass": [b"contact", b"user"], "proxyAddresses": [b"SMTP:ann@xo.one"]}
    )
    assert said(plan([contact(2, "ann", "SMTP:a@remote.test")], held(both)))


def test_an_address_goes_to_nobody_while_another_entry_has_it() -> None:
    """Of an entry of the directory, of a record before it, folded; who has it keeps it."""
    contacts = [
        contact(2, "a", "SMTP:a@remote.test", "smtp:ANN@xo.one"),
        contact(3, "b", "SMTP:b@remote.test", "smtp:old@xo.one"),
        contact(4, "old", "SMTP:old@remote.test", "smtp:old@xo.one"),
        contact(5, "c", "SMTP:c@remote.test", "smtp:x@xo.one"),
        contact(6, "d", "SMTP:d@remote.test", "smtp:X@XO.one"),
    ]
    there = held(
        entry("ann", "SMTP:ann@xo.one", kind="user"),
        entry("old", "SMTP:old@remote.test", "smtp:old@xo.one"),
    )
    made = plan(contacts, there)
    assert said(made) == [
        (2, "ann@xo.one is an address of cn=ann,dc=xo,dc=one too"),
        (3, "old@xo.one is an address of cn=old,dc=xo,dc=one too"),
        (6, "x@xo.one is an address of cn=c,dc=xo,dc=one too"),
    ]
    assert whats(made) == [(4, "same"), (5, "create")]


def test_who_is_not_changed_after_all_keeps_what_the_change_would_have_freed() -> None:
    """X may not become what ann has, so x keeps its address, and new may not have that one."""
    contacts = [
        contact(2, "new", "SMTP:new@remote.test", "smtp:free@xo.one"),
        contact(3, "x", "SMTP:x@remote.test", "smtp:ann@xo.one"),
    ]
    there = held(
        entry("ann", "SMTP:ann@xo.one", kind="user"),
        entry("x", "SMTP:x@remote.test", "smtp:free@xo.one"),
    )
    made = plan(contacts, there, remove=True)
    assert said(made) == [
        (2, "free@xo.one is an address of cn=x,dc=xo,dc=one too"),
        (3, "ann@xo.one is an address of cn=ann,dc=xo,dc=one too"),
    ]
    assert not made.steps


def test_an_address_that_is_given_up_can_be_taken() -> None:
    """In one plan, where addresses that are not named go."""
    contacts = [
        contact(2, "new", "SMTP:new@remote.test", "smtp:moves@xo.one"),
        contact(3, "x", "SMTP:x@remote.test", "smtp:x@xo.one"),
    ]
    there = held(entry("x", "SMTP:x@remote.test", "smtp:x@xo.one", "smtp:moves@xo.one"))
    assert [line for line, _ in said(plan(contacts, there))] == [2]
    made = plan(contacts, there, remove=True)
    assert whats(made) == [(2, "create"), (3, "change")]
    assert made.steps[1].gives_up == {"moves@xo.one"}


def test_two_records_of_one_dn_are_one_too_many() -> None:
    """Also in another spelling; the first one counts."""
    twice = [contact(2, "ann", "SMTP:a@remote.test"), contact(9, "ANN", "SMTP:b@remote.test")]
    made = plan(twice, held())
    assert said(made) == [(9, "its DN stands at line 2 too")]
    assert whats(made) == [(2, "create")]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("SMTP:a@remote.test", ""),
        ("SMTP:a@elsewhere.test", "the target a@elsewhere.test is not allowed"),
        ("SMTP:nobody@xo.one", "its target nobody@xo.one is unknown"),
        ("SMTP:c@xo.one", "its target c@xo.one is its own address"),
        ("SMTP:ann@xo.one", ""),
    ],
)
def test_mail_to_a_contact_must_arrive(target: str, why: str) -> None:
    """The decision is asked: a target that is refused later is refused now."""
    made = plan(
        [contact(2, "c", "SMTP:c@remote.test", "smtp:c@xo.one", target=target)],
        held(entry("ann", "SMTP:ann@xo.one", kind="user")),
    )
    found = [text.partition(" would be refused: ")[2] for _, text in said(made)]
    assert found == ([why] if why else [])


def test_a_target_in_a_shared_domain_needs_a_way_there() -> None:
    """Without a connector that covers it nobody knows where the mail should go."""
    ini = INI.replace("address_spaces = remote.test", "address_spaces = other.test")
    made = plan([contact(2, "c", "SMTP:c@remote.test", "smtp:c@xo.one")], held(), ini)
    why = "mail to c@xo.one would be refused: no connector covers its target c@remote.test"
    assert said(made) == [(2, why)]


def test_a_chain_within_one_file_is_judged_as_it_will_be() -> None:
    """A leads to b, and b is in the file; a circle of both is refused."""
    chain = [
        contact(2, "a", "SMTP:a@xo.one", target="SMTP:b@xo.one"),
        contact(3, "b", "SMTP:b@remote.test", "smtp:b@xo.one"),
    ]
    assert said(plan(chain, held())) == []
    circle = [chain[0], contact(3, "b", "SMTP:b@xo.one", target="SMTP:a@xo.one")]
    assert [line for line, _ in said(plan(circle, held()))] == [2, 3]


def test_a_chain_through_a_record_that_is_taken_out_is_judged_anew() -> None:
    """A and b lead on to c, of which the target is not allowed: then theirs is unknown."""
    chain = [
        contact(2, "a", "SMTP:a@xo.one", target="SMTP:b@xo.one"),
        contact(3, "b", "SMTP:b@xo.one", target="SMTP:c@xo.one"),
        contact(4, "c", "SMTP:c@xo.one", target="SMTP:c@elsewhere.test"),
    ]
    assert [line for line, _ in said(plan(chain, held()))] == [2, 3, 4]
    taken = contact(4, "c", "SMTP:c@remote.test", "smtp:c@xo.one", "smtp:ann@xo.one")
    there = held(entry("ann", "SMTP:ann@xo.one", kind="user"))
    made = plan([*chain[:2], taken], there)
    assert said(made) == [
        (4, "ann@xo.one is an address of cn=ann,dc=xo,dc=one too"),
        (2, "mail to a@xo.one would be refused: its target c@xo.one is unknown"),
        (3, "mail to b@xo.one would be refused: its target c@xo.one is unknown"),
    ]


FILES = """
[directory files]
type = files
path = {path}
"""


def test_an_address_in_another_directory_of_the_domain_is_a_conflict(tmp_path: Path) -> None:
    """The first directory wins, and whoever has it in the other one would get no mail."""
    path = tmp_path / "people.ldif"
    path.write_text(
        "dn: cn=Ann,dc=files\nobjectClass: user\nmail: ann@xo.one\n\n"
        "dn: CN=Same,DC=xo,DC=one\nobjectClass: user\nmail: same@xo.one\n"
    )
    contacts = [
        contact(2, "a", "SMTP:a@remote.test", "smtp:Ann@xo.one"),
        contact(3, "b", "SMTP:b@remote.test", "smtp:b@xo.one"),
        contact(4, "same", "SMTP:s@remote.test", "smtp:same@xo.one"),
        contact(5, "old", "SMTP:old@remote.test", "smtp:ann@xo.one"),
    ]
    there = held(entry("old", "SMTP:old@remote.test", "smtp:ann@xo.one"))
    made = plan(contacts, there, INI + FILES.format(path=path))
    why = "ann@xo.one is an address of cn=Ann,dc=files in [directory files] too"
    assert said(made) == [(2, why)]
    assert whats(made) == [(3, "create"), (4, "create"), (5, "same")]


def test_a_directory_that_does_not_answer_is_never_taken_for_nobody() -> None:
    """Whether it has the address cannot be known: the run ends, and is made again."""
    ini = INI + "[directory other]\nservers = ldap://127.0.0.1:1\nbase = dc=other\n"
    with pytest.raises(DirectoryError, match=r"\[directory other\]"):
        plan([contact(2, "a", "SMTP:a@remote.test", "smtp:a@xo.one")], held(), ini)


def test_addresses_go_and_come_one_by_one() -> None:
    """What somebody else adds between the plan and the deed is not of the plan, and stays."""
    changed = contact(2, "a", "SMTP:new@remote.test", "smtp:A@xo.one")
    there = held(entry("a", "SMTP:a@remote.test", "smtp:a@xo.one", "X400:c=us;"))
    (step,) = plan([changed], there).steps
    assert step.request == Modification(
        "cn=a,dc=xo,dc=one",
        delete={"proxyAddresses": (b"SMTP:a@remote.test", b"smtp:a@xo.one")},
        add={"proxyAddresses": (b"SMTP:new@remote.test", b"smtp:A@xo.one", b"smtp:a@remote.test")},
        replace={"targetAddress": (b"SMTP:new@remote.test",)},
    )


def test_a_contact_of_nobodys_domain_is_noted() -> None:
    """It may be meant for an address book; no mail here ever looks for it."""
    made = plan([contact(2, "c", "SMTP:c@elsewhere.test")], held())
    assert made.notes == [
        "1 records have no address in a domain of ours that this directory serves"
    ]
    assert whats(made) == [(2, "create")]


def test_units_are_created_where_that_is_told_the_upper_ones_first() -> None:
    """Each once, and only those in which a contact will be."""
    contacts = [
        contact(2, "a", "SMTP:a@remote.test", unit="ou=low,ou=high,"),
        contact(3, "b", "SMTP:b@remote.test", unit="ou=high,"),
        contact(4, "c", "SMTP:c@elsewhere.test", "smtp:c@xo.one", unit="ou=unused,"),
    ]
    missing = [f"{unit},dc=xo,dc=one" for unit in ("ou=high", "ou=low,ou=high", "ou=unused")]
    made = plan(contacts, held(missing=missing), create_units=True)
    assert list(map(str, made.units)) == ["ou=high,dc=xo,dc=one", "ou=low,ou=high,dc=xo,dc=one"]
    made = plan(contacts[:1], held(missing=missing))
    assert said(made) == [(2, "ou=low,ou=high,dc=xo,dc=one is not there: --create-ou makes it")]


def test_only_organisational_units_are_created() -> None:
    """What else may hold entries is for the directory's administrator to make."""
    contacts = [contact(2, "a", "SMTP:a@remote.test", unit="cn=box,")]
    made = plan(contacts, held(missing=["cn=box,dc=xo,dc=one"]), create_units=True)
    why = "cn=box,dc=xo,dc=one is not there, and is no organisational unit that could be made"
    assert said(made) == [(2, why)]


def test_the_servers_spelling_of_a_dn_is_used_for_a_change() -> None:
    """Active Directory compares more than we do; its own spelling is surely understood."""
    made = plan([contact(2, "ANN", "SMTP:a@remote.test")], held(entry("Ann", "SMTP:b@remote.test")))
    (step,) = made.steps
    assert isinstance(step, Step)
    assert step.request is not None
    assert step.request.dn == "cn=Ann,dc=xo,dc=one"
