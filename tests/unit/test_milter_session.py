"""One connection: callbacks become questions, verdicts become replies and changes."""

from __future__ import annotations

import asyncio
import threading
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from codomain.brake import Brake
from codomain.connectors import Connector
from codomain.question import Door
from codomain.trust import NOBODY, Standing
from codomain.verdict import (
    Defer,
    Deliver,
    Pass,
    Reason,
    Redirect,
    Refuse,
    Relay,
    Verdict,
)
from codomain_milter.session import Outcome
from codomain_milter.trace import FIELD
from support.doors import FakeRuntime
from support.milters import TRACER, Fakes

UNIX = Connector("unix", "smtp:[192.0.2.10]")
EXCHANGE = Connector("exchange", "smtp:[192.0.2.20]")
REDIRECT = Redirect("bob@unix.example.net")
BOB = b"<bob@example.com>"
BOBS_MARK = TRACER.mark("unix", "bob@example.com", "a@b.test")
BROKEN = ("451", "4.3.5", "Recipient cannot be checked now: server error, try again later")


def fakes(verdict: Verdict | None = None, *, replaces: bool = True) -> Fakes:
    """Give a session in the middle of a message, with a verdict for bob."""
    made = Fakes(replaces=replaces)
    made.resolver.verdicts["bob@example.com"] = verdict or Pass()
    made.session.mail(b"<a@b.test>")
    return made


@pytest.mark.parametrize(
    ("verdict", "outcome", "reply"),
    [
        (Pass(), Outcome.CONTINUE, None),
        (Deliver("bob@example.com", EXCHANGE), Outcome.CONTINUE, None),
        (REDIRECT, Outcome.CONTINUE, None),
        (Relay(UNIX), Outcome.CONTINUE, None),
        (Refuse(Reason.UNKNOWN), Outcome.REJECT, ("550", "5.1.1", "User unknown")),
        (Refuse(Reason.RELAYING), Outcome.REJECT, ("554", "5.7.1", "Relay access denied")),
        (Defer(Reason.DIRECTORY), Outcome.TEMPFAIL, ("451", "4.4.3", "directory")),
        # a milter has no means to lead mail elsewhere (decisions.md)
        (Relay(UNIX, diverted=True), Outcome.REJECT, ("554", "5.4.6", "loop")),
    ],
)
def test_a_verdict_becomes_an_answer(
    verdict: Verdict, outcome: Outcome, reply: tuple[str, str, str] | None
) -> None:
    """decisions.md, What a door makes of a verdict: CONTINUE or the reply, never ACCEPT."""
    made = fakes(verdict)
    assert made.session.rcpt(BOB) is outcome
    if reply is None:
        assert made.context.replies == []
    else:
        (told,) = made.context.replies
        assert told[:2] == reply[:2]
        assert reply[2] in told[2]


def test_a_question_holds_what_the_milter_knows() -> None:
    """Build 6: address, login, certificate, SMTPUTF8, daemon_name, sender."""
    made = Fakes()
    made.context.macros = {
        "{auth_authen}": "alice",
        "{cert_fp}": "AA:BB",
        "{verify}": "OK",
        "{daemon_name}": "submission",
    }
    made.session.mail(b"<a@b.test>", b"SIZE=10", b"smtputf8")
    made.session.rcpt(b"<j\xc3\xbcrgen@example.com>")
    (question,) = made.door.questions
    assert question.door is Door.MILTER
    assert question.recipient.local == "j\u00fcrgen"
    assert question.client == ip_address("198.51.100.7")
    assert question.authenticated
    assert question.fingerprint == "AA:BB"
    assert question.smtputf8 is True
    assert question.context == "submission"
    assert question.sender == "a@b.test"


@pytest.mark.parametrize(("port", "smtputf8"), [(40114, False), (0, None)])
def test_smtputf8_is_unknown_for_local_mail_alone(port: int, smtputf8: bool | None) -> None:  # noqa: FBT001
    """RFC 6531 section 3.4: over SMTP the client announces it, sendmail(1) has no such word."""
    made = Fakes(connect=False)
    made.session.connect(("127.0.0.1", port))
    made.session.mail(b"<a@b.test>")
    made.session.rcpt(BOB)
    assert made.door.questions[0].smtputf8 is smtputf8


def test_a_login_ends_with_its_message() -> None:
    """A client that logs in between two messages, or an MTA that says it once."""
    made = Fakes()
    made.context.macros = {"{auth_authen}": "alice"}
    made.session.mail(b"<a@b.test>")
    made.session.rcpt(BOB)
    made.context.macros = {}
    made.session.mail(b"<a@b.test>")
    made.session.rcpt(BOB)
    assert [q.authenticated for q in made.door.questions] == [True, False]


def test_the_target_is_added_before_the_original_is_deleted() -> None:
    """Build 3: addrcpt first; the original goes exactly as it was given."""
    made = fakes(REDIRECT)
    made.session.rcpt(b"<BOB@Example.COM>", b"NOTIFY=NEVER")
    assert made.session.eom() is Outcome.CONTINUE
    assert made.context.done == [
        ("addrcpt", "<bob@unix.example.net>", "NOTIFY=NEVER ORCPT=rfc822;BOB@Example.COM"),
        ("delrcpt", "<BOB@Example.COM>"),
    ]


def test_a_primary_address_replaces_the_one_given() -> None:
    """decisions.md: recipient changed where deliver_as differs."""
    made = fakes(Deliver("b.smith@example.com", changed=True))
    made.session.rcpt(BOB)
    made.session.eom()
    assert [done[:2] for done in made.context.done] == [
        ("addrcpt", "<b.smith@example.com>"),
        ("delrcpt", "<bob@example.com>"),
    ]


def test_where_adding_fails_nothing_is_deleted() -> None:
    """Build 3: delrcpt only when addrcpt succeeded; the MTA is told 451 and keeps nothing."""
    made = fakes(REDIRECT)
    made.session.rcpt(BOB)
    made.context.refuses = "addrcpt"
    assert made.session.eom() is Outcome.TEMPFAIL
    assert made.context.done == []
    assert made.context.replies == [BROKEN]


def test_where_deleting_fails_the_message_is_not_kept() -> None:
    """Build 3: an abort between the two leaves nothing behind."""
    made = fakes(REDIRECT)
    made.session.rcpt(BOB)
    made.context.refuses = "delrcpt"
    assert made.session.eom() is Outcome.TEMPFAIL
    assert made.context.replies == [BROKEN]


@pytest.mark.parametrize("ended", ["abort", "mail", "eom"])
def test_a_message_leaves_nothing_to_the_next(ended: str) -> None:
    """Several messages in one connection: recipients, hops and traces are each one's own."""
    made = fakes(REDIRECT)
    made.session.rcpt(BOB)
    for _ in range(51):
        made.session.header("Received", b"x")
    if ended == "abort":
        made.session.abort()
    elif ended == "eom":
        made.session.eom()
    made.context.done.clear()
    made.session.mail(b"<a@b.test>")
    made.session.rcpt(b"<ann@example.com>")
    assert made.session.eom() is Outcome.CONTINUE
    assert made.context.done == []


def test_shadow_mode_counts_and_changes_nothing() -> None:
    """decisions.md, Shadow mode: every decision is counted and logged, and the mail passes."""
    made = fakes(Refuse(Reason.UNKNOWN))
    made.runtime.shadowed = True
    made.resolver.verdicts["ann@example.com"] = Redirect("ann@unix.example.net", UNIX)
    assert made.session.rcpt(BOB) is Outcome.CONTINUE
    assert made.session.rcpt(b"<ann@example.com>") is Outcome.CONTINUE
    assert made.session.eom() is Outcome.CONTINUE
    assert made.context.done == []
    assert made.count("refuse", "unknown") == 1
    assert made.runtime.metrics.shadow("unknown", "example.com").count == 1


def test_too_many_hops_are_a_loop() -> None:
    """RFC 5321 section 6.3; max_hops is 50: 50 pass, 51 are 554 5.4.6."""
    for hops, outcome in ((50, Outcome.CONTINUE), (51, Outcome.REJECT)):
        made = fakes()
        made.session.rcpt(BOB)
        for number in range(hops):
            made.session.header("RECEIVED" if number % 2 else "Received", b"from x by y")
        made.session.header("X-Received", b"no hop")
        assert made.session.eom() is outcome
    assert made.context.replies[0][:2] == ("554", "5.4.6")
    assert made.count("refuse", "loop", "other") == 1


