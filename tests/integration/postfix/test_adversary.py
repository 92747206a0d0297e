"""What hostile clients try at a real smtpd, and where what is taken arrives."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING

import pytest

from support.postfix import LATE, SENDER, STRANGER, TRUSTED, UNIX, Lab, lab, message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OK = "250 2.1.5"

DIRECTORY = """\
[domain catch.example.org]
type = authoritative
deliver_to = exchange
catch_all = ann@corp.local

[domain both.example.org]
type = shared
deliver_to = exchange
recipient_delimiter = -_

[redirect]
allowed_targets = partner.test

[directory people]
type = files
path = {path}
"""

PEOPLE = """\
dn: cn=Ann
objectClass: user
proxyAddresses: SMTP:ann@example.com
proxyAddresses: smtp:ann@corp.local
proxyAddresses: smtp:ann@both.example.org

dn: cn=Bob
objectClass: contact
proxyAddresses: SMTP:bob@example.com
targetAddress: SMTP:bob@unix.example.net

dn: cn=Pat
objectClass: contact
proxyAddresses: SMTP:pat@corp.local
targetAddress: SMTP:pat@partner.test

dn: cn=Two
objectClass: contact
proxyAddresses: smtp:two@example.com
proxyAddresses: SMTP:ann+two@example.com
targetAddress: SMTP:ann+two@example.com

dn: cn=C1
objectClass: contact
proxyAddresses: SMTP:c1@corp.local
targetAddress: SMTP:c2@both.example.org

dn: cn=C2
objectClass: contact
proxyAddresses: SMTP:c2@both.example.org
targetAddress: SMTP:"joe \\"j\\" doe"@unix.example.net
"""

SENDERS = (
    *("", SENDER, "antispam", "ann@example.com", "antispam@[127.0.0.1]"),
    "antispam@gateway.test",
)
"""No sender, a foreign one, a bare one, and forged ones: none makes a stranger trusted."""

T, E, H = "relaytest", "elsewhere.test", "example.com"
RELAYING = (
    # the forms of the relay testers
    *(f"{T}@{E}", f"{T}%{E}", f"{E}!{T}", f'"{T}@{E}"', f'"{T}%{E}"', f"{T}@{E}."),
    *(f"{T}{sign}{E}@{host}" for sign in "@%" for host in (H, "gateway.test", "[127.0.0.1]")),
    *(f"{E}!{T}@{host}" for host in (H, "gateway.test", "[127.0.0.1]")),
    *(f'"{T}@{E}"@{host}' for host in (H, "gateway.test", "[127.0.0.1]")),
    *(f"@{host}:{T}@{E}" for host in (H, "gateway.test", "[127.0.0.1]")),
    # routes of two hops, and what is hidden behind one
    *(f"@{H},@corp.local:{T}@{E}", f"@{E}:{T}%{E}@{H}", f"@{H}:{E}!{T}@corp.local"),
    # escaped, in part in quotes, in an extension
    *(f'"{T}\\@{E}"@{H}', f"{T}\\@{E}@{H}", f'{T}"@"{E}@{H}', f'"{T}"%{E}@{H}'),
    *(f"bob+{T}%{E}@{H}", f'"ann+{T}@{E}"@{H}', f"postmaster%{E}@{H}", f"postmaster@{E}"),
    *(f"{T}%{E}@unix.example.net", f"{T}%{E}@x.unix.example.net", f"x%{E}@catch.example.org"),
    # numbers, literals, labels that are empty or below ours
    *(f"{T}@[IPv6:::1]", f"{T}@2130706433", f"{T}@0177.0.0.1", f"{T}@[198.51.100.9]"),
    *(f"{T}@x.{H}", f"{T}@{H}.{E}", f"{T}@..unix.example.net", f"{T}@.{H}"),
    # control characters, and lengths
    *(f"ann@{H}\0{T}@{E}", f'"ann\0@{E}"@{H}', f"ann@{H},{T}@{E}", f"ann@{H} {T}@{E}"),
    *(f"{'x' * 900}%{E}@{H}", f'"{"x" * 900}@{E}"@{H}', f"@{',@'.join(['a.test'] * 99)}:{T}@{E}"),
    # look-alikes, compatibility letters and signs
    *("ann@ex\u0430mple.com", "ann@\uff45xample.com", "ann@example\u3002com"),
    "ann@exam\u200bple.com",
    *(f"{T}\uff20{E}@{H}", f"{T}\ufe6b{E}@{H}", f"{T}\uff05{E}@{H}", f"{E}\uff01{T}@{H}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give a gateway that reads its directory from a file."""
    with lab(DIRECTORY.format(path=_people(tmp_path_factory.mktemp("a")))) as running:
        yield running


@pytest.fixture(scope="module")
def filtering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give the same gateway without maps."""
    policyd = "[policyd]\nredirect = filter\nsocketmap_listen =\n"
    with lab(DIRECTORY.format(path=_people(tmp_path_factory.mktemp("f"))), policyd) as running:
        yield running


def _people(folder: Path) -> Path:
    path = folder / "people.ldif"
    path.write_text(PEOPLE)
    return path


def refused(gateway: Lab, client: str, sender: str) -> list[str]:
    """Return which of the relay testers' recipients a client gets through."""
    taken = []
    with gateway.gateway.postfix.connect(client) as session:
        for recipient in RELAYING:
            session.send(f"MAIL FROM:<{sender}> SMTPUTF8\r\n".encode())
            assert session.getreply()[0] == 250
            session.send(f"RCPT TO:<{recipient}>\r\n".encode())
            if session.getreply()[0] < 500:
                taken.append(recipient)
            session.rset()
    return taken


