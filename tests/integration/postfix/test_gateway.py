"""Where mail goes, and what strangers are told, at a real smtpd that asks over ldaps://."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.postfix import LATE, STRANGER, TRUSTED, UNIX, Lab, wait_until

LOCAL_64 = "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
"""The longest local part (RFC 5321 section 4.5.3.1.1)."""

LABEL = "x" * 59
"""A label of a long domain; 63 octets are the most (RFC 1035)."""

OK = "250 2.1.5"


@pytest.mark.parametrize(
    ("recipient", "arrival"),
    [
        # deliver_to: a connector over SMTP (decisions.md, step 5)
        ("ann@example.com", ("exchange", "ann@example.com")),
        ("A.Smith@EXAMPLE.com", ("exchange", "A.Smith@EXAMPLE.com")),
        # found without its extension, which goes on to the mailbox
        ("ann+list@example.com", ("exchange", "ann+list@example.com")),
        # a contact's target, with the extension (keep_extension)
        ("bob+x@example.com", ("unix", "bob+x@unix.example.net")),
        # deliver_to: a connector over LMTP to a socket of this host
        ("lea@lmtp.example.org", ("lmtp", "lea@lmtp.example.org")),
        # no deliver_to: virtual_mailbox_domains, and the site's virtual_transport
        ("max@here.example.org", ("here", "max@here.example.org")),
        # type relay: no directory is asked
        ("who@unix.example.net", ("unix", "who@unix.example.net")),
        # shared, not found: the connector that covers it
        ("dora@example.com", ("unix", "dora@example.com")),
        # an address of ours behind a source route (RFC 5321 section 4.1.1.3: ignored)
        ("@elsewhere.test:ann@example.com", ("exchange", "ann@example.com")),
        # quoted (RFC 5321 section 4.1.2)
        ('"john doe"@example.com', ("exchange", '"john doe"@example.com')),
        ('"ann"@example.com', ("exchange", "ann@example.com")),
        # 64 octets
        (f"{LOCAL_64}@corp.local", ("exchange", f"{LOCAL_64}@corp.local")),
    ],
)
def test_a_recipient_arrives_where_the_decision_says(
    gateway: Lab, recipient: str, arrival: tuple[str, str]
) -> None:
    """The policy server, the maps and Postfix's own parser agree on every form of an address."""
    sent = gateway.send(STRANGER, recipient)
    assert sent.replies[0].startswith(OK), sent.replies
    assert gateway.arrivals(sent.token, 1) == [arrival]


@pytest.mark.parametrize(
    ("client", "recipient", "reply"),
    [
        (STRANGER, "nobody@corp.local", "550 5.1.1"),
        (STRANGER, "nobody@here.example.org", "550 5.1.1"),
        (STRANGER, "nobody@lmtp.example.org", "550 5.1.1"),
        (STRANGER, "someone@elsewhere.test", "554 5.7.1"),
        (STRANGER, "postmaster@elsewhere.test", "554 5.7.1"),
        (STRANGER, "eve@example.com", "554 5.7.1"),
        (TRUSTED, "eve@example.com", "554 5.7.1"),
        # a foreign address, hidden (decisions.md, step 4) or behind a route
        (STRANGER, "someone%elsewhere.test@example.com", "554 5.7.1"),
        (STRANGER, "elsewhere.test!someone@example.com", "554 5.7.1"),
        (STRANGER, '"someone@elsewhere.test"@example.com', "554 5.7.1"),
        (STRANGER, "@example.com:someone@elsewhere.test", "554 5.7.1"),
        # unknown at whoever sent it
        (UNIX, "nobody@example.com", "554 5.4.6"),
        (UNIX, "someone@elsewhere.test", "554 5.7.1"),
        # a mailbox sent by its own system
        ("192.0.2.20", "ann@example.com", "554 5.4.6"),
        # the last of a chain
        (LATE, "nobody@chain.example.org", "554 5.4.6"),
    ],
)
def test_a_refusal_is_in_our_words(gateway: Lab, client: str, recipient: str, reply: str) -> None:
    """The check stands before Postfix's own: replies.md gives codes, and the text is ours."""
    words = {
        "550 5.1.1": "User unknown",
        "554 5.7.1": "Relay access denied",  # Postfix itself says no "Recipient address rejected"
        "554 5.4.6": "routing loop",
    }
    answer = gateway.reply(client, recipient)
    assert answer.startswith(f"{reply} <"), answer
    assert "Recipient address rejected" in answer, answer
    assert answer.endswith(words[reply]), answer


def test_a_trusted_client_may_write_anywhere(gateway: Lab) -> None:
    """Foreign domains are for the MTA to judge: Pass."""
    sent = gateway.send(TRUSTED, "someone@elsewhere.test")
    assert gateway.arrivals(sent.token, 1) == [("internet", "someone@elsewhere.test")]


def test_submission_asks_too(gateway: Lab) -> None:
    """The service for users has restrictions of its own, and the check in them."""
    port = gateway.gateway.postfix.submission
    sent = gateway.send(TRUSTED, "nobody@corp.local", "bob@example.com", port=port)
    assert [reply[:9] for reply in sent.replies] == ["550 5.1.1", OK]
    assert gateway.arrivals(sent.token, 1) == [("unix", "bob@unix.example.net")]


def test_postmaster_without_a_domain_is_taken(gateway: Lab) -> None:
    """RFC 5321 section 4.5.1: never refused; it goes to [codomain] postmaster by myorigin."""
    sent = gateway.send(STRANGER, "postmaster")
    assert sent.replies[0].startswith(OK)
    assert gateway.arrivals(sent.token, 1) == [("exchange", "ann@corp.local")]


