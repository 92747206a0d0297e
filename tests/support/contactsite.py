"""A gateway with a directory of its own, into which contacts are brought."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from codomain_cli.background import Background
from support import slapd as slapds
from support.site import run
from support.slapd import PASSWORD, Settings, Slapd

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = Path(__file__).parents[1] / "data" / "seed.csv"
"""The file of KB 321721, as it stands."""

BASE = "dc=xo,dc=one"
"""The base of the directory, for which the seed's file was written."""

ROOT = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: xo
dc: xo
"""
INI = """\
[codomain]
hostname = gateway.example.com
postfix = off
state_directory = {folder}/state
control_socket = {folder}/control
[policyd]
listen = unix:{folder}/policy
socketmap_listen =
socket_group =
[http]
listen = unix:{folder}/http
[cache]
not_found_ttl = 1h
found_ttl = 1h
[domain xo.one]
type = authoritative
[domain remote.domain]
type = {remote}
[connector remote]
smart_hosts = [192.0.2.60]
address_spaces = remote.domain
allow_relay = yes
[directory people]
type = ldap
servers = {servers}
schema = active-directory
base = {base}
bind_dn = {login}
bind_password_file = {folder}/password
{keys}
"""


class Command(NamedTuple):
    """How a command ended."""

    status: int
    """Its exit status."""

    lines: list[str]
    """What it printed."""

    errors: str
    """What it printed elsewhere."""


class XoSlapd(Slapd):
    """A slapd below dc=xo,dc=one; ``schema`` changes the text of its schema."""

    def __init__(
        self, folder: Path, ldif: str = ROOT, schema: Callable[[str], str] | None = None
    ) -> None:
        self._change = schema or (lambda text: text)
        folder.mkdir(parents=True)
        super().__init__(folder / "d", ldif, Settings())

    def entries(self) -> str:
        """Return all data without what each writing changes."""
        kept = [
            line
            for line in self.export().splitlines()
            if not line.startswith(("entryCSN", "modifyTimestamp", "createTimestamp", "entryUUID"))
        ]
        return "\n".join(kept)

    def _config(self, settings: Settings) -> str:
        text = super()._config(settings).replace(slapds.BASE, BASE)
        path = Path(slapds.__file__).with_name("ad_schema.ldif")
        own = self._folder / "schema.ldif"
        own.write_text(self._change(path.read_text()))
        return text.replace(f"file://{path}", f"file://{own}")


class Gateway:
    """One configuration over one directory."""

    def __init__(
        self,
        folder: Path,
        servers: str,
        *,
        base: str = BASE,
        login: str = f"cn=admin,{BASE}",
        password: str = PASSWORD,
        keys: str = "",
        remote: str = "shared",
    ) -> None:
        self.folder = folder
        self.ini = folder / "codomain.ini"
        secret = folder / "password"
        secret.write_text(password)
        secret.chmod(0o600)
        self._values = {"servers": servers, "base": base, "login": login, "keys": keys}
        self.write(remote=remote)

    def write(self, more: str = "", **values: str) -> None:
        """Write the INI, with other values than before where some are given."""
        self._values |= values
        self.ini.write_text(INI.format(folder=self.folder, **self._values) + more)

    def file(self, text: str | bytes, name: str = "contacts.csv") -> Path:
        """Write a file."""
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def contacts(self, *arguments: str | Path) -> Command:
        """Run ``codomain contacts`` to its end."""
        done = self.run("contacts", *arguments)
        return Command(done.returncode, done.stdout.splitlines(), done.stderr)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return run(*arguments, "--config", self.ini)

    def start(
        self,
        *arguments: str | Path,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.STDOUT,
    ) -> subprocess.Popen[bytes]:
        """Start a command; whoever does ends it."""
        code = "from codomain_cli.main import main; main()"
        words = [os.fspath(argument) for argument in arguments]
        return subprocess.Popen(
            [sys.executable, "-c", code, *words, "--config", os.fspath(self.ini)],
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )

    def serve(self) -> Background:
        """Return the daemon, not started yet."""
        return Background(self.ini, self.folder)

    def export(self, name: str = "export.csv", *options: str) -> bytes:
        """Export the contacts, and return the file."""
        path = self.folder / name
        done = self.contacts("export", path, *options)
        assert done.status == 0, done
        return path.read_bytes()
