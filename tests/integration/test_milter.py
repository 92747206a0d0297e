"""The milter of `codomain serve`, driven by a client that speaks as an MTA does."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain_cli.background import Background
from codomain_cli.private_postfix import free_ports
from support.doors import policy_request
from support.mta import SECONDS, STRANGER, Mta, symbols

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.slapd import Slapd

PEOPLE = """\
dn: cn=ann
objectClass: user
mailNickname: ann
proxyAddresses: SMTP:ann@example.com
proxyAddresses: smtp:a.smith@example.com

dn: cn=bob
objectClass: contact
mailNickname: bob
proxyAddresses: SMTP:bob@example.com
targetAddress: SMTP:bob@unix.example.net

dn: cn=rob
objectClass: contact
mailNickname: rob
proxyAddresses: SMTP:rob@example.com
targetAddress: SMTP:bob@unix.example.net

dn: cn=eve
objectClass: contact
mailNickname: eve
proxyAddresses: SMTP:eve@example.com
targetAddress: SMTP:eve@evil.test

dn: cn=x1
objectClass: contact
mailNickname: x1
proxyAddresses: SMTP:x1@example.com
targetAddress: SMTP:x2@example.com

dn: cn=x2
objectClass: contact
mailNickname: x2
proxyAddresses: SMTP:x2@example.com
targetAddress: SMTP:x1@example.com
"""

INI = """\
[codomain]
hostname = mx.example.com
postfix = off
state_directory = {folder}
control_socket = {folder}/control

[policyd]
listen =
socketmap_listen =
socket_group =
socket_mode = 0600

[http]
listen = unix:{folder}/http

[milter]
listen = {listen}

[trust]
trusted_networks = 127.0.0.0/8
trust_certificates = 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF

[context inside]
trusted = yes

[domain example.com]
type = shared
deliver_to = exchange

[domain corp.local]
type = authoritative

[domain unix.example.net]
type = relay

