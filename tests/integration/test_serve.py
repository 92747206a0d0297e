"""`codomain serve` as a process: start, faults at the start, readiness, reload and stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from codomain_cli.background import Background
from support.doors import policy_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.slapd import Slapd

SECONDS = 20.0
"""The bound of every wait; on a quiet machine all of them take less than a second."""

PEOPLE = """\
dn: cn=Ann,dc=example,dc=com
objectClass: user
cn: Ann
mailNickname: ann
proxyAddresses: SMTP:ann@example.com
"""


class Site:
    """One configuration in a folder of its own, and whoever asks the daemon."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = folder / "codomain.ini"
        self.policy = folder / "policy"
        self.http = folder / "http"
        self.people = folder / "people.ldif"
        self.people.write_text(PEOPLE)
        self.write(f"type = files\npath = {self.people}")

    def write(self, directory: str, more: str = "") -> None:
        """Write the INI around a directory's section."""
        self.ini.write_text(
            "[codomain]\nhostname = mx.example.com\npostfix = off\n"
            f"[policyd]\nlisten = unix:{self.policy}\nsocketmap_listen =\nsocket_group =\n"
            f"[http]\nlisten = unix:{self.http}\n"
            "[domain example.com]\ntype = authoritative\n"
            f"[directory people]\n{directory}\n{more}"
        )

    def serve(self) -> Background:
        """Return the daemon, not started yet."""
        return Background(self.ini, self.folder)

    def ask(self, recipient: str) -> str:
        """Ask the policy server about a recipient as a stranger, on a new connection."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(self.policy))
            client.sendall(policy_request(recipient=recipient, client_address="198.51.100.7"))
            return client.recv(4096).decode().strip()

    def get(self, path: str) -> tuple[int, str]:
        """Get a page of the admin door: the status and the text."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(self.http))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give a site with one files directory; socket paths must be short."""
    return Site(tmp_path_factory.mktemp("s"))


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    code = "from codomain_cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *[os.fspath(argument) for argument in arguments]],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_a_known_and_an_unknown_recipient_are_answered(site: Site) -> None:
    """decisions.md, steps 5 and 6: DUNNO for a mailbox, 550 5.1.1 where nobody has it."""
    with site.serve():
        assert site.ask("ann@example.com") == "action=DUNNO"
        assert site.ask("nobody@example.com").startswith("action=550 5.1.1 ")


def test_the_admin_door_tells_health_readiness_and_metrics(site: Site) -> None:
    """architecture.md: /metrics, /healthz, /readyz; what was answered is counted by domain."""
    with site.serve():
        site.ask("nobody@example.com")
        assert site.get("/healthz") == (200, "ok\n")
        until(lambda: site.get("/readyz")[0] == 200)
        status, metrics = site.get("/metrics")
    assert status == 200
    count = 'domain="example.com",door="policy",reason="unknown",verdict="refuse"} 1.0'
    assert count in metrics


def test_every_fault_of_a_bad_ini_is_named_and_nothing_is_opened(site: Site) -> None:
    """The start ends with 78, a line for each fault with file, line, section, key and word."""
    site.write(
        f"type = files\npath = {site.people}", "[polcyd]\n[cache]\nsise = 3\nfound_ttl = soon\n"
    )
    done = run("serve", "--config", site.ini)
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "[polcyd]",
        "[cache] sise",
        "[cache] found_ttl",
    ]
    assert all(line.startswith(f"{site.ini}:") for line in lines)
    assert "policyd" in lines[0]
    assert "size" in lines[1]
    assert not site.policy.exists()


def test_a_bad_record_keeps_it_from_starting(site: Site) -> None:
    """Build 3: a record that is left out is a person who becomes unknown; 78, file and line."""
    site.people.write_text(PEOPLE + "\ndn: cn=Bob\nobjectClass: user\ncn: Bob\n")
    done = run("serve", "--config", site.ini)
    assert done.returncode == 78
    assert f"{site.people}:7" in done.stderr


def test_a_password_file_that_others_can_read_is_refused(site: Site) -> None:
    """config.md: an empty or world-readable password file stops the start."""
    secret = site.folder / "secret"
    secret.write_text("x")
    secret.chmod(0o644)
    login = f"bind_dn = cn=x,dc=example,dc=com\nbind_password_file = {secret}"
    site.write(f"type = ldap\nservers = ldaps://127.0.0.1\nbase = dc=example,dc=com\n{login}")
    done = run("serve", "--config", site.ini)
    assert done.returncode == 78
    assert "bind_password_file" in done.stderr