@pytest.mark.parametrize(("last", "octets"), [(56, 253), (58, 255)])
def test_a_recipient_of_64_and_255_octets_is_taken(gateway: Lab, last: int, octets: int) -> None:
    """RFC 5321 sections 4.5.3.1.1 and 4.5.3.1.2; 253 is the longest name of the DNS."""
    name = f"{LABEL}.{LABEL}.{LABEL}.{LABEL[:last]}.unix.example.net"
    assert len(name) == octets
    recipient = f"{LOCAL_64}@{name}"
    sent = gateway.send(STRANGER, recipient)
    assert sent.replies[0].startswith(OK), sent.replies
    assert gateway.arrivals(sent.token, 1) == [("unix", recipient)]


def test_a_utf8_recipient_arrives_with_smtputf8(gateway: Lab) -> None:
    """RFC 6531: the local part goes on as it is, the domain is one in both of its forms."""
    sent = gateway.send(STRANGER, "jürgen@example.com", utf8=True)
    assert sent.replies[0].startswith(OK), sent.replies
    assert gateway.arrivals(sent.token, 1) == [("exchange", "jürgen@example.com")]


def test_a_utf8_recipient_needs_smtputf8(gateway: Lab) -> None:
    """replies.md: Postfix itself, with strict_smtputf8; its policy protocol does not tell."""
    assert gateway.reply(STRANGER, "jürgen@example.com").startswith("553 5.6.7")


def test_two_addresses_of_one_target_are_one_delivery(gateway: Lab) -> None:
    """enable_original_recipient = no (mta.md)."""
    sent = gateway.send(STRANGER, "bob@example.com", "bob@unix.example.net")
    gateway.wait_until_empty()
    assert gateway.arrivals(sent.token, 1) == [("unix", "bob@unix.example.net")]


def test_what_the_other_system_gives_back_is_refused(gateway: Lab) -> None:
    """KB 321721: the last system must not send the unresolved back; it hears 5.4.6, and no loop."""
    sent = gateway.send(STRANGER, "lost@example.com")
    assert gateway.arrivals(sent.token, 1) == [("unix", "lost@example.com")]
    wait_until(lambda: gateway.returned)
    assert [reply[:9] for reply in gateway.returned] == ["554 5.4.6"]
    gateway.wait_until_empty()
    assert gateway.arrivals(sent.token, 1) == [("unix", "lost@example.com")]


def test_the_second_connector_takes_what_the_first_gives_back(gateway: Lab) -> None:
    """A chain moves forward: FILTER beats the transport map, which says the first one."""
    first = gateway.send(STRANGER, "far@chain.example.org")
    assert gateway.arrivals(first.token, 1) == [("unix", "far@chain.example.org")]
    second = gateway.send(UNIX, "far@chain.example.org")
    assert second.replies[0].startswith(OK), second.replies
    assert gateway.arrivals(second.token, 1) == [("late", "far@chain.example.org")]


def test_a_message_that_moves_on_has_one_way(gateway: Lab) -> None:
    """FILTER is for the whole message: a recipient of another way comes again (452 4.5.3)."""
    sent = gateway.send(UNIX, "far@chain.example.org", "ann@example.com")
    assert [reply[:9] for reply in sent.replies] == [OK, "452 4.5.3"]
    assert gateway.arrivals(sent.token, 1) == [("late", "far@chain.example.org")]


def test_vrfy_tells_nothing(gateway: Lab) -> None:
    """disable_vrfy_command: VRFY would ask the policy server, too."""
    with gateway.gateway.postfix.connect(STRANGER) as session:
        assert session.docmd("VRFY", "ann@example.com")[0] == 502


def test_postconf_finds_nothing_to_warn_about(gateway: Lab) -> None:
    """Every parameter of our own is used by one of Postfix's, and none stands twice."""
    postfix = gateway.gateway.postfix
    for asked in (["-n"], ["-M"], ["-P"]):
        assert "warning" not in postfix.run("postconf", "-c", f"{postfix.config}", *asked)
    assert postfix.command("check") == ""


def test_postfix_logs_no_warning_about_our_lines(gateway: Lab) -> None:
    """A malformed option shows in the log of smtpd, not in postconf."""
    gateway.send(STRANGER, "ann@example.com", "nobody@corp.local")
    logged = gateway.gateway.postfix.logged().splitlines()
    assert [line for line in logged if "warning:" in line or "fatal:" in line] == []


def test_the_command_prints_what_is_in_force(gateway: Lab) -> None:
    """`codomain postfix` for this INI is what this Postfix runs with, line by line."""
    printed = _codomain("postfix", "--main-cf", "--config", f"{gateway.gateway.ini}")
    lines = [line for line in printed.splitlines() if line and not line.startswith("#")]
    postfix = gateway.gateway.postfix
    assert len(lines) > 15
    for line in lines:
        name = line.partition(" =")[0]
        said = postfix.run("postconf", "-c", f"{postfix.config}", name)
        assert said.strip() == line
    master = _codomain("postfix", "--master-cf", "--config", f"{gateway.gateway.ini}")
    assert [line for line in master.splitlines() if line and not line.startswith("#")] == []


def test_the_metrics_count_the_replies(gateway: Lab) -> None:
    """/metrics names the reason of a refusal at the policy door."""
    gateway.reply(STRANGER, "nobody@corp.local")
    page = gateway.gateway.page("metrics")
    counted = [line for line in page.splitlines() if 'reason="unknown"' in line]
    assert any('door="policy"' in line and 'domain="corp.local"' in line for line in counted)


def _codomain(*arguments: str) -> str:
    run = "from codomain_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", run, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout
