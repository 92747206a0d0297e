"""``codomain contacts`` on a real Active Directory: Samba's domain controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.contactsite import BASE as SEED_BASE
from support.contactsite import SEED, Gateway
from support.samba import ADMIN, BASE, PASSWORD

if TYPE_CHECKING:
    from support.samba import Samba

ATTRIBUTES = ("objectClass", "cn", "name", "sn", "proxyAddresses", "targetAddress", "mailNickname")


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory, samba: Samba) -> Gateway:
    """Give a gateway over the controller, by ldaps."""
    return Gateway(
        tmp_path_factory.mktemp("g"),
        samba.ldaps,
        base=BASE,
        login=ADMIN,
        password=PASSWORD,
        keys=f"ca_file = {samba.authority}\ntimeout = 20s",
    )


def seed(unit: str) -> str:
    """Return the seed's file, for a unit of this domain."""
    text = SEED.read_text().replace("ou=internet users", f"ou={unit}").replace(SEED_BASE, BASE)
    return text.replace("internetuser@", f"{unit}@").replace("internetUser@", f"{unit}@")


def test_the_seeds_contact_is_made_once(gateway: Gateway, samba: Samba) -> None:
    """Active Directory derives name and the classes above contact; again nothing is to do."""
    path = gateway.file(seed("once"))
    assert gateway.contacts("import", path, "--apply").status == 1  # no such unit
    done = gateway.contacts("import", path, "--create-ou", "--apply")
    assert (done.status, done.errors) == (0, ""), done
    assert "done: 1 units and 1 contacts created, 0 changed, 0 failed" in done.lines
    (entry,) = samba.find(f"OU=once,{BASE}", "(objectClass=contact)", *ATTRIBUTES)
    assert {name: sorted(values) for name, values in entry.raw.items()} == {
        "objectClass": [b"contact", b"organizationalPerson", b"person", b"top"],
        "cn": [b"Internet User"],
        "name": [b"Internet User"],
        "sn": [b"User"],
        "proxyAddresses": [b"SMTP:once@remote.domain", b"smtp:once@xo.one"],
        "targetAddress": [b"SMTP:once@remote.domain"],
        "mailNickname": [b"internetuser"],
    }
    again = gateway.contacts("import", path, "--apply")
    assert again.lines == ["planned: 0 create, 0 change, 1 same, 0 conflict, 0 refused"]


def test_a_change_on_active_directory_is_made_once(gateway: Gateway, samba: Samba) -> None:
    """Another target and primary address, the old one kept; then it is as the file says."""
    gateway.contacts("import", gateway.file(seed("moved")), "--create-ou", "--apply")
    path = gateway.file(seed("moved").replace("moved@remote.domain", "Moved2@remote.domain"))
    done = gateway.contacts("import", path, "--apply")
    assert done.status == 0, done
    (entry,) = samba.find(f"OU=moved,{BASE}", "(objectClass=contact)", *ATTRIBUTES)
    assert sorted(entry.raw["proxyAddresses"]) == [
        b"SMTP:Moved2@remote.domain",
        b"smtp:moved@remote.domain",
        b"smtp:moved@xo.one",
    ]
    case = path.read_text().replace("Moved2@", "moved2@")  # in another case alone
    assert gateway.contacts("import", gateway.file(case), "--apply").status == 0
    (entry,) = samba.find(f"OU=moved,{BASE}", "(objectClass=contact)", *ATTRIBUTES)
    assert entry.raw["targetAddress"] == [b"SMTP:moved2@remote.domain"]
    again = gateway.contacts("import", gateway.file(case))
    assert again.lines == ["planned: 0 create, 0 change, 1 same, 0 conflict, 0 refused"]


def test_a_user_of_the_directory_is_never_touched(gateway: Gateway, samba: Samba) -> None:
    """Neither where the DN is a user's, nor where the address is."""
    dn = samba.account("annette", "S0me.Passw0rd")
    samba.modify(dn, {"proxyAddresses": [("MODIFY_ADD", ["SMTP:annette@xo.one"])]})
    before = samba.find(dn, "(objectClass=user)", "*")
    header, line = seed("annettes").splitlines()
    of_dn = line.replace("cn=Internet User,ou=annettes", "CN=annette,CN=Users").replace(
        "Internet User,Internet User", "annette,annette"
    )
    of_address = line.replace("annettes@xo.one", "Annette@xo.one").replace("Internet User", "Other")
    path = gateway.file(f"{header}\r\n{of_dn}\r\n{of_address}\r\n")
    done = gateway.contacts("import", path, "--create-ou", "--apply")
    assert done.status == 1
    found = [line.partition(f"{path}:")[2] for line in done.lines if line.startswith("conflict")]
    assert found == [
        f"2: CN=annette,CN=Users,{BASE}: the entry of this DN is no contact, and is not touched",
        f"3: cn=Other,ou=annettes,{BASE}: annette@xo.one is an address of {dn} too",
    ]
    assert samba.find(dn, "(objectClass=user)", "*") == before


def test_a_round_trip_on_active_directory(gateway: Gateway, samba: Samba) -> None:
    """Export, delete, import, export: the same file, byte for byte."""
    header, line = seed("trip").splitlines()
    many = [
        line.replace("trip@", f"trip{n}@").replace("Internet User", f"Zoë {n}") for n in range(150)
    ]
    gateway.file("\r\n".join([header, *many, ""]))
    done = gateway.contacts("import", gateway.folder / "contacts.csv", "--create-ou", "--apply")
    assert done.status == 0, done
    exported = gateway.export("first.csv")
    assert exported.count(b"\r\n") >= 151
    with samba.administrator() as connection:
        for entry in samba.find(BASE, "(&(objectClass=contact)(targetAddress=*))", "cn"):
            if entry.kind == "searchResEntry":
                connection.delete(entry.dn)
    assert gateway.contacts("import", gateway.folder / "first.csv", "--apply").status == 0
    assert gateway.export("second.csv") == exported