[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes
peers = 192.0.2.10, 2001:db8::10

[connector exchange]
smart_hosts = [192.0.2.20]

[directory people]
"""

UNKNOWN = "550 5.1.1 Recipient address rejected: User unknown"
DENIED = "554 5.7.1 Recipient address rejected: Relay access denied"
LOOP = (
    "554 5.4.6 Recipient address rejected: Unknown here and where it came from, or a routing loop"
)


class Site:
    """One configuration in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = folder / "codomain.ini"
        self.socket = folder / "milter"
        self.people = folder / "people.ldif"
        self.people.write_text(PEOPLE)
        self.write()

    def write(self, listen: str = "", directory: str = "", more: str = "") -> None:
        """Write the INI."""
        text = INI.format(folder=self.folder, listen=listen or f"unix:{self.socket}")
        directory = directory or f"type = files\npath = {self.people}"
        self.ini.write_text(f"{text}{directory}\n{more}")

    def serve(self) -> Background:
        """Return the daemon, not started yet."""
        return Background(self.ini, self.folder)

    @contextmanager
    def stranger(self, client: str = STRANGER) -> Iterator[Mta]:
        """Connect as an MTA that serves a client."""
        with Mta(self.socket) as mta:
            mta.connect(client)
            yield mta

    def reply(self, client: str, recipient: str) -> str:
        """Ask for one recipient, on a new connection."""
        with self.stranger(client) as mta:
            mta.mail()
            return mta.rcpt(recipient)

    def metrics(self) -> str:
        """Return the metrics page."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(self.folder / "http"))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def serve_to_its_end(site: Site) -> subprocess.CompletedProcess[str]:
    """Run the daemon, which cannot start."""
    code = "from codomain_cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "serve", "--config", os.fspath(site.ini)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a site whose daemon runs and is left as it is."""
    site = Site(tmp_path_factory.mktemp("m"))
    with site.serve():
        yield site


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give a site of one's own; socket paths must be short."""
    return Site(tmp_path_factory.mktemp("m"))


@pytest.mark.parametrize(
    ("client", "recipient", "reply"),
    [
        # decisions.md, Examples, row by row
        (STRANGER, "<ann@example.com>", "c"),
        (STRANGER, "<A.Smith@EXAMPLE.com>", "c"),
        (STRANGER, "<ann+list@example.com>", "c"),
        (STRANGER, "<bob@example.com>", "c"),
        ("192.0.2.10", "<ann@example.com>", "c"),
        ("192.0.2.10", "<bob@example.com>", "c"),
        ("192.0.2.20", "<ann@example.com>", LOOP),
        (STRANGER, "<nobody@example.com>", "c"),
        ("192.0.2.10", "<nobody@example.com>", LOOP),
        ("::ffff:192.0.2.10", "<nobody@example.com>", LOOP),
        ("2001:db8::10", "<nobody@example.com>", LOOP),
        (STRANGER, "<nobody@corp.local>", UNKNOWN),
        (STRANGER, "<someone@elsewhere.test>", DENIED),
        ("127.0.0.1", "<someone@elsewhere.test>", "c"),
        ("127.0.0.1", "<a..b.@elsewhere.test>", "c"),
        (STRANGER, "<eve@example.com>", DENIED),
        ("127.0.0.1", "<eve@example.com>", DENIED),
        (STRANGER, "<x1@example.com>", LOOP),
        (STRANGER, "<someone%elsewhere.test@example.com>", DENIED),
        (STRANGER, '<"someone@elsewhere.test"@example.com>', DENIED),
        (STRANGER, "<@example.com:someone@elsewhere.test>", DENIED),
        (STRANGER, "<postmaster@example.com>", "c"),
        (STRANGER, "<postmaster>", "c"),
        (STRANGER, "<postmaster@elsewhere.test>", DENIED),
        # a socket or nothing at all is a stranger
        ("/run/somewhere", "<someone@elsewhere.test>", DENIED),
        ("", "<someone@elsewhere.test>", DENIED),
        # RFC 6531 section 3.5
        (
            STRANGER,
            "<j\u00fcrgen@corp.local>",
            "553 5.6.7 Recipient address rejected: It needs SMTPUTF8",
        ),
    ],
)
def test_every_example_gets_its_answer(
    running: Site, client: str, recipient: str, reply: str
) -> None:
    """The examples of the decision, by the milter: CONTINUE, or code, enhanced code and text."""
    assert running.reply(client, recipient) == reply


def test_only_what_is_needed_is_negotiated(running: Site) -> None:
    """Build 1: no HELO, no body; connect, MAIL and header without a reply, DATA with one."""
    with Mta(running.socket) as mta:
        names = "NOHELO NOUNKNOWN NOBODY NR_CONN NR_MAIL NR_HDR NR_EOH"
        bits = (0x2, 0x100, 0x10, 0x1000, 0x4000, 0x80, 0x40000)
        assert mta.steps == sum(bits), names
        assert mta.actions == 0x1 | 0x4 | 0x8 | 0x10 | 0x80
    asked = symbols(running.socket)
    assert asked[0] == "{daemon_name}"
    assert "{auth_authen}" in asked[2].split()


def test_an_mta_that_waits_for_each_reply_gets_it(site: Site) -> None:
    """An old MTA knows no step without a reply; one that does is served beside it."""
    with site.serve(), Mta(site.socket, steps=0x1F) as old, site.stranger() as new:
        old.connect()
        assert old.steps & 0xFFFFFF80 == 0
        fields = [("Subject", "x"), ("Received", "x"), ("To", "y")]
        for mta in (old, new, old):
            end = mta.message("<bob@example.com>", headers=fields)
            assert (end.reply, end.deleted) == ("c", ["<bob@example.com>"])


@pytest.mark.parametrize(
    ("macros", "reply"),
    [
        ({}, DENIED),
        ({"auth_authen": "alice"}, "c"),
        ({"auth_authen": ""}, DENIED),
        ({"daemon_name": "inside"}, "c"),
        ({"daemon_name": "outside"}, DENIED),
        ({"cert_fp": "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF", "verify": "OK"}, "c"),
        ({"cert_fp": "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF", "verify": "FAIL"}, DENIED),
        ({"cert_subject": "/CN=gateway", "verify": "OK"}, DENIED),
    ],
)
def test_trust_comes_from_the_macros(running: Site, macros: dict[str, str], reply: str) -> None:
    """Build 6: login, certificate and [context] by what the MTA tells with MAIL."""
    with running.stranger() as mta:
        mta.mail("<a@b.test>", **macros)
        assert mta.rcpt("<someone@elsewhere.test>") == reply


def test_the_context_may_come_with_the_connection(running: Site) -> None:
    """Sendmail and Postfix give {daemon_name} at connect."""
    with Mta(running.socket) as mta:
        mta.connect(daemon_name="inside")
        mta.mail()
        assert mta.rcpt("<someone@elsewhere.test>") == "c"


def test_dsn_parameters_go_to_the_target(running: Site) -> None:
    """Build 3: NOTIFY is kept, ORCPT names the original or stays as the sender gave it."""
    with running.stranger() as mta:
        mta.mail()
        mta.rcpt("<Bob@example.com>", "NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;first+2Bx@b.test")
        mta.rcpt("<ann@example.com>", "NOTIFY=NEVER")
        mta.data()
        end = mta.end()
    assert end.added == [
        ("<bob@unix.example.net>", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first+2Bx@b.test")
    ]
    assert end.deleted == ["<Bob@example.com>"]
    assert end.reply == "c"


def test_two_recipients_with_one_target_give_one(running: Site) -> None:
    """Build 3: and every report that one of the senders asked for."""
    with running.stranger() as mta:
        end = mta.message("<bob@example.com>", "<rob@example.com>", "<bob@example.com>")
    assert end.added == [("<bob@unix.example.net>", "ORCPT=rfc822;bob@example.com")]
    assert end.deleted == ["<bob@example.com>", "<rob@example.com>"]


def test_a_refused_recipient_changes_nothing(running: Site) -> None:
    """Mixed recipients: only those that were taken count."""
    with running.stranger() as mta:
        mta.mail()
        replies = [mta.rcpt(f"<{who}@example.com>") for who in ("eve", "bob", "x1")]
        mta.data()
        end = mta.end()
    assert replies == [DENIED, "c", LOOP]
    assert end.deleted == ["<bob@example.com>"]


def test_a_message_of_a_thousand_recipients(running: Site) -> None:
    """Build 3: each contact is replaced, extension and all, and no other."""
    recipients = [f"<{'bob' if n % 2 else 'ann'}+{n}@example.com>" for n in range(1000)]
    with running.stranger() as mta:
        end = mta.message(*recipients)
        assert end.deleted == recipients[1::2]
        assert [added[0] for added in end.added] == [
            f"<bob+{n}@unix.example.net>" for n in range(1, 1000, 2)
        ]
        assert mta.message("<ann@example.com>").added == []


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "header"])
def test_an_abort_leaves_nothing_behind(running: Site, stage: str) -> None:
    """RSET, or a message that the MTA gives up: the next one is changed by its own recipients."""
    with running.stranger() as mta:
        mta.mail()
        if stage != "mail":
            mta.rcpt("<bob@example.com>")
        if stage in {"data", "header"}:
            mta.data()
        if stage == "header":
            mta.header("Received", "x")
        mta.abort()
        end = mta.message("<ann@example.com>")
    assert (end.added, end.deleted) == ([], [])


