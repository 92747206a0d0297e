"""The entries of directories: where each contact's chain ends, with the whole path."""

from __future__ import annotations

import pytest

from codomain.config import parse
from codomain.directory.base import Kind, Recipient
from codomain_cli.checks.contents import Contents, findings

INI = """\
[codomain]
postmaster = postmaster@corp.local
[domain example.com]
type = shared
[domain corp.local]
type = authoritative
[domain unix.example.net]
type = relay
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes
[connector foreign]
smart_hosts = [192.0.2.11]
address_spaces = partner.example.org
[directory people]
type = files
path = /people.ldif
"""


def entry(name: str, *addresses: str, target: str = "", host: str = "") -> Recipient:
    """Return a mailbox, or with a target a contact."""
    kind = Kind.CONTACT if target else Kind.MAILBOX
    return Recipient(f"cn={name}", kind, addresses, addresses[0], target, host)


POSTMASTER = entry("postmaster", "postmaster@corp.local")


def found(*entries: Recipient, more: str = "", walked: bool = True) -> dict[str, str]:
    """Return what is said about a directory, by id."""
    contents = Contents()
    if walked:
        contents.take("people", [POSTMASTER, *entries])
    return {one.id: one.what for one in findings(parse(INI + more), contents)}


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ([entry("a", "a@example.com", "a@corp.local")], ""),
        ([entry("a", "a@example.com")], "entry.shared_only"),
        ([entry("b", "b@example.com", target="b@unix.example.net")], ""),
        ([entry("b", "b@example.com", target="b@nowhere.test")], "entry.no_route"),
        # a connector without allow_relay takes no contact's mail for strangers
        ([entry("b", "b@example.com", target="b@partner.example.org")], "entry.no_route"),
        ([entry("b", "b@example.com", target="c@example.com")], "entry.shared"),
        ([entry("b", "b@example.com", target="b@example.com")], "entry.shared"),
        ([entry("b", "b@example.com", target="gone@corp.local")], "entry.unknown"),
        ([entry("b", "b@corp.local", host="nowhere.test")], "entry.unusable"),
        (
            [
                entry("b", "b@example.com", target="c@corp.local"),
                entry("c", "c@corp.local", target="b@example.com"),
            ],
            "entry.loop",
        ),
        (
            [
                entry("b", "b@example.com", target="a@example.com"),
                entry("a", "a@example.com", "a@corp.local"),
            ],
            "",  # it ends at a mailbox, whatever the domain
        ),
    ],
)
def test_each_chain_is_followed_to_its_end(entries: list[Recipient], kind: str) -> None:
    """config.md, directories: a target that no route covers or in a domain of several systems."""
    assert set(found(*entries)) == ({kind} if kind else set())


def test_a_circle_is_told_whole() -> None:
    """Issue 6: reports a way that comes back, the whole path."""
    said = found(
        entry("b", "b@example.com", target="c@corp.local"),
        entry("c", "c@corp.local", target="b@example.com"),
    )
    path = "b@example.com → c@corp.local → b@example.com → comes back to cn=b"
    assert path in said["entry.loop"]


def test_of_many_the_first_are_named_and_all_are_counted() -> None:
    """One finding for all: a wrong policy makes ten thousand."""
    many = [entry(f"b{n}", f"b{n}@example.com", target=f"b{n}@gone.test") for n in range(9)]
    what = found(*many)["entry.no_route"]
    assert "b0@example.com → b0@gone.test" in what
    assert what.endswith(" and 4 more")
    assert "b5@" not in what


@pytest.mark.parametrize(
    ("more", "walked", "kind"),
    [
        ("", True, ""),
        ("[redirect]\n", False, ""),  # nobody knows what a directory that was not walked holds
    ],
)
def test_the_postmaster_is_looked_for(more: str, walked: bool, kind: str) -> None:  # noqa: FBT001
    """RFC 5321 section 4.5.1: postmaster's mail is taken."""
    said = set(found(more=more, walked=walked))
    assert said == ({kind} if kind else set())


def test_a_postmaster_that_nobody_has_is_an_error() -> None:
    """His mail would be refused in every domain that has no entry of its own."""
    contents = Contents()
    contents.take("people", [])
    [one] = findings(parse(INI), contents)
    assert (one.id, one.severity.value, one.line) == ("codomain.postmaster.unknown", "error", 2)


def test_what_was_not_walked_makes_no_finding() -> None:
    """A chain into a directory that nobody has read cannot be judged."""
    more = "[directory other]\nservers = ldaps://dc.test\n"
    contact = entry("b", "b@example.com", target="gone@corp.local")
    assert found(contact, more=more) == {}
