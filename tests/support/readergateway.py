"""The gateway of :mod:`support.readerhost`, from within: a program in its namespaces.

It is the host of :mod:`support.postfixhost`, with the mail systems and the directory of the
manuals beside it, under their names and addresses.  The directory is a real slapd, with a
certificate of an authority that this host trusts.  In flow lines of standard input, each the
name of a method and its arguments in JSON; out flows one line for each, its result.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from support import authority, postfixhost
from support.pageldif import loadable
from support.postfixhost import AT_THE_GATEWAY, PROJECT, SECONDS, run
from support.slapd import Settings, Slapd
from support.standins import LOG, STAND_INS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codomain_cli.sinks import Sinks

DIRECTORY = "192.0.2.53"
"""Where the directory and the cache between gateways are."""

LAB = "192.0.2.30"
SECOND_LAB = "192.0.2.31"

SYSTEMS = (
    *((address, 25) for address in (postfixhost.EXCHANGE, postfixhost.UNIX, LAB)),
    (SECOND_LAB, 2525),
)
"""The mail systems of the manuals."""

HOSTS = {
    postfixhost.EXCHANGE: ("mail.example.net", "new.example.net", "mail1.example.net"),
    postfixhost.UNIX: ("old.example.net", "mail2.example.net"),
    LAB: ("mail.lab.example.org",),
    DIRECTORY: (
        *("dc1.corp.example", "dc2.corp.example", "ldap.example.net", "ldap1.example.net"),
        *("ldap2.example.net", "ldap1.corp.example", "ldap2.corp.example"),
    ),
    postfixhost.GATEWAY: ("cache.corp.example",),
    "203.0.113.9": ("elsewhere.test",),
}
"""What DNS says of the manuals' hosts, and of the sender's domain."""

TLS = Path("/etc/tls-of-the-directory")
"""directory.pem and directory.key of the servers, ca.pem of the authority."""

INI = Path("/etc/codomain/codomain.ini")

MAIN_CF = f"""\
{postfixhost.MAIN_CF}\
recipient_delimiter = +
smtp_dns_support_level = disabled
"""
"""As Debian's package sets it up, but without DNS; /etc/hosts says what it would."""


