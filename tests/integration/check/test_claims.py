"""What `codomain check` says will happen to mail, and what a real Postfix does.

Each row: a finding, the change of main.cf or master.cf that brings it, one message, and
what becomes of it before and after.  An outcome is the reply of a refusal, the system and
recipient at which the message arrives, or ``waits``: it is in the queue.
"""

from __future__ import annotations

import re
import smtplib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from codomain_cli import private_postfix
from codomain_cli.check import checked
from support.postfix import STRANGER, TRUSTED, UNIX, Lab, lab, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEOPLE = Path(__file__).with_name("people.ldif")
INI = f"""\
[domain old.example.net]
type = relay
fallback = mx
[directory people]
type = files
path = {PEOPLE}
"""
FILTER = "[policyd]\nredirect = filter\nsocketmap_listen =\n"
LATER = 2.0
"""Seconds after which a message that has not arrived is looked for in the queue."""

HEARD = 8.0
"""Seconds after which a client gives up; a greeting takes a tenth of one."""

UNHEARD = "no greeting, or a connection that ends"
HERE = {"local_transport": "local:", "mydestination": "here.test", "local_recipient_maps": ""}
"""A host with accounts; what is foreign to codomain, trusted clients may send there."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One finding, and the mail that shows it."""

    id: str
    """The finding."""

    recipient: str
    """To whom a message is sent."""

    before: str
    """What becomes of it without the mistake: a pattern."""

    after: str
    """What becomes of it with the mistake."""

    main: dict[str, str] = field(default_factory=dict)
    """Parameters of main.cf; ``{internet}`` and such are ports, ``{table}`` a file."""

    base: dict[str, str] = field(default_factory=dict)
    """Parameters that are set before and after."""

    master: tuple[str, str] = ("", "")
    """What is replaced in master.cf, and by what."""

    client: str = STRANGER
    """Who sends it."""

    submission: bool = False
    """It goes to the submission service."""

    logged: str = ""
    """What the log says after it, too."""


NOBODY = "nobody@example.com"
GOES_ON = r"unix nobody@example\.com"
LOOP = r"554 5\.4\.6 "
TEMPORARY = r"451 4\.3\.[05] "

CLAIMS = [
    Claim(
        "postfix.mydestination",
        NOBODY,
        GOES_ON,
        r"550 5\.1\.1 .*rejected",
        {"mydestination": "example.com"},
    ),
    Claim(
        "postfix.virtual_alias_domains",
        NOBODY,
        GOES_ON,
        r"550 5\.1\.1 .*virtual alias table",
        {"virtual_alias_domains": "example.com"},
    ),
    Claim(
        "postfix.virtual_mailbox_domains",
        NOBODY,
        GOES_ON,
        GOES_ON,
        {"virtual_mailbox_domains": "example.com"},
        logged="do not list domain example.com in BOTH",
    ),
    Claim(
        "postfix.luser_relay",
        "gone@here.test",
        r"waits",
        r"exchange ann@corp\.local",
        {"luser_relay": "ann@corp.local"},
        {**HERE, "soft_bounce": "yes"},
        client=TRUSTED,
    ),
    Claim(
        "postfix.mailbox_transport",
        "gone@here.test",
        r"waits",
        r"internet gone@here\.test",
        {"mailbox_transport": "smtp:[127.0.0.1]:{internet}"},
        {**HERE, "soft_bounce": "yes"},
        client=TRUSTED,
    ),
    Claim(
        "postfix.fallback_transport",
        "gone@here.test",
        r"waits",
        r"internet gone@here\.test",
        {"fallback_transport": "smtp:[127.0.0.1]:{internet}"},
        {**HERE, "soft_bounce": "yes"},
        client=TRUSTED,
    ),
    Claim(
        "postfix.relayhost",
        "x@old.example.net",
        r"waits",
        r"internet x@old\.example\.net",
        {"relayhost": "[127.0.0.1]:{internet}"},
        {"soft_bounce": "yes"},
    ),
    Claim(
        "postfix.virtual_alias_maps.catch_all",
        NOBODY,
        GOES_ON,
        r"exchange ann@corp\.local",
        {"virtual_alias_maps": "texthash:{table}, ${codomain_map}:alias"},
    ),
    Claim(
        "postfix.check_missing",
        NOBODY,
        LOOP,
        GOES_ON,
        {"smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"},
        client=UNIX,
    ),
    Claim(
        "postfix.permit_before_check",
        NOBODY,
        LOOP,
        GOES_ON,
        {"smtpd_relay_restrictions": "permit_mynetworks, codomain_check, reject"},
        {"mynetworks": "127.0.0.0/8, 192.0.2.10"},
        client=UNIX,
    ),
    Claim(
        "postfix.check_late",
        "x@elsewhere.test",
        r"554 5\.7\.1 <\S+: Recipient address rejected",
        r"554 5\.7\.1 <x@elsewhere\.test>: Relay access denied",
        {
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "smtpd_recipient_restrictions": "codomain_check",
        },
    ),
    Claim(
        "postfix.smtpd_relay_before_recipient_restrictions",
        "nobody@corp.local",
        r"550 5\.1\.1 <",
        r"554 5\.7\.1 <nobody@corp\.local>: .*Access denied",
        {"smtpd_relay_before_recipient_restrictions": "no"},
        {"smtpd_recipient_restrictions": "reject"},
    ),
    Claim(
        "postfix.policy_braces",
        NOBODY,
        GOES_ON,
        UNHEARD,
        {"codomain_policy": "{ unix:codomain/policy, timeout=10s, default_action=451 4.3.5 No }"},
        logged="malformed|bad .*option|missing .*=",
    ),
    Claim(
        "postfix.policy_elsewhere",
        NOBODY,
        GOES_ON,
        TEMPORARY,
        {"codomain_policy": "{ unix:codomain/polcy, timeout=10s }"},
    ),
    Claim(
        "postfix.map_elsewhere",
        NOBODY,
        GOES_ON,
        TEMPORARY,
        {"codomain_map": "socketmap:inet:127.0.0.1:1"},
    ),
    Claim(
        "postfix.socket_outside_chroot",
        NOBODY,
        GOES_ON,
        TEMPORARY,
        {"codomain_policy": "{ unix:{queue}/codomain/policy, timeout=10s }"},
    ),
    Claim(
        "postfix.relay_domains",
        NOBODY,
        GOES_ON,
        r"554 5\.7\.1 .*Relay access denied",
        {"relay_domains": ""},
    ),
    Claim(
        "postfix.transport_maps",
        "ann@example.com",
        r"exchange ann@example\.com",
        r"waits",
        {"transport_maps": ""},
        {"soft_bounce": "yes"},
    ),
    Claim(
        "postfix.virtual_alias_maps",
        "bob@example.com",
        r"unix bob@unix\.example\.net",
        r"\w+ bob@example\.com",
        {"virtual_alias_maps": ""},
    ),
    Claim(
        "postfix.virtual_mailbox_domains",
        "max@here.example.org",
        r"here max@here\.example\.org",
        r"554 5\.7\.1 .*Relay access denied",
        {"virtual_mailbox_domains": ""},
    ),
    Claim(
        "postfix.check_overridden",
        "nobody@corp.local",
        r"450 4\.1\.1 ",
        r"waits",
        {},
        {"soft_bounce": "yes"},
        master=("smtpd_relay_restrictions=codomain_check,", "smtpd_relay_restrictions="),
        client=TRUSTED,
        submission=True,
    ),
    Claim(
        "postfix.permit_before_check",
        "nobody@corp.local",
        r"450 4\.1\.1 ",
        r"waits",
        {},
        {"soft_bounce": "yes"},
        master=("=codomain_check,permit_mynetworks", "=permit_mynetworks,codomain_check"),
        client=TRUSTED,
        submission=True,
    ),
    Claim(
        "postfix.myorigin",
        "postmaster",
        r"exchange (ann|postmaster)@corp\.local",
        r"internet postmaster@elsewhere\.test",
        {"myorigin": "elsewhere.test"},
    ),
]

FILTERED = [
    Claim(
        "postfix.content_filter",
        "nobody@chain.example.org",
        r"late nobody@chain\.example\.org",
        r"\Alate nobody@chain\.example\.org\Z",  # and never internet, the content filter
        {"content_filter": "smtp:[127.0.0.1]:{internet}"},
        client=UNIX,
    ),
    Claim(
        "postfix.always_bcc",
        "nobody@chain.example.org",
        r"late nobody@chain\.example\.org",
        r"late archive@corp\.local",
        {"always_bcc": "archive@corp.local"},
        client=UNIX,
    ),
    Claim(
        "postfix.check_missing",
        "nobody@corp.local",
        r"550 5\.1\.1 ",
        r"exchange nobody@corp\.local",
        {"smtpd_recipient_restrictions": "reject_non_fqdn_sender"},
        {"smtpd_reject_unlisted_recipient": "no"},
    ),
]

