"""A slapd of our own: OpenLDAP's server in a folder of the test, on free loopback ports.

It listens on ldap://, on ldapi://, and with a certificate on ldaps:// (where ldap:// also
takes StartTLS).  It keeps its ports and its data over a restart.
"""

from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import ldap3

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.authority import Certificate

BASE = "dc=example,dc=com"
ADMIN = f"cn=admin,{BASE}"
PASSWORD = "s3cret"

START_SECONDS = 20.0
"""How long a server may take to answer; it takes 0.1 s on an idle machine."""

_SCHEMAS = Path("/etc/ldap/schema")
_CONFIG = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: {folder}/slapd.pid
olcThreads: 4
{global_lines}
dn: cn=module{{0}},cn=config
objectClass: olcModuleList
cn: module{{0}}
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb
{module_lines}
dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

{schemas}

dn: olcDatabase={{-1}}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {{-1}}frontend

dn: olcDatabase={{1}}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {{1}}mdb
olcSuffix: {base}
olcRootDN: {admin}
olcRootPW: {password}
olcDbDirectory: {folder}/data
olcDbMaxSize: {max_size}
olcDbNoSync: TRUE
olcDbIndex: objectClass,mail,mailAlternateAddress,proxyAddresses,mailLocalAddress eq
{database_lines}

{overlays}
"""
_SYNCPROV = """\
dn: olcOverlay={{0}}syncprov,olcDatabase={{1}}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcSyncProvConfig
olcOverlay: {{0}}syncprov
{lines}
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one server does differently from the others."""

    certificate: Certificate | None = None
    """Its certificate; None: it has no TLS at all."""

    access: tuple[str, ...] = ("to * by * read",)
    """Access rules, as in slapd.access(5)."""

    size_limit: int | str | None = None
    """The most entries of an answer, or the limits as olcSizeLimit writes them."""

    global_lines: tuple[str, ...] = ()
    """More lines of cn=config, such as ``olcIdleTimeout: 1``."""

    syncprov: tuple[str, ...] | None = None
    """The lines of its syncprov overlay, such as ``olcSpSessionlog: 100``; None: it has none."""

    max_size: int = 1_073_741_824
    """The most octets of its database."""

    base: str = BASE
    """The suffix of its database; ``cn=admin`` below it may do everything."""


class Slapd:
    """One server: configured and loaded when it is made, started by :meth:`start`."""

    def __init__(self, folder: Path, ldif: str, settings: Settings = Settings()) -> None:
        self._folder = folder
        self._tls = settings.certificate is not None
        self._admin = f"cn=admin,{settings.base}"
        self._load_options = ("-q", "-w") if settings.syncprov is not None else ("-q",)
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = _free_ports(2)
        for name in ("config", "data"):
            (folder / name).mkdir(parents=True)
        self._socket = f"{folder}/ldapi"
        (folder / "config.ldif").write_text(self._config(settings))
        self._slapadd("-n0", "-l", f"{folder}/config.ldif")
        self._load(ldif)

    @property
    def pid(self) -> int:
        """Its process id, while it runs."""
        if self._process is None:
            raise RuntimeError("slapd does not run")
        return self._process.pid

    @property
    def ldap(self) -> str:
        """Its URI without TLS, or with StartTLS."""
        return f"ldap://127.0.0.1:{self._ports[0]}"

    @property
    def ldaps(self) -> str:
        """Its URI with TLS."""
        return f"ldaps://127.0.0.1:{self._ports[1]}"

    @property
    def ldapi(self) -> str:
        """Its URI over a socket of the file system."""
        return f"ldapi://{quote(self._socket, safe='')}"

    def start(self) -> Self:
        """Start it, and return when it takes connections."""
        urls = [self.ldap, self.ldapi, *([self.ldaps] if self._tls else [])]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/slapd", "-F", f"{self._folder}/config", "-h", " ".join(urls), "-d0"],
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"slapd: {(self._folder / 'log').read_text()}")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Stop it, if it runs; its data stay."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it as ``kill -9`` does, if it runs; its data stay."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop and start it: every connection to it is dead."""
        self.stop()
        self.start()

    def wipe(self, ldif: str) -> None:
        """Take all data away and load others, while it is stopped."""
        for file in (self._folder / "data").iterdir():
            file.unlink()
        self._load(ldif)

    def export(self) -> str:
        """Return all data with their operational attributes, as a backup has them."""
        done = subprocess.run(
            ["/usr/sbin/slapcat", "-F", f"{self._folder}/config", "-n1"],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def rename(self, dn: str, rdn: str, superior: str | None = None) -> None:
        """Give an entry another name, or another place, as the administrator."""
        self._write(lambda connection: connection.modify_dn(dn, rdn, new_superior=superior))

    def delete(self, dn: str) -> None:
        """Delete an entry, as the administrator."""
        self._write(lambda connection: connection.delete(dn))

    def add(self, dn: str, attributes: dict[str, list[str]]) -> None:
        """Add an entry, as the administrator."""
        self._write(lambda connection: connection.add(dn, attributes=attributes))

    def modify(self, dn: str, attribute: str, *values: str) -> None:
        """Give an attribute of an entry these values in place of all that it has."""
        changes = {attribute: [(ldap3.MODIFY_REPLACE, list(values))]}
        self._write(lambda connection: connection.modify(dn, changes))

    def search(self, login: str, password: str, sought: str) -> tuple[int, int]:
        """Search as somebody; return the result code, and how many entries there were."""
        server = ldap3.Server(self.ldap, get_info=ldap3.NONE)
        connection = ldap3.Connection(server, login, password)
        if connection.bind():
            connection.search(BASE, sought, attributes=["cn"])
        found = connection.result["result"], len(connection.entries)
        connection.unbind()
        return found

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _write(self, change: Callable[[ldap3.Connection], object]) -> None:
        server = ldap3.Server(self.ldap, get_info=ldap3.NONE)
        connection = ldap3.Connection(server, self._admin, PASSWORD, check_names=False)
        if not connection.bind() or not change(connection):
            raise RuntimeError(f"slapd: {connection.result}")
        connection.unbind()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._ports[0]), 1).close()
        except OSError:
            return False
        return Path(self._socket).exists()

    def _config(self, settings: Settings) -> str:
        lines = [*settings.global_lines]
        if settings.certificate is not None:
            lines += [
                f"olcTLSCACertificateFile: {settings.certificate.authority}",
                f"olcTLSCertificateFile: {settings.certificate.file}",
                f"olcTLSCertificateKeyFile: {settings.certificate.key}",
                "olcTLSVerifyClient: never",
            ]
        files = [_SCHEMAS / f"{name}.ldif" for name in ("core", "cosine", "inetorgperson", "misc")]
        files.append(Path(__file__).with_name("ad_schema.ldif"))
        database = [f"olcAccess: {rule}" for rule in settings.access]
        if settings.size_limit is not None:
            database.append(f"olcSizeLimit: {settings.size_limit}")
        if settings.syncprov is not None:
            database.append("olcDbIndex: entryUUID,entryCSN eq")
        return _CONFIG.format(
            folder=self._folder,
            global_lines="".join(f"{line}\n" for line in lines),
            schemas="\n\n".join(f"include: file://{path}" for path in files),
            base=settings.base,
            admin=self._admin,
            password=PASSWORD,
            max_size=settings.max_size,
            module_lines="" if settings.syncprov is None else "olcModuleLoad: syncprov\n",
            database_lines="\n".join(database),
            overlays=""
            if settings.syncprov is None
            else _SYNCPROV.format(lines="\n".join(settings.syncprov)),
        )

    def _load(self, ldif: str) -> None:
        (self._folder / "data.ldif").write_text(ldif)
        self._slapadd(*self._load_options, "-n1", "-l", f"{self._folder}/data.ldif")

    def _slapadd(self, *arguments: str) -> None:
        done = subprocess.run(
            ["/usr/sbin/slapadd", "-F", f"{self._folder}/config", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"slapadd {arguments[0]}: {done.stdout}{done.stderr}")


def _free_ports(count: int) -> list[int]:
    """Return TCP ports that are free on loopback, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports
