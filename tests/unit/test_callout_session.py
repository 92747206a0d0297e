"""Rules of one call-out: what is said to a next system, and what its words prove."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

import pytest

from codomain.callout.answer import Outcome, Reply
from codomain.callout.host import Host, Hosts, host_from
from codomain.callout.session import MOST_RECIPIENTS, MOST_REFUSALS, Manner
from codomain.callout.system import System
from codomain.errors import NextSystemError
from support.smtpscript import BOUND, UNKNOWN, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTROL = "known@example.com"
ANN = "ann@example.com"
NOBODY = "nobody@example.com"


@pytest.fixture
def script() -> Iterator[Script]:
    """Give a server that knows ann and the control address."""
    with Script() as server:
        server.taken = {ANN, CONTROL}
        yield server


MADE: list[System] = []


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every system that a test has made; no session is idle for too long before."""
    monkeypatch.setattr("codomain.callout.system.IDLE_SECONDS", BOUND)
    yield
    while MADE:
        MADE.pop().close()


def system(script: Script, *more: Script, **manner: object) -> System:
    """Give a system that is asked there; it is closed with the test."""
    values: dict[str, object] = {"hostname": "gateway.example.com", "control": CONTROL}
    hosts = [Host("127.0.0.1", server.port) for server in (script, *more)]
    return made(Manner(**(values | manner)), Hosts(hosts))  # type: ignore[arg-type]


def made(manner: Manner, hosts: Hosts) -> System:
    """Make a system."""
    MADE.append(System(manner, hosts))
    return MADE[-1]


def asked(one: System, address: str, *, seconds: float = BOUND, judged: bool = True) -> Outcome:
    """Ask for one recipient."""
    return one.ask(address, seconds, judged=judged).outcome


@pytest.mark.parametrize(
    ("reply", "unknown"),
    [
        ("550 5.1.1 User unknown", True),
        ("550 5.1.0 Address rejected", True),
        ("553 5.1.3 Bad address", True),
        ("550 5.1.6 Moved", True),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound", True),
        ("550 5.4.1 Recipient address rejected: Access denied", True),
        ("550 #5.1.0 Address rejected.", True),
        # of the domain, of two mailboxes, of the sender, of the system behind
        ("550 5.1.2 Bad destination system", False),
        ("550 5.1.4 Ambiguous", False),
        ("553 5.1.7 Bad sender", False),
        ("550 5.1.8 Sender's domain not found", False),
        ("550 5.1.9 Relayed to a non-compliant system", False),
        # the mailbox is there
        ("552 5.2.2 Mailbox full", False),
        ("550 5.2.1 Mailbox disabled", False),
        # of the client
        ("554 5.7.1 Client host rejected", False),
        ("550 5.4.6 Loop", False),
        # it may be a policy's
        ("550 User unknown", False),
        ("550 see http://example.com/5.1.1", False),
        ("550 5.1.11 Nobody has defined it", False),
        # temporary, whatever the enhanced code says
        ("450 4.1.1 Greylisted", False),
        ("450 5.1.1 Confused", False),
        ("421 4.3.2 Closing", False),
        ("250 2.1.5 Ok", False),
    ],
)
def test_only_codes_that_speak_of_the_recipient_mean_unknown(reply: str, unknown: bool) -> None:  # noqa: FBT001
    """Issue: 5.1.x or 5.4.1 to RCPT, and of 5.1.x only what RFC 3463 says of the mailbox."""
    code, _, text = reply.partition(" ")
    assert Reply(int(code), text).says_unknown is unknown


def test_a_recipient_is_asked_by_a_real_session(script: Script) -> None:
    """EHLO, MAIL from <> with the sign, RCPT, RSET; never DATA."""
    one = system(script)
    assert asked(one, ANN) is Outcome.KNOWN
    one.close()
    script.wait_for(lambda: script.open == 0)
    assert script.commands == [
        "EHLO gateway.example.com",
        "MAIL FROM:<> SIZE=1",
        f"RCPT TO:<{ANN}>",
        "RSET",
        "QUIT",
    ]


