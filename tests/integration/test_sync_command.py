"""``codomain sync`` as a process: exit statuses, signals, status, and death at any moment."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import ldap3
import pytest

from codomain.directory.index import IndexWriter, index_path, source_of
from codomain_cli.background import Background
from support.doors import policy_request
from support.followed import until
from support.ldapsection import Section
from support.slapd import ADMIN, BASE, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from codomain.directory.base import Recipient
    from support.slapd import Slapd

    Maker = Callable[..., Slapd]

RUN = "from codomain_cli.main import main; main()"
PEOPLE = f"ou=people,{BASE}"
LOG = ("olcSpSessionlog: 1000",)
SECONDS = 30.0
KILL_SECONDS = 15.0
"""How long the storm of kills blows."""


class Site:
    """One configuration in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = folder / "codomain.ini"
        self.log = folder / "log"

    def write(self, server: str, more: str = "", mode: str = "sync") -> None:
        """Write the INI."""
        self.ini.write_text(
            "[codomain]\nhostname = mx.example.com\npostfix = off\n"
            f"state_directory = {self.folder / 'state'}\n"
            "[domain example.com]\ntype = authoritative\n"
            f"[directory people]\nservers = {server}\nbase = {BASE}\nmode = {mode}\n{more}\n"
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [sys.executable, "-c", RUN, "sync", "--config", os.fspath(self.ini), *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    @contextmanager
    def service(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the command as a service, ready; killed at the end where it still runs."""
        with self.starting(*arguments) as (process, inbox):
            assert self.ready(inbox)
            yield process

    @contextmanager
    def starting(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
        """Run the command as a service, and give where it says that it is ready."""
        name = self.folder / "n"
        name.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox, self.log.open("ab") as log:
            inbox.bind(os.fspath(name))
            process = subprocess.Popen(
                [sys.executable, "-c", RUN, "sync", "--config", os.fspath(self.ini), *arguments],
                env={**os.environ, "NOTIFY_SOCKET": os.fspath(name)},
                stdout=log,
                stderr=log,
            )
            try:
                yield process, inbox
            finally:
                process.kill()
                process.wait()

    def ready(self, inbox: socket.socket, seconds: float = SECONDS) -> bool:
        """Tell whether it says within a time that it is ready."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            inbox.settimeout(left)
            try:
                if b"READY=1" in inbox.recv(4096):
                    return True
            except TimeoutError:
                break
        return False

    def logged(self, text: str) -> bool:
        """Tell whether a text stands in the log of the service."""
        return text in self.log.read_text()

    def status(self) -> dict[str, object]:
        """Return what --status --json says of the one directory."""
        (facts,) = json.loads(self.run("--status", "--json").stdout)
        return dict(facts)

    def contents(self) -> dict[bytes, Recipient | None]:
        """Return what the index holds, while nobody writes it."""
        path = index_path(self.folder / "state", "people")
        writer = IndexWriter(path, source_of(Section(())))
        try:
            return {identity: writer.get(identity) for identity in list(writer.ids())}
        finally:
            writer.close()


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give a site; socket paths must be short."""
    return Site(tmp_path_factory.mktemp("s"))


def test_once_loads_and_ends_with_zero(site: Site, new_slapd: Maker) -> None:
    """0: the index is in step; duplicates are named once, with both DNs."""
    slapd = new_slapd(syncprov=LOG)
    site.write(slapd.ldap)
    done = site.run("--once")
    assert done.returncode == 0, done.stderr
    assert "event=loading" in done.stderr
    assert len(site.contents()) == 11
    (line,) = [line for line in done.stderr.splitlines() if "event=duplicate" in line]
    assert "address=twice@example.com" in line
    assert f"cn=Twice by mail,{PEOPLE}" in line
    assert f"cn=Twice by proxy,{PEOPLE}" in line


def test_terminal_gets_a_bar_and_no_lines_of_progress(site: Site, new_slapd: Maker) -> None:
    """On a terminal a bar shows how far a load is; elsewhere lines of the log do."""
    slapd = new_slapd(syncprov=LOG)
    site.write(slapd.ldap)
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "sync", "--once", "--config", os.fspath(site.ini)],
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )
    finally:
        os.close(theirs)
    shown = b""
    with suppress(OSError):  # a terminal that nobody holds any more
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    assert process.wait(SECONDS) == 0
    assert "━".encode() in shown
    assert b"event=loading" not in shown
    assert b"event=loaded" in shown


def test_directory_that_is_down_ends_with_75(site: Site) -> None:
    """EX_TEMPFAIL: the directory does not answer, and the log says why."""
    site.write("ldap://127.0.0.1:1")
    done = site.run("--once")
    assert done.returncode == 75
    assert "not followed" in done.stderr
    assert "ldap://127.0.0.1:1" in done.stderr


def test_shrink_ends_with_1_until_it_is_accepted(site: Site, new_slapd: Maker) -> None:
    """A negative answer: a human must look; the line says how to accept it."""
    slapd = new_slapd(syncprov=LOG)
    site.write(slapd.ldap)
    assert site.run("--once").returncode == 0
    site.write(slapd.ldap, "filter = (cn=Bob)")
    done = site.run("--once")
    assert done.returncode == 1
    assert "codomain sync --once --accept-shrink people" in done.stderr
    assert site.run("--once", "--accept-shrink", "people").returncode == 0


@pytest.mark.parametrize(
    ("more", "mode", "name", "said"),
    [
        ("", "live", "people", "no [directory] has mode = sync"),
        ("", "sync", "other", "[directory other] is not there"),
        ("filter = (mail=%s)", "sync", "people", "%s stands for one address"),
        ("scop = base", "sync", "people", "scop"),
    ],
)
def test_configuration_that_cannot_be_followed_ends_with_78(
    site: Site, more: str, mode: str, name: str, said: str
) -> None:
    """EX_CONFIG, and a line that names what is wrong."""
    site.write("ldap://x.example", more, mode)
    done = site.run("--once", name)
    assert done.returncode == 78
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_second_follower_is_refused_with_one_line(site: Site, new_slapd: Maker) -> None:
    """75: one writer for an index; the first one goes on."""
    slapd = new_slapd(syncprov=LOG)
    site.write(slapd.ldap)
    with site.service() as process:
        done = site.run("--once")
        assert done.returncode == 75
        assert "another process writes this index" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert process.poll() is None


def test_term_ends_it_cleanly(site: Site, new_slapd: Maker) -> None:
    """0 after SIGTERM, at once, and the index stays usable."""
    slapd = new_slapd(syncprov=LOG)
    site.write(slapd.ldap)
    with site.service() as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    assert site.status()["usable"]


def test_it_is_ready_after_the_first_load_and_not_before(site: Site, new_slapd: Maker) -> None:
    """sd_notify(3): a unit that needs the index starts when there is one."""
    slapd = new_slapd(syncprov=LOG)
    site.write(slapd.ldap)
    slapd.stop()
    with site.starting() as (_, inbox):
        until(lambda: site.logged("not followed"))
        assert not site.ready(inbox, 0.1)
        slapd.start()
        assert site.ready(inbox)
    slapd.stop()
    with site.service():  # the index of the last time serves: ready at once
        pass


def test_status_tells_how_an_index_is_followed(site: Site, new_slapd: Maker) -> None:
    """Entries, addresses, age, the way, the server, the last error; 1: it cannot be used."""
    slapd = new_slapd(syncprov=LOG)
    site.write(slapd.ldap)
    nothing = site.run("--status")
    assert nothing.returncode == 1
    assert "not usable" in " ".join(nothing.stdout.split())  # a long path is folded
    with site.service():
        facts = site.status()
        assert (facts["entries"], facts["addresses"]) == (11, 17)
        assert (facts["how"], facts["server"], facts["error"]) == ("syncrepl", slapd.ldap, "")
        assert isinstance(facts["age"], float)
        assert facts["age"] < 10
        human = site.run("--status")
        assert human.returncode == 0
        assert "11, with 17 addresses" in human.stdout
        assert "twice@example.com" in human.stdout
        slapd.stop()
        until(lambda: site.status()["error"])
        facts = site.status()
        assert facts["how"] == ""
        assert slapd.ldap in str(facts["error"])
        assert facts["usable"]


def test_reload_follows_what_is_new_and_keeps_a_bad_one_out(site: Site, new_slapd: Maker) -> None:
    """SIGHUP: a bad configuration is logged, a good one takes effect without a restart."""
    one, two = new_slapd(syncprov=LOG), new_slapd(syncprov=LOG)
    site.write(one.ldap)
    with site.service() as process:
        site.write(one.ldap, "filter = (mail=%s)")
        process.send_signal(signal.SIGHUP)
        until(lambda: site.logged("the configuration in force stays"))
        site.write(one.ldap)
        assert site.status()["server"] == one.ldap
        site.write(two.ldap)
        process.send_signal(signal.SIGHUP)
        until(lambda: site.status()["server"] == two.ldap)
        assert process.poll() is None


def test_daemon_answers_from_what_is_followed(site: Site, new_slapd: Maker) -> None:
    """A change is seen by who asks the daemon; with the server down everything goes on."""
    slapd = new_slapd(syncprov=LOG)
    policy = site.folder / "p"
    more = (
        f"[policyd]\nlisten = unix:{policy}\nsocketmap_listen =\nsocket_group =\n[http]\nlisten ="
    )
    site.write(slapd.ldap, more)

    def ask(recipient: str) -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(policy))
            client.sendall(policy_request(recipient=recipient, client_address="198.51.100.7"))
            return client.recv(4096).decode().strip()

    with site.service(), Background(site.ini, site.folder):
        until(lambda: ask("ann@example.com") == "action=DUNNO")
        assert ask("new@example.com").startswith("action=550 5.1.1 ")
        attributes = {
            "objectClass": ["user"],
            "cn": ["New"],
            "sn": ["N"],
            "mail": ["new@example.com"],
        }
        slapd.add(f"cn=New,{PEOPLE}", attributes)
        until(lambda: ask("new@example.com") == "action=DUNNO")
        slapd.delete(f"cn=New,{PEOPLE}")
        until(lambda: ask("new@example.com").startswith("action=550 5.1.1 "))
        slapd.stop()
        assert ask("ann@example.com") == "action=DUNNO"
        assert ask("never@example.com").startswith("action=550 5.1.1 ")


def test_kills_at_any_moment_leave_the_index_equal_to_the_directory(
    site: Site, new_slapd: Maker, request: pytest.FixtureRequest
) -> None:
    """Kill -9 of the follower while entries change: what is found is what was there."""
    seed = int(os.environ.get("CODOMAIN_SEED", "0")) or random.randrange(1, 1 << 30)
    chance = random.Random(seed)
    slapd = new_slapd(syncprov=LOG)
    site.write(slapd.ldap, "max_shrink = 100%")
    connection = ldap3.Connection(
        ldap3.Server(slapd.ldap, get_info=ldap3.NONE), ADMIN, PASSWORD, check_names=False
    )
    connection.bind()
    request.addfinalizer(connection.unbind)
    names: set[str] = set()

    def change(count: int) -> None:
        for _ in range(count):
            name = f"k{chance.randrange(40)}"
            dn = f"cn={name},{PEOPLE}"
            if name not in names:
                attributes = {"cn": name, "sn": name, "mail": f"{name}@example.com"}
                connection.add(dn, "user", attributes)
                names.add(name)
            elif chance.random() < 0.5:
                connection.delete(dn)
                names.remove(name)
            else:
                mail = f"{name}.{chance.randrange(99)}@example.com"
                connection.modify(dn, {"mail": [(ldap3.MODIFY_REPLACE, [mail])]})

    kills = 0
    end = time.monotonic() + KILL_SECONDS
    while time.monotonic() < end:
        with site.starting() as (process, inbox):
            stop = time.monotonic() + chance.uniform(0.0, 1.5)
            if chance.random() < 0.7:
                site.ready(inbox, 5.0)
                stop = time.monotonic() + chance.uniform(0.0, 0.3)
            while time.monotonic() < stop:
                change(chance.randrange(1, 10))
            process.kill()
        kills += 1
        change(chance.randrange(10))
    done = site.run("--once")
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    assert "set aside" not in site.log.read_text(), f"seed {seed}"
    connection.search(PEOPLE, "(cn=k*)", attributes=["mail"])
    answers = connection.response or []
    expected = {entry["dn"]: entry["attributes"]["mail"] for entry in answers}
    entries = [entry for entry in site.contents().values() if entry is not None]
    found = {entry.dn: list(entry.addresses) for entry in entries if entry.dn.startswith("cn=k")}
    assert found == expected, f"seed {seed}, {kills} kills"
    assert len(entries) == len(expected) + 11, f"seed {seed}: people.ldif has eleven of them"
    assert kills > 3