MILTER = [
    Claim(
        "postfix.milter_overridden",
        "nobody@corp.local",
        r"450 4\.1\.1 ",
        r"waits",
        {},
        {"soft_bounce": "yes"},
        master=(
            "-o syslog_name=postfix/submission",
            "-o syslog_name=postfix/submission -o smtpd_milters=",
        ),
        client=TRUSTED,
        submission=True,
    ),
]


class Site:
    """A gateway whose files are changed for one message at a time."""

    def __init__(self, running: Lab) -> None:
        self.lab = running
        self.postfix = running.gateway.postfix
        self.table = self.postfix.folder / "table"
        self.table.write_text("@example.com ann@corp.local\n")
        self._before: dict[tuple[object, ...], tuple[str, set[str]]] = {}
        self.texts = {
            path: path.read_text()
            for path in (self.postfix.config / "main.cf", self.postfix.config / "master.cf")
        }

    @contextmanager
    def changed(
        self, parameters: dict[str, str], master: tuple[str, str] = ("", "")
    ) -> Iterator[None]:
        """Run Postfix with other parameters."""
        self.postfix.stop()
        try:
            values = {name: self._filled(value) for name, value in parameters.items()}
            main, services = self.texts
            services.write_text(
                self.texts[services].replace(*master) if master[0] else self.texts[services]
            )
            assert not master[0] or services.read_text() != self.texts[services]
            kept = [
                line
                for line in self.texts[main].splitlines()
                if line.partition("=")[0].strip() not in values
            ]
            main.write_text("\n".join([*kept, *(f"{n} = {v}" for n, v in values.items()), ""]))
            self.postfix.settle()
            self.postfix.start()
            yield
        finally:
            for path, text in self.texts.items():
                path.write_text(text)
            self.postfix.settle()

    def _filled(self, value: str) -> str:
        internet = re.search(r"default_transport = \S+:(\d+)", next(iter(self.texts.values())))
        assert internet
        known = {"internet": internet[1], "table": self.table, "queue": self.postfix.queue}
        for name, text in known.items():
            value = value.replace(f"{{{name}}}", f"{text}")
        return value

    def outcome(self, claim: Claim) -> str:
        """Send the message, and return what becomes of it, one line for each arrival."""
        port = self.postfix.submission if claim.submission else 0
        try:
            with patch.object(private_postfix, "SECONDS", HEARD):
                sent = self.lab.send(claim.client, claim.recipient, port=port)
        except (smtplib.SMTPException, OSError, AssertionError):
            return UNHEARD
        if not sent.replies[0].startswith("2"):
            return sent.replies[0]
        self.lab.sinks.wait_for(lambda seen: any(a.token == sent.token for a in seen), LATER)
        there = sorted((a.system, a.recipient) for a in self.lab.sinks.arrived(sent.token))
        return "\n".join(f"{system} {recipient}" for system, recipient in there) or "waits"

    def found(self) -> set[str]:
        """Return what `codomain check` finds now."""
        findings, _ = checked([self.lab.gateway.ini])
        return {one.id for one in findings}

    def before(self, claim: Claim) -> tuple[str, set[str]]:
        """Return what becomes of the message without the mistake, and what is found then."""
        key = (*claim.base.items(), claim.recipient, claim.client, claim.submission)
        if key not in self._before:
            with self.changed(claim.base):
                self._before[key] = (self.outcome(claim), self.found())
        return self._before[key]

    def show(self, claim: Claim) -> None:
        """Send the message before and after, and see that both are as the claim says."""
        outcome, found = self.before(claim)
        assert re.match(claim.before, outcome)
        assert claim.id not in found
        logged = len(self.postfix.logged())
        with self.changed({**claim.base, **claim.main}, claim.master):
            after = self.outcome(claim)
            assert re.search(claim.after, after), after
            assert re.search(claim.logged, self.postfix.logged()[logged:])
            assert claim.id in self.found()


@pytest.fixture(scope="module")
def routed() -> Iterator[Site]:
    """Give a gateway with maps."""
    with lab(INI) as running:
        yield Site(running)


@pytest.fixture(scope="module")
def filtered() -> Iterator[Site]:
    """Give a gateway without maps."""
    with lab(INI, FILTER) as running:
        yield Site(running)


@pytest.fixture(scope="module")
def judged() -> Iterator[Site]:
    """Give a gateway where the milter judges."""
    with lab(INI, milter=True) as running:
        yield Site(running)


def _named(claims: list[Claim]) -> Callable[..., pytest.MarkDecorator]:
    names = [f"{claim.id}-{number}" for number, claim in enumerate(claims)]
    return pytest.mark.parametrize("claim", claims, ids=names)