def test_the_recipient_line_is_quoted_by_us(script: Script) -> None:
    """Issue: smtplib's own rcpt would cut it to pieces."""
    script.taken.add('"a,b"@example.com')
    assert asked(system(script), '"a,b"@example.com') is Outcome.KNOWN


@pytest.mark.parametrize("bad", ["\r\nDATA", "\n", "\0", "\r", "\x7f"])
def test_no_line_end_gets_into_a_command(script: Script, bad: str) -> None:
    """Nothing that a client wrote becomes a command of its own."""
    assert asked(system(script), f"a{bad}b@example.com") is Outcome.UNSURE
    assert script.asked() == []
    assert [c for c in script.commands if c[:4] not in {"EHLO", "MAIL", "RSET"}] == []


def test_what_is_longer_than_a_command_is_not_asked(script: Script) -> None:
    """RFC 5321 section 4.5.3.1.4; never refused for its length alone."""
    assert asked(system(script), f"{'a' * 510}@example.com") is Outcome.UNSURE
    assert script.asked() == []


def test_a_refusal_counts_where_the_control_address_is_taken_in_the_same_session(
    script: Script,
) -> None:
    """Issue: most systems delay their refusal of clients to RCPT."""
    one = system(script)
    assert asked(one, NOBODY) is Outcome.UNKNOWN
    assert script.asked() == [f"TO:<{NOBODY}>", f"TO:<{CONTROL}>"]
    assert asked(one, "other@example.com") is Outcome.UNKNOWN
    # once for each session
    assert script.asked()[2:] == ["TO:<other@example.com>"]
    assert script.connections == 1


def test_each_recipient_has_a_transaction_of_its_own(script: Script) -> None:
    """Some systems let a message from <> have one recipient only."""
    system(script).ask(ANN, BOUND, judged=False)
    verbs = [command[:4] for command in script.commands]
    assert verbs == ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "RSET"]


@pytest.mark.parametrize("reply", [UNKNOWN, "554 5.7.1 You are listed", "450 4.7.1 Greylisted"])
def test_a_system_that_refuses_the_control_address_too_proves_nothing(
    script: Script, reply: str
) -> None:
    """A gateway on a blocklist would else refuse everyone."""
    script.replies["RCPT"] = UNKNOWN
    script.replies[f"RCPT TO:<{CONTROL}>"] = reply
    assert asked(system(script), NOBODY) is Outcome.UNSURE


def test_without_a_control_address_no_refusal_is_believed(script: Script) -> None:
    """Issue: only where verify_control is accepted."""
    assert asked(system(script, control=""), NOBODY) is Outcome.UNSURE


@pytest.mark.parametrize(
    "reply",
    ["552 5.2.2 Mailbox full", "450 4.7.1 Greylisted", "554 5.7.1 Client host rejected", "550 No"],
)
def test_other_refusals_of_the_recipient_prove_nothing(script: Script, reply: str) -> None:
    """Issue: 552 5.2.2 is not unknown, nor is a 4xx; a plain 550 is a policy's as often."""
    script.replies[f"RCPT TO:<{ANN}>"] = reply
    assert asked(system(script), ANN) is Outcome.UNSURE


def test_a_system_that_takes_anything_is_found_by_a_random_name(script: Script) -> None:
    """Issue: accepts-everything, found by a random local part of the same domain."""
    script.anything = True
    said = system(script).ask(ANN, BOUND, judged=False)
    assert (said.outcome, said.choosy) == (Outcome.ANYTHING, False)
    recipient, other = script.asked()
    assert recipient == f"TO:<{ANN}>"
    assert re.fullmatch(r"TO:<nobody[0-9a-f]{16}@example\.com>", other)


def test_a_choosy_system_is_known_to_be_one(script: Script) -> None:
    """It refuses the random name as unknown, and its yes means the recipient."""
    said = system(script).ask(ANN, BOUND, judged=False)
    assert (said.outcome, said.choosy) == (Outcome.KNOWN, True)


def test_a_random_name_that_is_greylisted_judges_nothing(script: Script) -> None:
    """The recipient is taken all the same; the domain is tried again with the next one."""
    script.replies["RCPT"] = "450 4.7.1 Greylisted"
    script.replies[f"RCPT TO:<{ANN}>"] = "250 2.1.5 Ok"
    said = system(script).ask(ANN, BOUND, judged=False)
    assert (said.outcome, said.choosy) == (Outcome.KNOWN, None)


