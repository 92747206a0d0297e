"""The how-tos about a gateway in service, read and carried out.

Check, explain, the log, the runbook, installing without a package, and harvesters.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from support.documents import PROJECT
from support.postfixhost import STRANGER, UNIX
from support.walk import Walk, walking

if TYPE_CHECKING:
    from support.readerhost import ReaderHost

INI = "/etc/codomain/codomain.ini"
MAIN_CF = "/etc/postfix/main.cf"

SENDMAIL = """\
mkdir -p /etc/mail/m4
touch /etc/mail/m4/dialup.m4 /etc/mail/m4/provider.m4
m4 /usr/share/sendmail/cf/debian/sendmail.mc > /etc/mail/sendmail.cf
"""


def installed(host: ReaderHost) -> None:
    """Have what install.md leads to."""
    Walk(host, "docs/howto/install.md").install()
    host.put_in_force()


def folded(text: str) -> str:
    """Return a text with each run of blanks as one, and without a search's time."""
    return re.sub(r"[\d.]+ ms", "N ms", re.sub(r" *\n *", "\n", re.sub(r" +", " ", text))).strip()


def test_checking(host: ReaderHost) -> None:
    """Each way to call it, its JSON, and the sample: main.cf that asks another map."""
    with walking(host, "docs/howto/check.md") as (page,):
        installed(host)
        host.must(f"cp -a /etc/postfix /etc/postfix-out\n{SENDMAIL}")
        *_, as_json = page.paste(1, 1, 1, 0, 1)
        assert json.loads(as_json)["status"] == 1

        sample, tuned, refers, submission = page.texts("text")
        kept = host.read(MAIN_CF)
        own = re.sub(r"(?m)^transport_maps = .*\n", "", kept).splitlines()
        host.write(MAIN_CF, "\n".join([*own[:11], "transport_maps = hash:/x", *own[11:], ""]))
        assert folded(sample) in folded(host.run("codomain check")[1])

        without = re.sub(r"(?m)^smtpd_restriction_classes = .*\n", "", kept)
        host.write(MAIN_CF, kept + tuned)
        assert host.must("postconf -n 2>&1 >/dev/null").count(": unused parameter: ") == 3
        for more in (submission, tuned + refers):
            host.write(MAIN_CF, without + more)
            assert "warning" not in host.must("postconf -n 2>&1 >/dev/null")
        values = host.must("systemctl reload codomain && codomain explain --config")
        for line in tuned.splitlines():
            name, _, value = line.partition(" = ")
            assert f" {value}  (main.cf: {name})\n" in values, values


INNER = """
[connector inner]
smart_hosts = [192.0.2.40]
address_spaces = example.com
cost = 5
"""
"""What explain.md's sample has beside method 1."""


def test_explaining(host: ReaderHost) -> None:
    """The sample is what the command prints, and each way to begin with the log finds it."""
    with walking(host, "docs/howto/explain.md") as (page,):
        site = Walk(host, "docs/howto/method-1.md")
        account = "cn=codomain,cn=users,dc=corp,dc=example"
        host.write("/etc/codomain/ldap.password", "PASSWORD", 0o600)
        host.directory("dc=corp,dc=example", site.texts("ldif")[0], {account: "PASSWORD"})
        site.install(extra=INNER)
        ini = re.sub(
            r"(?ms)^deliver_to = .*?$|^\[connector exchange\].*?(?=^\[)", "", host.read(INI)
        )
        host.write(INI, ini)
        host.put_in_force()
        (told,) = page.paste()
        (sample,) = page.texts("text")
        assert folded(told) == folded(sample)

        site.install()
        host.must("systemctl reload codomain")

        assert host.ask(STRANGER, "nobody@corp.example").startswith("550 5.1.1")
        assert host.ask(STRANGER, "ann@example.com", send=True).startswith("250")
        assert host.arrivals(1)
        host.must(
            "timeout 30 bash -c 'until grep status=sent /var/log/mail.log; do sleep .1; done'"
        )
        refused, delivered = page.paste(1, 0)
        assert "550 5.1.1" in refused
        assert "through exchange" in delivered
        host.must(
            "sed -E 's/: [0-9A-F]{6,}: /: 4bQ1cx2Zz1zB: /' /var/log/mail.log > /var/log/mail.log.1"
        )
        (by_id,) = page.paste()
        assert "ann@example.com" in by_id
        (live,) = page.paste()
        assert "through exchange" in live
        (values,) = page.paste()
        assert "codomain.ini:" in values
        assert "(default)" not in values


def test_the_log_and_the_runbook(host: ReaderHost) -> None:
    """A refusal is found by recipient and client; its line is the sample's, field by field."""
    with walking(host, "docs/howto/logs.md", "docs/runbook.md") as (page, runbook):
        installed(host)
        people = "/etc/codomain/recipients.d/0.csv"
        host.write(
            people, host.read(people).replace("SMTP:bob@unix.example.net", "SMTP:bob@evil.test")
        )
        host.must("systemctl reload codomain")
        assert host.ask(UNIX, "bob@example.com").startswith("554 5.7.1")
        assert host.ask(STRANGER, "nobody@corp.example").startswith("550 5.1.1")
        changes, of_bob, of_client = page.paste()
        assert "event=refused" not in changes
        assert re.findall(r"recipient=(\S+)", of_bob) == ["bob@example.com"]
        assert re.findall(r"recipient=(\S+)", of_client) == ["nobody@corp.example"]
        sample = page.texts("text")[0]
        fields = re.compile(r" ?(\w+)=(?:\"[^\"]*\"|\S*)")
        assert fields.findall(of_client.partition("]: ")[2]) == fields.findall(sample)

        status, explained, recent = runbook.paste()
        assert "people" in status
        assert "through exchange" in explained
        assert "recipient=nobody@corp.example" in recent


NOTHING_YET = """\
systemctl stop codomain
rm -r /var/spool/postfix/codomain
sed -i '/^codomain:/d' /etc/passwd
mkdir -p /opt/codomain/bin
ln -s "$(command -v codomain)" /opt/codomain/bin/codomain
"""
"""A host without codomain's user and folder, on which pip has just been."""


def test_installing_without_a_package(host: ReaderHost) -> None:
    """Behind pip: the units are where systemd reads them, with their user and their folder."""
    host.fresh()
    host.must(NOTHING_YET)
    page = Walk(host, "docs/howto/install.md")
    page.left[:-1] = []
    page.paste(folder=f"{PROJECT}")
    assert host.must("stat -c '%a %U %G' /var/spool/postfix/codomain") == "750 codomain postfix\n"
    assert "/usr/bin/codomain serve" in host.must(
        "tr '\\0' ' ' < /proc/$(cat /run/daemon.pid)/cmdline"
    )
    assert "codomain" in host.must("codomain status")


def test_harvesters_are_shut_out(host: ReaderHost) -> None:
    """The two files are where fail2ban reads them."""
    with walking(host, "contrib/fail2ban/README.md") as (page,):
        host.must("mkdir -p /etc/fail2ban/filter.d /etc/fail2ban/jail.d")
        *_, read = page.paste(folder=f"{PROJECT}/contrib/fail2ban")
        assert "failregex" in read
        assert "[codomain]" in read
