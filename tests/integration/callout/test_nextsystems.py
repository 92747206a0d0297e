"""Call-out to a real Postfix as next system: what each way to behave makes of a recipient.

Each test has recipients of its own, because what is found out is remembered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.postfix import LATE, wait_until

if TYPE_CHECKING:
    from support.nextpostfix import NextPostfix
    from support.postfix import Lab

STRANGER = "198.51.100.7"
UNKNOWN = "550 5.1.1"
UNSURE = "451 4.4.1"


def test_what_the_next_system_knows_is_taken(gateway: Lab) -> None:
    """And what it does not know is refused here, where the sender still hears it."""
    assert gateway.reply(STRANGER, "ann@plain.example").startswith("250 ")
    assert gateway.reply(STRANGER, "nobody@plain.example").startswith(UNKNOWN)


@pytest.mark.parametrize(
    "recipient",
    [
        "ann@grey.example",  # 450 to RCPT
        "nobody@helo.example",  # EHLO and HELO refused
        "nobody@delayed.example",  # 554 5.7.1 to RCPT, of the client
        "nobody@listed.example",  # 550 5.1.1 to RCPT, of the client: the control address too
        "nobody@closing.example",  # 421 to RCPT, and the connection is closed
        "ann@full.example",  # 552 5.2.2
    ],
)
def test_what_the_next_system_does_not_say_is_left_to_on_failure(
    gateway: Lab, deferring: Lab, recipient: str
) -> None:
    """Greylisting, rejecting HELO, delayed rejection of clients, closing, 5.2.2: never 550."""
    assert gateway.reply(STRANGER, recipient).startswith("250 ")
    assert deferring.reply(STRANGER, recipient).startswith(UNSURE)


def test_behind_a_full_mailbox_the_unknown_are_unknown(gateway: Lab) -> None:
    """552 5.2.2 speaks of one mailbox alone."""
    assert gateway.reply(STRANGER, "nobody@full.example").startswith(UNKNOWN)


def test_a_catch_all_takes_anything(gateway: Lab, behind: NextPostfix) -> None:
    """Found by a random local part, remembered by its domain, and not asked again."""
    assert gateway.reply(STRANGER, "whoever@catchall.example").startswith("250 ")
    connections = behind.said("catchall", "connect from")
    assert gateway.reply(STRANGER, "somebody-else@catchall.example").startswith("250 ")
    assert behind.said("catchall", "connect from") == connections == 1


def test_a_tarpit_holds_no_request(deferring: Lab) -> None:
    """The deadline of the request (4 s) is kept; the call-out goes on and fills the memory."""
    began = time.monotonic()
    assert deferring.reply(STRANGER, "ann@tarpit.example").startswith(UNSURE)
    assert time.monotonic() - began < 7.5  # the tarpit sleeps for 8 s
    wait_until(lambda: deferring.reply(STRANGER, "ann@tarpit.example").startswith("250 "), 60.0)


def test_a_bad_certificate_is_no_connection(gateway: Lab, deferring: Lab) -> None:
    """With tls = verify: of another name, by an authority that nobody knows; may takes it."""
    assert deferring.reply(STRANGER, "ann@badtls.example").startswith(UNSURE)
    assert deferring.reply(STRANGER, "nobody@badtls.example").startswith(UNSURE)
    assert gateway.reply(STRANGER, "nobody@badtls.example").startswith(UNKNOWN)


def test_a_connection_is_protected_where_it_may_be(gateway: Lab, behind: NextPostfix) -> None:
    """With tls = may: STARTTLS where it is offered."""
    assert gateway.reply(STRANGER, "nobody@opportune.example").startswith(UNKNOWN)
    wait_until(lambda: behind.said("opportune", "TLS connection established"))


def test_what_was_temporary_may_become_unknown(gateway: Lab, behind: NextPostfix) -> None:
    """4xx, then 5xx: remembered for seconds, not for hours."""
    assert gateway.reply(STRANGER, "new@turning.example").startswith("250 ")
    behind.turn("550 5.1.1 Gone")
    behind.postfix.command("reload")
    wait_until(lambda: gateway.reply(STRANGER, "new@turning.example").startswith(UNKNOWN), 60.0)


def test_a_quoted_recipient_is_asked_as_it_is(gateway: Lab, behind: NextPostfix) -> None:
    """The RCPT line is quoted by us."""
    assert gateway.reply(STRANGER, '"a,b"@plain.example').startswith(UNKNOWN)
    wait_until(lambda: behind.said("plain", 'to=<"a,b"@plain.example>'))


def test_a_contacts_target_is_asked_of_its_system(gateway: Lab) -> None:
    """A target that nobody has would bounce later."""
    assert gateway.reply(STRANGER, "bob@corp.local").startswith("250 ")
    assert gateway.reply(STRANGER, "lost@corp.local").startswith(UNKNOWN)


@pytest.mark.parametrize(
    ("recipient", "service"), [("one", "first"), ("two", "second"), ("three", "third")]
)
def test_a_chain_of_three_leads_to_the_one_that_knows(
    gateway: Lab, behind: NextPostfix, recipient: str, service: str
) -> None:
    """Unknown in the first, known in the second → routed to the second."""
    sent = gateway.send(STRANGER, f"{recipient}@chain.example")
    assert sent.replies[0].startswith("250 ")
    address = f"to=<{recipient}@chain.example>, relay=127.0.0.1[127.0.0.1]:{behind.ports[service]}"
    wait_until(lambda: address in gateway.gateway.postfix.logged())


def test_unknown_in_the_whole_chain_is_refused(gateway: Lab) -> None:
    """550 5.1.1 at RCPT, and no back-scatter."""
    assert gateway.reply(STRANGER, "four@chain.example").startswith(UNKNOWN)


def test_the_last_of_the_chain_gives_back_what_the_first_knows(gateway: Lab) -> None:
    """An earlier one is a way out only if its call-out says that it knows the recipient."""
    third = "192.0.2.32"
    assert gateway.reply(third, "one@chain.example").startswith("250 ")
    assert gateway.reply(third, "four@chain.example").startswith("554 5.4.6")
    assert gateway.reply(LATE, "three@chain.example").startswith("250 ")


def test_call_outs_are_counted(gateway: Lab) -> None:
    """callout_requests_total{connector,result} and callout_duration_seconds{connector}."""
    gateway.reply(STRANGER, "counted@plain.example")
    page = gateway.gateway.page("metrics")
    assert 'codomain_callout_requests_total{connector="plain",result="unknown"}' in page
    assert 'codomain_callout_duration_seconds_count{connector="plain"}' in page
