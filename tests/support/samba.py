"""Active Directory of our own: Samba's domain controller, in a network namespace of its own.

Provisioning takes six seconds and is done once for a test run (:func:`provisioned`); each
controller is a copy of its folder, in a namespace where ports 389, 636, 3268 and 3269 are
its own (:mod:`support.netns`).  The schema has Exchange's attributes that matter here.
It keeps its ports and its data over a restart.  Needs root.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import ldap3

from support.fakeldap import SEARCH, text, tlv
from support.netns import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from support.authority import Certificate

    Changes = Mapping[str, Sequence[tuple[str, Sequence[str]]]]

BASE = "DC=ad,DC=example,DC=com"
ADMIN = "Administrator@ad.example.com"
PASSWORD = "Passw0rd.Test1"
NAMES = "DNS:dc1.ad.example.com,DNS:localhost,IP:127.0.0.1"
"""The names that its certificate needs: tests reach it through a port of 127.0.0.1."""

ADDRESS = "127.0.0.53"
"""Its address in the namespace: Samba takes no interface at 127.0.0.1."""

START_SECONDS = 60.0
"""How long it may take to answer; it takes one second on an idle machine."""

SHOW_DELETED = ("1.2.840.113556.1.4.417", True, None)
"""The control that shows tombstones (MS-ADTS 3.1.1.3.4.1.14)."""

SERVICE = (
    "CN=NTDS Settings,CN=DC1,CN=Servers,CN=Default-First-Site-Name,CN=Sites,"
    f"CN=Configuration,{BASE}"
)
"""The controller's dsServiceName."""

_GET_CHANGES = "1131f6aa-9c07-11d1-f79f-00c04fc2dcd2"
"""The right DS-Replication-Get-Changes."""

_DELETED_DACL = "O:SYG:SYD:PAI(A;;RPWPCCDCLCRCWOWDSDSW;;;SY)(A;;RPLC;;;BA)"
"""Who may see the tombstones, as provisioned: the system and the administrators."""

_SCHEMA = f"CN=Schema,CN=Configuration,{BASE}"
_TEXT, _FLAG = ("2.5.5.12", 64), ("2.5.5.8", 1)
_ATTRIBUTES = [  # name, cn, attributeID, syntax
    ("targetAddress", "ms-Exch-Target-Address", "1.2.840.113556.1.2.352", _TEXT),
    ("mailNickname", "ms-Exch-Mail-Nickname", "1.2.840.113556.1.2.447", _TEXT),
    (
        "msExchRequireAuthToSendTo",
        "ms-Exch-Require-Auth-To-Send-To",
        "1.2.840.113556.1.4.5062",
        _FLAG,
    ),
]
_NEW_ATTRIBUTE = """\
dn: CN={cn},{schema}
objectClass: top
objectClass: attributeSchema
cn: {cn}
lDAPDisplayName: {name}
attributeID: {oid}
attributeSyntax: {syntax}
oMSyntax: {om}
isSingleValued: TRUE
searchFlags: 1
isMemberOfPartialAttributeSet: TRUE

"""
_SCHEMA_NOW = "dn:\nchangetype: modify\nreplace: schemaUpdateNow\nschemaUpdateNow: 1\n"
_NOTHING = tlv(
    0x30,  # a search of the rootDSE for no attribute (RFC 4511 section 4.5.1)
    tlv(0x02, b"\1")
    + tlv(
        SEARCH,
        text("")
        + tlv(0x0A, b"\0") * 2
        + tlv(0x02, b"\0") * 2
        + tlv(0x01, b"\0")
        + tlv(0x87, b"objectClass")
        + tlv(0x30, text("1.1")),
    ),
)
_PORTS = {"ldap": 389, "ldaps": 636, "gc": 3268, "gcs": 3269}


def provisioned(folder: Path) -> Path:
    """Return a provisioned controller in ``folder``, made there once for all processes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "dc"
        if not done.exists():
            raw = folder / "raw"
            shutil.rmtree(raw, ignore_errors=True)
            _provision(raw)
            raw.rename(done)
    return done


class Found(NamedTuple):
    """One part of the answer to a search."""

    kind: str
    """``searchResEntry`` or ``searchResRef``."""

    dn: str
    """The entry's name."""

    raw: dict[str, list[bytes]]
    """Its attributes."""