def test_hops_are_only_counted_in_shadow_mode() -> None:
    """Shadow mode lets everything through."""
    made = fakes()
    made.runtime.shadowed = True
    made.session.rcpt(BOB)
    for _ in range(51):
        made.session.header("Received", b"x")
    assert made.session.eom() is Outcome.CONTINUE
    assert made.runtime.metrics.shadow("loop", "other").count == 1


def trace_of(made: Fakes) -> str:
    """Return the trace field that a message got."""
    fields = [done for done in made.context.done if done[0] == "addheader"]
    assert len(fields) == 1
    assert fields[0][1] == FIELD
    return f"{fields[0][2]}"


def test_mail_to_a_connector_that_comes_back_is_a_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Build 5: 554 5.4.6 with the connector's name in the log only."""
    caplog.set_level("INFO", "codomain.milter")
    made = fakes(Relay(UNIX))
    made.session.rcpt(BOB)
    made.session.eom()
    trace = trace_of(made)
    made.session.mail(b"<a@b.test>")
    assert made.session.rcpt(BOB) is Outcome.CONTINUE
    made.session.header(FIELD, trace.encode())
    assert made.session.eom() is Outcome.REJECT
    (told,) = made.context.replies
    assert told[:2] == ("554", "5.4.6")
    assert "unix" not in told[2]
    assert any("unix" in str(getattr(r, "fields", "")) for r in caplog.records)


def test_mail_that_goes_on_elsewhere_is_no_loop() -> None:
    """A message that comes back for one who is new to it goes on, and so do the others."""
    made = fakes(Relay(UNIX))
    made.resolver.verdicts["ann@example.com"] = Deliver("ann@example.com", EXCHANGE)
    made.session.rcpt(BOB)
    made.session.rcpt(b"<ann@example.com>")
    made.session.header(FIELD, TRACER.value([BOBS_MARK]).encode())
    assert made.session.eom() is Outcome.CONTINUE


def test_a_forged_trace_is_removed_and_a_true_one_stays() -> None:
    """Build 5: removed from outside where forged; from the last to the first."""
    made = fakes()
    made.session.rcpt(BOB)
    for value in (f"{TRACER.instance} x", TRACER.value([BOBS_MARK]), f"{TRACER.instance} y"):
        made.session.header(FIELD.lower(), value.encode())
    made.session.header(FIELD, b"\xff\xfe")
    assert made.session.eom() is Outcome.CONTINUE
    assert made.context.done == [("chgheader", FIELD, 3, None), ("chgheader", FIELD, 1, None)]


def test_mail_that_stays_here_bears_no_trace() -> None:
    """A trace is for what went to a connector."""
    made = fakes(Deliver("bob@example.com"))
    made.session.rcpt(BOB)
    made.session.eom()
    assert made.context.done == []