def test_a_socket_in_use_is_named_with_its_holder(site: Site) -> None:
    """Bad input: a port or socket in use ends the start with 71, and is not stolen."""
    with site.serve() as first:
        done = run("serve", "--config", site.ini)
        assert done.returncode == 71
        assert os.fspath(site.policy) in done.stderr
        assert f"{first.pid}" in done.stderr
        assert site.ask("ann@example.com") == "action=DUNNO"


def test_a_port_in_use_is_named_with_its_holder(site: Site) -> None:
    """The same for inet: the holder here is this very process."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = site.ini.read_text()
        site.ini.write_text(text.replace(f"unix:{site.policy}", f"inet:127.0.0.1:{port}"))
        done = run("serve", "--config", site.ini)
    assert done.returncode == 71
    assert f"127.0.0.1:{port}" in done.stderr
    assert f"{os.getpid()}" in done.stderr


def test_a_port_of_the_admin_door_in_use_closes_the_doors_of_mail_again(site: Site) -> None:
    """Bad input: mail's doors open first; where the admin door cannot, the start ends with 71."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = site.ini.read_text()
        site.ini.write_text(text.replace(f"unix:{site.http}", f"inet:127.0.0.1:{port}"))
        done = run("serve", "--config", site.ini)
    assert done.returncode == 71
    assert f"127.0.0.1:{port} is in use by" in done.stderr
    assert not site.policy.exists()


def test_a_directory_that_is_down_at_the_start_heals_by_itself(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """Bad input: it starts, answers 451 4.4.3, /readyz is 503, and no restart is needed."""
    slapd = new_slapd()
    slapd.stop()
    section = f"type = ldap\nservers = {slapd.ldap}\nbase = dc=example,dc=com"
    site.write(section, "[cache]\nfailed_ttl = 0s\n")
    with site.serve():
        assert site.ask("ann@example.com").startswith("action=451 4.4.3 ")
        assert site.ask("nobody@example.com").startswith("action=451 4.4.3 ")
        assert site.get("/readyz")[0] == 503
        slapd.start()
        until(lambda: site.ask("ann@example.com") == "action=DUNNO")
        until(lambda: site.get("/readyz")[0] == 200)
        assert site.ask("nobody@example.com").startswith("action=550 5.1.1 ")


def test_a_known_recipient_passes_while_the_directory_is_down(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """architecture.md, Cache: past its lifetime an entry serves while the directory is down."""
    slapd = new_slapd()
    section = f"type = ldap\nservers = {slapd.ldap}\nbase = dc=example,dc=com"
    site.write(section, "[cache]\nfound_ttl = 0s\nnot_found_ttl = 0s\nfailed_ttl = 1s\n")
    with site.serve():
        assert site.ask("ann@example.com") == "action=DUNNO"
        assert site.ask("nobody@example.com").startswith("action=550 5.1.1 ")
        slapd.stop()
        assert site.ask("ann@example.com") == "action=DUNNO"
        assert site.ask("nobody@example.com").startswith("action=451 4.4.3 ")


def test_a_reload_takes_a_new_recipient_in(site: Site) -> None:
    """SIGHUP reads everything anew; what was cached as unknown is known at once."""
    with site.serve() as daemon:
        assert site.ask("bob@example.com").startswith("action=550 ")
        site.people.write_text(PEOPLE + "\n" + PEOPLE.replace("Ann", "Bob").replace("ann", "bob"))
        daemon.reload()
        daemon.wait_for_log("generation=", times=2)
        assert site.ask("bob@example.com") == "action=DUNNO"


def test_a_bad_reload_keeps_what_is_in_force_and_says_so(site: Site) -> None:
    """architecture.md, Reload: the old configuration stays, the log and a metric say so."""
    with site.serve() as daemon:
        good = site.ini.read_text()
        site.ini.write_text(good + "[nonsense]\n")
        daemon.reload()
        daemon.wait_for_log("the configuration in force stays")
        assert "[nonsense]" in daemon.logged()
        assert site.ask("ann@example.com") == "action=DUNNO"
        assert "codomain_config_last_reload_successful 0.0" in site.get("/metrics")[1]
        site.ini.write_text(good)
        daemon.reload()
        daemon.wait_for_log("generation=", times=2)
        assert "codomain_config_last_reload_successful 1.0" in site.get("/metrics")[1]


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("socketmap_listen =", "socketmap_listen = unix:{folder}/map", "socketmap_listen"),
        ("socket_group =", "socket_group =\nsocket_mode = 0600", "socket_mode"),
    ],
)
def test_a_reload_says_what_takes_a_restart(site: Site, before: str, after: str, key: str) -> None:
    """Sockets are opened at the start alone: Postfix would ask maps that nobody serves."""
    with site.serve() as daemon:
        ini = site.ini.read_text()
        assert before in ini
        site.ini.write_text(ini.replace(before, after.format(folder=site.folder)))
        daemon.reload()
        daemon.wait_for_log(f"section=policyd key={key}")
        assert 'level=warning event="restart needed"' in daemon.logged()