@pytest.mark.parametrize("client", [STRANGER, UNIX, "192.0.2.20", LATE])
def test_no_form_of_a_foreign_address_is_relayed(gateway: Lab, client: str) -> None:
    """RFC 5321 section 3.6.2: strangers and peers reach our domains alone, in whatever spelling."""
    assert {sender: refused(gateway, client, sender) for sender in SENDERS} == {
        sender: [] for sender in SENDERS
    }


@pytest.mark.parametrize("client", [STRANGER, UNIX])
def test_without_maps_no_form_of_a_foreign_address_is_relayed_either(
    filtering: Lab, client: str
) -> None:
    """The same with redirect = filter."""
    assert refused(filtering, client, "") == []


@pytest.mark.parametrize("first", [STRANGER, TRUSTED, UNIX])
def test_who_asks_first_changes_nothing_for_who_asks_next(gateway: Lab, first: str) -> None:
    """Answers that are kept are kept for those who stand alike: trust leaks to nobody."""
    expected = {
        ("someone@elsewhere.test", STRANGER): "554 5.7.1",
        ("someone@elsewhere.test", TRUSTED): OK,
        ("someone@elsewhere.test", UNIX): "554 5.7.1",
        ("new@example.com", STRANGER): OK,
        ("new@example.com", TRUSTED): OK,
        ("new@example.com", UNIX): "554 5.4.6",
        ("a%b@example.com", STRANGER): "554 5.7.1",
        ("a%b@example.com", TRUSTED): OK,
        ("a%b@example.com", UNIX): "554 5.7.1",
    }
    clients = [first, *(c for c in (STRANGER, TRUSTED, UNIX) if c != first)]
    recipients = dict.fromkeys(recipient for recipient, _ in expected)
    tag = clients.index(TRUSTED)  # recipients that nobody has asked for
    for recipient, client in itertools.product(recipients, [*clients, *reversed(clients)]):
        fresh = recipient.replace("@", f"{tag}@", 1)
        assert gateway.reply(client, fresh)[:9] == expected[recipient, client], (fresh, client)


@pytest.mark.parametrize("char", ["\u0085", "\u2028"])
@pytest.mark.parametrize("domain", ["example.com", "corp.local"])
def test_an_extension_never_becomes_an_address_of_its_own(
    gateway: Lab, char: str, domain: str
) -> None:
    """A control character that a map writes as a blank would part one target into two."""
    name = "bob" if domain == "example.com" else "pat"
    sent = gateway.send(STRANGER, f"{name}+{char}victim@{domain}", utf8=True)
    gateway.wait_until_empty()
    arrived = [(a.system, a.recipient) for a in gateway.sinks.arrived(sent.token)]
    if domain == "corp.local":
        assert (sent.replies[0][:9], arrived) == ("550 5.1.1", [])
    else:
        # nobody here, so it is for the other system, as it is
        assert arrived == [("unix", f"bob+{char}victim@example.com")]


@pytest.mark.parametrize(
    ("recipient", "arrival"),
    [
        # a target in a shared domain with an extension of its own: in the other system
        ("two@example.com", ("unix", "ann+two@example.com")),
        ("two+x@example.com", ("unix", "ann+two@example.com")),
        ("ann+two@example.com", ("unix", "ann+two@example.com")),
        ("ann+three@example.com", ("exchange", "ann+three@example.com")),
        # a chain of contacts ends at a target in quotes
        ("C1@CORP.local", ("unix", '"joe \\"j\\" doe"@unix.example.net')),
        ("c1+x@corp.local", ("unix", '"joe \\"j\\" doe"@unix.example.net')),
        ("c2-x@both.example.org", ("unix", '"joe \\"j\\" doe-x"@unix.example.net')),
        # a delimiter of another domain of ours means nothing here
        ("ann-x_y@both.example.org", ("exchange", "ann-x_y@both.example.org")),
        ("anybody+x@catch.example.org", ("exchange", "ann@corp.local")),
    ],
)
def test_a_target_is_one_mailbox_however_it_is_reached(
    gateway: Lab, recipient: str, arrival: tuple[str, str]
) -> None:
    """Postfix asks the alias map again for each target: both must agree where that ends."""
    sent = gateway.send(STRANGER, recipient)
    gateway.wait_until_empty()
    assert sent.replies[0].startswith(OK), sent.replies
    assert gateway.arrivals(sent.token, 1) == [arrival]


def test_redirect_leads_to_a_target_in_quotes(filtering: Lab) -> None:
    """The action takes an address without quotes (access(5)): in quotes it is another mailbox."""
    sent = filtering.send(STRANGER, "c2@both.example.org")
    filtering.wait_until_empty()
    assert filtering.arrivals(sent.token, 1) == [("unix", '"joe \\"j\\" doe"@unix.example.net')]


def test_local_programs_reach_the_same_mailboxes(gateway: Lab) -> None:
    """sendmail(1) asks no policy server: the maps alone lead and bounce."""
    token = uuid.uuid4().hex
    recipients = ["two+x@example.com", "C1@corp.local", "new@example.com", "ann"]
    gateway.gateway.postfix.sendmail(SENDER, recipients, message(token))
    gateway.wait_until_empty()
    assert gateway.arrivals(token, 4) == [
        ("exchange", "ann@corp.local"),
        ("unix", '"joe \\"j\\" doe"@unix.example.net'),
        ("unix", "ann+two@example.com"),
        ("unix", "new@example.com"),
    ]
