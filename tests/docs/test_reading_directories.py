"""The how-tos about directories, read and carried out.

The maps of before, contacts, recipient policies, a local copy, a cache between gateways.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.postfixhost import EXCHANGE, STRANGER, UNIX
from support.walk import walking

if TYPE_CHECKING:
    from support.readerhost import ReaderHost

INI = "/etc/codomain/codomain.ini"

PEOPLE = """
dn: uid=hostmaster,ou=people,dc=example,dc=net
accountStatus: active
mail: hostmaster@example.com

dn: uid=gone,ou=people,dc=example,dc=net
accountStatus: closed
mail: gone@example.com

dn: uid=carl,ou=people,dc=example,dc=net
accountStatus: active
mail: carl@elsewhere.example
"""
"""Beside the page's Ann: one whom neither takes, and one who is in no domain of ours."""

ADDRESSES = """\
ann@example.com
a.smith@example.com
ann+lists@example.com
gone@example.com
carl@elsewhere.example
nobody@example.com
"""


def test_from_ldap_maps(host: ReaderHost) -> None:
    """Old and new are compared for everybody: two differ; then codomain takes the maps' place."""
    with walking(host, "docs/howto/from-ldap-maps.md") as (page,):
        base = "dc=example,dc=net"
        logins = {f"cn={name},ou=services,{base}": "secret" for name in ("postfix", "codomain")}
        host.directory(base, page.texts("ldif")[0] + PEOPLE, logins)
        for name in ("recipients", "aliases", "transport"):
            host.write(f"/etc/postfix/{name}.cf", page.texts("ldap.cf")[0])
        for line in page.texts("main.cf")[0].splitlines():
            host.must(f"postconf -e '{line}'")
        host.write("/etc/codomain/ldap.password", "secret", 0o600)
        host.write("/srv/reader/addresses.txt", ADDRESSES)
        page.install()
        (differences,) = page.paste()
        assert differences.splitlines() == [
            "ann+lists@example.com: no before, yes now",
            "carl@elsewhere.example: yes before, no now",
        ]
        host.put_in_force()
        assert "ldap:" not in host.must("postconf -n")
        page.promises()
        host.tell("directory_down")
        host.must("systemctl restart codomain")
        page.outage()


XO = """\
[codomain]
postmaster = hostmaster@xo.one

[domain xo.one]
type = authoritative
deliver_to = exchange

[domain remote.domain]
type = relay

[connector exchange]
smart_hosts = [192.0.2.20]

[connector remote]
smart_hosts = [192.0.2.10]
address_spaces = remote.domain
allow_relay = yes

[directory people]
servers = ldaps://dc1.corp.example
base = dc=xo,dc=one
bind_dn = cn=importer,dc=xo,dc=one
bind_password_file = /etc/codomain/importer.password
"""
"""The organization of KB 321721, for which the page's file was written."""

HOSTMASTER = """\
dn: cn=hostmaster,{base}
objectClass: user
mailNickname: hostmaster
proxyAddresses: SMTP:hostmaster@{domain}
"""


def test_contacts(host: ReaderHost) -> None:
    """The plan changes nothing; --apply makes the contact, the daemon is told; both exports."""
    with walking(host, "docs/howto/contacts.md") as (page,):
        base, writer = "dc=xo,dc=one", "cn=importer,dc=xo,dc=one"
        entry = HOSTMASTER.format(base=base, domain="xo.one")
        host.directory(base, entry, {writer: "secret"}, [writer])
        host.write("/etc/codomain/importer.password", "secret", 0o600)
        host.write("/srv/reader/people.csv", page.texts("csv")[0])
        host.write(INI, XO)
        host.put_in_force()
        assert host.ask(STRANGER, "internetuser@xo.one").startswith("550 5.1.1")
        planned, _done = page.paste()
        assert re.search(r"create\s.*internet user", planned, re.IGNORECASE)
        assert "dn: cn=Internet User,ou=internet users,dc=xo,dc=one\n" in host.tell("entries")
        assert host.ask(STRANGER, "internetuser@xo.one", send=True).startswith("250 2.1.5")
        assert host.arrivals(1) == [(UNIX, "internetUser@remote.domain")]
        page.paste()
        first, second = page.texts("csv")[0].splitlines()
        exported = host.read("/srv/reader/people.csv").splitlines()
        assert exported[0] == first
        assert "cn=Internet User,ou=internet users,dc=xo,dc=one" in exported[1]
        assert second.rpartition(",")[2] in exported[1]
        assert "targetAddress: SMTP:internetUser@remote.domain\n" in host.read(
            "/srv/reader/people.ldif"
        )


STAMPED = """
[codomain]
postmaster = hostmaster@corp.example

[connector exchange]
smart_hosts = [192.0.2.20]

[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes

[directory ad]
servers = ldaps://dc1.corp.example
base = dc=corp,dc=example
"""
"""What stands around the page's policies."""

JO = """
dn: cn=Jürgen Groß,ou=people,dc=corp,dc=example
objectClass: user
objectClass: inetOrgPerson
mailNickname: jo
givenName: Jürgen
sn: Groß
department: sales
"""