def test_several_messages_in_one_connection(running: Site) -> None:
    """The sender and the login are each message's own, the address the connection's."""
    with running.stranger("192.0.2.10") as mta:
        assert mta.message("<bob@example.com>").deleted == ["<bob@example.com>"]
        mta.mail("<a@b.test>", auth_authen="alice")
        assert mta.rcpt("<someone@elsewhere.test>") == "c"
        mta.abort()
        assert mta.message("<ann@example.com>").deleted == []


STAGES = ["nothing", "connect", "mail", "rcpt", "data", "header", "end"]


@pytest.mark.parametrize("stage", [*STAGES, "half"])
def test_a_dropped_connection_is_forgotten(running: Site, stage: str) -> None:
    """Whatever the MTA dies of, nothing of it stays, and the milter serves on."""
    with Mta(running.socket) as mta:
        last = STAGES.index("rcpt" if stage == "half" else stage)
        steps = (
            mta.connect,
            mta.mail,
            lambda: mta.rcpt("<bob@example.com>"),
            mta.data,
            lambda: mta.header("Received", "from a by b"),
            lambda: mta.raw("E", b""),  # nobody reads what becomes of the recipients
        )
        for step in steps[:last]:
            step()
        if stage == "half":
            mta.sock.sendall(struct.pack("!Lc", 4000, b"R") + b"<ann@exam")
    until(lambda: 'codomain_connections{door="milter"} 0.0' in running.metrics())
    assert running.reply(STRANGER, "<nobody@corp.local>") == UNKNOWN


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        (b"<ann@example.com>\0NOTIFY=NEVER\0", "c"),
        # a NUL ends an argument: what follows is another one, and no part of the address
        (b"<nobody@corp.local\0.example.com>\0", UNKNOWN),
        (b"<>\0", "501 5.1.3 Recipient address rejected: Bad address syntax"),
        (b"\0", "501 5.1.3 Recipient address rejected: Bad address syntax"),
        (b"<@>\0", "501 5.1.3 Recipient address rejected: Bad address syntax"),
        (b'<"ann@example.com>\0', "501 5.1.3 Recipient address rejected: Bad address syntax"),
        (b"<ann@example.com\r\nRCPT TO:<x@y>>\0", DENIED),
        (b"<\xff\xfe@corp.local>\0", "553 5.6.7 Recipient address rejected: It needs SMTPUTF8"),
        (b"<" + b"a" * 60_000 + b"@corp.local>\0", UNKNOWN),
        (b"<ann@" + b"a." * 30_000 + b"test>\0", DENIED),
        (b"<%n%s%x@corp.local>\0", DENIED),
    ],
)
def test_forged_arguments_are_answered_plainly(running: Site, argument: bytes, reply: str) -> None:
    """Whatever stands in RCPT, it is an address that matches nothing, and no more."""
    with running.stranger() as mta:
        mta.mail()
        assert mta.rcpt_raw(argument) == reply
        assert mta.rcpt("<ann@example.com>") == "c"


