"""``codomain contacts export``, and that what it writes comes back byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.directory import csvde
from codomain.directory.record import Record
from support.contactsite import BASE, ROOT, SEED, Gateway

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.contactsite import XoSlapd

UNIT = f"ou=internet users,{BASE}"
HEADER = (
    "objectClass,dn,name,cn,sn,givenName,displayName,proxyAddresses,targetAddress,mail,mailnickname"
)
HARD = f"""\
{ROOT}
dn: {UNIT}
objectClass: organizationalUnit
ou: internet users

dn: cn=Müller\\, Zoë,{UNIT}
objectClass: contact
cn: Müller, Zoë
sn: Müller
displayName: Zoë; "Müller"
mailNickname: zoe
proxyAddresses: smtp:zoe@xo.one
proxyAddresses: SMTP:zoe@remote.domain
proxyAddresses: X400:c=us;a= ;p=xo;s=Mueller;
proxyAddresses: x500:/o=xo/cn=zoe
targetAddress: SMTP:zoe@remote.domain
mail: zoe@remote.domain

dn: cn=X'41',{UNIT}
objectClass: contact
objectClass: mailRecipient
cn: X'41'
cn: another, with a comma
sn: x
mailNickname: x41
mailAlternateAddress: nobody@xo.one
proxyAddresses: SMTP:x41@remote.domain
targetAddress: SMTP:x41@remote.domain

dn: cn=plain address book,{UNIT}
objectClass: contact
cn: plain address book
sn: p
"""


def test_the_seeds_contact_is_exported_with_the_seeds_header(gateway: Gateway) -> None:
    """Every value of KB 321721's line; values of one cell are joined by ; as csvde writes them."""
    gateway.contacts("import", SEED, "--create-ou", "--apply")
    seed = SEED.read_bytes().replace(b"; smtp:", b";smtp:").replace(b"\r\n", b"\n")
    assert gateway.export() == seed.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("name", "options"),
    [("out.csv", ()), ("out.csv", ("--unicode",)), ("out.ldif", ())],
    ids=["csv", "unicode", "ldif"],
)
def test_a_round_trip_gives_the_same_file(
    new_xo: Callable[..., XoSlapd],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    options: tuple[str, ...],
) -> None:
    """Exported, imported into an empty directory, exported: letters, commas, ; and X'…' too."""
    first = Gateway(tmp_path_factory.mktemp("g"), new_xo(HARD).ldapi)
    exported = first.export(name, *options)
    second = Gateway(tmp_path_factory.mktemp("h"), new_xo().ldapi)
    path = second.file(exported, name)
    done = second.contacts("import", path, "--create-ou", "--apply")
    assert (done.status, done.errors) == (0, ""), done
    assert "done: 1 units and 2 contacts created, 0 changed, 0 failed" in done.lines
    assert second.export(f"again-{name}", *options) == exported
    again = first.contacts("import", path)
    assert again.lines == ["planned: 0 create, 0 change, 2 same, 0 conflict, 0 refused"]


def test_an_export_is_ascii_and_loses_nothing(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What csvde without -u would not read as text stands as X'hex', which it writes itself."""
    gateway = Gateway(tmp_path_factory.mktemp("g"), new_xo(HARD).ldapi)
    text = gateway.export().decode("ascii")
    assert text.startswith(f"{HEADER}\r\n")
    records = list(csvde.read(text.splitlines(keepends=True)))
    found = {record.dn: record.attributes for record in records if isinstance(record, Record)}
    zoe = found[f"cn=Müller\\2C Zoë,{UNIT}"]  # as slapd writes a DN (RFC 4514)
    assert zoe["displayname"] == ['Zoë; "Müller"']
    assert zoe["name"] == zoe["cn"] == ["Müller, Zoë"]
    assert zoe["proxyaddresses"] == [
        "SMTP:zoe@remote.domain",
        "X400:c=us;a= ;p=xo;s=Mueller;",
        "smtp:zoe@xo.one",
        "x500:/o=xo/cn=zoe",
    ]
    other = found[f"cn=X'41',{UNIT}"]
    assert other["objectclass"] == ["contact", "mailRecipient"]
    assert other["cn"] == ["X'41'", "another, with a comma"]
    assert len(found) == 2


def test_what_is_left_out_is_said(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A contact of an address book without a target is no contact for mail."""
    gateway = Gateway(tmp_path_factory.mktemp("g"), new_xo(HARD).ldapi)
    done = gateway.contacts("export", gateway.folder / "out.csv")
    assert done.lines == ["2 contacts"]
    assert done.errors == "1 left out: no targetAddress\n"
    assert gateway.contacts("export", gateway.folder / "out.txt").status == 64


def test_a_place_that_cannot_be_written_is_said(gateway: Gateway) -> None:
    """One line and 78, and nothing is left behind."""
    for path in (gateway.folder / "nowhere" / "out.csv", gateway.folder / "folder.csv"):
        (gateway.folder / "folder.csv").mkdir(exist_ok=True)
        done = gateway.contacts("export", path)
        assert (done.status, done.errors.count("\n")) == (78, 1), done
        assert done.errors.startswith(f"{path}: ")
    assert not list(gateway.folder.glob(".*out.csv*")) + list(gateway.folder.glob(".folder*"))


def test_a_file_is_replaced_whole_or_not_at_all(gateway: Gateway, xo: XoSlapd) -> None:
    """While the directory is down the file of yesterday stays, and no half one beside it."""
    path = gateway.folder / "out.csv"
    path.write_text("yesterday")
    xo.stop()
    assert gateway.contacts("export", path).status == 75
    assert path.read_text() == "yesterday"
    assert [path.name for path in gateway.folder.glob("*out.csv*")] == ["out.csv"]