class Samba:
    """One domain controller: copied when it is made, started by :meth:`start`."""

    def __init__(self, template: Path, folder: Path, certificate: Certificate) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._namespace: Namespace | None = None
        _copy(template, folder)
        before = _folder_of(self.config)
        for path in (self.config, folder / "private" / "krb5.conf"):
            path.write_text(path.read_text().replace(before, str(folder)))
        tls = folder / "private" / "tls"
        shutil.copy(certificate.authority, tls / "ca.pem")
        shutil.copy(certificate.file, tls / "cert.pem")
        shutil.copy(certificate.key, tls / "key.pem")
        (tls / "key.pem").chmod(0o600)
        self.authority = certificate.authority
        self._certificate = certificate

    def another(self, folder: Path, invocation: bytes) -> Samba:
        """Return another controller of the domain, with what this one, stopped, holds now.

        ``invocation`` is the invocationId of its data, 16 octets.  They do not replicate.
        """
        assert self._process is None, "stop it first"
        other = Samba(self._folder, folder, self._certificate)
        value = base64.b64encode(invocation).decode()
        change = f"changetype: modify\nreplace: invocationId\ninvocationId:: {value}\n"
        _ldb(folder, "ldbmodify", f"dn: {SERVICE}\n{change}")
        return other

    @property
    def config(self) -> Path:
        """Its smb.conf."""
        return self._folder / "etc" / "smb.conf"

    @property
    def ldap(self) -> str:
        """Its URI without TLS, or with StartTLS."""
        return f"ldap://127.0.0.1:{self._port('ldap')}"

    @property
    def ldaps(self) -> str:
        """Its URI with TLS."""
        return f"ldaps://127.0.0.1:{self._port('ldaps')}"

    @property
    def global_catalogue(self) -> str:
        """The URI of its global catalogue, with TLS."""
        return f"ldaps://127.0.0.1:{self._port('gcs')}"

    def start(self) -> Self:
        """Start it, and return when it takes connections."""
        if self._namespace is None:
            self._namespace = Namespace(ADDRESS, _PORTS.values())
        command = [
            *("samba", "-F", "--no-process-group", "-M", "single"),
            *("-s", str(self.config), "--debug-stdout"),
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._namespace.inside(*command),
                stdin=subprocess.PIPE,  # it ends where this does
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"samba: {(self._folder / 'log').read_text()[-4000:]}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """Stop it, if it runs; its data and its ports stay."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def restart(self) -> None:
        """Stop and start it: every connection to it is dead."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it, and give up its ports."""
        self.stop()
        namespace, self._namespace = self._namespace, None
        if namespace is not None:
            namespace.close()

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.close()

    @contextlib.contextmanager
    def administrator(self) -> Iterator[ldap3.Connection]:
        """Give a connection of the administrator, on which every failure raises."""
        server = ldap3.Server(self.ldap, get_info=ldap3.NONE, connect_timeout=START_SECONDS)
        connection = ldap3.Connection(
            server,
            ADMIN,
            PASSWORD,
            auto_bind=ldap3.AUTO_BIND_TLS_BEFORE_BIND,
            check_names=False,
            raise_exceptions=True,
            receive_timeout=int(START_SECONDS),
        )
        try:
            yield connection
        finally:
            connection.unbind()

    def add(self, dn: str, attributes: Mapping[str, Sequence[str]]) -> None:
        """Add an entry."""
        with self.administrator() as connection:
            connection.add(dn, attributes=attributes)

    def unit(self, name: str, parent: str = BASE) -> str:
        """Add an organisational unit; return its DN."""
        dn = f"OU={name},{parent}"
        self.add(dn, {"objectClass": ["organizationalUnit"]})
        return dn

    def account(self, name: str, password: str) -> str:
        """Add a user without any right beyond an ordinary user's; return the DN."""
        dn = f"CN={name},CN=Users,{BASE}"
        with self.administrator() as connection:
            attributes = {
                "objectClass": ["user"],
                "sAMAccountName": [name],
                "userAccountControl": ["66048"],  # normal, and the password does not expire
                "unicodePwd": [f'"{password}"'.encode("utf-16-le")],
            }
            connection.add(dn, attributes=attributes)
        return dn

    def find(self, base: str, text: str, *attributes: str, deleted: bool = False) -> list[Found]:
        """Search a subtree; return type, name (or references) and raw attributes."""
        with self.administrator() as connection:
            controls = [SHOW_DELETED] if deleted else None
            connection.search(base, text, attributes=attributes, controls=controls)
            return _found(connection)

    def show_deleted_to(self, dn: str) -> None:
        """Let an account list and read the tombstones, as ``dsacls … /G account:LCRP`` does.

        On the controller itself: the administrator, too, may change that only as its owner.
        """
        sid = _sid(self.find(dn, "(objectClass=*)", "objectSid")[0].raw["objectSid"][0])
        change = f"replace: nTSecurityDescriptor\nnTSecurityDescriptor: {_DELETED_DACL}"
        grant = f"(A;CI;RPLC;;;{sid})"
        _ldb(
            self._folder,
            "ldbmodify",
            f"dn: CN=Deleted Objects,{BASE}\nchangetype: modify\n{change}{grant}\n",
            "--controls=show_deleted:1",
        )

    def let_replicate(self, dn: str) -> None:
        """Grant an account "Replicating Directory Changes" (MS-ADTS 5.1.3.2.1)."""
        sid = _sid(self.find(dn, "(objectClass=*)", "objectSid")[0].raw["objectSid"][0])
        _run(
            *("samba-tool", "dsacl", "set", "-H", f"{self._folder}/private/sam.ldb"),
            *(f"--configfile={self.config}", f"--objectdn={BASE}"),
            f"--sddl=(OA;;CR;{_GET_CHANGES};;{sid})",
        )

    def modify(self, dn: str, changes: Changes) -> None:
        """Change an entry, as ldap3 writes changes."""
        with self.administrator() as connection:
            connection.modify(dn, changes)

    def delete(self, dn: str) -> None:
        """Delete an entry: a tombstone stays."""
        with self.administrator() as connection:
            connection.delete(dn)

    def undelete(self, guid: bytes, dn: str, attributes: Mapping[str, Sequence[str]]) -> None:
        """Call a tombstone back under a name, with some attributes (MS-ADTS 3.1.1.5.3.7)."""
        changes: dict[str, Any] = {
            "isDeleted": [("MODIFY_DELETE", [])],
            "distinguishedName": [("MODIFY_REPLACE", [dn])],
        }
        changes |= {name: [("MODIFY_REPLACE", values)] for name, values in attributes.items()}
        value = "".join(f"\\{octet:02x}" for octet in guid)
        tombstone = self.find(BASE, f"(objectGUID={value})", "cn", deleted=True)[0].dn
        with self.administrator() as connection:
            connection.modify(tombstone, changes, controls=[SHOW_DELETED])

    def rename(self, dn: str, name: str, parent: str | None = None) -> None:
        """Rename an entry, or move it below another one."""
        with self.administrator() as connection:
            connection.modify_dn(dn, name, new_superior=parent)

    def keep(self, folder: Path) -> None:
        """Back its data up, while it is not running."""
        assert self._process is None, "stop it first"
        _copy(self._folder / "private", folder)

    def restore(self, folder: Path) -> None:
        """Put a backup back, while it is not running, as nobody should: a USN rollback."""
        assert self._process is None, "stop it first"
        shutil.rmtree(self._folder / "private")
        _copy(folder, self._folder / "private")

    def _port(self, name: str) -> int:
        assert self._namespace is not None, "it was never started"
        return self._namespace.ports[_PORTS[name]]

    def _answers(self) -> bool:
        """Ask for nothing over LDAP: the forwarder takes connections also when it is down."""
        try:
            with socket.create_connection(("127.0.0.1", self._port("ldap")), 1) as asking:
                asking.sendall(_NOTHING)
                return asking.recv(1) == b"\x30"
        except OSError:
            return False


def _found(connection: ldap3.Connection) -> list[Found]:
    response: list[dict[str, Any]] = connection.response or []
    return [Found(r["type"], r.get("dn", ""), r.get("raw_attributes", {})) for r in response]


def _copy(source: Path, target: Path) -> None:
    """Copy a folder without its sockets."""

    def sockets(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if (Path(folder) / name).is_socket()]

    shutil.copytree(source, target, symlinks=True, ignore=sockets)


def _folder_of(config: Path) -> str:
    """Return the folder that a provisioned smb.conf speaks of."""
    found = re.search(r"^\s*private dir = (.*)/private$", config.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def _sid(raw: bytes) -> str:
    """Write a SID as text (MS-DTYP 2.4.2.1)."""
    parts = [int.from_bytes(raw[at : at + 4], "little") for at in range(8, len(raw), 4)]
    return "-".join(map(str, ("S", raw[0], int.from_bytes(raw[2:8], "big"), *parts)))


def _provision(folder: Path) -> None:
    done = subprocess.run(
        [
            *("samba-tool", "domain", "provision", f"--targetdir={folder}"),
            *("--realm=AD.EXAMPLE.COM", "--domain=EXAD", "--server-role=dc", "--host-name=dc1"),
            *("--dns-backend=NONE", "--use-rfc2307", f"--host-ip={ADDRESS}"),
            *(f"--adminpass={PASSWORD}", f"--option=interfaces={ADDRESS}/8"),
            *("--option=bind interfaces only=yes", "--option=server services=ldap"),
            *("--option=ldb:nosync=true", f"--option=log file={folder}/log.%m"),
            *(f"--option=pid directory={folder}", f"--option=ncalrpc dir={folder}/ncalrpc"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"samba-tool: {done.stdout}{done.stderr}")
    attributes = "".join(
        _NEW_ATTRIBUTE.format(name=name, cn=cn, oid=oid, syntax=syntax, om=om, schema=_SCHEMA)
        for name, cn, oid, (syntax, om) in _ATTRIBUTES
    )
    names = "".join(f"mayContain: {name}\n" for name, *_ in _ATTRIBUTES)
    _ldb(folder, "ldbadd", attributes)
    _ldb(folder, "ldbmodify", _SCHEMA_NOW)
    _ldb(
        folder,
        "ldbmodify",
        f"dn: CN=Mail-Recipient,{_SCHEMA}\nchangetype: modify\nadd: mayContain\n{names}",
    )
    _ldb(folder, "ldbmodify", _SCHEMA_NOW)


def _ldb(folder: Path, program: str, ldif: str, *options: str) -> None:
    _run(
        *(program, "-H", f"{folder}/private/sam.ldb", f"--configfile={folder}/etc/smb.conf"),
        *("--option=dsdb:schema update allowed=true", *options),
        given=ldif,
    )


def _run(*command: str, given: str = "") -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