@pytest.mark.parametrize(
    "argument",
    [
        b"\0",
        b"<\xff\xfe@b.test>\0",
        b"<a@b.test\0SIZE=1\0",
        b"<" + b"a" * 60_000 + b"@b.test>\0",
        b"<a@b.test>\0" + b"X=y\0" * 15_000,
        b"<a@b.test>\0SMTPUTF8=\xff\0%s%n\0",
    ],
    ids=["nothing", "no UTF-8", "a NUL", "a long address", "many parameters", "forged parameters"],
)
def test_a_forged_sender_changes_no_answer(running: Site, argument: bytes) -> None:
    """Whatever stands in MAIL: who asks is a stranger, and recipients are what they are."""
    with running.stranger() as mta:
        mta.raw("M", argument)
        assert mta.rcpt("<someone@elsewhere.test>") == DENIED
        assert mta.rcpt("<bob@example.com>") == "c"
        assert mta.data() == "c"
        assert mta.end().deleted == ["<bob@example.com>"]


@pytest.mark.parametrize(
    "packets",
    [
        b"\0\0\0\0",
        struct.pack("!Lc", 1, b"\xff"),
        struct.pack("!Lc", 0x7FFFFFFF, b"R") + b"<ann@example.com>\0",
        struct.pack("!Lc", 1, b"E"),
        struct.pack("!Lc", 1, b"T") * 2,
        struct.pack("!Lc", 17, b"R") + b"<no@corp.local>\0",
        struct.pack("!Lc", 5, b"D") + b"M{a\0",
        struct.pack("!Lc", 2, b"C") + b"\0",
    ],
    ids=["empty", "no command", "huge", "end", "data", "recipient", "half a macro", "no client"],
)
def test_what_no_mta_says_harms_nobody(running: Site, packets: bytes) -> None:
    """Packets that are none, and steps out of their order: nobody else notices."""
    with running.stranger() as honest, Mta(running.socket) as mta:
        honest.mail()
        mta.sock.sendall(packets)
        mta.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while mta.sock.recv(65536):
                pass
        assert honest.rcpt("<nobody@corp.local>") == UNKNOWN
        assert honest.rcpt("<ann@example.com>") == "c"
    until(lambda: 'codomain_connections{door="milter"} 0.0' in running.metrics())


