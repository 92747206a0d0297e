"""`codomain serve` with `mode = sync`: the index answers at the doors, whatever LDAP does."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from codomain.directory.index import IndexWriter, index_path, source_of
from codomain_cli.background import Background
from support.doors import policy_request
from support.indexes import people, person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 20.0
"""The bound of every wait; on a quiet machine all of them take less than a second."""


@dataclass
class Section:
    """What an index of the site is made from."""

    base: str = "dc=example,dc=com"
    scope: str = "subtree"
    filter: str = ""
    schema: str = "inetorgperson"


class Site:
    """A daemon in front of a directory that is down, and the follower that one plays oneself."""

    def __init__(self, folder: Path) -> None:
        self.ini = folder / "codomain.ini"
        self.policy = folder / "policy"
        self.http = folder / "http"
        self.path = index_path(folder, "ad")
        self._idle = socket.socket()  # bound, and nobody listens: a connection is refused
        self._idle.bind(("127.0.0.1", 0))
        self.ini.write_text(
            "[codomain]\nhostname = mx.example.com\npostfix = off\n"
            f"state_directory = {folder}\ncontrol_socket = {folder}/control\n"
            f"[policyd]\nlisten = unix:{self.policy}\nsocketmap_listen =\nsocket_group =\n"
            f"[http]\nlisten = unix:{self.http}\n"
            "[domain example.com]\ntype = authoritative\n[directory ad]\ntype = ldap\n"
            f"servers = ldap://127.0.0.1:{self._idle.getsockname()[1]}\nmode = sync\n"
            "schema = inetorgperson\nbase = dc=example,dc=com\non_miss = none\n"
        )
        self.daemon = Background(self.ini, folder)
        self.writer = IndexWriter(self.path, source_of(Section()))  # type: ignore[arg-type]

    def load(self, *names: str) -> None:
        """Load an index of mailboxes by these names."""
        with self.writer.load() as whole:
            for name, entry in people(names).items():
                whole.put(name, entry)
            whole.commit(cookie=b"", synced=time.time(), max_shrink=None)

    def ask(self, recipient: str) -> str:
        """Ask the policy server about a recipient as a stranger, on a new connection."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(self.policy))
            client.sendall(policy_request(recipient=recipient, client_address="198.51.100.7"))
            return client.recv(4096).decode().strip()

    def get(self, path: str) -> str:
        """Get a page of the admin door: the status and the text."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(self.http))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        head, _, body = answer.partition("\r\n\r\n")
        return f"{head.split()[1]} {body}"

    def close(self) -> None:
        """End it all."""
        self.daemon.stop()
        self.writer.close()
        self._idle.close()


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a site; socket paths must be short."""
    made = Site(tmp_path_factory.mktemp("s"))
    yield made
    made.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_index_answers_while_the_directory_is_down(site: Site) -> None:
    """Hits and misses, no 451, ready, and the metrics of architecture.md."""
    site.load("ann")
    site.daemon.start()
    assert site.ask("ann@example.com") == "action=DUNNO"
    assert site.ask("nobody@example.com").startswith("action=550 5.1.1 ")
    until(lambda: site.get("/readyz").startswith("200 "))
    metrics = site.get("/metrics")
    assert 'codomain_index_entries{directory="ad"} 1.0' in metrics
    assert 'codomain_index_usable{directory="ad"} 1.0' in metrics
    synced = re.search(
        r'^codomain_index_synced_timestamp_seconds\{directory="ad"\} (\S+)$', metrics, re.MULTILINE
    )
    assert synced is not None
    assert abs(float(synced[1]) - time.time()) < SECONDS
    site.daemon.wait_for_log("directory down, the index answers")


def test_in_an_outage_who_is_not_in_the_index_waits_and_the_gateway_is_ready(site: Site) -> None:
    """`on_miss = live`, and the follower has fallen silent: 451, hits as ever, /readyz 200."""
    site.ini.write_text(site.ini.read_text().replace("on_miss = none\n", ""))
    site.load("ann")
    site.daemon.start()

    def refused() -> bool:
        site.writer.confirm(time.time())
        return site.ask("nobody@example.com").startswith("action=550 5.1.1 ")

    until(refused)
    site.daemon.wait_for_log("index behind")
    until(lambda: site.ask("nobody@example.com").startswith("action=451 4.4.3 "))
    for n in range(30):
        assert site.ask(f"no{n}@example.com").startswith("action=451 4.4.3 ")
    assert site.ask("ann@example.com") == "action=DUNNO"
    assert site.get("/readyz").startswith("200 ")
    assert "searches fail" not in site.daemon.logged()


