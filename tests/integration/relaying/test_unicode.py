"""Look-alikes, asked of a real slapd: its matching rules map, and we compare again.

caseIgnoreMatch (RFC 4518) folds the case of all letters, and takes compatibility characters
for plain ones.  None of that makes somebody else's address ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ldap3
import pytest

from codomain.address import parse_recipient
from codomain.config import parse
from codomain.decision import decide
from codomain.directory.ldap import LdapDirectory
from codomain.finding import Need
from codomain.question import Question
from codomain.rules import rules_from
from support.decisions import no_lookup, told
from support.ldapsection import Section
from support.relayforms import BASE
from support.slapd import Slapd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.directory.base import Recipient

INI = """\
[codomain]
hostname = gateway.test
postfix = off
[trust]
trusted_networks =
[domain kelvin.example]
type = authoritative
[domain straße.example]
type = authoritative
[domain müller.example]
type = authoritative
[directory people]
type = files
path = /people.ldif
"""

NAMES = (
    *("karl", "strasse", "straße", "izmir", "jürgen", "zoe", "café", "file", "ann", "j doe"),
    *("ångström", "σοφος", "masse"),
)
"""Mailboxes, each at kelvin.example, straße.example and müller.example."""

LOCALS = (
    # Kelvin K, Ångström sign, long s, dotted and dotless i, sharp s and its capital
    *("\u212aarl", "k\u200barl", "ma\u017f\u017fe", "\u0130zmir", "\u0131zmir", "STRASSE\u200d"),
    *("stra\u1e9ee", "strase", "\u017ftrasse", "STRAẞE"),
    # full-width, small, circled, mathematical and ligatures
    *("\uff4barl", "\uff2barl", "\ufb01le", "\u24dann", "\u24d0nn", "\U0001d41aann", "an\u207f"),
    # zero-width, soft hyphen, byte order mark, word joiner, variation selector, direction
    *("a\u200bnn", "a\u00adnn", "\ufeffann", "ann\u2060", "ann\ufe0f", "\u202eann", "a\u200dnn"),
    # blanks that a matching rule takes for one or for none
    *(" ann", "ann ", "j  doe", "j\u00a0doe", "j\u2003doe", "jdoe"),
    # case and accents that only a human takes for the same
    *("JÜRGEN", "jurgen", "zoë", "zoe\u0308", "CAFÉ", "cafe", "ÅNGSTRÖM", "ΣΟΦΟΣ", "σοφο\u03c2x"),
    # Cyrillic and Greek letters that look like Latin ones
    *("\u0430nn", "k\u0430rl", "z\u03bfe"),
    # what LDAP filters and DNs are made of
    *("*", "a*", "ann)(mail=*", "ann\\2a", "ann\\00", "an\\6e", "#616e6e", "(|(mail=*))"),
)  # fmt: skip

DOMAINS = (
    *("\u212aelvin.example", "\uff4belvin.example", "kelvin\u3002example", "kel\u200bvin.example"),
    *("kelvin.e\uff58ample", "kelv\u0131n.example", "kelv\u0130n.example", "\u212aELVIN.EXAMPLE"),
    *("strasse.example", "stra\u017fse.example", "xn--strasse-.example", "muller.example"),
    *("mu\u0308ller\u200d.example", "m\u00fc\u00adller.example", "kelvin.example\u037e"),
)  # fmt: skip


def people() -> str:
    """Write the mailboxes as LDIF."""
    entries = [BASE]
    for number, name in enumerate(NAMES):
        lines = [f"dn: cn={number},dc=example,dc=com", "objectClass: user", f"cn: {number}"]
        local = f'"{name}"' if " " in name else name
        values = [f"smtp:{local}@{d}" for d in ("kelvin.example", "xn--strae-oqa.example")]
        lines += ["sn: x", *(f"proxyAddresses: {v}" for v in values), f"mail: {number}@x.test"]
        entries.append("\n".join(lines) + "\n")
    return "\n".join(entries)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """Give a slapd with the mailboxes."""
    with Slapd(tmp_path_factory.mktemp("u") / "d", people()) as running:
        yield running


@pytest.fixture(scope="module")
def directory(server: Slapd) -> Iterator[LdapDirectory]:
    """Give the directory that asks it."""
    asking = LdapDirectory(Section((server.ldap,)))
    yield asking
    asking.close()


def verdict(directory: LdapDirectory, recipient: str) -> str:
    """Decide for a stranger, and fetch what the decision needs."""
    known: dict[str, tuple[Recipient, ...]] = {}
    rules = rules_from(parse(INI), no_lookup)
    question = Question(parse_recipient(recipient.encode()))
    while isinstance(answer := decide(rules, question, lambda _, key: known.get(key)), Need):
        known[answer.key] = directory.find(answer.key, 10.0)
    return told(answer)


@pytest.mark.parametrize("name", NAMES)
def test_each_mailbox_is_found_by_its_own_name(directory: LdapDirectory, name: str) -> None:
    """Else nothing below would prove anything."""
    local = f'"{name}"' if " " in name else name
    assert verdict(directory, f"{name}@kelvin.example") == f"Deliver {local}@kelvin.example"
    assert verdict(directory, f"{name}@straße.example").startswith("Deliver ")


@pytest.mark.parametrize("local", LOCALS)
def test_no_look_alike_is_mapped_into_a_mailbox(directory: LdapDirectory, local: str) -> None:
    """Not by us, not by the matching rules of LDAP: unknown, in every domain of ours."""
    for domain in ("kelvin.example", "straße.example"):
        assert verdict(directory, f"{local}@{domain}") == "Refuse unknown", domain


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("local", ["karl", "strasse", "postmaster"])
def test_no_look_alike_is_mapped_into_a_domain(
    directory: LdapDirectory, local: str, domain: str
) -> None:
    """It is nobody's: relaying."""
    assert verdict(directory, f"{local}@{domain}") == "Refuse relaying"


def test_the_server_itself_would_map_some_of_them(server: Slapd) -> None:
    """The second comparison is needed: slapd finds an entry for more than a few of these."""
    mapped = set()
    connection = ldap3.Connection(ldap3.Server(server.ldap, get_info=ldap3.NONE))
    assert connection.bind()
    for local in LOCALS:
        value = "".join(f"\\{octet:02x}" for octet in f"smtp:{local}@kelvin.example".encode())
        if connection.search("dc=example,dc=com", f"(proxyAddresses={value})"):
            mapped.add(local)
    connection.unbind()
    assert {"\uff4barl", "JÜRGEN", "CAFÉ"} <= mapped
