"""The how-tos about sharing a domain, read and carried out.

Method 1, method 2, a migration, and a gateway that is taken over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.postfixhost import EXCHANGE, STRANGER, UNIX
from support.walk import walking

if TYPE_CHECKING:
    from support.readerhost import ReaderHost

ACCOUNT = "cn=codomain,cn=users,dc=corp,dc=example"
INI = "/etc/codomain/codomain.ini"
PEOPLE = "/etc/codomain/recipients.d/people.ldif"
MAIN_CF = "/etc/postfix/main.cf"


def set_to(host: ReaderHost, lines: str) -> None:
    """Set parameters of main.cf as a page shows them."""
    for line in lines.strip().splitlines():
        host.must(f"postconf -e '{line}'")


def test_method_1(host: ReaderHost) -> None:
    """Exchange and a Unix host, with a directory that asks for the account's password."""
    with walking(host, "docs/howto/active-directory.md", "docs/howto/method-1.md") as walks:
        account, page = walks
        account.paste()
        assert host.must("stat -c '%a %U' /etc/codomain/ldap.password") == "600 codomain\n"
        password = host.read("/etc/codomain/ldap.password")
        host.directory("dc=corp,dc=example", page.texts("ldif")[0], {ACCOUNT: password})
        page.install()
        host.must("postconf -e 'mydestination = localhost, example.com'")
        status, said = host.run("codomain check")
        assert (status, "mydestination" in said) == (78, True)
        set_to(host, page.texts("main.cf")[0])
        page.paste()
        assert "codomain" in host.must("postconf -h smtpd_relay_restrictions transport_maps")
        page.promises()
        page.install(extra=page.texts("ini")[1])
        host.must("systemctl reload codomain")
        host.must("postfix reload")
        page.promises(1, ini=(0, 1))


def test_method_2(host: ReaderHost) -> None:
    """Contacts lead to two other systems; check names Eve's, which leads to a foreign domain."""
    with walking(host, "docs/howto/method-2.md") as (page,):
        page.install()
        checked, *_ = page.paste(78, 0, 0, 0)
        assert "eve@example.com" in checked
        page.promises()


def test_migration(host: ReaderHost) -> None:
    """Ann's mail goes to the old system, after two commands to the new one, and back again."""
    with walking(host, "docs/howto/migration.md") as (page,):
        hostmaster, ann, both = page.texts("ldif")
        host.write(INI, page.texts("ini")[0])
        host.write(PEOPLE, hostmaster)
        host.must("postconf -e 'myorigin = corp.example'")
        host.put_in_force()
        host.ask(STRANGER, "ann@example.com", send=True)
        assert host.arrivals(1) == [(UNIX, "ann@example.com")]

        host.write(PEOPLE, f"{hostmaster}\n{ann}")
        page.paste(0, 1, 0)  # the reload has forgotten what the file said before
        page.promises()

        host.write(PEOPLE, hostmaster)
        host.must("systemctl reload codomain")
        host.must("postfix reload")
        host.ask(STRANGER, "ann@example.com", send=True)
        assert host.arrivals(1) == [(UNIX, "ann@example.com")]

        host.directory("dc=example,dc=com", both)
        host.write(INI, page.texts("ini")[1])
        host.must("systemctl reload codomain")
        host.must("postfix reload")
        page.promises(1, ini=(1,))

        last = page.texts("ini")[0].replace("type = shared", "type = authoritative")
        host.write(INI, re.sub(r"(?ms)^\[connector old\].*?(?=^\[)", "", last))
        page.paste()
        assert host.ask(STRANGER, "nora@example.com").startswith("550 5.1.1")


BEFORE = """\
relay_domains = example.com, corp.example
transport_maps = inline:{ example.com=smtp:[192.0.2.20], corp.example=smtp:[192.0.2.20] }
"""
"""The gateway's own routing, before codomain comes."""


def test_taking_over(host: ReaderHost) -> None:
    """In the shadow nothing changes, and the report says what would; then everything does."""
    with walking(host, "docs/howto/take-over.md", "docs/howto/shadow-mode.md") as (page, shadow):
        set_to(host, BEFORE)
        page.install()
        _, lines = page.paste()
        (shown,) = page.texts("main.cf")
        printed = re.sub(r"default_action=[^}]* \}", "default_action=DUNNO }", lines)
        assert set(shown.splitlines()) <= set(printed.splitlines()), lines
        set_to(host, shown)
        host.must("systemctl restart codomain")
        host.must("postfix reload")

        # Its recipient is taken as before, and so is one that the old routing knew no better.
        for recipient in ("nobody@corp.example", "nora@example.com"):
            assert host.ask(STRANGER, recipient, send=True).startswith("250 2.1.5")
        assert host.arrivals(2) == [
            (EXCHANGE, "nobody@corp.example"),
            (EXCHANGE, "nora@example.com"),
        ]
        told, _ = shadow.paste()
        (sample,) = shadow.texts("text")
        labels, wanted = (
            {line[:26].rstrip() for line in text.splitlines()} for text in (told, sample)
        )
        assert labels & wanted >= {
            *("since", "would-be refusals and redi", "reason unknown", "domain corp.example"),
        }
        assert re.search(r"(?m)^nobody@corp\.example +1 times, unknown, last ", told)
        assert '"nobody@corp.example"' in host.read("/srv/reader/shadow.csv")
        (logged,) = shadow.paste()
        assert re.search(r"(?m)^nobody@corp\.example +1 times, unknown, last ", logged)

        text = page.texts("ini")[0].replace("mode = shadow\n", "")
        host.write(INI, text.replace("[policyd]\nsocketmap_listen =\n", ""))
        page.paste()
        page.promises()