def test_a_fault_is_answered_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Build 2: every exception is 451 4.3.5, with its traceback in the log."""
    made = fakes()
    made.resolver.fault = ZeroDivisionError("ours")
    assert made.session.rcpt(BOB) is Outcome.TEMPFAIL
    assert made.context.replies == [BROKEN]
    assert made.count("defer", "fault", "other") == 1
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_fault_where_no_reply_is_possible_shows_in_the_next() -> None:
    """Connect and MAIL are not replied to; nobody is taken for a stranger by mistake."""
    made = fakes()
    made.door.tracer = None  # type: ignore[assignment]  # whatever is wrong
    made.context.getsymval = None  # type: ignore[method-assign, assignment]
    made.session.mail(b"<a@b.test>")
    assert made.session.rcpt(BOB) is Outcome.TEMPFAIL
    assert made.session.rcpt(BOB) is Outcome.TEMPFAIL
    assert made.context.replies == [BROKEN, BROKEN]
    assert made.resolver.peeked == []
    del made.context.getsymval
    made.session.mail(b"<a@b.test>")
    assert made.session.rcpt(BOB) is Outcome.CONTINUE


def test_a_fault_at_connect_shows_in_all_messages() -> None:
    """Whose mail it is stays unknown, so nobody is decided on for a stranger by mistake."""
    made = Fakes(connect=False)
    made.context.getsymval = None  # type: ignore[method-assign, assignment]
    made.session.connect(("127.0.0.1", 40114))
    del made.context.getsymval
    for _ in range(2):
        made.session.mail(b"<a@b.test>")
        assert made.session.rcpt(BOB) is Outcome.TEMPFAIL
    assert made.context.replies == [BROKEN, BROKEN]
    assert made.resolver.peeked == []


@pytest.mark.parametrize(("size", "probe"), [(b"SIZE=1", True), (b"SIZE=10", False)])
def test_the_sign_of_a_call_out_is_read(size: bytes, probe: bool) -> None:  # noqa: FBT001
    """SIZE=1 behind MAIL FROM (codomain.callout.sign); what was kept for others is not told."""
    made = fakes(REDIRECT)
    made.session.rcpt(BOB)
    made.session.mail(b"<>", size)
    made.session.rcpt(BOB)
    assert [q.probe for q in made.door.questions] == [False, True][: 1 + probe]


def test_a_client_under_the_brake_is_told_nothing_from_memory() -> None:
    """architecture.md, Hot path: clients under the harvest brake get no kept answer."""
    made = fakes(REDIRECT)
    assert made.session.rcpt(BOB) is Outcome.CONTINUE
    made.runtime.brake = SimpleNamespace(holds=lambda *_: True, unknown=lambda *_: False)  # type: ignore[assignment]
    assert made.session.rcpt(BOB) is Outcome.TEMPFAIL


def test_with_a_brake_what_is_known_still_comes_from_memory() -> None:
    """Issue: the brake is for who guesses; nobody else's mail waits for a decision anew."""
    made = fakes(REDIRECT)
    made.runtime.brake = Brake(0, 600.0)
    for _ in range(3):
        assert made.session.rcpt(BOB) is Outcome.CONTINUE
    assert made.resolver.peeked == ["bob@example.com"]


@pytest.mark.parametrize(
    ("standing", "outcome"),
    [
        (NOBODY, Outcome.TEMPFAIL),
        (Standing(trusted=True), Outcome.CONTINUE),
        (Standing(peer_of=("unix",)), Outcome.CONTINUE),
    ],
)
def test_who_guesses_at_the_milter_is_told_nothing_of_whom_it_knew(
    standing: Standing, outcome: Outcome
) -> None:
    """450 4.7.1 for known recipients, too, at once; trusted clients and peers are exempt."""
    made = fakes(REDIRECT)
    made.runtime.standing = lambda _question: standing
    made.runtime.brake = Brake(1, 600.0)
    made.resolver.verdicts |= {f"n{n}@example.com": Refuse(Reason.UNKNOWN) for n in range(2)}
    assert made.session.rcpt(BOB) is Outcome.CONTINUE
    for number in range(2):
        assert made.session.rcpt(b"<n%d@example.com>" % number) is Outcome.REJECT
    made.context.replies.clear()
    assert made.session.rcpt(BOB) is outcome
    assert [reply[:2] for reply in made.context.replies] == (
        [("450", "4.7.1")] if outcome is Outcome.TEMPFAIL else []
    )


def test_the_end_of_a_message_for_nobody_changes_nothing() -> None:
    """Every recipient was refused, or there was none: nothing to carry out, no fault."""
    made = fakes(Refuse(Reason.UNKNOWN))
    made.session.rcpt(BOB)
    made.session.header("Received", b"x")
    assert made.session.eom() is Outcome.CONTINUE
    made.session.mail(b"<a@b.test>")
    made.session.header("Received", b"x")
    assert made.session.eom() is Outcome.CONTINUE
    assert made.context.done == []


def test_a_reply_that_cannot_be_set_is_still_temporary() -> None:
    """Even without our words the recipient is not accepted."""
    made = fakes(Refuse(Reason.UNKNOWN))
    made.context.refuses = "setreply"
    assert made.session.rcpt(BOB) is Outcome.TEMPFAIL


def test_a_macro_that_is_no_utf8_is_there() -> None:
    """The MTA sets {auth_authen} only where somebody logged in, whatever the name is."""
    made = Fakes()
    made.context.undecodable = {"{auth_authen}"}
    made.session.mail(b"<a@b.test>")
    made.session.rcpt(BOB)
    assert made.door.questions[0].authenticated


def test_an_mta_that_lets_nothing_be_replaced_is_told_later() -> None:
    """A contact whose mail would go to the wrong place is deferred, with a line in the log."""
    made = fakes(REDIRECT, replaces=False)
    assert made.session.rcpt(BOB) is Outcome.TEMPFAIL
    assert made.count("defer", "fault") == 1


