"""``codomain contacts import`` and ``check`` on a real slapd with Active Directory's attributes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from codomain_cli.bulk.importing import Import, Terms
from codomain_cli.loading import load
from support.contactsite import BASE, ROOT, SEED, Gateway
from support.doors import policy_request

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from support.contactsite import XoSlapd

HEADER = "objectClass,dn,cn,sn,displayName,proxyAddresses,targetAddress,mail,mailnickname"
TERMS = Terms("utf-8", frozenset(), remove=False, create_units=False)
USER = f"cn=Internet User,ou=internet users,{BASE}"
PEOPLE = f"""\
{ROOT}
dn: ou=people,{BASE}
objectClass: organizationalUnit
ou: people

dn: cn=Ann,ou=people,{BASE}
objectClass: user
cn: Ann
sn: Ann
proxyAddresses: SMTP:ann@xo.one
mail: ann@xo.one

dn: cn=Printer,ou=people,{BASE}
objectClass: device
cn: Printer

dn: cn=Bob,ou=people,{BASE}
objectClass: contact
cn: Bob
sn: Bob
displayName: Bob
mailNickname: bob
proxyAddresses: SMTP:bob@remote.domain
proxyAddresses: smtp:bob@xo.one
proxyAddresses: smtp:robert@xo.one
proxyAddresses: X400:c=us;a= ;p=xo;s=Bob;
targetAddress: SMTP:bob@remote.domain
mail: bob@remote.domain
"""


def row(
    name: str, proxies: str, target: str = "", nickname: str = "x", unit: str = "people"
) -> str:
    """Write one contact's line."""
    target = target or proxies.partition(";")[0]
    return (
        f'contact,"cn={name},ou={unit},{BASE}",{name},{name},{name},{proxies},{target},,{nickname}'
    )


def rows(*lines: str) -> str:
    """Write a file."""
    return "".join(f"{line}\r\n" for line in (HEADER, *lines))


