"""The milter behind a real Postfix: what clients are told, and what arrives where."""

from __future__ import annotations

import os
import signal
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from support.milterlab import SECONDS, STRANGER, MilterLab, milter_lab

if TYPE_CHECKING:
    from collections.abc import Iterator


LOOP = "100% a loop, %s and %n. " + " ".join(["It goes round."] * 25)


@pytest.fixture(scope="module")
def lab() -> Iterator[MilterLab]:
    """Give a gateway that tests leave as it is."""
    with milter_lab(more=f"[replies]\nloop.text = {LOOP}\n") as running:
        yield running


@pytest.mark.parametrize(
    ("client", "recipient", "reply"),
    [
        (STRANGER, "nobody@corp.local", "550 5.1.1 Recipient address rejected: User unknown"),
        (STRANGER, "eve@example.com", "554 5.7.1 Recipient address rejected: Relay access denied"),
        (
            "192.0.2.20",
            "ann@example.com",
            "554 5.4.6 Recipient address rejected: 100% a loop, %s and %n. It goes",
        ),
        (
            "192.0.2.10",
            "nobody@example.com",
            "554 5.4.6 Recipient address rejected: 100% a loop, %s and %n. It goes",
        ),
        (STRANGER, "someone%elsewhere.test@corp.local", "554 5.7.1 "),
        # Postfix itself, before the milter
        (STRANGER, "someone@elsewhere.test", "554 5.7.1 <someone@elsewhere.test>: Relay access"),
    ],
)
def test_a_refusal_reaches_the_client(
    lab: MilterLab, client: str, recipient: str, reply: str
) -> None:
    """Code, enhanced code and text are those of the policy door."""
    assert lab.send(recipient, client=client)[1][0].startswith(reply)


def test_a_long_text_is_whole(lab: MilterLab) -> None:
    """Build 2: several lines, which smtplib joins by line feeds; each % is one."""
    (reply,) = lab.send("ann@example.com", client="192.0.2.20")[1]
    told = " ".join(line.removeprefix("5.4.6 ") for line in reply[4:].split("\n"))
    assert told == f"Recipient address rejected: {LOOP}"
    assert "\n" in reply


def test_a_contact_is_replaced_with_its_dsn_parameters(lab: MilterLab) -> None:
    """Build 3: NOTIFY as the sender wrote it, ORCPT naming the original, at the next system."""
    token, replies, _ = lab.send("Bob@example.com", options=" NOTIFY=SUCCESS,DELAY")
    assert replies[0].startswith("250")
    recipients, content = lab.unix.wait(token)
    (((target, parameters)),) = recipients
    assert target == "bob@unix.example.net"
    assert set(parameters.split()) == {"NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Bob@example.com"}
    assert content.count(b"X-Codomain-Trace: ") == 1


def test_an_orcpt_of_the_sender_stays(lab: MilterLab) -> None:
    """Build 3: one given by the sender stays."""
    token, _, _ = lab.send("bob@example.com", options=" ORCPT=rfc822;first+2Bx@b.test")
    recipients, _ = lab.unix.wait(token)
    assert recipients == [("bob@unix.example.net", "ORCPT=rfc822;first+2Bx@b.test")]


def test_mixed_recipients_part(lab: MilterLab) -> None:
    """Each goes its way: mailbox, contact, unresolved, refused; two contacts give one target."""
    token, replies, _ = lab.send(
        "ann@example.com",
        "bob@example.com",
        "nobody@corp.local",
        "rob@example.com",
        "lost@example.com",
        "bob@example.com",
    )
    assert [reply[:3] for reply in replies] == ["250", "250", "550", "250", "250", "250"]
    assert [r[0] for r in lab.exchange.wait(token)[0]] == ["ann@example.com"]
    arrived = [r[0] for r in lab.unix.wait(token)[0]]
    assert sorted(arrived) == ["bob@unix.example.net", "lost@example.com"]


def test_a_message_of_a_thousand_recipients_arrives(lab: MilterLab) -> None:
    """Build 3: five hundred contacts of a thousand, all replaced, none lost, none twice."""
    recipients = [f"{'bob' if n % 2 else 'ann'}+{n}@example.com" for n in range(1000)]
    token, replies, last = lab.send(*recipients)
    assert {reply[:3] for reply in replies} == {"250"}
    assert last.startswith("250")
    wanted = sorted(f"bob+{n}@unix.example.net" for n in range(1, 1000, 2))
    lab.unix.wait(token)

    def arrived() -> list[str]:
        return sorted(r for rs, c in lab.unix.messages if token.encode() in c for r, _ in rs)

    end = time.monotonic() + SECONDS
    while len(arrived()) < len(wanted) and time.monotonic() < end:
        time.sleep(0.05)
    assert arrived() == wanted