def test_a_text_of_the_administrator_is_told_as_mtas_read_it(site: Site) -> None:
    """Build 2: the MTA takes % for a format, so it is doubled; a long text has several lines."""
    text = "100% unknown, %s and %n. " + "A sentence that goes on. " * 15
    site.write(more=f"[replies]\nunknown.text = {text}\n")
    with site.serve():
        reply = site.reply(STRANGER, "<nobody@corp.local>")
    lines = reply.split("\r\n")
    assert len(lines) > 1
    assert [line[:10] for line in lines] == ["550-5.1.1 "] * (len(lines) - 1) + ["550 5.1.1 "]
    assert all(len(line) <= 510 for line in lines)  # RFC 5321 section 4.5.3.1.5
    said = " ".join(line[10:] for line in lines)
    assert said.replace("%%", "%") == f"Recipient address rejected: {text.strip()}"
    assert said.count("%%") == 3


def test_forged_dsn_arguments_add_no_argument(running: Site) -> None:
    """Build 3: nothing that a client wrote can become a further ESMTP argument."""
    with running.stranger() as mta:
        mta.mail()
        mta.rcpt("<bob@example.com>", "NOTIFY=NEVER SIZE=1", "ORCPT=rfc822;a@b BODY=8BITMIME")
        mta.data()
        assert mta.end().added == [("<bob@unix.example.net>", "ORCPT=rfc822;bob@example.com")]


def test_who_guesses_at_the_milter_is_told_nothing_at_the_policy_door(site: Site) -> None:
    """[harvest]: braked at one door is braked at every door, whatever that one remembers."""
    site.write(more="[harvest]\nlimit = 2\n")
    closed = "[policyd]\nlisten =\n"
    text = site.ini.read_text()
    assert closed in text
    site.ini.write_text(text.replace(closed, f"[policyd]\nlisten = unix:{site.folder}/p\n"))
    request = policy_request(recipient="ann@example.com", client_address=STRANGER)
    with site.serve(), socket.socket(socket.AF_UNIX) as policy, site.stranger() as mta:
        policy.settimeout(SECONDS)
        policy.connect(os.fspath(site.folder / "p"))

        def asked() -> bytes:
            policy.sendall(request)
            return policy.recv(65536)

        mta.mail()
        assert [asked(), asked()] == [b"action=DUNNO\n\n"] * 2
        assert mta.rcpt("<ann@example.com>") == "c"
        for number in range(3):
            assert mta.rcpt(f"<n{number}@corp.local>") == UNKNOWN
        assert asked().startswith(b"action=450 4.7.1 ")
        assert mta.rcpt("<ann@example.com>").startswith("450 4.7.1 ")
        with site.stranger("198.51.100.99") as other:
            other.mail()
            assert other.rcpt("<ann@example.com>") == "c"