def ask(gateway: Gateway, recipient: str) -> str:
    """Ask the daemon's policy server as a stranger."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(os.fspath(gateway.folder / "policy"))
        client.sendall(policy_request(recipient=recipient, client_address="198.51.100.7"))
        return client.recv(4096).decode().strip()


def test_the_seeds_file_is_imported_as_it_stands(gateway: Gateway, xo: XoSlapd) -> None:
    """KB 321721: the plan first, which changes nothing; --apply; and again nothing is to do."""
    before = xo.export()
    shown = gateway.contacts("import", SEED, "--create-ou")
    assert (shown.status, shown.errors) == (0, "")
    assert f"create unit  ou=internet users,{BASE}" in shown.lines
    assert f"create       {USER}" in shown.lines
    assert "planned: 1 create, 0 change, 0 same, 0 conflict, 0 refused" in shown.lines
    assert shown.lines[-1] == "nothing was changed; --apply does it"
    assert xo.export() == before
    done = gateway.contacts("import", SEED, "--create-ou", "--apply")
    assert (done.status, done.errors) == (0, "")
    assert "done: 1 units and 1 contacts created, 0 changed, 0 failed" in done.lines
    entry = xo.export().partition(f"dn: cn=Internet User,ou=internet users,{BASE}\n")[2]
    for line in (
        "objectClass: contact",
        "cn: Internet User",
        "sn: User",
        "givenName: Internet",
        "displayName: Internet User",
        "proxyAddresses: SMTP:internetUser@remote.domain",
        "proxyAddresses: smtp:internetuser@xo.one",
        "targetAddress: SMTP:internetUser@remote.domain",
        "mail: internetUser@remote.domain",
        "mailNickname: internetuser",
    ):
        assert f"{line}\n" in entry
    after = xo.export()
    again = gateway.contacts("import", SEED, "--apply")
    assert again.status == 0
    assert again.lines[-1] == "planned: 0 create, 0 change, 1 same, 0 conflict, 0 refused"
    assert xo.export() == after


def test_without_being_asked_no_unit_is_created(gateway: Gateway, xo: XoSlapd) -> None:
    """The DN decides the organisational unit; one that is not there is said with its line."""
    before = xo.export()
    done = gateway.contacts("import", SEED, "--apply")
    assert done.status == 1
    why = f"ou=internet users,{BASE} is not there: --create-ou makes it"
    assert f"refused      {SEED}:2: {USER}: {why}" in done.lines
    assert xo.export() == before


def test_check_writes_nothing_and_says_all(gateway: Gateway, xo: XoSlapd) -> None:
    """``check`` does all but write; it has no --apply."""
    before = xo.export()
    assert gateway.contacts("check", SEED, "--create-ou").status == 0
    assert gateway.contacts("check", SEED).status == 1
    assert gateway.contacts("check", SEED, "--apply").status == 64
    assert xo.export() == before


def test_a_contact_that_was_just_made_gets_mail_at_once(gateway: Gateway) -> None:
    """The daemon forgets that there was none, and where a changed one led to."""
    with gateway.serve():
        assert ask(gateway, "internetuser@xo.one").startswith("action=550 5.1.1 ")
        done = gateway.contacts("import", SEED, "--create-ou", "--apply")
        assert done.lines[-1] == "the daemon asks for 2 addresses anew"
        assert ask(gateway, "internetuser@xo.one") == "action=DUNNO"


def test_a_daemon_that_does_not_run_is_no_fault(gateway: Gateway) -> None:
    """The contacts are there, and what it does not know it will ask."""
    done = gateway.contacts("import", SEED, "--create-ou", "--apply")
    assert done.status == 0
    assert done.lines[-1].startswith("the daemon was not told: nobody listens on ")


def test_only_contacts_are_ever_touched(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A mailbox or a printer of that DN is a conflict; nothing else of the file is kept back."""
    slapd = new_xo(PEOPLE)
    gateway = Gateway(tmp_path_factory.mktemp("g"), slapd.ldapi)
    path = gateway.file(
        rows(
            row("Ann", "SMTP:new1@remote.domain"),
            row("Printer", "SMTP:new2@remote.domain"),
            row("New", "SMTP:new3@remote.domain"),
        )
    )
    mailbox = slapd.export().partition("dn: cn=Ann")[2].partition("\n\n")[0]
    done = gateway.contacts("import", path, "--apply")
    assert done.status == 1
    why = "the entry of this DN is no contact, and is not touched"
    for line, name in ((2, "Ann"), (3, "Printer")):
        assert f"conflict     {path}:{line}: cn={name},ou=people,{BASE}: {why}" in done.lines
    assert slapd.export().partition("dn: cn=Ann")[2].partition("\n\n")[0] == mailbox
    assert f"dn: cn=New,ou=people,{BASE}\n" in slapd.export()