@pytest.mark.parametrize(
    "content",
    ["", "\r\n", "\r\n{token}\r\n", "X-\xff: 1\r\nSubject: {token}\r\n\r\nx\r\n"],
    ids=["nothing", "a blank line", "a body alone", "a name that is no UTF-8"],
)
def test_a_message_without_header_is_taken(lab: MilterLab, content: str) -> None:
    """No message may make the milter and the MTA wait for each other."""
    with lab.postfix.connect(STRANGER) as session:
        session.docmd("MAIL", "FROM:<author@elsewhere.test>")
        session.docmd("RCPT", "TO:<ann@example.com>")
        assert session.docmd("DATA")[0] == 354
        begun = time.monotonic()
        session.send(content.replace("{token}", "x").encode("latin-1") + b".\r\n")
        assert session.getreply()[0] == 250
        assert time.monotonic() - begun < 5.0


def test_mail_that_comes_back_is_refused(lab: MilterLab) -> None:
    """Build 5: what was sent to a connector comes back for the same recipient: 554 5.4.6."""
    token, _, _ = lab.send("lost@example.com")
    _, content = lab.unix.wait(token)
    _, _, last = lab.send("lost@example.com", content=content.decode())
    assert last.replace("\n", " ").startswith("554 5.4.6 100% a loop, %s and %n. It goes round.")


def test_too_many_hops_are_refused(lab: MilterLab) -> None:
    """RFC 5321 section 6.3, by our count: Postfix's own limit is 50, too, and comes later."""
    hops = "".join(f"Received: from h{n} by h{n + 1}\r\n" for n in range(51))
    _, _, last = lab.send("ann@example.com", content=f"{hops}\r\nx\r\n")
    assert last.startswith(("554 5.4.6", "554 5.4.0"))


def test_local_submission_passes_the_milter(lab: MilterLab) -> None:
    """sendmail(1) comes from 127.0.0.1 to non_smtpd_milters: a contact is replaced here, too."""
    token = uuid.uuid4().hex
    lab.postfix.sendmail(
        "root@corp.local", ["bob@example.com"], f"Subject: {token}\n\nx\n".encode()
    )
    recipients, _ = lab.unix.wait(token)
    assert recipients[0][0] == "bob@unix.example.net"


def test_while_the_milter_is_down_nothing_is_accepted() -> None:
    """Killed and started again under tempfail: nothing accepted unchecked, nothing lost."""
    with milter_lab() as lab:
        token, replies, _ = lab.send("bob@example.com")
        lab.unix.wait(token)  # the maps go down with the milter, and would hold it back
        with lab.postfix.connect(STRANGER) as session:
            session.docmd("MAIL", "FROM:<author@elsewhere.test>")
            assert session.docmd("RCPT", "TO:<bob@example.com>")[0] == 250
            os.kill(lab.daemon.pid, signal.SIGKILL)
            lab.daemon.stop()
            # in the midst of a message: it is not accepted with its contact unreplaced
            assert session.docmd("DATA")[0] == 451
        with lab.postfix.connect(STRANGER) as session:
            assert session.docmd("MAIL", "FROM:<author@elsewhere.test>")[0] == 451
        lab.daemon.start()
        again, replies, _ = lab.send("bob@example.com", "nobody@corp.local")
        assert [reply[:3] for reply in replies] == ["250", "550"]
        for known in (token, again):
            recipients, _ = lab.unix.wait(known)
            assert [r[0] for r in recipients] == ["bob@unix.example.net"]
        assert len(lab.unix.messages) == 2


def test_over_inet_no_message_stalls_at_data() -> None:
    """facts: without a replied data callback each message stalls 45 ms on an inet socket."""
    with milter_lab(inet=True) as lab, lab.postfix.connect(STRANGER) as session:
        took = []
        for _ in range(15):
            session.docmd("MAIL", "FROM:<author@elsewhere.test>")
            assert session.docmd("RCPT", "TO:<ann@example.com>")[0] == 250
            begun = time.monotonic()
            assert session.docmd("DATA")[0] == 354
            took.append(time.monotonic() - begun)
            session.send("Subject: x\r\n\r\nx\r\n.\r\n")
            assert session.getreply()[0] == 250
    # The median: a loaded machine may delay one; a stall is 40 ms for each.
    assert sorted(took)[len(took) // 2] < 0.02, took