def test_a_change_reaches_answers_that_a_door_keeps(site: Site) -> None:
    """Kept verdicts go as soon as the index has changed, and stay while it only beats."""
    site.load("ann")
    site.daemon.start()
    for _ in range(3):
        assert site.ask("ann@example.com") == "action=DUNNO"
        assert site.ask("bob@example.com").startswith("action=550 5.1.1 ")
    site.writer.change([(b"ann", None), (b"bob", person("bob"))], cookie=b"", synced=time.time())
    until(lambda: site.ask("ann@example.com").startswith("action=550 5.1.1 "))
    assert site.ask("bob@example.com") == "action=DUNNO"


def test_without_an_index_the_mail_waits_for_the_directory(site: Site) -> None:
    """Nothing loaded yet, and LDAP down: 451, never 550; with the first load it answers."""
    site.daemon.start()
    assert site.ask("ann@example.com").startswith("action=451 4.4.3 ")
    assert "index not usable" in site.daemon.logged()
    site.load("ann")
    until(lambda: site.ask("nobody@example.com").startswith("action=550 5.1.1 "))
    assert site.ask("ann@example.com") == "action=DUNNO"


def test_a_damaged_index_is_a_451_and_the_daemon_lives(site: Site) -> None:
    """Cut under its hands: no crash and no 550, and the new index serves without a restart."""
    names = [f"p{n}" for n in range(3000)]
    site.load(*names)
    site.daemon.start()
    assert site.ask("p2999@example.com") == "action=DUNNO"
    os.truncate(site.path / "data.mdb", 16384)
    for n in range(0, 3000, 100):
        # A verdict that the door kept is right still.
        assert site.ask(f"p{n}@example.com")[:11] in {"action=451 ", "action=DUNNO"}
    assert site.ask("nobody@example.com").startswith("action=451 4.4.3 ")
    site.daemon.wait_for_log("index not usable")
    assert site.daemon.pid
    site.writer.close()
    site.writer = IndexWriter(site.path, source_of(Section()))  # type: ignore[arg-type]
    assert not site.writer.status.complete
    site.load(*names)
    until(lambda: site.ask("nobody@example.com").startswith("action=550 5.1.1 "))
    assert site.ask("p2999@example.com") == "action=DUNNO"


def test_a_reload_keeps_the_index_in_service(site: Site) -> None:
    """SIGHUP brings a new runtime; LMDB's file is shared, and serves on when the old one ends."""
    site.load("ann")
    site.daemon.start()
    site.daemon.reload()
    site.daemon.wait_for_log("configuration in force", times=2)
    assert site.ask("ann@example.com") == "action=DUNNO"
    site.writer.change([(b"bob", person("bob"))], cookie=b"", synced=time.time())
    until(lambda: site.ask("bob@example.com") == "action=DUNNO")


def run(before: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, after some Python."""
    code = f"{before}\nfrom codomain_cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *[os.fspath(argument) for argument in arguments]],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("command", ["serve", "check"])
def test_sync_without_py_lmdb_is_one_line_that_names_the_package(site: Site, command: str) -> None:
    """Status 78 (EX_CONFIG), before anything is opened."""
    done = run("import sys; sys.modules['lmdb'] = None", command, "--config", site.ini)
    assert done.returncode == 78
    said = done.stdout + done.stderr
    assert "python3-lmdb" in said.replace("\n", " ")
    assert "Traceback" not in said


def test_a_site_without_sync_needs_no_py_lmdb(site: Site) -> None:
    """Neither LDAP nor the follower's keys bring it in."""
    site.ini.write_text(site.ini.read_text().replace("mode = sync", "mode = live"))
    done = run("import sys; sys.modules['lmdb'] = None", "check", "--config", site.ini)
    assert "the configuration can be used" in done.stdout, done.stdout + done.stderr