@_named(CLAIMS)
def test_postfix_does_with_maps_what_the_finding_says(routed: Site, claim: Claim) -> None:
    """Issue 8: each finding's claim is shown true by a real Postfix."""
    routed.show(claim)


@_named(FILTERED)
def test_postfix_does_with_filter_what_the_finding_says(filtered: Site, claim: Claim) -> None:
    """Issue 8: the same where FILTER leads mail elsewhere."""
    filtered.show(claim)


@_named(MILTER)
def test_postfix_does_with_the_milter_what_the_finding_says(judged: Site, claim: Claim) -> None:
    """Issue 8: the same where the milter judges."""
    judged.show(claim)


CIRCLE = """\
[domain circle.example.org]
type = relay
[connector circle]
smart_hosts = [127.0.0.1]:{port}
address_spaces = circle.example.org
allow_relay = yes
"""


def test_mail_for_this_host_comes_back_as_a_loop(routed: Site) -> None:
    """connector.smart_hosts.this_host: it is refused where it comes back, and returned."""
    gateway = routed.lab.gateway
    drop_in = gateway.folder / "conf.d" / "circle.ini"
    drop_in.write_text(CIRCLE.format(port=routed.postfix.port))
    try:
        assert "connector.smart_hosts.this_host" in routed.found()
        gateway.daemon.reload()
        with routed.changed({}):
            wait_until(lambda: routed.lab.reply(STRANGER, "x@circle.example.org").startswith("250"))
            routed.lab.send(STRANGER, "x@circle.example.org")
            returned = r"to=<x@circle\.example\.org>.*status=bounced.*554 5\.4\.6"
            wait_until(lambda: re.search(returned, routed.postfix.logged()))
    finally:
        drop_in.unlink()
        gateway.daemon.reload()


@pytest.mark.parametrize("name", ["routed", "filtered", "judged"])
def test_nothing_is_said_about_the_lines_of_codomain_postfix(
    name: str, request: pytest.FixtureRequest
) -> None:
    """What `codomain postfix` prints is right; the INI lacks verify, which is advice."""
    site: Site = request.getfixturevalue(name)
    assert site.found() == {"connector.verify", "usable"}


def test_a_smart_host_by_a_relative_path_is_reached_in_the_queue_directory(routed: Site) -> None:
    """lmtp(8): unix:private/x is below queue_directory."""
    with routed.changed({}):
        findings, _ = checked([routed.lab.gateway.ini], probe=True)
    assert "connector lmtp: unix:private/lmtp-sink answers" in {one.what for one in findings}


def test_a_socket_of_another_group_is_not_reached(routed: Site) -> None:
    """postfix.socket_group: smtpd may not write to it, and every client is told to come again."""
    claim = Claim("postfix.socket_group", NOBODY, GOES_ON, TEMPORARY)
    socket = routed.postfix.queue / "codomain" / "policy"
    with routed.changed({}):
        assert re.match(claim.before, routed.outcome(claim))
    socket.chmod(0o600)
    try:
        with routed.changed({}):
            assert re.match(claim.after, routed.outcome(claim))
    finally:
        socket.chmod(0o660)


@pytest.mark.parametrize(
    ("action", "becomes"), [("tempfail", rf"{UNHEARD}|451 4\.7\.1 "), ("accept", "waits")]
)
def test_mail_passes_unjudged_where_the_milter_is_down(
    judged: Site, action: str, becomes: str
) -> None:
    """postfix.milter_default_action: with accept nobody is asked while codomain does not run."""
    socket = judged.postfix.queue / "codomain" / "milter"
    away = socket.with_name("away")
    parameters = {"milter_default_action": action, "soft_bounce": "yes"}
    with judged.changed(parameters):
        assert ("postfix.milter_default_action" in judged.found()) == (action == "accept")
        socket.rename(away)
        try:
            claim = Claim("", "nobody@corp.local", "", "")
            assert re.match(becomes, judged.outcome(claim))
        finally:
            away.rename(socket)


def test_after_twenty_errors_a_client_is_hung_up_on(filtered: Site) -> None:
    """postfix.smtpd_hard_error_limit: each refusal counts, and 421 comes at the limit."""
    with filtered.changed({"smtpd_hard_error_limit": "3"}):
        assert "postfix.smtpd_hard_error_limit" in filtered.found()
        with filtered.postfix.connect(STRANGER) as session:
            session.docmd("MAIL", "FROM:<a@elsewhere.test>")
            codes = [session.docmd("RCPT", f"TO:<no{n}@corp.local>")[0] for n in range(4)]
    assert 421 in codes