def test_a_field_whose_name_is_no_utf8_is_passed_by(running: Site) -> None:
    """Nothing that we look for has such a name, and the MTA must not be left waiting."""
    with running.stranger() as mta:
        mta.mail()
        mta.rcpt("<bob@example.com>")
        mta.data()
        mta.raw("L", b"\xff\xfe\0value\0")
        end = mta.end()
        assert (end.reply, end.deleted) == ("c", ["<bob@example.com>"])
    assert running.reply(STRANGER, "<ann@example.com>") == "c"


def test_a_host_name_that_is_no_utf8_makes_a_stranger(running: Site) -> None:
    """The name comes from the client's DNS; what cannot be read makes nobody trusted."""
    with Mta(running.socket) as mta:
        mta.raw("C", b"\xff\xfe\x004\x00\x50127.0.0.1\0")
        mta.mail()
        assert mta.rcpt("<someone@elsewhere.test>") == DENIED


def test_fifty_hops_pass_and_one_more_is_a_loop(running: Site) -> None:
    """RFC 5321 section 6.3; [milter] max_hops is 50."""
    with running.stranger() as mta:
        hops = [("Received", "from a by b")] * 50
        assert mta.message("<ann@example.com>", headers=hops).reply == "c"
        end = mta.message("<bob@example.com>", headers=[*hops, ("received", "from a by b")])
    assert end.reply.startswith("554 5.4.6 ")
    assert (end.added, end.deleted) == ([], [])


def test_mail_that_was_sent_to_a_connector_is_known_again(running: Site) -> None:
    """Build 5: the trace field of the first passage proves the circle in the second."""
    with running.stranger() as mta:
        (trace,) = mta.message("<lost@example.com>").inserted
        assert mta.message("<lost@example.com>", headers=[trace]).reply.startswith("554 5.4.6 ")
        assert mta.message("<other@example.com>", headers=[trace]).reply == "c"
        instance = trace[1].split()[0]
        forged = [(trace[0], f"{instance} AAAA AAAAAAAAAAAAAAAA"), trace]
        assert mta.message("<ann@example.com>", headers=forged).removed == [(trace[0], 1)]


def test_two_hundred_connections_at_once(running: Site) -> None:
    """The issue's own number: all are open together, and each gets its answer."""
    ready = threading.Barrier(201)
    replies: list[str] = []

    def one(number: int) -> None:
        with running.stranger() as mta:
            mta.mail()
            ready.wait(SECONDS)
            who = ("ann@example.com", "nobody@corp.local")[number % 2]
            replies.append(mta.rcpt(f"<{who}>"))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    ready.wait(SECONDS)
    for thread in threads:
        thread.join(SECONDS)
    assert sorted(replies) == [UNKNOWN] * 100 + ["c"] * 100


def test_the_milter_is_counted(site: Site) -> None:
    """architecture.md, Metrics: requests and durations of this door, by verdict and reason."""
    with site.serve():
        for recipient in ("ann@example.com", "nobody@corp.local"):
            site.reply(STRANGER, f"<{recipient}>")
        metrics = site.metrics()
    name = "codomain_requests_total"
    assert f'{name}{{domain="corp.local",door="milter",reason="unknown",verdict="refuse"}} 1.0' in (
        metrics
    )
    assert 'codomain_request_duration_seconds_count{door="milter"} 2.0' in metrics


