"""contrib/ldap in a real slapd: the schemas load, the account reads addresses and no more."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import ldap3
import pytest

from codomain.directory import ldif
from codomain.directory.record import Record
from support.slapd import Settings, Slapd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codomain.directory.ldap import LdapDirectory

    Maker = Callable[..., LdapDirectory]

CONTRIB = Path(__file__).parents[2] / "contrib/ldap"
SHIPPED_BASE, BASE = "dc=corp,dc=example", "dc=example,dc=com"
ACCOUNT = f"cn=codomain,ou=services,{BASE}"
PASSWORD = "Change-Me-1"
SECONDS = 30.0
TIME = 5.0

# What a Debian server has for everybody: anonymous may log in, users may read.
ACCESS = (
    "to attrs=userPassword by self write by anonymous auth by * none",
    "to * by users read by * none",
)
PEOPLE = f"""\
dn: {BASE}
objectClass: domain
dc: example

dn: uid=ann,{BASE}
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
uid: ann
cn: Ann Smith
sn: Smith
telephoneNumber: 555 0100
userPassword: secret
mail: ann@example.com
mailLocalAddress: ann@example.com
mailLocalAddress: a.smith@example.com

dn: uid=bob,{BASE}
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
uid: bob
cn: Bob Brown
sn: Brown
mailLocalAddress: bob@example.com
mailRoutingAddress: bob@unix.example.net
"""
ROUTED = """\
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
cn: x
sn: x
mailLocalAddress: x@example.com
mailHost: mail.example.com
mailRoutingAddress: x@unix.example.net
"""
CONTACT = """\
objectClass: contact
cn: x
sn: x
givenName: x
displayName: x
proxyAddresses: SMTP:x@unix.example.net
proxyAddresses: smtp:x@example.com
targetAddress: SMTP:x@unix.example.net
mail: x@unix.example.net
mailNickname: x
msExchRequireAuthToSendTo: TRUE
"""
MAILBOX = """\
objectClass: inetOrgPerson
objectClass: mailRecipient
cn: x
sn: x
proxyAddresses: SMTP:x@example.com
mailNickname: x
"""
MINIMAL = """\
dn: cn=config
objectClass: olcGlobal
cn: config

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif

include: file:///etc/ldap/schema/cosine.ldif

include: file:///etc/ldap/schema/inetorgperson.ldif

include: file://{schema}

dn: olcDatabase={{1}}ldif,cn=config
objectClass: olcDatabaseConfig
objectClass: olcLdifConfig
olcDatabase: {{1}}ldif
olcSuffix: dc=example,dc=com
olcDbDirectory: {folder}/data
"""


def shipped(name: str) -> str:
    """Return a file of contrib/ldap, with the base of the tests' server."""
    return (CONTRIB / name).read_text(encoding="utf-8").replace(SHIPPED_BASE, BASE)


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of slapd, as root and without a server."""
    return subprocess.run(
        [f"/usr/sbin/{program}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """Give a slapd that got the account, the rights and the indexes of contrib/ldap."""
    folder = tmp_path_factory.mktemp("s") / "d"
    slapd = Slapd(folder, PEOPLE + "\n" + shipped("service-account.ldif"), Settings(access=ACCESS))
    for name in ("access.ldif", "indexes.ldif"):
        text = shipped(name)
        if name == "indexes.ldif":
            # The tests' server has these two already; the file says to leave such ones out.
            text = text.replace("mailLocalAddress,mail eq", "mailRoutingAddress eq")
        (folder / name).write_text(text)
        done = run("slapmodify", "-F", folder / "config", "-n0", "-l", folder / name)
        assert done.returncode == 0, done.stderr
    with slapd:
        yield slapd


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    """Give the file of the account's password."""
    path = tmp_path / "password"
    path.write_text(PASSWORD)
    path.chmod(0o600)
    return str(path)