def test_a_file_that_vanished_keeps_a_reload_from_happening(site: Site) -> None:
    """Nobody becomes unknown because a file is missing for a moment."""
    more = site.folder / "more.ldif"
    more.write_text(PEOPLE.replace("Ann", "Bob").replace("ann", "bob"))
    site.write(f"type = files\npath = {site.folder}/*.ldif")
    with site.serve() as daemon:
        more.unlink()
        daemon.reload()
        daemon.wait_for_log("the configuration in force stays")
        assert site.ask("bob@example.com") == "action=DUNNO"


def test_a_stop_ends_with_zero_and_leaves_no_socket(site: Site) -> None:
    """architecture.md, Stop: SIGTERM closes everything; the next start finds no stale socket."""
    daemon = site.serve().start()
    assert site.policy.exists()
    assert daemon.stop() == 0
    assert not site.policy.exists()
    assert not site.http.exists()


def test_a_stale_socket_is_replaced(site: Site) -> None:
    """After `kill -9` the sockets lie there; they are nobody's."""
    daemon = site.serve().start()
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.stop()
    assert site.policy.exists()
    with site.serve():
        assert site.ask("ann@example.com") == "action=DUNNO"


def test_shadow_mode_lets_through_what_it_counts(site: Site) -> None:
    """decisions.md, Shadow mode: every decision is taken, counted and logged, and mail passes."""
    text = site.ini.read_text().replace("[codomain]\n", "[codomain]\nmode = shadow\n")
    site.ini.write_text(text)
    with site.serve() as daemon:
        assert site.ask("nobody@example.com") == "action=DUNNO"
        metrics = site.get("/metrics")[1]
        assert "reason=unknown" in daemon.logged()
    count = 'codomain_shadow_refusals_total{domain="example.com",reason="unknown"} 1.0'
    assert count in metrics


@pytest.mark.parametrize(("address", "status"), [("ann@example.com", 0), ("nobody@example.com", 1)])
def test_explain_answers_with_its_exit_status(site: Site, address: str, status: int) -> None:
    """config.md, The commands: 0, or 1 for a negative answer."""
    done = run("explain", address, "--client", "198.51.100.7", "--config", site.ini)
    assert done.returncode == status, done.stderr
    assert "a stranger" in done.stdout


def test_explain_says_that_the_directory_is_down(site: Site) -> None:
    """config.md, The commands: 75 for a temporary answer, and the directory is named."""
    site.write("type = ldap\nservers = ldap://127.0.0.1:1\nbase = dc=example,dc=com")
    done = run("explain", "ann@example.com", "--config", site.ini)
    assert done.returncode == 75
    assert "directory people" in done.stdout


def test_check_tells_good_from_bad(site: Site) -> None:
    """`codomain check`: 1 with warnings, 78 with every fault, 75 where a probe has no answer."""
    assert run("check", "--config", site.ini).returncode == 1
    site.write("type = ldap\nservers = ldap://127.0.0.1:1\nbase = dc=example,dc=com")
    assert run("check", "--config", site.ini).returncode == 1
    assert run("check", "--probe", "--config", site.ini).returncode == 75
    site.write("type = ldap", "[nonsense]\n")
    done = run("check", "--config", site.ini)
    assert done.returncode == 78
    assert "[nonsense]" in done.stdout
