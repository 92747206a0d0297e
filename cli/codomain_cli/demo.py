"""``codomain demo``: real mail through a real Postfix, and what becomes of it.

It starts codomain on the people of contrib/demo, a private Postfix on loopback, and three
sinks: the two systems that share example.com, and the rest of the world.  It sends mail as
a stranger, as a client of the site and as the other system, compares what happens with
what must happen, and removes everything that it started, however it ends.

Exit status: 0, every row is as it should be; 1, one is not; 69, it cannot run here.
"""

from __future__ import annotations

import shutil
import signal
import smtplib
import sys
import tempfile
import threading
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from codomain.errors import CodomainError
from codomain_cli.exits import Exit
from codomain_cli.private_gateway import PrivateGateway
from codomain_cli.stories import EXCHANGE, FOUR, INTERNET, STORIES, UNIX, WHO, Fate, Story

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codomain_cli.sinks import Arrival, Sinks

SENDER = "author@elsewhere.test"
"""Who writes."""

ARRIVAL_SECONDS = 15.0
"""Mail that takes longer over loopback does not arrive."""

DATA_FILES = ("people.ldif", "contacts.csv")
"""The people."""

WIDTH = 150
"""Columns of the table where no terminal says how many there are."""

_REJECTED = "Recipient address rejected: "

_PLACES = """\
[connector exchange]
smart_hosts = [127.0.0.1]:{exchange}

[connector unix]
smart_hosts = [127.0.0.1]:{unix}

[directory people]
path = {people}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One recipient: what must become of it, and what did."""

    story: Story
    """The message."""

    fate: Fate
    """What must become of it."""

    reply: str
    """The reply to RCPT."""

    arrivals: tuple[Arrival, ...]
    """Where it arrived."""

    @property
    def right(self) -> bool:
        """Whether everything is as it should be."""
        wanted = [(self.fate.system, self.fate.address)] if self.fate.system else []
        found = [(arrival.system, arrival.recipient) for arrival in self.arrivals]
        return self.reply.startswith(f"{self.fate.reply} ") and found == wanted


@click.command()
@click.option("--keep", is_flag=True, help="Stay up until Ctrl-C, and say how to talk to it.")
def demo(*, keep: bool) -> None:
    """Send real mail through a private Postfix, and show what becomes of it."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    with _ended_by_signals(), ExitStack() as stack:
        try:
            gateway, sinks = start(stack)
        except CodomainError as error:
            click.echo(f"codomain demo: {error}", err=True)
            sys.exit(Exit.UNAVAILABLE)
        rows = run(gateway, sinks)
        console.print(table(rows))
        wrong = sum(not row.right for row in rows)
        _conclude(console, gateway, rows, "is" if keep else "was")
        if keep:
            console.print(_advice(gateway), soft_wrap=True)
            threading.Event().wait()
    if wrong:
        sys.exit(Exit.NEGATIVE)


def start(stack: ExitStack) -> tuple[PrivateGateway, Sinks]:
    """Start the sinks and the gateway; the stack stops them and removes their files.

    Raises:
        CodomainError: something is missing here, or does not start.

    """
    source = people_folder()
    try:
        from codomain_cli.sinks import Sinks
    except ModuleNotFoundError as error:
        raise CodomainError(f"{error.name} is missing; pip install codomain[demo]") from error
    folder = Path(tempfile.mkdtemp(prefix="codomain-demo-", dir="/tmp"))  # sockets: short paths
    stack.callback(shutil.rmtree, folder)
    folder.chmod(0o755)  # smtpd runs as another user
    for name in DATA_FILES:
        shutil.copy(source / name, folder)
    sinks = stack.enter_context(Sinks())
    places = _PLACES.format(
        exchange=sinks.smtp(EXCHANGE),
        unix=sinks.smtp(UNIX),
        people=", ".join(f"{folder / name}" for name in DATA_FILES),
    )
    gateway = PrivateGateway(
        folder,
        [(source / "codomain.ini").read_text(), places],
        {
            "mynetworks": "127.0.0.0/8, 10.0.0.0/8",
            "default_transport": f"smtp:[127.0.0.1]:{sinks.smtp(INTERNET)}",
            "myorigin": "corp.local",
        },
    )
    stack.enter_context(gateway)
    return gateway, sinks


def people_folder() -> Path:
    """Return where the demo's directory is: in the package, or in the checkout around it.

    Raises:
        CodomainError: it is in neither.

    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "demo_data", here.parents[2] / "contrib" / "demo"):
        if (folder / "codomain.ini").is_file():
            return folder
    raise CodomainError("contrib/demo is not there; run the demo from a checkout of the sources")


def run(gateway: PrivateGateway, sinks: Sinks) -> list[Row]:
    """Send every message, wait until all that must arrive is there, and return the rows."""
    sent = [(story, *send(gateway, story)) for story in STORIES]
    wanted = sum(bool(fate.system) for story in STORIES for fate in story.fates)
    sinks.wait_for(lambda arrivals: len(arrivals) >= wanted, ARRIVAL_SECONDS)
    return [
        Row(story, fate, reply, _arrivals_of(fate, story, sinks.arrived(token)))
        for story, token, replies in sent
        for fate, reply in zip(story.fates, replies, strict=True)
    ]