def test_the_directory_is_asked_once_and_its_outage_is_temporary(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """One cache for all; 451 4.4.3 where nothing is known, the entry where it is stale."""
    slapd = new_slapd()
    section = f"type = ldap\nservers = {slapd.ldap}\nbase = dc=example,dc=com"
    site.write(directory=section, more="[cache]\nfound_ttl = 0s\nfailed_ttl = 1s\n")
    with site.serve():
        assert site.reply(STRANGER, "<nobody@corp.local>") == UNKNOWN
        assert site.reply(STRANGER, "<ann@example.com>") == "c"
        assert 'codomain_cache_lookups_total{result="negative_hit"}' in site.metrics()
        slapd.stop()
        assert site.reply(STRANGER, "<new@corp.local>").startswith("451 4.4.3 ")
        assert site.reply(STRANGER, "<ann@example.com>") == "c"


def test_a_reload_drops_no_connection(site: Site) -> None:
    """Build 7: HUP reloads and stops nothing; a message under way keeps its recipients."""
    with site.serve() as daemon, site.stranger() as mta:
        mta.mail()
        assert mta.rcpt("<bob@example.com>") == "c"
        assert mta.rcpt("<new@corp.local>") == UNKNOWN
        text = PEOPLE.replace("cn=ann", "cn=new", 1).replace(
            "mailNickname: ann", "mailNickname: new"
        )
        text = text.replace("ann@example.com", "new@corp.local").replace("a.smith", "n")
        site.people.write_text(text.split("dn: cn=bob")[0])
        daemon.reload()
        daemon.wait_for_log("generation=", times=2)
        assert mta.rcpt("<new@corp.local>") == "c"
        mta.data()
        assert mta.end().deleted == ["<bob@example.com>"]
        assert site.reply(STRANGER, "<new@corp.local>") == "c"


def test_a_stop_ends_in_time_and_leaves_no_socket(site: Site) -> None:
    """Build 7: TERM stops within the time-out, also while an MTA stays connected."""
    daemon = site.serve().start()
    with site.stranger() as mta:
        mta.mail()
        assert mta.rcpt("<ann@example.com>") == "c"
        begun = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - begun < 4.0  # smfi_stop alone waits for 5 s
    assert not site.socket.exists()


def test_a_milter_that_ended_by_itself_ends_the_daemon(site: Site) -> None:
    """Libmilter's own thread took a HUP: nobody may go on with a door that is shut for ever."""
    daemon = site.serve().start()
    tasks = Path(f"/proc/{daemon.pid}/task")
    (task,) = [t for t in tasks.iterdir() if "sigtimedwait" in (t / "wchan").read_text()]
    assert ctypes.CDLL(None).tgkill(daemon.pid, int(task.name), signal.SIGHUP) == 0
    daemon.wait_for_log("libmilter ended by itself")
    assert daemon._process is not None
    assert daemon._process.wait(SECONDS) == 70
    assert not site.socket.exists()


def test_a_second_instance_steals_no_socket(site: Site) -> None:
    """Build 7: refused by the lock, which names the process; the first one serves on."""
    with site.serve() as first:
        inode = site.socket.stat().st_ino
        (site.folder / "http").unlink()  # so that the milter's place is what stands in its way
        done = serve_to_its_end(site)
        assert done.returncode == 71
        assert f"unix:{site.socket} is in use by process {first.pid}" in done.stderr
        assert site.socket.stat().st_ino == inode
        assert site.reply(STRANGER, "<ann@example.com>") == "c"


def test_a_stale_socket_is_replaced(site: Site) -> None:
    """Build 7: after `kill -9` the socket lies there; it is nobody's."""
    daemon = site.serve().start()
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.stop()
    assert site.socket.exists()
    with site.serve():
        assert site.reply(STRANGER, "<ann@example.com>") == "c"


def test_another_program_on_the_socket_is_left_alone(site: Site) -> None:
    """Without our lock, but alive: it is not ours to remove."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(os.fspath(site.socket))
        other.listen()
        done = serve_to_its_end(site)
        assert done.returncode == 71
        assert f"unix:{site.socket} is in use" in done.stderr


def test_the_socket_has_its_mode_and_group(site: Site) -> None:
    """Build 7: group and mode as configured ([policyd] socket_group, socket_mode)."""
    text = site.ini.read_text().replace("socket_group =", "socket_group = daemon")
    site.ini.write_text(text.replace("socket_mode = 0600", "socket_mode = 0660"))
    with site.serve():
        status = site.socket.stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert status.st_gid == 1


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("unix:{folder}/none/milter", "No such file or directory"),
        ("unix:/" + "x" * 104, "a path of more than 103 octets"),
        ("unix:{folder}/people.ldif", "what is there is no socket"),
        ("inet:127.0.0.1:0", "the MTA has to know the port"),
        ("inet:192.0.2.77:8899", "Cannot assign requested address"),
    ],
)
def test_a_place_that_cannot_be_is_one_line(site: Site, listen: str, why: str) -> None:
    """Bad input: one clear line with the place and what is wrong, exit status 71."""
    listen = listen.format(folder=site.folder)
    site.write(listen)
    done = serve_to_its_end(site)
    assert done.returncode == 71
    lines = [line for line in done.stderr.splitlines() if " level=" not in f" {line}"]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(listen)
    assert why in lines[0]


def test_a_group_that_is_not_there_is_one_line(site: Site) -> None:
    """Bad input: a group that does not exist."""
    site.ini.write_text(site.ini.read_text().replace("socket_group =", "socket_group = nogrp"))
    done = serve_to_its_end(site)
    assert done.returncode == 71
    assert "there is no group nogrp" in done.stderr


@pytest.mark.parametrize("listen", ["unix:/" + "x" * 108, "somewhere", "inet:127.0.0.1"])
def test_an_address_that_is_none_is_a_fault_of_the_ini(site: Site, listen: str) -> None:
    """Bad input: exit status 78, with section and key."""
    site.write(listen)
    done = serve_to_its_end(site)
    assert done.returncode == 78
    assert "[milter] listen" in done.stderr


def test_an_inet_port_serves_and_a_second_instance_is_refused(site: Site) -> None:
    """The same over TCP; SO_REUSEADDR steals no port."""
    (port,) = free_ports(1)
    site.write(f"inet:127.0.0.1:{port}")
    with site.serve() as daemon:
        with Mta(("127.0.0.1", port)) as mta:
            mta.connect()
            assert mta.message("<bob@example.com>").deleted == ["<bob@example.com>"]
        (site.folder / "http").unlink()
        done = serve_to_its_end(site)
        assert done.returncode == 71
        assert f"inet:127.0.0.1:{port} cannot be opened: Address already in use" in done.stderr
        assert daemon.stop() == 0


@pytest.mark.parametrize(("listen", "status"), [(True, 78), (False, 71)])
def test_without_pymilter_the_package_is_named(
    site: Site,
    listen: bool,  # noqa: FBT001
    status: int,
) -> None:
    """Bad input: while listen is set, a line that names the package; while it is not, nothing."""
    if not listen:
        site.ini.write_text(
            site.ini.read_text().replace(f"listen = unix:{site.socket}", "listen =")
        )
    # What is not installed is here what may not be imported; a port in use ends the other start.
    with ExitStack() as held:
        http = socket.socket(socket.AF_UNIX)
        held.enter_context(http)
        http.bind(os.fspath(site.folder / "http"))
        http.listen()
        code = (
            "import sys; sys.modules['milter'] = None\nfrom codomain_cli.main import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "serve", "--config", os.fspath(site.ini)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == status, done.stderr
    assert ("python3-milter" in done.stderr) is listen
    assert "Traceback" not in done.stderr


def test_the_trace_key_outlives_the_daemon(site: Site) -> None:
    """Mail may come back after a restart; others cannot read the secret."""
    key = site.folder / "trace.key"
    with site.serve(), site.stranger() as mta:
        (trace,) = mta.message("<lost@example.com>").inserted
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with site.serve(), site.stranger() as mta:
        end = mta.message("<lost@example.com>", headers=[trace])
    assert end.reply.startswith("554 5.4.6 ")