def test_an_address_of_another_entry_is_a_conflict(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two entries with one address: mail to both would be deferred."""
    slapd = new_xo(PEOPLE)
    gateway = Gateway(tmp_path_factory.mktemp("g"), slapd.ldapi)
    path = gateway.file(
        rows(
            row("One", "SMTP:one@remote.domain; smtp:ANN@xo.one"),
            row("Two", "SMTP:two@remote.domain; smtp:robert@xo.one"),
            row("Three", "SMTP:three@remote.domain; smtp:third@xo.one"),
            row("Four", "SMTP:four@remote.domain; smtp:Third@xo.one"),
        )
    )
    done = gateway.contacts("import", path, "--apply")
    assert done.status == 1
    found = [line.partition(f"{path}:")[2] for line in done.lines if line.startswith("conflict")]
    unit = f"ou=people,{BASE}"
    assert found == [
        f"2: cn=One,{unit}: ann@xo.one is an address of cn=Ann,{unit} too",
        f"3: cn=Two,{unit}: robert@xo.one is an address of cn=Bob,{unit} too",
        f"5: cn=Four,{unit}: third@xo.one is an address of cn=Three,{unit} too",
    ]
    assert "done: 1 contacts created, 0 changed, 0 failed" in done.lines


def test_a_change_keeps_what_the_record_does_not_name(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A former primary address becomes a secondary one, others stay, X400 too."""
    slapd = new_xo(PEOPLE)
    gateway = Gateway(tmp_path_factory.mktemp("g"), slapd.ldapi)
    path = gateway.file(
        rows(row("Bob", "SMTP:bob2@remote.domain; smtp:bob@xo.one", nickname="bob"))
    )
    done = gateway.contacts("import", path, "--apply")
    assert done.status == 0
    assert f"change       cn=Bob,ou=people,{BASE}" in done.lines
    assert (
        f"{'':<15}proxyAddresses: -SMTP:bob@remote.domain,"
        " +SMTP:bob2@remote.domain, +smtp:bob@remote.domain"
    ) in done.lines
    entry = slapd.export().partition("dn: cn=Bob")[2].partition("\n\n")[0]
    proxies = {line for line in entry.splitlines() if line.startswith("proxyAddresses")}
    assert proxies == {
        "proxyAddresses: SMTP:bob2@remote.domain",
        "proxyAddresses: smtp:bob@remote.domain",
        "proxyAddresses: smtp:bob@xo.one",
        "proxyAddresses: smtp:robert@xo.one",
        "proxyAddresses: X400:c=us;a= ;p=xo;s=Bob;",
    }
    assert "mail: bob@remote.domain\n" in entry  # its cell is empty: it says nothing
    again = gateway.contacts("import", path)
    assert again.lines == ["planned: 0 create, 0 change, 1 same, 0 conflict, 0 refused"]


def test_what_is_added_between_the_plan_and_the_deed_stays(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of an address that went meanwhile the change is not made, and a new run makes it."""
    slapd = new_xo(PEOPLE)
    gateway = Gateway(tmp_path_factory.mktemp("g"), slapd.ldapi)
    dn = f"cn=Bob,ou=people,{BASE}"
    config = load([gateway.ini])
    added, gone = (
        Import(config, config.directories[0], str(gateway.file(text, name)), TERMS)
        for name, text in (
            ("1.csv", rows(row("Bob", "SMTP:bob2@remote.domain", nickname="bob"))),
            ("2.csv", rows(row("Bob", "SMTP:bob3@remote.domain", nickname="bob"))),
        )
    )
    lines: list[str] = []
    added.prepare(lines.append)
    gone.prepare(lines.append)
    slapd_modify(slapd, dn, "MODIFY_ADD", "smtp:bobby@xo.one")
    added.apply(lines.append)
    assert "done: 0 contacts created, 1 changed, 0 failed" in lines
    slapd_modify(slapd, dn, "MODIFY_DELETE", "smtp:bob@remote.domain")
    gone.apply(lines.append)
    assert any("it was changed meanwhile, run it again: the directory says" in x for x in lines)
    entry = slapd.export().partition("dn: cn=Bob")[2].partition("\n\n")[0]
    assert "proxyAddresses: smtp:bobby@xo.one\n" in entry
    assert "bob3@" not in entry
    again = gateway.contacts("import", gateway.folder / "2.csv", "--apply")
    assert again.status == 0
    assert "SMTP:bob3@remote.domain" in slapd.export()


def test_an_address_moves_from_one_contact_to_another_where_that_is_told(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With --remove-addresses the one gives it up first; else it is a conflict."""
    slapd = new_xo(PEOPLE)
    gateway = Gateway(tmp_path_factory.mktemp("g"), slapd.ldapi)
    path = gateway.file(
        rows(
            row("New", "SMTP:new@remote.domain; smtp:robert@xo.one"),
            row("Bob", "SMTP:bob@remote.domain; smtp:bob@xo.one", nickname="bob"),
        )
    )
    assert gateway.contacts("import", path).status == 1
    done = gateway.contacts("import", path, "--apply", "--remove-addresses")
    assert done.status == 0, done
    assert "done: 1 contacts created, 1 changed, 0 failed" in done.lines
    bob = slapd.export().partition("dn: cn=Bob")[2].partition("\n\n")[0]
    assert "robert@xo.one" not in bob
    assert "X400:" in bob  # of that kind the record names none


def test_every_refused_record_is_named_with_its_line_and_its_reason(gateway: Gateway) -> None:
    """One of each kind; the good one between them is imported."""
    path = gateway.file(
        rows(
            row("A", "SMTP:a@remote.domain", nickname=""),
            f'contact,"cn=B,ou=people,{BASE}",B,B,B,SMTP:b@remote.domain,,,b',
            row("C", "smtp:c@remote.domain"),
            row("D", "SMTP:d@remote.domain;SMTP:e@remote.domain"),
            'contact,"cn=E,ou=people,dc=elsewhere,dc=test",E,E,E,SMTP:e@remote.domain,'
            "SMTP:e@remote.domain,,e",
            row("Good", "SMTP:good@remote.domain;smtp:good@xo.one"),
            row("F", "SMTP:f@other.domain;smtp:f@xo.one"),
            row("G", "SMTP:g@xo.one"),
            'user,"cn=H,ou=people,dc=xo,dc=one",H,H,H,SMTP:h@remote.domain,SMTP:h@remote.domain,,h',
            "contact,one cell too few",
            row("Good", "SMTP:good2@remote.domain"),
            row("I", "SMTP:i@remote.domain", target="i@remote.domain"),
        )
    )
    gateway.write("[domain other.domain]\ntype = shared\n")
    done = gateway.contacts("import", path, "--create-ou", "--apply")
    assert done.status == 1
    found = [line.partition(f"{path}:")[2] for line in done.lines if line.startswith("refused")]
    unit = f"ou=people,{BASE}"
    no, lost = "mail to", "no connector covers its target"
    primary = "proxyAddresses has one primary address, with SMTP: in capitals; here: "
    assert found == [
        f"2: cn=A,{unit}: no mailNickname: Exchange does not take it for a contact",
        f"3: cn=B,{unit}: no targetAddress: its mail would lead nowhere",
        f"4: cn=C,{unit}: {primary}none",
        f"5: cn=D,{unit}: {primary}'SMTP:d@remote.domain', 'SMTP:e@remote.domain'",
        f"6: cn=E,ou=people,dc=elsewhere,dc=test: its DN is not below the base {BASE}",
        f"8: cn=F,{unit}: {no} f@xo.one would be refused: {lost} f@other.domain",
        f"9: cn=G,{unit}: {no} g@xo.one would be refused: its target g@xo.one is its own address",
        f"10: cn=H,ou=people,{BASE}: its objectClass is user: only contacts are written",
        "11: 2 values for the 9 names of the first line",
        f"12: cn=Good,{unit}: its DN stands at line 7 too",
        f"13: cn=I,{unit}: targetAddress 'i@remote.domain' has no prefix, such as SMTP:",
    ]
    assert "done: 1 units and 1 contacts created, 0 changed, 0 failed" in done.lines


def test_a_way_that_is_closed_to_strangers_serves_contacts(gateway: Gateway) -> None:
    """Who may write to xo.one reaches the contact, whether or not the connector relays."""
    gateway.ini.write_text(gateway.ini.read_text().replace("allow_relay = yes", "allow_relay = no"))
    assert gateway.contacts("check", SEED, "--create-ou").status == 0
    gateway.contacts("import", SEED, "--create-ou", "--apply")
    explained = gateway.run("explain", "internetuser@xo.one", "--client", "198.51.100.7")
    assert explained.returncode == 0


def test_a_target_that_no_configuration_allows_is_refused(gateway: Gateway) -> None:
    """[redirect] allowed_targets: a contact in a foreign domain would be an open relay."""
    path = gateway.file(rows(row("A", "SMTP:a@elsewhere.test;smtp:a@xo.one")))
    done = gateway.contacts("check", path, "--create-ou")
    assert done.status == 1
    why = "mail to a@xo.one would be refused: the target a@elsewhere.test is not allowed"
    assert f"refused      {path}:2: cn=A,ou=people,{BASE}: {why}" in done.lines
    gateway.write("[redirect]\nallowed_targets = elsewhere.test\n")
    assert gateway.contacts("check", path, "--create-ou").status == 0


def test_ldif_is_the_other_way_in(gateway: Gateway, xo: XoSlapd) -> None:
    """The form of ldifde; units in it are no fault, and what servers set themselves is left out."""
    path = gateway.file(
        f"dn: ou=internet users,{BASE}\nobjectClass: organizationalUnit\nou: internet users\n\n"
        f"dn: {USER}\nobjectClass: top\nobjectClass: contact\nsn:: w4Zy\nwhenCreated: 20200101\n"
        "uSNChanged: 5\ntargetAddress: SMTP:iu@remote.domain\nmailNickname: iu\n"
        "proxyAddresses: SMTP:iu@remote.domain\nproxyAddresses: smtp:iu@xo.one\n",
        "contacts.ldif",
    )
    done = gateway.contacts("import", path, "--create-ou", "--apply")
    assert (done.status, done.errors) == (0, "")
    entry = xo.export().partition("dn: cn=Internet User")[2]
    assert "sn:: w4Zy\n" in entry
    assert "cn: Internet User\n" in entry


def test_several_values_where_the_schema_has_one_are_said_in_the_plan(gateway: Gateway) -> None:
    """A ; in a cell makes two values: the server would refuse them when all else is done."""
    path = gateway.file(
        f"{HEADER}\r\n"
        f'contact,"cn=A,ou=people,{BASE}",A,A,Smith; Ann,SMTP:a@remote.domain,'
        "SMTP:a@remote.domain,,a\r\n"
    )
    done = gateway.contacts("check", path, "--create-ou")
    assert done.status == 1
    why = "2 values of displayname, which has a single one: a ; within a value is written as X'hex'"
    assert f"refused      {path}:2: cn=A,ou=people,{BASE}: {why}" in done.lines


def test_a_manager_is_the_same_in_any_spelling(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The server writes names of entries in its own way; a second run finds nothing to do."""

    def managed(text: str) -> str:
        return text.replace("mailNickname $ ", "mailNickname $ manager $ ")

    gateway = Gateway(tmp_path_factory.mktemp("g"), new_xo(ROOT, managed).ldapi)
    line = row("A", "SMTP:a@remote.domain;smtp:a@xo.one")
    path = gateway.file(f'{HEADER},manager\r\n{line},"CN=Boss , ou=people,{BASE}"\r\n')
    done = gateway.contacts("import", path, "--create-ou", "--apply")
    assert (done.status, done.errors) == (0, ""), done
    again = gateway.contacts("import", path)
    assert again.lines == ["planned: 0 create, 0 change, 1 same, 0 conflict, 0 refused"]


def test_a_directory_whose_schema_lacks_an_attribute_is_said_once(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A plain server knows no mailNickname; the import goes on without it where that is told."""

    def without(text: str) -> str:
        at = text.index("olcAttributeTypes: ( 1.2.840.113556.1.2.447")
        end = text.index("olcAttributeTypes: ", at + 1)
        return (text[:at] + text[end:]).replace("mailNickname $ ", "")

    slapd = new_xo(ROOT, without)
    gateway = Gateway(tmp_path_factory.mktemp("g"), slapd.ldapi)
    done = gateway.contacts("import", SEED, "--create-ou", "--apply")
    assert done.status == 78
    assert done.errors == (
        "[directory people]: its schema has no mailNickname:"
        " extend it, or write --leave-out mailNickname\n"
    )
    done = gateway.contacts("import", SEED, "--create-ou", "--apply", "--leave-out", "mailNickname")
    assert done.status == 0
    assert f"dn: {USER}\n" in slapd.export()


def test_a_directory_without_contacts_is_said(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """OpenLDAP as it comes has no class contact at all."""
    ignore = "EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26"
    bare = (
        "dn: cn=bare,cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: bare\n"
        f"olcAttributeTypes: ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' {ignore} )\n"
        f"olcAttributeTypes: ( 1.3.6.1.4.1.4203.666.1 NAME 'mailAlternateAddress' {ignore} )\n"
    )  # what the server's indexes name, and no class

    def plain(_text: str) -> str:
        return bare

    gateway = Gateway(tmp_path_factory.mktemp("g"), new_xo(ROOT, plain).ldapi)
    done = gateway.contacts("import", SEED, "--create-ou", "--apply")
    assert done.status == 78
    assert done.errors == (
        "[directory people]: its schema has no class contact, so it can hold none\n"
    )


def test_another_writer_may_be_given(gateway: Gateway, xo: XoSlapd) -> None:
    """The INI's own login may read only; the command's may write, or is told that it may not."""
    reader = {
        "objectClass": ["organizationalRole", "simpleSecurityObject"],
        "cn": ["reader"],
        "userPassword": ["read0nly"],
    }
    gateway.contacts("import", SEED, "--create-ou", "--apply")  # the administrator
    from_admin = xo.export()
    secret = gateway.file("s3cret", "admin.password")
    secret.chmod(0o600)
    slapd_add(xo, f"cn=reader,{BASE}", reader)
    (gateway.folder / "password").write_text("read0nly")
    gateway.write(login=f"cn=reader,{BASE}")
    more = gateway.file(rows(row("New", "SMTP:new@remote.domain", unit="internet users")))
    done = gateway.contacts("import", more, "--apply")
    assert done.status == 1
    assert (
        f"failed       {more}:2: cn=New,ou=internet users,{BASE}: the directory says"
        in "\n".join(done.lines)
    )
    assert "insufficientAccessRights (50)" in "\n".join(done.lines)
    options = ["--bind-dn", f"cn=admin,{BASE}", "--password-file", str(secret)]
    done = gateway.contacts("import", more, "--apply", *options)
    assert done.status == 0
    assert from_admin in xo.export() or f"dn: cn=New,ou=internet users,{BASE}\n" in xo.export()
    assert gateway.contacts("import", more, "--bind-dn", f"cn=admin,{BASE}").status == 64
    secret.chmod(0o644)
    assert gateway.contacts("import", more, *options).status == 64


def test_a_directory_that_is_down_ends_with_75(gateway: Gateway, xo: XoSlapd) -> None:
    """Temporary: run it again."""
    xo.stop()
    done = gateway.contacts("import", SEED, "--create-ou", "--apply")
    assert done.status == 75
    assert done.lines == []


def test_json_has_all_of_it(gateway: Gateway) -> None:
    """For a program: counts, records, what was refused and what was done."""
    path = gateway.file(SEED.read_text() + "contact,x\r\n")
    found = json.loads(gateway.run("contacts", "import", path, "--create-ou", "--json").stdout)
    assert found["counts"] == {"create": 1, "change": 0, "same": 0, "conflict": 0, "refused": 1}
    assert found["units"] == [f"ou=internet users,{BASE}"]
    assert found["records"] == [{"what": "create", "line": 2, "dn": USER, "changes": []}]
    assert [fault["line"] for fault in found["refused"]] == [3]
    assert found["applied"] is None
    done = gateway.run("contacts", "import", path, "--create-ou", "--json", "--apply")
    applied = json.loads(done.stdout)["applied"]
    assert (applied["units"], applied["created"], applied["failed"]) == (1, 1, [])


def test_json_is_ascii_and_tells_what_was_done_before_a_failure(
    gateway: Gateway, xo: XoSlapd
) -> None:
    """Any locale takes it; where the directory goes away midway it is not left out."""
    path = gateway.file(rows(row("Zoë", "SMTP:zoe@remote.domain")))
    done = gateway.run("contacts", "check", path, "--create-ou", "--json")
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["records"][0]["dn"] == f"cn=Zoë,ou=people,{BASE}"
    many = [row(f"P{n}", f"SMTP:p{n}@remote.domain") for n in range(1200)]
    path = gateway.file(rows(*many))
    process = gateway.start(
        "contacts", "import", path, "--create-ou", "--apply", "--json", stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while xo.export().count("objectClass: contact\n") < 10:
        assert time.monotonic() < end
    xo.kill()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 75
    assert 10 <= json.loads(out)["applied"]["created"] < 1200


def test_what_a_file_or_a_directory_says_is_no_command_to_a_terminal(gateway: Gateway) -> None:
    """ESC in a DN or a value, a line end that would forge a line, marks that turn the text."""
    path = gateway.file(
        rows(
            f'contact,"cn=\x1b[2J,ou=people,{BASE}",a,a,a,SMTP:a@remote.domain,,,a',
            f'contact,"cn=b\nplanned: 1 create,ou=people,{BASE}",b,b,b,SMTP:b@remote.domain,,,b',
            row("c\u202ed", "SMTP:c@remote.domain"),
        )
    )
    said = gateway.contacts("check", path, "--create-ou")
    assert not {"\x1b", "\u202e"} & set("".join(said.lines))
    assert any("cn=\\x1b[2J," in line for line in said.lines)
    assert not any(line.startswith("planned: 1 create,ou") for line in said.lines)


def test_a_name_that_the_locale_lacks_is_shown_escaped(gateway: Gateway) -> None:
    """A terminal in ISO 8859-1 shows no Japanese: that is no reason to end in the middle."""
    path = gateway.file(rows(row("山田", "SMTP:yamada@remote.domain")))
    code = "from codomain_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "contacts", "check", path, "--config", gateway.ini],
        env={**os.environ, "PYTHONIOENCODING": "iso8859-1"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"cn=\\u5c71\\u7530," in done.stdout


def slapd_modify(slapd: XoSlapd, dn: str, how: str, proxy: str) -> None:
    """Change proxyAddresses as the administrator of this tree."""
    import ldap3  # noqa: PLC0415

    server = ldap3.Server(slapd.ldap, get_info=ldap3.NONE)
    with ldap3.Connection(server, f"cn=admin,{BASE}", "s3cret", check_names=False) as connection:
        assert connection.modify(dn, {"proxyAddresses": [(how, [proxy])]}), connection.result


def slapd_add(slapd: XoSlapd, dn: str, attributes: dict[str, list[str]]) -> None:
    """Add an entry as the administrator of this tree."""
    import ldap3  # noqa: PLC0415

    server = ldap3.Server(slapd.ldap, get_info=ldap3.NONE)
    with ldap3.Connection(server, f"cn=admin,{BASE}", "s3cret", check_names=False) as connection:
        assert connection.add(dn, attributes=attributes), connection.result


def test_nothing_is_printed_while_a_bar_is_shown(gateway: Gateway) -> None:
    """It would stand in the bar's line, and go when the bar is taken away."""
    terminal, theirs = pty.openpty()
    try:
        process = gateway.start(
            "contacts", "import", SEED, "--create-ou", "--apply", stdout=theirs, stderr=theirs
        )
    finally:
        os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal that nobody holds any more
        while data := os.read(terminal, 65536):
            shown += data
    os.close(terminal)
    assert process.wait(30) == 0
    hidden, back = b"\x1b[?25l", b"\x1b[?25h"  # the cursor, while a bar is shown
    bars = [part.partition(back)[0] for part in shown.split(hidden)[1:]]
    assert len(bars) == 2  # reading and writing
    assert not any(b"create" in bar or b"done:" in bar or b"daemon" in bar for bar in bars)
    assert b"done: 1 units and 1 contacts created" in shown


def test_on_a_terminal_a_bar_shows_how_far_it_is(gateway: Gateway) -> None:
    """On standard error alone: what is printed stays fit for a file."""
    ours, theirs = pty.openpty()
    try:
        process = gateway.start("contacts", "import", SEED, "--create-ou", "--apply", stderr=theirs)
    finally:
        os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal that nobody holds any more
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"writing" in shown
    assert "━".encode() in shown
    assert b"done: 1 units and 1 contacts created" in out