def send(gateway: PrivateGateway, story: Story) -> tuple[str, list[str]]:
    """Send one message; return its token and the reply to each recipient."""
    from codomain_cli.sinks import TOKEN

    token = uuid.uuid4().hex
    text = f"From: {SENDER}\r\nSubject: A message\r\n{TOKEN}: {token}\r\n\r\nHello.\r\n"
    with gateway.postfix.connect(story.client) as session:
        session.mail(SENDER)
        replies = [_reply(session.docmd("RCPT", f"TO:<{fate.recipient}>")) for fate in story.fates]
        if any(reply.startswith("2") for reply in replies):
            code, answer = session.data(text)
            if code >= 400:  # noqa: PLR2004  # RFC 5321 section 4.2.1
                raise smtplib.SMTPResponseException(code, answer)
    return token, replies


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table; what is wrong is marked, with what should have been."""
    shown = Table(title="Mail to a shared domain", header_style="bold", box=SIMPLE, expand=True)
    for name in ("client", "recipient"):
        shown.add_column(name, no_wrap=True)
    shown.add_column("reply seen", ratio=1)
    for name in ("arrived at", "as", "because", ""):
        shown.add_column(name, overflow="fold")
    before: Story | None = None
    for row in rows:
        if row.story is FOUR and before is not FOUR:
            shown.add_section()
        client = "same message" if row.story is before is FOUR else WHO[row.story.client]
        before = row.story
        shown.add_row(*_cells(client, row))
    shown.caption = ", ".join(f"{name}: {client}" for client, name in WHO.items())
    return shown


def _cells(client: str, row: Row) -> Iterator[Text | str]:
    accepted = row.reply.startswith("2")
    yield client
    yield row.fate.recipient
    # Postfix repeats the recipient, and says itself that it is rejected.
    reply = row.reply.replace(f" <{row.fate.recipient}>: {_REJECTED}", " ")
    yield Text(reply, style="green" if accepted else "yellow")
    yield ", ".join(arrival.system for arrival in row.arrivals) or "-"
    yield ", ".join(arrival.recipient for arrival in row.arrivals) or "-"
    fate = row.fate
    should = f"should be {fate.reply}, {fate.system or 'nowhere'} {fate.address}".rstrip()
    yield fate.why if row.right else Text(should, style="bold red")
    yield Text("✓", style="green") if row.right else Text("✗", style="bold red")


def _conclude(console: Console, gateway: PrivateGateway, rows: Sequence[Row], verb: str) -> None:
    wrong = sum(not row.right for row in rows)
    if wrong:
        console.print(f"{wrong} of {len(rows)} rows are not as they should be.", style="bold red")
        click.echo(gateway.postfix.logged(), err=True)
    else:
        console.print(f"All {len(rows)} rows are as they should be.", style="green")
    samples = [
        line
        for line in gateway.page("metrics").splitlines()
        if line.startswith("codomain_requests_total")
    ]
    console.print(
        f"The metrics page {verb} {gateway.url('metrics')}, with {len(samples)} kinds of answers.",
        markup=False,
        soft_wrap=True,
    )


def _arrivals_of(fate: Fate, story: Story, arrivals: list[Arrival]) -> tuple[Arrival, ...]:
    """Return which arrivals of a message are those of one of its recipients.

    What arrived under an address that no recipient should have is every recipient's.
    """
    others = {(f.system, f.address) for f in story.fates if f is not fate and f.system}
    return tuple(a for a in arrivals if (a.system, a.recipient) not in others)


def _reply(answer: tuple[int, bytes]) -> str:
    code, text = answer
    return f"{code} {text.decode(errors='replace')}"


def _advice(gateway: PrivateGateway) -> Text:
    port, ini = gateway.postfix.port, gateway.ini
    command = Path(sys.argv[0]).absolute()
    return Text(
        "\nEverything stays up until Ctrl-C. In another terminal, as root:\n"
        f"  SMTP, as a client of ours      telnet 127.0.0.1 {port}\n"
        f"  SMTP, as a stranger            swaks --server 127.0.0.1:{port}"
        " --xclient-addr 198.51.100.7 --to bob@example.com\n"
        f"  why a recipient is refused     {command} explain nobody@corp.local"
        f" --client 198.51.100.7 --config {ini}\n"
        f"  the lines in main.cf           {command} postfix --config {ini}\n"
        f"  metrics and health             curl {gateway.url('metrics')} {gateway.url('readyz')}\n"
        f"  Postfix's log                  tail -f {gateway.postfix.log}\n"
        f"  codomain's log                 tail -f {gateway.daemon.log}\n"
        f"  the people                     {gateway.folder}/people.ldif, contacts.csv\n"
    )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind as Ctrl-C does, so that everything is removed."""

    def interrupt(*_: object) -> None:
        # Whoever presses twice must not interrupt the removal.
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