def test_recipient_policies(host: ReaderHost) -> None:
    """The preview writes nothing; apply stamps with an account of its own, and mail comes."""
    with walking(host, "docs/howto/recipient-policies.md") as (page,):
        base, stamps = "dc=corp,dc=example", "cn=stamps,ou=services,dc=corp,dc=example"
        entries = HOSTMASTER.format(base=base, domain="corp.example") + JO.replace(
            "objectClass: inetOrgPerson\n", ""
        )
        host.directory(base, entries, {stamps: "secret"}, [stamps])
        host.write("/etc/codomain/stamps.password", "secret", 0o600)
        ini = page.texts("ini")[0].replace(
            "type = authoritative", "type = authoritative\ndeliver_to = exchange"
        )
        host.write(INI, ini + STAMPED)
        host.put_in_force()
        before = host.tell("entries")
        assert host.ask(STRANGER, "jo@corp.example").startswith("550 5.1.1")
        previewed, *_ = page.paste()
        assert re.search(r"sales\s+│ Juergen\.Gross@e", previewed)
        assert "Juergen.Gross@example.com" in host.read("/srv/reader/plan.csv")
        assert "Juergen.Gross@example.com" in host.read("/srv/reader/plan.ldif")
        after = host.tell("entries")
        assert "Juergen.Gross@example.com" not in before
        assert "proxyAddresses: SMTP:Juergen.Gross@example.com\n" in after
        assert "proxyAddresses: smtp:jo@corp.example\n" in after
        assert host.ask(STRANGER, "jo@corp.example", send=True).startswith("250 2.1.5")
        assert host.arrivals(1) == [(EXCHANGE, "jo@corp.example")]


COPIED = """
schema = inetorgperson
[domain corp.example]
type = authoritative
deliver_to = exchange
[connector exchange]
smart_hosts = [192.0.2.20]
"""
CROWD = "\n".join(
    f"dn: uid=p{number},ou=people,dc=corp,dc=example\nmail: p{number}@corp.example\n"
    for number in range(10)
)
MODULE = """\
dn: cn=module{0},cn=config
changetype: modify
add: olcModuleLoad
olcModuleLoad: syncprov
"""


def test_a_local_copy(host: ReaderHost) -> None:
    """It answers while the directory is down; a great loss is taken over when it is said so."""
    with walking(host, "docs/howto/sync.md") as (page,):
        host.directory("dc=corp,dc=example", CROWD)
        host.tell("configure", MODULE)
        host.tell("configure", page.texts("ldif")[0])
        host.write(INI, page.texts("ini")[0] + COPIED)
        host.must("codomain sync --once")
        host.put_in_force()
        assert "10" in host.must("codomain sync --status")
        host.tell("directory_down")
        assert host.ask(STRANGER, "p9@corp.example").startswith("250 2.1.5")
        host.tell("directory_up")
        for number in range(9):
            host.tell("delete", f"uid=p{number},ou=people,dc=corp,dc=example")
        status, said = host.run("codomain sync --once")
        assert status, said
        assert host.ask(STRANGER, "p0@corp.example").startswith("250 2.1.5")
        page.paste()
        host.must("systemctl reload codomain")
        assert host.ask(STRANGER, "p0@corp.example").startswith("550 5.1.1")
        assert host.ask(STRANGER, "p9@corp.example").startswith("250 2.1.5")


SHARING = """
[domain example.com]
type = authoritative
deliver_to = exchange
[connector exchange]
smart_hosts = [192.0.2.20]
[directory people]
servers = ldaps://dc1.corp.example
schema = inetorgperson
base = dc=example,dc=com
"""
SERVER = """\
port 0
bind 192.0.2.5
tls-port 6379
tls-auth-clients no
tls-cert-file /etc/tls-of-the-directory/directory.pem
tls-key-file /etc/tls-of-the-directory/directory.key
tls-ca-cert-file /etc/tls-of-the-directory/ca.pem
unixsocket /run/redis.sock
daemonize yes
dir /run
"""
NEW = "uid=new,ou=people,dc=example,dc=com"


def test_several_gateways(host: ReaderHost) -> None:
    """With the page's user and bounds the cache is used, and one purge makes the new one known."""
    with walking(host, "docs/howto/several-gateways.md") as (page,):
        host.directory(
            "dc=example,dc=com", "dn: uid=old,ou=people,dc=example,dc=com\nmail: old@example.com\n"
        )
        host.write("/etc/redis/redis.conf", SERVER + page.texts("redis.conf")[0])
        host.must("redis-server /etc/redis/redis.conf")
        cli = "redis-cli --no-auth-warning -a ANOTHER-PASSWORD -s /run/redis.sock"
        try:
            host.must(f"timeout 30 bash -c 'until {cli} ping; do sleep .1; done'")
            host.write("/srv/reader/acl", page.texts("redis")[0])
            assert host.must(f"{cli} < acl") == "OK\n"
            assert host.must(f"{cli} config get maxmemory").split()[1] == f"{128 << 20}"
            host.write("/etc/codomain/cache.password", "PASSWORD", 0o600)
            host.must("cp /etc/tls-of-the-directory/ca.pem /etc/codomain/corp-ca.pem")
            host.write(INI, page.texts("ini")[0] + SHARING)
            host.put_in_force()
            # Until the gateway has reached the server it remembers by itself alone.
            reached = 'codomain status | grep -q "shared cache .* is up"'
            host.must(f"timeout 50 bash -c 'until {reached}; do sleep .1; done'")
            assert host.ask(STRANGER, "new.person@example.com").startswith("550 5.1.1")
            host.must(
                f"timeout 30 bash -c 'until {cli} keys \\* | grep codomain:; do sleep .1; done'"
            )
            host.tell("add", NEW, "new.person@example.com")
            assert host.ask(STRANGER, "new.person@example.com").startswith("550 5.1.1")
            page.paste()
            assert host.ask(STRANGER, "new.person@example.com").startswith("250 2.1.5")
            status, _ = host.run("codomain cache purge somebody.else@example.com")
            assert status == 1
        finally:
            host.run(f"{cli} shutdown nosave")
