"""The answers that a daemon keeps, asked for by everybody in any order, on its raw socket."""

from __future__ import annotations

import random
import socket
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from codomain.address import parse_recipient
from codomain.decision import decide
from codomain.directory.files import FilesDirectory
from codomain.question import Door, Question
from codomain.replies import Replies
from codomain.rules import rules_from
from codomain_cli.background import Background
from codomain_cli.loading import load
from codomain_policyd.reply import policy_action
from support.doors import POSTFIX_ORDER, policy_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FINGERPRINT = "AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD"

INI = """\
[codomain]
postfix = off
hostname = gateway.example.com
postmaster = ann@corp.local
state_directory = {folder}
control_socket = {folder}/control
[policyd]
listen = unix:{folder}/policy
socketmap_listen = unix:{folder}/map
[http]
listen =
[trust]
trusted_networks = 10.0.0.0/8, 2001:db8:1::/48
trust_certificates = {fingerprint}
[domain example.com]
type = shared
deliver_to = exchange
[domain corp.local]
type = authoritative
deliver_to = exchange
[connector exchange]
smart_hosts = [192.0.2.20]
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com
allow_relay = yes
[connector late]
smart_hosts = [192.0.2.30]
address_spaces = example.com
allow_relay = yes
cost = 20
[context submission]
trusted = yes
[directory people]
type = files
path = {folder}/people.ldif
"""

PEOPLE = """\
dn: cn=Ann
objectClass: user
proxyAddresses: SMTP:ann@example.com
proxyAddresses: smtp:ann@corp.local

dn: cn=Boss
objectClass: user
proxyAddresses: SMTP:boss@corp.local
msExchRequireAuthToSendTo: TRUE
"""

CLIENTS = (
    *("198.51.100.7", "10.1.2.3", "::ffff:10.1.2.3", "2001:db8:1::5", "2001:db8:2::5", "unknown"),
    *("192.0.2.10", "192.0.2.20", "192.0.2.30"),
)
LOGINS = ("", "joe")
CERTIFICATES = ("", FINGERPRINT, "00:11")
CONTEXTS = ("", "inbound", "submission")
RECIPIENTS = (
    *("ann@example.com", "nobody@example.com", "nobody@corp.local", "boss@corp.local"),
    *("someone@elsewhere.test", "a%b@example.com", "postmaster@corp.local", "ann"),
)
ROUNDS = 2
"""How often everybody asks for everything: cold, then warm."""

Asker = tuple[str, str, str, str]


def asked(client: str) -> object:
    """Read a client's address as RFC 4291 section 2.5.5.2 wants it: mapped ones are IPv4."""
    try:
        address = ip_address(client)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def decided(ini: Path) -> Callable[[Asker, str], bytes]:
    """Return what a decision without any memory answers."""
    config = load([ini])
    rules, replies = rules_from(config), Replies(config.replies)
    directory = FilesDirectory(config.directories[0])

    def answer(asker: Asker, recipient: str) -> bytes:
        client, login, certificate, context = asker
        question = Question(
            recipient=parse_recipient(recipient.encode()),
            door=Door.POLICY,
            client=asked(client),  # type: ignore[arg-type]
            authenticated=bool(login),
            fingerprint=certificate,
            context=context,
        )
        verdict = decide(rules, question, lambda _name, key: directory.peek(key))
        return policy_action(verdict, replies, by_filter=False)  # type: ignore[arg-type]

    return answer


def test_what_is_kept_for_one_client_is_given_to_its_like_alone(tmp_path: Path) -> None:
    """Address, login, certificate, context and peer: each answer is as without any memory."""
    ini = tmp_path / "codomain.ini"
    ini.write_text(INI.format(folder=tmp_path, fingerprint=FINGERPRINT))
    (tmp_path / "people.ldif").write_text(PEOPLE)
    expected = decided(ini)
    rng = random.Random(1)
    shuffled = rng.sample(POSTFIX_ORDER, len(POSTFIX_ORDER))
    jobs = [
        ((client, login, certificate, context), recipient)
        for client in CLIENTS
        for login in LOGINS
        for certificate in CERTIFICATES
        for context in CONTEXTS
        for recipient in RECIPIENTS
    ] * ROUNDS
    rng.shuffle(jobs)
    wrong = []
    with Background(ini, tmp_path), socket.socket(socket.AF_UNIX) as smtpd:
        smtpd.settimeout(10)
        smtpd.connect(f"{tmp_path}/policy")
        for number, (asker, recipient) in enumerate(jobs):
            client, login, certificate, context = asker
            request = policy_request(
                POSTFIX_ORDER if rng.random() < 0.8 else shuffled,
                instance=f"{number}",
                recipient=recipient,
                client_address=client,
                sasl_username=login,
                ccert_fingerprint=certificate,
                policy_context=context,
            )
            smtpd.sendall(request)
            answer = b""
            while not answer.endswith(b"\n\n"):
                chunk = smtpd.recv(4096)
                assert chunk, (asker, recipient)
                answer += chunk
            if answer != expected(asker, recipient):
                wrong.append((asker, recipient, answer))
    assert wrong == []
