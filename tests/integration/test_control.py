"""The control socket of a running daemon, and the commands that use it."""

from __future__ import annotations

import errno
import grp
import json
import os
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from codomain.directory.base import Kind, Recipient
from codomain.directory.index import IndexWriter, index_path, source_of
from codomain_cli.control import REQUEST_SECONDS
from codomain_cli.exits import RequestError
from codomain_cli.wire import REQUEST_OCTETS, Request, write_request
from support.site import SECONDS, Site, run, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.directory.section import Section
    from support.slapd import Slapd

PEOPLE = """\
dn: cn=Ann,dc=example,dc=com
objectClass: user
cn: Ann
mailNickname: ann
proxyAddresses: SMTP:ann@example.com
"""
NEW = "cn=New,dc=example,dc=com"
PERSON = {
    "objectClass": ["inetOrgPerson"],
    "cn": ["New"],
    "sn": ["New"],
    "mail": ["new@example.com"],
}
NOBODY = 65534


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give a site with one files directory; socket paths must be short."""
    site = Site(tmp_path_factory.mktemp("s"))
    people = site.folder / "people.ldif"
    people.write_text(PEOPLE)
    site.write(f"type = files\npath = {people}")
    return site


def test_a_mailbox_made_a_second_ago_works_after_one_command(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """The answer that it is not there is kept for an hour; a purge, and it is asked anew."""
    slapd = new_slapd()
    site.write_ldap(slapd.ldap, "not_found_ttl = 1h")
    with site.serve() as daemon:
        assert site.ask("new@example.com").startswith("action=550 5.1.1 ")
        slapd.add(NEW, PERSON)
        assert site.ask("new@example.com").startswith("action=550 5.1.1 ")
        done = site.run("cache", "purge", "<New+list@Example.COM>")
        assert (done.returncode, done.stderr) == (0, "")
        assert "forgotten (1 answers)" in done.stdout
        assert site.ask("new@example.com") == "action=DUNNO"
        assert site.ask("new+other@example.com") == "action=DUNNO"
        (line,) = [line for line in daemon.logged().splitlines() if "cache purged" in line]
        assert f"uid={os.getuid()}" in line
        assert "New+list@Example.COM" in line


def test_a_mailbox_made_a_second_ago_works_by_itself_after_not_found_ttl(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """And not before: what was answered holds for its lifetime, less a tenth."""
    slapd = new_slapd()
    site.write_ldap(slapd.ldap, "not_found_ttl = 3s")
    with site.serve():
        assert site.ask("new@example.com").startswith("action=550 5.1.1 ")
        asked = time.monotonic()
        slapd.add(NEW, PERSON)
        until(lambda: site.ask("new@example.com") == "action=DUNNO")
        assert 2 < time.monotonic() - asked < 5


def test_purge_says_whether_an_address_was_known(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """0: all were; 1: one was not; 64: it is no address, and nothing was done."""
    slapd = new_slapd()
    slapd.add(NEW, PERSON)
    site.write_ldap(slapd.ldap)
    with site.serve():
        site.ask("new@example.com")
        done = site.run("cache", "purge", "new@example.com", "no address")
        assert done.returncode == 64
        assert "'no address' is no address" in done.stderr
        done = site.run("cache", "purge", "new@example.com", "never@example.com", "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout) == {
            "addresses": [
                {"address": "new@example.com", "keys": ["new@example.com"], "known": 1},
                {"address": "never@example.com", "keys": ["never@example.com"], "known": 0},
            ],
            "shared": None,
        }
        done = site.run("cache", "purge", "new@example.com")
        assert done.returncode == 1
        assert done.stdout == "new@example.com: was not known\n"


def test_flush_forgets_everything_and_stats_counts(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """What was found, what was not, and the verdicts made of it."""
    slapd = new_slapd()
    slapd.add(NEW, PERSON)
    site.write_ldap(slapd.ldap, "found_ttl = 1h")
    with site.serve():
        site.ask("new@example.com")
        site.ask("nobody@example.com")
        found = json.loads(site.run("cache", "stats", "--json").stdout)
        assert found["size"] == 100_000
        assert (found["entries"]["found"], found["entries"]["not_found"]) == (1, 1)
        assert found["lookups"]["miss"] >= 2
        lines = site.run("cache", "stats").stdout.splitlines()
        assert lines[0].split() == ["found", "1"]
        slapd.delete(NEW)
        assert site.ask("new@example.com") == "action=DUNNO"
        done = site.run("cache", "flush")
        assert (done.returncode, done.stdout) == (0, "2 answers forgotten\n")
        assert site.ask("new@example.com").startswith("action=550 5.1.1 ")


def test_status_says_what_is_in_force_and_what_is_up(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """Directories and servers by name; 1 while one does not answer, with what is wrong."""
    slapd = new_slapd()
    nowhere = "ldap://127.0.0.1:1"
    site.write_ldap(f"{nowhere}, {slapd.ldap}", keys="timeout = 1s")
    with site.serve() as daemon:
        until(lambda: site.run("status").returncode == 0)
        site.ask("nobody@example.com")
        found = json.loads(site.run("status", "--json").stdout)
        assert (found["generation"], found["files"]) == (1, [str(site.ini)])
        (directory,) = found["directories"]
        assert (directory["name"], directory["type"], directory["up"]) == ("people", "ldap", True)
        servers = [{"uri": nowhere, "up": False}, {"uri": slapd.ldap, "up": True}]
        assert directory["servers"] == servers
        assert site.get("/readyz") == (
            200,
            f"ready\ndirectory people up\nserver {nowhere} down\nserver {slapd.ldap} up\n",
        )
        ready = 'codomain_directory_ready{directory="people"}'
        assert site.metric(ready) == 1
        slapd.stop()
        until(lambda: site.ask(f"x{time.monotonic_ns()}@example.com").startswith("action=451"))
        done = site.run("status")
        assert done.returncode == 1
        assert "directory people is down: " in done.stdout
        assert f"  {slapd.ldap} is down" in done.stdout
        status, page = site.get("/readyz")
        assert status == 503
        assert page.startswith("no answer from directory people\ndirectory people down\n")
        assert site.metric(ready) == 0
        daemon.reload()
        daemon.wait_for_log("configuration in force", 2)
        assert site.tell("status")["generation"] == 2


def test_status_says_how_old_a_local_index_is(site: Site) -> None:
    """Entries, and the age of what they were made from; its servers are named, too."""
    nowhere = "ldap://127.0.0.1:1"
    site.write_ldap(nowhere, keys="mode = sync\non_miss = none")
    text = site.ini.read_text().replace("[policyd]", f"state_directory = {site.folder}\n[policyd]")
    site.ini.write_text(text)
    section = SimpleNamespace(
        base="dc=example,dc=com", scope="subtree", filter="", schema="inetorgperson"
    )
    writer = IndexWriter(index_path(site.folder, "people"), source_of(cast("Section", section)))
    try:
        with writer.load() as load:
            load.put(b"ann", Recipient("cn=Ann", Kind.MAILBOX, ("ann@example.com",)))
            load.commit(cookie=b"", synced=time.time() - 120, max_shrink=None)
    finally:
        writer.close()
    with site.serve():
        (directory,) = site.tell("status")["directories"]
        index = directory["index"]
        assert (index["usable"], index["entries"]) == (True, 1)
        assert 120 <= index["age"] < 120 + SECONDS
        assert [server["uri"] for server in directory["servers"]] == [nowhere]
        assert "  local index of 1 entries, in step 12" in site.run("status").stdout


def test_without_a_daemon_the_commands_say_what_to_do(site: Site) -> None:
    """75, one line: there is no socket, nobody listens on it, or the INI wants none."""
    for command in (["cache", "stats"], ["cache", "purge", "a@b.test"], ["status"]):
        done = site.run(*command)
        assert done.returncode == 75
        assert done.stderr == (
            f"nobody listens on {site.control}: start codomain serve, or look into its log\n"
        )
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(os.fspath(site.control))
    assert site.run("status").returncode == 75
    done = run("status", "--config", site.ini, "--socket", site.folder / "other")
    assert f"{site.folder}/other" in done.stderr
    site.write("type = files\npath = /x", codomain="")
    site.ini.write_text("[codomain]\npostfix = off\ncontrol_socket =\n")
    done = site.run("status")
    assert done.returncode == 75
    assert "control_socket is empty" in done.stderr


def test_the_commands_work_while_the_ini_has_faults(site: Site) -> None:
    """The daemon runs with what was good; its administrator is just writing."""
    with site.serve():
        site.ini.write_text(site.ini.read_text() + "\n[cache]\nsise = 3\n[polcyd]\n")
        assert site.run("cache", "stats").returncode == 0


def connects(control: Path, group: int) -> bool:
    """Tell whether a process of nobody, in one group, can connect to a socket."""
    code = "socket(S, PF_UNIX, SOCK_STREAM, 0); exit(connect(S, sockaddr_un($ARGV[0])) ? 0 : $!)"
    done = subprocess.run(
        ["perl", "-MSocket", "-e", code, os.fspath(control)],
        user=NOBODY,
        group=group,
        extra_groups=[],
        check=False,
    )
    assert done.returncode in {0, errno.EACCES}
    return done.returncode == 0


def test_only_owner_and_group_may_connect(site: Site) -> None:
    """Mode 0660, and the group that the INI names: others are turned away by the system."""
    mail = grp.getgrnam("mail").gr_gid
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # it is the socket that keeps others out
        text = site.ini.read_text().replace(f"{site.control}", f"{folder}/control")
        site.ini.write_text(text.replace("postfix = off", "postfix = off\ncontrol_group = mail"))
        site.control = Path(folder) / "control"
        with site.serve():
            status = site.control.stat()
            assert stat.S_IMODE(status.st_mode) == 0o660
            assert status.st_gid == mail
            assert not connects(site.control, NOBODY)
            assert connects(site.control, mail)


def test_a_stale_socket_is_replaced_and_a_live_one_never(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A daemon that was killed leaves one behind; a second daemon leaves the first one's alone."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(os.fspath(site.control))
    with site.serve() as first:
        assert site.tell("version")["version"]
        other = Site(tmp_path_factory.mktemp("s"))
        other.control = site.control
        other.write(f"type = files\npath = {site.folder}/people.ldif")
        with other.serve() as second:
            second.wait_for_log("control socket not opened")
            assert "is in use by" in second.logged()
            assert f"process {first.pid}" in second.logged()
            # All else goes on: mail does not wait for an administrator's tool.
            assert other.ask("ann@example.com") == "action=DUNNO"
        assert site.tell("version")["version"]
    assert not site.control.exists()


def test_a_folder_that_is_not_there_is_one_line_and_no_end(site: Site) -> None:
    """The doors open, and the log says what the commands lack."""
    site.control = site.folder / "none" / "control"
    site.write(f"type = files\npath = {site.folder}/people.ldif")
    with site.serve() as daemon:
        daemon.wait_for_log("control socket not opened")
        assert "No such file or directory" in daemon.logged()
        assert site.ask("ann@example.com") == "action=DUNNO"


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (b"nonsense\n", "request"),
        (b"", "request"),
        (b'{"codomain": 1, "command": "version"', "request"),
        (b"x" * (REQUEST_OCTETS + 10), "request"),
        (b'{"codomain": 9, "command": "version"}\n', "request"),
        (write_request(Request("explode")), "command"),
        (write_request(Request("cache.purge")), "arguments"),
        (write_request(Request("cache.purge", {"addresses": "ann@example.com"})), "arguments"),
        (write_request(Request("cache.purge", {"addresses": []})), "arguments"),
        (write_request(Request("cache.purge", {"addresses": [1]})), "arguments"),
        (write_request(Request("cache.purge", {"addresses": ["a@b.test"] * 201})), "arguments"),
    ],
)
def test_what_makes_no_sense_is_told_and_harms_nothing(
    site: Site, octets: bytes, kind: str
) -> None:
    """The kind of fault, in an answer; the daemon goes on."""
    with site.serve():
        answer = json.loads(site.raw(octets, end=True))
        assert answer["error"]["kind"] == kind
        assert site.tell("version")["version"]


def test_a_client_that_says_nothing_is_let_go(site: Site) -> None:
    """Its time is bounded, and so is the number of such clients; others are answered."""
    with site.serve():
        clients = [socket.socket(socket.AF_UNIX) for _ in range(15)]
        try:
            for client in clients:
                client.settimeout(SECONDS)
                client.connect(os.fspath(site.control))
            began = time.monotonic()
            assert site.tell("version")["version"]
            assert time.monotonic() - began < REQUEST_SECONDS
            assert b'"kind": "request"' in clients[0].recv(4096)
            assert time.monotonic() - began < REQUEST_SECONDS * 2
        finally:
            for client in clients:
                client.close()


def test_more_clients_than_there_may_be_are_closed_at_once(site: Site) -> None:
    """Sixteen at a time: commands are few, and a fault of a script must not fill the daemon."""
    with site.serve():
        clients = [socket.socket(socket.AF_UNIX) for _ in range(17)]
        try:
            for client in clients:
                client.settimeout(REQUEST_SECONDS / 2)
                client.connect(os.fspath(site.control))
            assert clients[-1].recv(4096) == b""
        finally:
            for client in clients:
                client.close()
        until(lambda: site.raw(write_request(Request("version"))))


def test_a_request_in_pieces_is_read(site: Site) -> None:
    """A stream has no messages: the line feed ends the request."""
    with site.serve(), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(os.fspath(site.control))
        for octet in write_request(Request("version")):
            client.sendall(bytes([octet]))
        assert b'"result"' in client.recv(4096)


def test_an_unknown_command_names_those_that_there_are(site: Site) -> None:
    """A newer command against an older daemon says what it can."""
    with site.serve(), pytest.raises(RequestError, match=r"cache\.purge.*version"):
        site.tell("explode")