def test_the_account_finds_recipients(
    server: Slapd, new_directory: Maker, password_file: str
) -> None:
    """A mailbox by each of its addresses, a contact with its target; and nobody else."""
    directory = new_directory(
        server.ldapi,
        schema="inetlocalmail",
        bind_dn=ACCOUNT,
        bind_password_file=password_file,
    )
    found = directory.find("a.smith@example.com", TIME)
    assert [entry.addresses for entry in found] == [("ann@example.com", "a.smith@example.com")]
    assert [entry.target for entry in directory.find("bob@example.com", TIME)] == [
        "bob@unix.example.net",
    ]
    assert not directory.find("nobody@example.com", TIME)


def read_as(server: Slapd, who: str, password: str, sought: str) -> dict[str, list[str]]:
    """Return the attributes of the one entry that somebody finds; empty: none."""
    connection = ldap3.Connection(
        ldap3.Server(server.ldap, get_info=ldap3.NONE), who, password, check_names=False
    )
    assert connection.bind(), connection.result
    connection.search(BASE, sought, attributes=[ldap3.ALL_ATTRIBUTES])
    assert connection.response is not None
    found = [part["attributes"] for part in connection.response if "attributes" in part]
    connection.unbind()
    assert len(found) <= 1
    return dict(found[0]) if found else {}


def test_the_account_reads_nothing_else(server: Slapd) -> None:
    """No name, telephone number or password; it cannot even search by them."""
    seen = read_as(server, ACCOUNT, PASSWORD, "(mailLocalAddress=ann@example.com)")
    assert set(seen) == {"objectClass", "mail", "mailLocalAddress"}
    assert not read_as(server, ACCOUNT, PASSWORD, "(telephoneNumber=555 0100)")
    assert not read_as(server, ACCOUNT, PASSWORD, "(uid=ann)")


def test_everybody_else_reads_what_he_did(server: Slapd) -> None:
    """`by * break`: the rules behind stand as before."""
    seen = read_as(server, f"uid=ann,{BASE}", "secret", "(uid=bob)")
    assert {"cn", "sn", "mailRoutingAddress"} <= set(seen)


@pytest.mark.parametrize(
    ("schema", "entry"),
    [
        ("mail-routing.ldif", ROUTED),
        ("contacts.ldif", CONTACT),
        ("contacts.ldif", MAILBOX),
    ],
)
def test_the_schema_loads_and_takes_entries(schema: str, entry: str, tmp_path: Path) -> None:
    """The tool slapadd checks each entry against the schema: what lacks is an error."""
    for name in ("config", "data"):
        (tmp_path / name).mkdir()
    config = MINIMAL.format(schema=CONTRIB / schema, folder=tmp_path)
    (tmp_path / "config.ldif").write_text(config)
    done = run("slapadd", "-n0", "-F", tmp_path / "config", "-l", tmp_path / "config.ldif")
    assert done.returncode == 0, done.stderr
    (tmp_path / "x.ldif").write_text(
        f"dn: {BASE}\nobjectClass: domain\ndc: example\n\ndn: cn=x,{BASE}\n{entry}"
    )
    done = run("slapadd", "-n1", "-F", tmp_path / "config", "-l", tmp_path / "x.ldif")
    assert done.returncode == 0, done.stderr
    (tmp_path / "y.ldif").write_text(f"dn: cn=y,{BASE}\n{entry}mailLocalAdress: no\n")
    done = run("slapadd", "-n1", "-F", tmp_path / "config", "-l", tmp_path / "y.ldif")
    assert done.returncode != 0


@pytest.mark.parametrize("name", ["service-account.ldif"])
def test_the_account_is_ldif_without_a_fault(name: str) -> None:
    """Each record is one; its DN is what the other files name."""
    records = list(ldif.read((CONTRIB / name).read_text().splitlines(keepends=True)))
    named = [record.dn for record in records if isinstance(record, Record)]
    assert len(named) == len(records)
    account = f"cn=codomain,ou=services,{SHIPPED_BASE}"
    assert named[-1] == account
    assert (CONTRIB / "access.ldif").read_text().count(f'"{account}"') == 3