class Gateway:
    """The host, in its own namespaces: each public method is something that can be asked for."""

    def __init__(self, scratch: Path, over: Sequence[str], sinks: Sinks) -> None:
        postfixhost.furnish(scratch, STAND_INS, packaged=False, over=over)
        self._scratch = scratch
        self._sinks = sinks
        self._seen = 0
        self._slapd: PageSlapd | None = None
        self._loads = 0
        with Path("/etc/group").open("a") as file:
            file.write("smmta:x:990:\n")
        for address in (DIRECTORY, LAB, SECOND_LAB):
            run("ip", "address", "add", f"{address}/32", "dev", "outside")
        for address, port in SYSTEMS:
            sinks.smtp(address, at=(address, port))
        lines = [f"{address} {' '.join(names)}\n" for address, names in HOSTS.items()]
        with Path("/etc/hosts").open("a") as file:
            file.writelines(lines)
        Path("/etc/resolv.conf").unlink(missing_ok=True)
        Path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        # smtp(8) lives in the queue's folder; Debian's start of Postfix does the same.
        inner = Path("/var/spool/postfix/etc")
        inner.mkdir(exist_ok=True)
        for name in ("hosts", "resolv.conf", "nsswitch.conf", "services"):
            shutil.copy(f"/etc/{name}", inner)
        with Path("/etc/passwd").open("a") as file:
            file.write("codomain:x:989:0::/var/lib/codomain:/usr/sbin/nologin\n")
            file.write("smmta:x:990:990::/:/bin/sh\n")
        for folder in ("/opt", "/srv"):
            run("mount", "-t", "tmpfs", "tmpfs", folder)
        self._learn_maps()
        self._trust()

    def fresh(self) -> None:
        """Be as after the installation of the package, with nothing left of another page."""
        self.run("systemctl stop codomain", "/")
        self.directory_down()
        for folder in ("/etc/codomain", "/var/lib/codomain", "/run/codomain", "/srv/reader"):
            shutil.rmtree(folder, ignore_errors=True)
            Path(folder).mkdir(parents=True)
        Path("/etc/codomain/recipients.d").mkdir()
        shutil.copy(PROJECT / "packaging/debian/codomain.ini", INI)
        LOG.write_text("")
        Path("/var/log/mail.log").write_text("")
        Path("/etc/postfix/main.cf").write_text(MAIN_CF)
        shutil.copy("/usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf")
        script = "install -d -g postfix -m 0750 /var/spool/postfix/codomain\n"
        postfix = "postfix status && postfix reload || postfix start"
        status, said = self.run(f"{script}{postfix}\npostsuper -d ALL\nsystemctl start codomain")
        if status:
            raise RuntimeError(said)
        self._seen = len(self._sinks.all())

    def run(self, script: str, folder: str = "/srv/reader") -> tuple[int, str]:
        """Run a line of a shell; return its status, and all that it said."""
        before = _smtpds() if "postfix reload" in script else set()
        _age()
        with Path("/run/said").open("w+") as said:
            done = subprocess.run(
                [*AT_THE_GATEWAY, "bash"],
                input=script.encode(),
                stdout=said,
                stderr=said,
                check=False,
                cwd=folder,
                timeout=SECONDS,
            )
        # A session that is opened now must not meet a process of before.
        end = time.monotonic() + SECONDS
        while before & _smtpds() and time.monotonic() < end:
            time.sleep(0.02)
        return done.returncode, Path("/run/said").read_text(errors="backslashreplace")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
        Path(path).chmod(mode)

    def read(self, path: str) -> str:
        """Return a file."""
        return Path(path).read_text()

    def ask(self, client: str, recipient: str, send: bool) -> str:  # noqa: FBT001  # as it is told
        """Ask for a recipient; send mail to one that is taken, if ``send`` says so."""
        return postfixhost.ask(client, recipient, send=send)[0]

    def arrivals(self, count: int) -> list[tuple[str, str]]:
        """Wait for so many messages; return the system and the recipient of each, sorted."""
        wanted = self._seen + count
        arrived = self._sinks.wait_for(lambda found: len(found) >= wanted, SECONDS)
        new, self._seen = arrived[self._seen :], len(arrived)
        return sorted((a.system, a.recipient) for a in new)

    def directory(
        self, base: str, ldif: str, accounts: Mapping[str, str], writers: Sequence[str]
    ) -> None:
        """Start a directory with these entries, and with accounts and their passwords."""
        self._loads += 1
        folder = self._scratch / f"slapd-{self._loads}"
        rights = "".join(f' by dn.exact="{dn}" write' for dn in writers)
        access = ("to attrs=userPassword by * auth", f"to *{rights} by * read")
        settings = Settings(certificate=self._certificate, access=access, base=base)
        self._slapd = PageSlapd(folder, loadable(ldif, base, accounts), settings).start()

    def directory_down(self) -> None:
        """Stop the directory, if there is one."""
        if self._slapd is not None:
            self._slapd.stop()

    def directory_up(self) -> None:
        """Start it again."""
        self._server.start()

    def add(self, dn: str, mail: str) -> None:
        """Add a person with an address to the directory."""
        person = {"objectClass": ["inetOrgPerson"], "cn": ["x"], "sn": ["x"]}
        self._server.add(dn, {**person, "mail": [mail]})

    def delete(self, dn: str) -> None:
        """Take an entry away from the directory."""
        self._server.delete(dn)

    def configure(self, ldif: str) -> None:
        """Change the directory's own configuration, by LDIF as ldapmodify(1) takes it."""
        host = self._server.ldapi
        status, said = self.run(f"ldapmodify -a -Y EXTERNAL -H {host} <<'END'\n{ldif}\nEND\n")
        if status:
            raise RuntimeError(said)

    def entries(self) -> str:
        """Return all that the directory has."""
        return self._server.export()

    @property
    def _server(self) -> PageSlapd:
        if self._slapd is None:
            raise RuntimeError("there is no directory")
        return self._slapd

    def _trust(self) -> None:
        """Have an authority that this host trusts, and a certificate for the servers."""
        ours = authority.Authority(self._scratch / "authority")
        servers = (*HOSTS[DIRECTORY], *HOSTS[postfixhost.GATEWAY])
        names = ",".join(f"DNS:{name}" for name in servers)
        self._certificate = ours.sign("directory", f"{names},DNS:localhost,IP:127.0.0.1")
        command = ["openssl", "x509", "-hash", "-noout", "-in", f"{ours.file}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        shutil.copy(ours.file, f"/etc/ssl/certs/{done.stdout.strip()}.0")
        with Path("/etc/ssl/certs/ca-certificates.crt").open("a") as file:
            file.write(ours.file.read_text())
        shutil.copytree(ours.file.parent, TLS)

    def _learn_maps(self) -> None:
        """Tell Postfix of ldap: maps as their package does."""
        lines = Path("/etc/postfix/dynamicmaps.cf")
        if "\nldap" not in lines.read_text():
            with lines.open("a") as file:
                file.write("ldap\tpostfix-ldap.so\tdict_ldap_open\n")


class PageSlapd(Slapd):
    """A slapd at the directory's address, whose configuration root may change."""

    @property
    def ldaps(self) -> str:
        """Its URI with TLS."""
        return f"ldaps://{DIRECTORY}:636"

    def _config(self, settings: Settings) -> str:
        head, database, rest = super()._config(settings).partition("dn: olcDatabase={1}mdb")
        own = Path(__file__).with_name("page_schema.ldif").read_text()
        root = "gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth"
        config = (
            f"dn: olcDatabase={{0}}config,cn=config\nobjectClass: olcDatabaseConfig\n"
            f"olcDatabase: {{0}}config\nolcRootDN: {root}\n\n"
        )
        schema, frontend, more = head.partition("dn: olcDatabase={-1}frontend")
        return f"{schema}{own}\n{frontend}{more}{config}{database}{rest}"


def _age() -> None:
    """Spare Postfix and postconf(1) the wait until their files are two seconds old."""
    for name in ("main.cf", "master.cf"):
        os.utime(f"/etc/postfix/{name}", (time.time() - 60,) * 2)


def _smtpds() -> set[int]:
    """Return the processes of smtpd(8) that run."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            name, _, rest = status.read_text().partition("\n")
        except OSError:
            continue
        if name == "Name:\tsmtpd" and "State:\tZ" not in rest:
            found.add(int(status.parent.name))
    return found


def main() -> None:
    """Be the host: do what each line of standard input says, until there are no more."""
    from codomain_cli.sinks import Sinks  # noqa: PLC0415  # needed here alone

    with Sinks() as sinks:
        gateway = Gateway(Path(sys.argv[1]), sys.argv[2:], sinks)
        for line in sys.stdin:
            name, arguments = json.loads(line)
            answer: dict[str, object]
            try:
                answer = {"value": getattr(gateway, name)(*arguments)}
            except Exception:  # noqa: BLE001  # whoever asked is told
                answer = {"fault": traceback.format_exc()}
            print(json.dumps(answer), flush=True)  # noqa: T201  # it is what this process is for


if __name__ == "__main__":
    main()
