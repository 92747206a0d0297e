"""A Sendmail of one's own: unpacked beside Postfix, in a folder, on loopback.

Debian's Sendmail and Postfix exclude each other, so packaging/setup/sendmail.sh unpacks
Sendmail's packages into a cache, and nothing of it is installed.  It runs in a UTS
namespace of its own, because it sleeps for a minute where the host's name has no dot.
Clients are told apart by their loopback address, since Sendmail knows no XCLIENT;
127.0.0.1 may always relay, and so is no stranger.
"""

from __future__ import annotations

import os
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from codomain.errors import CodomainError
from codomain_cli import sendmail as lines
from codomain_cli.background import Background
from codomain_cli.loading import load
from codomain_cli.mainlines import is_here
from codomain_cli.private_postfix import LOOPBACK, free_ports
from codomain_cli.sinks import Sinks
from support.postfix import SECONDS, SENDER, Sent, message, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain_cli.sinks import Arrival

STRANGER = "127.0.0.3"
UNIX = "127.0.0.4"
TRUSTED = "127.0.0.5"

BASE = """\
divert(0)dnl
OSTYPE(`linux')dnl
undefine(`ALIAS_FILE')dnl
define(`ALIAS_FILE', `{folder}/aliases')dnl
define(`confDOMAIN_NAME', `gateway.test')dnl
define(`QUEUE_DIR', `{folder}/queue')dnl
define(`confPID_FILE', `{folder}/pid')dnl
define(`STATUS_FILE', `{folder}/statistics')dnl
define(`confSERVICE_SWITCH_FILE', `{folder}/service.switch')dnl
define(`confTO_IDENT', `0')dnl
define(`SMART_HOST', `internet:[127.0.0.1]')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`access_db', `hash -o -T<TMPF> {folder}/access', `skip')dnl
FEATURE(`delay_checks', `friend', `n')dnl
RELAY_DOMAIN(`127.0.0.5')dnl
DAEMON_OPTIONS(`Name=MTA, Family=inet, Addr=127.0.0.1, Port={port}')dnl
MODIFY_MAILER_FLAGS(`LOCAL', `-w5')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
MAILER_DEFINITIONS
Minternet,	P=[IPC], F=mDFMuXa, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, E=\\r\\n, L=990,
		T=DNS/RFC822/SMTP, A=TCP $h {internet}
LOCAL_CONFIG
Cwgateway.test {here}
"""
"""A small site without DNS, with the checks of Debian's own sendmail.mc.

What is foreign goes to the sink ``internet``.
"""

INI = """\
[codomain]
postfix = off
state_directory = {folder}
control_socket = {folder}/control

[policyd]
listen =
socketmap_listen = unix:{folder}/map
socket_group =

[milter]
listen = unix:{folder}/milter

[http]
listen = inet:127.0.0.1:{http}

[trust]
trusted_networks = 127.0.0.1, 127.0.0.5
"""
"""The daemon's part of the configuration."""

SITE = """\
[codomain]
postmaster = ann@corp.local

[domain example.com]
type = shared
deliver_to = exchange
recipient_delimiter = +

[domain corp.local]
type = authoritative
deliver_to = exchange

[domain lmtp.example.org]
type = authoritative
deliver_to = lmtp

[domain unix.example.net]
type = relay

[connector lmtp]
transport = lmtp
smart_hosts = unix:{folder}/lmtp-sink

[connector exchange]
smart_hosts = [127.0.0.1]:{exchange}
peers = 192.0.2.20

[connector unix]
smart_hosts = [127.0.0.1]:{unix}
address_spaces = example.com, unix.example.net
allow_relay = yes
peers = 127.0.0.4
"""
"""The site's part of the configuration, but for its directory."""