def test_a_connection_that_breaks_at_the_random_name_leaves_what_was_said(script: Script) -> None:
    """The recipient was taken before."""
    script.replies["RCPT"] = lambda: None
    script.replies[f"RCPT TO:<{ANN}>"] = "250 2.1.5 Ok"
    said = system(script).ask(ANN, BOUND, judged=False)
    assert (said.outcome, said.choosy) == (Outcome.KNOWN, None)


def test_one_connection_serves_several_recipients(script: Script) -> None:
    """Issue: connections reused, with RSET between."""
    one = system(script)
    for _ in range(3):
        assert asked(one, ANN) is Outcome.KNOWN
    assert script.connections == 1
    assert script.asked("RSET") == ["", "", ""]


def test_a_session_is_worn_before_the_server_slows_down(script: Script) -> None:
    """smtpd_soft_error_limit 10: fewer refusals in one session, the control's included."""
    one = system(script)
    for number in range(MOST_REFUSALS + 1):
        assert asked(one, f"n{number}@example.com") is Outcome.UNKNOWN
    assert script.connections == 2


def test_a_session_ends_before_its_resets_count_as_errors(script: Script) -> None:
    """smtpd_junk_command_limit 100."""
    one = system(script)
    for _ in range(MOST_RECIPIENTS + 1):
        asked(one, ANN)
    assert script.connections == 2


def test_a_session_that_ended_meanwhile_is_replaced(script: Script) -> None:
    """The server closes idle connections as it likes; that says nothing of the recipient."""
    one = system(script)
    asked(one, ANN)
    script.replies["MAIL"] = _once("421 4.4.2 Timeout", "250 Ok")
    assert asked(one, ANN) is Outcome.KNOWN
    assert script.connections == 2


def _once(first: str, then: str) -> Callable[[], str | None]:
    said = iter([first])
    return lambda: next(said, then)


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        ("greeting", "554 5.7.1 No SMTP service here"),
        ("greeting", "421 4.3.2 Too busy"),
        ("EHLO", "550 5.7.1 Bad name"),
        ("MAIL", "550 5.1.8 Sender unknown"),
        ("MAIL", "451 4.3.2 Later"),
        ("greeting", "What?"),
        ("MAIL", "no reply at all"),
    ],
)
def test_a_refusal_before_the_recipient_is_no_answer(script: Script, step: str, reply: str) -> None:
    """Issue: of the greeting, EHLO or MAIL: we don't know."""
    if step == "greeting":
        script.greeting = reply
    else:
        script.replies[step] = reply
        script.replies["HELO"] = reply
    with pytest.raises(NextSystemError):
        asked(system(script), NOBODY)


def test_a_server_without_ehlo_is_greeted_as_of_old(script: Script) -> None:
    """RFC 5321 section 3.2: HELO where EHLO is not known."""
    script.replies |= {"EHLO": "502 5.5.1 What?", "HELO": "250 mx"}
    assert asked(system(script), ANN) is Outcome.KNOWN
    # no SIZE was offered, so none is declared
    assert script.asked("MAIL") == ["FROM:<>"]


def test_a_connection_that_closes_is_no_answer(script: Script) -> None:
    """Issue: a closed connection."""
    script.replies["RCPT"] = lambda: None
    with pytest.raises(NextSystemError):
        asked(system(script), NOBODY)


def test_a_reply_of_421_ends_the_session(script: Script) -> None:
    """RFC 5321 section 3.8."""
    script.replies["RCPT"] = "421 4.7.0 Too many errors"
    with pytest.raises(NextSystemError):
        asked(system(script), NOBODY)


def test_a_call_out_ends_in_time_whatever_the_server_does(script: Script) -> None:
    """Issue, tarpit: one deadline for the whole of it."""
    script.gate.clear()
    began = time.monotonic()
    with pytest.raises(NextSystemError):
        asked(system(script), ANN, seconds=0.3)
    assert time.monotonic() - began < BOUND / 2


