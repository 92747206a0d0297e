"""The how-to for those who come from Sendmail's FEATURE(ldap_routing), read and carried out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.walk import Walk, walking

if TYPE_CHECKING:
    from support.readerhost import ReaderHost

SENDMAIL = """\
postfix stop
mkdir -p /etc/mail/m4 /run/sendmail/mta /var/lib/sendmail/host_status
install -d -m 0700 /var/spool/mqueue
cd /etc/mail
cp /usr/share/sendmail/cf/debian/sendmail.mc .
touch m4/dialup.m4 m4/provider.m4 local-host-names relay-domains access
echo 'postmaster: root' > aliases
sed -i 's/, Addr=127.0.0.1//' sendmail.mc
m4 sendmail.mc > sendmail.cf
printf 'hosts files\\naliases files\\n' > service.switch
/usr/libexec/sendmail/makemap hash /etc/mail/access < access
"""
"""Debian's Sendmail as it is after the installation, at all addresses and without DNS."""


HOSTMASTER = """
dn: uid=hostmaster,ou=people,dc=example,dc=net
objectClass: inetLocalMailRecipient
mailLocalAddress: hostmaster@example.com
"""
"""The page's canary."""


def test_from_ldap_routing(host: ReaderHost) -> None:
    """The same directory leads to the same systems; who leads to none is named by the search."""
    with walking(host, "docs/howto/from-ldap-routing.md") as (page,):
        entries = page.texts("ldif")[0] + HOSTMASTER
        host.directory("dc=example,dc=net", entries)
        host.must(SENDMAIL)
        page.install()
        page.paste()
        readme = Walk(host, "README.md")
        host.must("systemctl restart codomain")
        *_, include, make = [
            block for block in readme.left if any("sendmail.mc" in line for line in block)
        ]
        host.must(include[-1])
        host.must("\n".join(make))
        try:
            page.promises(instead={"451 4.3.5": "451 4.4.3"})
            (hosts,) = page.paste()
            assert re.findall(r"(\d+) mailHost: (\S+)", hosts) == [
                ("2", "mail2.example.net"),
                ("1", "strange.example.org"),
            ]
            host.tell("directory_down")
            host.must("systemctl restart codomain")
            page.outage()
        finally:
            host.run("kill $(head -1 /run/sendmail/mta/sendmail.pid)")