def unpacked() -> Path:
    """Return the folder of the unpacked packages.

    Raises:
        CodomainError: they are not there.

    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = cache / "codomain" / "sendmail"
    if not (root / "usr/libexec/sendmail/sendmail").exists():
        raise CodomainError(f"{root} holds no Sendmail: run packaging/setup/sendmail.sh")
    return root


class PrivateSendmail:
    """One instance: its files are made with it."""

    def __init__(self, folder: Path, mc: str) -> None:
        """Make sendmail.cf from a .mc, by the m4 that was unpacked with it."""
        self._folder = folder
        self._root = unpacked()
        self._process: subprocess.Popen[bytes] | None = None
        (self.port,) = free_ports(1)
        (folder / "queue").mkdir(mode=0o700)
        (folder / "aliases").touch()
        (folder / "service.switch").write_text("hosts files\naliases files\n")
        libraries = [os.fspath(path) for path in (self._root / "usr/lib").glob("*-linux-*")]
        self._environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries)}
        (folder / "sendmail.mc").write_text(mc.replace("{port}", str(self.port)))
        cf = self._root / "usr/share/sendmail/cf"
        done = subprocess.run(
            [
                self._root / "usr/bin/m4",
                f"-D_CF_DIR_={cf}/",
                cf / "m4/cf.m4",
                folder / "sendmail.mc",
            ],
            env=self._environment,
            capture_output=True,
            timeout=SECONDS,
            check=True,
        )
        assert not done.stderr, done.stderr
        (folder / "sendmail.cf").write_bytes(done.stdout)

    def command(self, *arguments: str) -> list[str]:
        """Return how Sendmail is run."""
        program = self._root / "usr/libexec/sendmail/sendmail"
        run = f'hostname smmx.gateway.test; exec "{program}" -C{self._folder}/sendmail.cf "$@"'
        return ["unshare", "-u", "sh", "-c", run, "sh", *arguments]

    def run(self, *arguments: str, text: bytes = b"") -> str:
        """Run Sendmail once, in the foreground, and return what it says."""
        done = subprocess.run(
            self.command(*arguments),
            env=self._environment,
            input=text,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return (done.stdout + done.stderr).decode(errors="replace")

    def connect(self, client: str, port: int = 0) -> smtplib.SMTP:
        """Open an SMTP session from a loopback address."""
        to = port or self.port
        session = smtplib.SMTP(LOOPBACK, to, "client.test", SECONDS, (client, 0))
        session.ehlo()
        return session

    def queued(self) -> int:
        """Count the messages that wait."""
        return len(list((self._folder / "queue").glob("qf*")))

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            self.command("-bD"),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(self._listens)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and the children that deliver."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        process.wait(SECONDS)
        # What still delivers or talks is of its session.
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except ProcessLookupError:
            return

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "sendmail ended"
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0


class SendmailLab:
    """Sendmail, codomain and the sinks around them."""

    def __init__(
        self, folder: Path, sinks: Sinks, ini: str, ports: dict[str, int], mc: str
    ) -> None:
        self.sinks = sinks
        names = ("exchange", "unix", "internet")
        self.ports = {name: ports.get(name) or sinks.smtp(name) for name in names}
        sinks.lmtp("lmtp", folder / "lmtp-sink")
        (http,) = free_ports(1)
        self.ini = folder / "codomain.ini"
        self.ini.write_text(INI.format(folder=folder, http=http))
        self.site = folder / "conf.d" / "site.ini"
        self.site.parent.mkdir()
        self.site.write_text(ini.replace("SITE", SITE.format(folder=folder, **self.ports)))
        config = load([self.ini])
        here = " ".join(domain.name for domain in config.domains if is_here(domain))
        base = BASE.format(folder=folder, port="{port}", here=here, internet=self.ports["internet"])
        self.sendmail = PrivateSendmail(folder, base + mc + lines.text(config))
        self.daemon = Background(self.ini, folder)
        self.folder = folder

    def send(self, client: str, *recipients: str, sender: str = SENDER, rcpt: str = "") -> Sent:
        """Send one message over SMTP, and close the session; ``rcpt`` are parameters of RCPT."""
        token = uuid.uuid4().hex
        with self.sendmail.connect(client) as session:
            code, answer = session.docmd("MAIL", f"FROM:<{sender}>")
            assert code == 250, answer
            replies = [_reply(session.docmd("RCPT", f"TO:<{to}>{rcpt}")) for to in recipients]
            if any(reply.startswith("2") for reply in replies):
                code, answer = session.data(message(token))
                assert code == 250, answer
        return Sent(token, tuple(replies))

    def replies(self, client: str, *recipients: str) -> list[str]:
        """Return the reply to each recipient, and send nothing."""
        with self.sendmail.connect(client) as session:
            session.docmd("MAIL", f"FROM:<{SENDER}>")
            return [_reply(session.docmd("RCPT", f"TO:<{to}>")) for to in recipients]

    def arrivals(self, token: str, count: int) -> list[tuple[str, str]]:
        """Wait for a message at its systems; return system and recipient, sorted."""

        def there(arrivals: list[Arrival]) -> bool:
            return sum(arrival.token == token for arrival in arrivals) >= count

        self.sinks.wait_for(there, SECONDS)
        return sorted((a.system, a.recipient) for a in self.sinks.arrived(token))

    def wait_until_empty(self) -> None:
        """Wait until Sendmail has nothing more to deliver."""
        wait_until(lambda: not self.sendmail.queued())

    def submit(self, *recipients: str) -> str:
        """Hand a message to Sendmail without SMTP, past the milter; return its token."""
        token = uuid.uuid4().hex
        self.sendmail.run("-f", SENDER, "--", *recipients, text=message(token))
        return token

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Take a socket away: ``map`` or ``milter``."""
        away = self.folder / f"{name}-away"
        (self.folder / name).rename(away)
        try:
            yield
        finally:
            away.rename(self.folder / name)


@contextmanager
def sendmail_lab(ini: str, mc: str = "", **ports: int) -> Iterator[SendmailLab]:
    """Run Sendmail and codomain on an INI, in which ``SITE`` stands for :data:`SITE`.

    ``mc`` are more lines of sendmail.mc, after the MAILER lines; ``ports`` are those of
    sinks that are somebody else's, by name.
    """
    # Sendmail opens no socket below a folder that everybody may write to, such as /tmp.
    folder = Path(tempfile.mkdtemp(prefix="codomain-sm-", dir="/run"))
    try:
        with Sinks() as sinks, ExitStack() as running:
            lab = SendmailLab(folder, sinks, ini, ports, mc)
            running.enter_context(lab.daemon)
            running.enter_context(lab.sendmail)
            yield lab
    finally:
        shutil.rmtree(folder)


def _reply(answer: tuple[int, bytes]) -> str:
    code, text = answer
    return f"{code} {text.decode(errors='replace')}"
