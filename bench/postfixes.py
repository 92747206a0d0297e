"""The Postfixes of the bench: one for each way to check recipients, and the load on them.

All run at once, each with its own queue, against one slapd and two daemons: one that
searches live, one that answers from the local index.  ``smtp`` of each is discard(8), so
that mail which leaves costs the same for all.  postfix-ldap is unpacked into a cache where
it is not installed: nothing of the system is changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from codomain_cli import postfix as lines
from codomain_cli.background import Background
from codomain_cli.loading import load
from codomain_cli.private_postfix import PrivatePostfix
from figures import Family, used

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.slapd import Slapd

HERE = Path(__file__).resolve().parent
META = Path("/etc/postfix")
LIBRARY = Path("/usr/lib/postfix/postfix-ldap.so")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "codomain"

SESSIONS = 8
RECIPIENTS = 50
"""Of a message."""

QUEUE_SECONDS = 60.0
"""After so long the mail of a load must have left."""

NEXT_HOP = "smtp:[192.0.2.20]"

MAIN = {
    "relay_domains": "example.com",
    "relay_transport": NEXT_HOP,
    "mynetworks": "192.0.2.99/32",
    "transport_retry_time": "1h",
    "smtpd_soft_error_limit": "1000000",
    "smtpd_hard_error_limit": "1000000",
    "smtpd_error_sleep_time": "0",
    "max_use": "1000000",
    "max_idle": "1h",
}
"""The load is a stranger's; no process ends, so that starting one never counts."""

INI = """\
[codomain]
postfix = off
hostname = gateway.test
postmaster = user00000@example.com
state_directory = {folder}
control_socket = {folder}/control
log_level = warning
[policyd]
listen = unix:{folder}/policy
socketmap_listen = unix:{folder}/map
socket_group =
socket_mode = 0666
[http]
listen =
[milter]
listen = unix:{folder}/milter
[trust]
trusted_networks = 192.0.2.99/32
[domain example.com]
type = authoritative
deliver_to = exchange
[connector exchange]
smart_hosts = [192.0.2.20]
[directory people]
servers = {servers}
base = dc=example,dc=com
schema = inetorgperson
mode = {mode}
"""

RUN = "from codomain_cli.main import main; main()"

LDAP = """\
server_host = {servers}
version = 3
bind = no
search_base = dc=example,dc=com
query_filter = (mail=%s)
result_attribute = mail
{more}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One load."""

    prefix: str = "user"
    """``user``: known recipients, ``guess``: unknown ones."""

    first: int = 0
    count: int = 2000
    draw: str = "uniform"
    """``uniform``, or ``each`` in turn."""

    send: bool = False
    """Whether the messages are sent, and delivered to nowhere."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one recipient cost, in microseconds of CPU."""

    postfix: float
    ours: float
    """Codomain's, and what follows the directory for it."""

    slapd: float
    rate: float
    """Recipients a second."""

    @property
    def sum(self) -> float:
        """Postfix and codomain."""
        return self.postfix + self.ours


@dataclass(frozen=True, slots=True)
class Case:
    """A way to check recipients: what main.cf says."""

    name: str
    main: Mapping[str, str] = field(default_factory=dict)
    printed: str = ""
    """The INI whose lines ``codomain postfix`` prints for it."""

    milter: bool = False


class Daemon:
    """``codomain serve`` on a slapd, and ``codomain sync`` beside it where it has an index."""

    def __init__(self, folder: Path, slapd: Slapd, mode: str) -> None:
        folder.mkdir(mode=0o755)
        self.folder = folder
        self.ini = folder / "codomain.ini"
        self.ini.write_text(INI.format(folder=folder, servers=slapd.ldap, mode=mode))
        self.serving = Background(self.ini, folder)
        self.mode = mode
        self.syncing: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; the index is complete before."""
        if self.mode == "sync":
            command = [sys.executable, "-c", RUN, "sync", "--config", os.fspath(self.ini)]
            log = (self.folder / "sync.log").open("wb")
            subprocess.run([*command, "--once"], check=True, stdout=log, stderr=log)
            self.syncing = subprocess.Popen(command, stdout=log, stderr=log)
            log.close()
        self.serving.start()

    def stop(self) -> None:
        """Stop it."""
        self.serving.stop()
        if self.syncing is not None:
            self.syncing.terminate()
            self.syncing.wait()

    def used(self) -> int:
        """Return the nanoseconds of CPU of both of its processes."""
        return used(self.serving.pid) + (0 if self.syncing is None else used(self.syncing.pid))


def ldap_library() -> Path:
    """Return postfix-ldap's library, unpacked into the cache where it is not installed."""
    if LIBRARY.exists():
        return LIBRARY
    cached = CACHE / "postfix-ldap"
    library = cached / LIBRARY.relative_to("/")
    if not library.exists():
        cached.mkdir(parents=True, exist_ok=True)
        options = ("-q", "-o", "APT::Sandbox::User=root")
        done = subprocess.run(
            ["apt-get", *options, "download", "postfix-ldap"],
            cwd=cached,
            check=False,
            stdout=subprocess.DEVNULL,
        )
        packages = sorted(cached.glob("*.deb"))
        if done.returncode or not packages:
            sys.exit("postfix-ldap cannot be downloaded; apt-get install postfix-ldap")
        subprocess.run(["dpkg-deb", "-x", packages[-1], cached], check=True)
    return library


def ldap_map(folder: Path, name: str, servers: str, more: str = "") -> str:
    """Write the file of an ldap: map, and return the map."""
    path = folder / f"{name}.cf"
    path.write_text(LDAP.format(servers=servers, more=more))
    return f"ldap:{path}"


class Instance:
    """A Postfix of one case."""

    def __init__(self, folder: Path, case: Case, smtp: Path) -> None:
        self.case = case
        self.smtp = smtp
        config = folder / "etc"
        self.postfix = PrivatePostfix(folder, {**MAIN, **case.main, "meta_directory": f"{config}"})
        # So the maps of this Postfix alone know ldap:.  proxymap loads it as its own user.
        library = shutil.copy(ldap_library(), config)
        (config / "dynamicmaps.cf").write_text(f"ldap\t{library}\tdict_ldap_open\n")
        shutil.copy(META / "postfix-files", config)
        (config / "postfix-files.d").mkdir()
        if case.printed:
            ini = load([Path(case.printed)])
            host = lines.read(f"{config}")
            self.postfix.add(
                lines.main_text(ini, host, milter=case.milter),
                lines.master_text(ini, host, milter=case.milter),
            )
        for change in ("*/*/chroot=n", "smtp/unix/command=discard"):
            self.postfix.run("postconf", "-c", f"{config}", "-F", change)
        self.postfix.settle()

    def start(self) -> None:
        """Start it."""
        self.postfix.start()
        master = int((self.postfix.queue / "pid" / "master.pid").read_text())
        self.family = Family(master)

    def drive(self, load: Load, messages: int) -> dict[str, int]:
        """Send so many messages in each session, and wait until all of them have left."""
        done = subprocess.run(
            [
                *(self.smtp, f"{self.postfix.port}", f"{SESSIONS}", f"{messages}"),
                *(f"{RECIPIENTS}", load.prefix, f"{load.first}", f"{load.count}", load.draw),
                "send" if load.send else "leave",
            ],
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{self.case.name}: the load failed\n{self.postfix.logged()[-3000:]}")
        end = time.monotonic() + QUEUE_SECONDS
        while load.send and self._queued():
            if time.monotonic() > end:
                sys.exit(f"{self.case.name}: mail stays\n{self.postfix.logged()[-3000:]}")
            time.sleep(0.02)
        numbers: dict[str, int] = json.loads(done.stdout)
        return numbers

    def _queued(self) -> bool:
        folders = (self.postfix.queue / name for name in ("incoming", "active", "deferred"))
        return any(names for folder in folders for _, _, names in os.walk(folder))


class Lab:
    """All of them."""

    def __init__(self, folder: Path, slapd: Slapd) -> None:
        self.folder = folder
        self.slapd = slapd
        self.smtp = folder / "smtp"
        command = ["gcc", "-O2", "-o", str(self.smtp), str(HERE / "smtp.c"), "-lpthread"]
        subprocess.run(command, check=True)
        self.daemons = {mode: Daemon(folder / mode, slapd, mode) for mode in ("live", "sync")}
        self.instances: dict[str, Instance] = {}

    def start(self, cases: list[Case]) -> None:
        """Start everything."""
        for daemon in self.daemons.values():
            daemon.start()
        for number, case in enumerate(cases):
            instance = Instance(self.folder / f"postfix{number}", case, self.smtp)
            instance.start()
            self.instances[case.name] = instance

    def stop(self) -> None:
        """Stop what runs."""
        for instance in self.instances.values():
            instance.postfix.stop()
        for daemon in self.daemons.values():
            daemon.stop()

    def measure(self, name: str, load: Load, messages: int) -> Cost:
        """Measure one load on one case; every recipient must get the answer that it should."""
        instance = self.instances[name]
        counted = SESSIONS * RECIPIENTS * messages
        ours = sum(daemon.used() for daemon in self.daemons.values())
        slapd = used(self.slapd.pid)
        instance.family.begin()
        numbers = instance.drive(load, messages)
        spent = instance.family.spent()
        ours = sum(daemon.used() for daemon in self.daemons.values()) - ours
        slapd = used(self.slapd.pid) - slapd
        accepts = load.prefix == "user" or name == "no check"
        if numbers["accepted" if accepts else "refused"] != counted:
            sys.exit(f"{name}: {numbers}\n{instance.postfix.logged()[-3000:]}")
        return Cost(
            spent / counted / 1000,
            ours / counted / 1000,
            slapd / counted / 1000,
            counted / numbers["elapsed"] * 1e9,
        )