def test_a_reply_that_never_ends_is_none(script: Script) -> None:
    """What a server can make us hold is bounded."""
    script.greeting = "\r\n".join(["220-more"] * 10_000)
    with pytest.raises(NextSystemError, match="no SMTP reply"):
        asked(system(script), ANN)


def test_the_next_host_is_asked_where_the_first_does_not_answer(script: Script) -> None:
    """A connector's smart hosts, in their order; one that failed rests."""
    with Script() as second:
        second.taken = {ANN}
        script.greeting = "421 4.3.2 Down"
        one = system(script, second)
        assert asked(one, ANN) is Outcome.KNOWN
        one.close()
        one = made(Manner("g.example", tls="none"), one._hosts)
        assert asked(one, ANN) is Outcome.KNOWN
        assert (script.connections, second.connections) == (1, 2)


def test_a_local_part_beyond_ascii_needs_smtputf8(script: Script) -> None:
    """RFC 6531 section 3.4; where the server has it not, nothing is known."""
    script.taken.add("jürgen@example.com")
    assert asked(system(script), "jürgen@example.com") is Outcome.KNOWN
    assert script.asked("MAIL") == ["FROM:<> SIZE=1 SMTPUTF8"]
    script.features.remove("SMTPUTF8")
    assert asked(system(script), "jürgen@example.com") is Outcome.UNSURE


def test_lmtp_is_spoken_over_a_unix_socket(tmp_path: Path) -> None:
    """RFC 2033: LHLO; a connector with transport = lmtp."""
    with Script(tmp_path / "s") as server:
        server.taken = {ANN}
        one = made(
            Manner("gateway.example.com", lmtp=True, tls="none"),
            Hosts([host_from(f"unix:{tmp_path}/s", lmtp=True)]),
        )
        assert asked(one, ANN) is Outcome.KNOWN
        assert server.commands[0] == "LHLO gateway.example.com"


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("[192.0.2.10]", Host("192.0.2.10", 25)),
        ("[192.0.2.10]:2525", Host("192.0.2.10", 2525)),
        ("[IPv6:2001:db8::1]:25", Host("2001:db8::1", 25)),
        ("[2001:db8::1]", Host("2001:db8::1", 25)),
        ("relay2.example.net", Host("relay2.example.net", 25)),
        ("[relay2.example.net]:587", Host("relay2.example.net", 587)),
        ("relay2.example.net:587", Host("relay2.example.net", 587)),
        ("unix:/run/lmtp", Host("", 0, "/run/lmtp")),
        ("unix:private/dovecot-lmtp", Host("", 0, "/var/spool/postfix/private/dovecot-lmtp")),
    ],
)
def test_smart_hosts_are_read_as_the_ini_has_them(written: str, host: Host) -> None:
    """config.md, [connector] smart_hosts."""
    assert host_from(written) == host


def test_a_system_that_is_closed_lets_nobody_wait(script: Script) -> None:
    """A stop of the daemon must not take as long as a tarpit."""
    script.gate.clear()
    one = system(script)
    failed: list[Exception] = []

    def ask() -> None:
        try:
            asked(one, ANN)
        except NextSystemError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    script.wait_for(lambda: script.asked() != [])
    one.close()
    thread.join(BOUND / 2)
    assert not thread.is_alive()
    assert len(failed) == 1
    with pytest.raises(NextSystemError):
        asked(one, ANN)


def test_idle_sessions_are_ended(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody holds a connection that is not needed."""
    one = system(script)
    asked(one, ANN)
    assert one.tidy()
    monkeypatch.setattr("codomain.callout.system.IDLE_SECONDS", 0.0)
    assert not one.tidy()
    script.wait_for(lambda: script.open == 0)
    assert script.commands[-1] == "QUIT"


def test_several_recipients_at_once_have_connections_of_their_own(script: Script) -> None:
    """A session belongs to one thread at a time."""
    script.gate.clear()
    one = system(script)
    outcomes: list[Outcome] = []
    threads = [threading.Thread(target=lambda: outcomes.append(asked(one, ANN))) for _ in range(3)]
    for thread in threads:
        thread.start()
    script.wait_for(lambda: script.open == 3)
    script.gate.set()
    for thread in threads:
        thread.join(BOUND)
    assert outcomes == [Outcome.KNOWN] * 3
