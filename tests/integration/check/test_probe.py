"""`codomain check --probe`: next systems, certificates, names and MX, as they answer now."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain.config import Config, parse
from codomain.directory.opening import open_directory
from codomain_cli.check import looked_at
from codomain_cli.checks import mx, probe, walk
from codomain_cli.checks.hosts import ThisHost
from support.smtpscript import Script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain_cli.checks.findings import Finding
    from support.authority import Authority
    from support.slapd import Slapd

PEOPLE = Path(__file__).with_name("people.ldif")
INI = """\
[codomain]
hostname = gw.example.com
postfix = off
postmaster = ann@corp.local
[domain example.com]
type = shared
[domain corp.local]
type = authoritative
[connector unix]
smart_hosts = {host}
address_spaces = example.com
allow_relay = yes
{more}
"""
NOWHERE = ThisHost(frozenset(), frozenset(), frozenset())


@pytest.fixture
def script() -> Iterator[Script]:
    """Give a next system."""
    with Script() as running:
        yield running


def config(script: Script, more: str = "", host: str = "[127.0.0.1]") -> Config:
    """Return a configuration whose other system is the script."""
    return parse(INI.format(host=f"{host}:{script.port}", more=more))


def kinds(findings: list[Finding]) -> list[tuple[str, str]]:
    """Return id and severity of each finding."""
    return [(one.id, one.severity.value) for one in findings]


def asked(configuration: Config) -> list[tuple[str, str]]:
    """Return what the next systems said."""
    return kinds(list(probe.systems(configuration, NOWHERE)))


def test_a_system_that_refuses_whom_nobody_can_have_is_the_last_of_the_chain(
    script: Script,
) -> None:
    """It says 550 5.1.1 at RCPT, and nothing is ever sent: no DATA."""
    assert asked(config(script)) == [("probe.smart_host", "ok")]
    [recipient] = script.asked()
    assert recipient.startswith("TO:<nobody")
    assert recipient.endswith("@example.com>")
    assert script.asked("MAIL") == ["FROM:<> SIZE=1"]  # the sign of a call-out
    assert not script.asked("DATA")


def test_a_system_that_takes_anything_will_bounce(script: Script) -> None:
    """Whom nobody can have comes back to a sender who may be forged."""
    script.anything = True
    assert asked(config(script)) == [("probe.takes_anything", "warning")]


def test_a_system_that_does_not_relay_for_us_is_named(script: Script) -> None:
    """554 5.7.1 says nothing of the recipient: all mail for the domain is refused."""
    script.replies["RCPT"] = "554 5.7.1 Relay access denied"
    assert asked(config(script)) == [("probe.refused", "warning")]


def test_a_system_that_is_down_is_temporary() -> None:
    """Exit status 75: its mail waits in the queue."""
    configuration = parse(INI.format(host="[127.0.0.1]:1", more=""))
    findings, status = looked_at(configuration, probe=True)
    assert ("probe.smart_host", "error") in kinds(findings)
    assert status == 78  # there is no directory with the postmaster, which is no passing fault
    ini = INI.format(host="[127.0.0.1]:1", more="").replace("postmaster = ann@corp.local\n", "")
    assert looked_at(parse(ini), probe=True)[1] == 75


@pytest.mark.parametrize(
    ("tls", "names", "trusted", "said"),
    [
        ("may", "DNS:localhost", True, []),
        ("may", "DNS:other.test", True, [("probe.certificate", "advice")]),
        ("may", "DNS:localhost", False, [("probe.certificate", "advice")]),
        ("verify", "DNS:localhost", True, []),
        ("verify", "DNS:other.test", True, [("probe.certificate", "error")]),
        ("encrypt", "", True, [("probe.certificate", "error")]),
    ],
)
def test_the_certificate_is_compared(  # noqa: PLR0917 - the table's columns
    script: Script,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tls: str,
    names: str,
    trusted: bool,  # noqa: FBT001
    said: list[tuple[str, str]],
) -> None:
    """By chain and name (RFC 6125); names in brackets are addresses, and prove nothing."""
    if names:
        certificate = authority.sign("probed", names)
        script.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        script.tls.load_cert_chain(certificate.file, certificate.key)
        script.features.append("STARTTLS")
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", f"{authority.file}")
    script.taken.add("known@example.com")
    more = f"tls = {tls}\nverify = callout\nverify_control = known@example.com"
    found = asked(config(script, more, "localhost"))
    assert [one for one in found if one[0] == "probe.certificate"] == said


def test_a_peer_without_an_address_is_a_stranger(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mail from it is not known as a peer's, and may go back to it."""
    monkeypatch.setattr(probe, "resolve_host", lambda name: [] if name == "gone.test" else ["x"])
    found = asked(config(script, "peers = gone.test, there.test, 192.0.2.0/24"))
    assert [one for one in found if one[0] == "probe.peer"] == [("probe.peer", "warning")]