def test_a_recipient_that_is_no_utf8_is_not_replaced() -> None:
    """No delrcpt can name it, and the mail must not go to both."""
    made = fakes()
    made.resolver.verdicts[""] = REDIRECT
    assert made.session.rcpt(b"<b\xffb@example.com>") is Outcome.TEMPFAIL


@pytest.mark.parametrize(
    "target",
    ["a@b.test, c@d.test", "a@b.test> NOTIFY=NEVER", "a", "", "a@b.test\r\nRCPT TO:<c@d.test>"],
)
def test_a_target_that_is_no_single_mailbox_is_never_added(target: str) -> None:
    """Build 3: one strict mailbox each, never a list."""
    made = fakes(Redirect(target))
    made.session.rcpt(BOB)
    made.session.eom()
    assert not [done for done in made.context.done if done[0] == "addrcpt"]


def test_what_takes_too_long_is_deferred() -> None:
    """451 4.4.3 after the deadline; the callback waits on its own thread."""
    made = fakes()
    made.resolver.remembers = False
    made.runtime.config.milter.deadline = 0.05
    loop = asyncio.new_event_loop()
    made.door._loop = loop
    made.resolver.gate = asyncio.Event()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        assert made.session.rcpt(BOB) is Outcome.TEMPFAIL
        assert made.context.replies[0][:2] == ("451", "4.4.3")
        loop.call_soon_threadsafe(made.resolver.gate.set)
        assert made.session.rcpt(BOB) is Outcome.CONTINUE
        assert made.resolver.asked == ["bob@example.com"] * 2
        assert made.door.busy == 0
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_what_was_decided_a_moment_ago_is_not_decided_again() -> None:
    """The same octets from the same kind of asker; each message has DSN parameters of its own."""
    made = fakes(REDIRECT)
    made.session.rcpt(BOB, b"NOTIFY=NEVER")
    made.session.mail(b"<c@d.test>")
    made.session.rcpt(BOB)
    made.session.eom()
    assert made.resolver.peeked == ["bob@example.com"]
    assert made.context.done[0] == (
        "addrcpt",
        "<bob@unix.example.net>",
        "ORCPT=rfc822;bob@example.com",
    )
    assert made.count("redirect") == 2
    assert made.runtime.metrics.durations("milter").hits.count == 1


@pytest.mark.parametrize("verdict", [Pass(), Relay(UNIX), Refuse(Reason.UNKNOWN)])
def test_what_strangers_can_make_up_is_not_kept(verdict: Verdict) -> None:
    """Only recipients that the directories have are remembered."""
    made = fakes(verdict)
    made.session.rcpt(BOB)
    made.session.rcpt(BOB)
    assert made.resolver.peeked == ["bob@example.com"] * 2


@pytest.mark.parametrize("change", ["purge", "runtime", "standing", "smtputf8", "context", "time"])
def test_what_was_decided_holds_for_the_same_case_alone(change: str) -> None:
    """A purge, a reload, and everything that a verdict reads beside the recipient."""
    made = fakes(REDIRECT)
    if change == "time":
        made.resolver.lifetime = 0.0
    made.session.rcpt(BOB)
    parameters: tuple[bytes, ...] = ()
    if change == "purge":
        made.runtime.cache.epoch += 1
    elif change == "runtime":
        made.in_force.runtime = FakeRuntime(made.resolver, metrics=made.runtime.metrics)
    elif change == "standing":
        made.runtime.standing = lambda question: Standing(trusted=question.authenticated)
        made.context.macros = {"{auth_authen}": "alice"}
    elif change == "smtputf8":
        parameters = (b"SMTPUTF8",)
    elif change == "context":
        made.context.macros = {"{daemon_name}": "inside"}
    made.session.mail(b"<a@b.test>", *parameters)
    made.session.rcpt(BOB)
    assert made.resolver.peeked == ["bob@example.com"] * 2


def test_connections_are_counted() -> None:
    """architecture.md, Metrics: connections{door}."""
    made = Fakes()
    gauge = made.runtime.metrics.connections("milter")
    assert gauge.count == 1
    made.session.close()
    assert gauge.count == 0