def test_a_live_directory_is_searched_to_its_end(slapd: Slapd) -> None:
    """Entries of a server are walked with --probe alone, page by page (RFC 2696)."""
    ini = INI.format(host="[192.0.2.1]", more="").replace("postmaster = ann@corp.local\n", "")
    ini += f"[directory ad]\nservers = {slapd.ldap}\nbase = dc=example,dc=com\n"
    without = {one.id for one in looked_at(parse(ini))[0]}
    assert not [kind for kind in without if kind.startswith(("entry", "probe"))]
    section = parse(ini).directories[0]
    opened = open_directory(section)
    try:
        assert walk.recipients(parse(ini), section, opened, probe=False) is None
        walked = walk.recipients(parse(ini), section, opened, probe=True)
        assert walked is not None
        found = {recipient.dn.lower() for recipient in walked}
        assert next(probe.directory(parse(ini), opened)).severity.value == "ok"
    finally:
        opened.close()
    assert len(found) > 1


# --- the MX


def answer(query: bytes, hosts: list[tuple[int, bytes]], code: int = 0) -> bytes:
    """Answer a question for MX records; each host is a label below the question's domain."""
    head = query[:2] + struct.pack("!5H", 0x8180 | code, 1, len(hosts), 0, 0)
    records = b"".join(
        b"\xc0\x0c"
        + struct.pack("!2HIH", mx.TYPE_MX, mx.CLASS_IN, 60, len(label) + 5)
        + struct.pack("!H", preference)
        + bytes([len(label)])
        + label
        + b"\xc0\x0c"
        for preference, label in hosts
    )
    return head + query[12:] + records


@contextmanager
def name_server(hosts: list[tuple[int, bytes]], code: int = 0) -> Iterator[tuple[str, int]]:
    """Run a name server that has one answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)

        def serve() -> None:
            query, client = server.recvfrom(512)
            server.sendto(answer(query, hosts, code), client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()
        thread.join(10)


def test_the_mx_hosts_come_in_their_order() -> None:
    """RFC 5321 section 5.1: the lowest preference first; names may be compressed."""
    with name_server([(20, b"second"), (10, b"first")]) as server:
        assert mx.lookup("example.com", [server]) == ["first.example.com", "second.example.com"]


def test_no_mx_is_an_answer_and_a_failure_is_none() -> None:
    """NXDOMAIN (3) says that there is none; SERVFAIL (2) says nothing."""
    with name_server([], 3) as server:
        assert mx.lookup("example.com", [server]) == []
    with name_server([], 2) as server, pytest.raises(mx.DnsError):
        mx.lookup("example.com", [server])


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ([(10, b"mx")], [("probe.mx_is_here", "error")]),
        ([(10, b"elsewhere")], []),
    ],
)
def test_an_mx_that_is_this_host_is_a_circle(
    monkeypatch: pytest.MonkeyPatch, hosts: list[tuple[int, bytes]], said: list[tuple[str, str]]
) -> None:
    """config.md: fallback = mx where the MX is this host."""
    here = ThisHost(frozenset({"mx.example.com"}), frozenset(), frozenset({("", 25)}))
    configuration = parse("[domain example.com]\ntype = relay\nfallback = mx\n")
    monkeypatch.setattr(probe, "resolve_host", lambda _name: [])
    with name_server(hosts) as server:
        monkeypatch.setattr(mx, "servers", lambda: [server])
        assert kinds(list(probe.systems(configuration, here))) == said
