"""A gateway of one's own for a test: Postfix, codomain and the systems around them.

``exchange`` has the mailboxes, ``unix`` is the other system of the shared domain (a peer,
192.0.2.10), ``late`` the one behind it (192.0.2.30), ``internet`` the rest of the world.
``lmtp`` and ``here`` are mailbox servers on the gateway itself.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codomain_cli.private_gateway import PrivateGateway
from codomain_cli.sinks import TOKEN, Sinks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from codomain_cli.sinks import Arrival

STRANGER = "198.51.100.7"
TRUSTED = "10.1.2.3"
UNIX = "192.0.2.10"
LATE = "192.0.2.30"
SENDER = "author@elsewhere.test"

SECONDS = 20.0
"""The bound of every wait; mail takes some milliseconds over loopback."""

INI = """\
[codomain]
postmaster = ann@corp.local

[domain example.com]
type = shared
deliver_to = exchange
recipient_delimiter = +

[domain chain.example.org]
type = shared
deliver_to = exchange

[domain corp.local]
type = authoritative
deliver_to = exchange

[domain lmtp.example.org]
type = authoritative
deliver_to = lmtp

[domain here.example.org]
type = authoritative

[domain unix.example.net]
type = relay
subdomains = yes

[connector exchange]
smart_hosts = [127.0.0.1]:{exchange}
peers = 192.0.2.20

[connector lmtp]
transport = lmtp
smart_hosts = unix:private/lmtp-sink

[connector unix]
smart_hosts = [127.0.0.1]:{unix}
address_spaces = example.com, chain.example.org, unix.example.net, *.unix.example.net
allow_relay = yes
peers = 192.0.2.10

[connector late]
smart_hosts = [127.0.0.1]:{late}
address_spaces = chain.example.org
allow_relay = yes
cost = 20
peers = 192.0.2.30
"""
"""The configuration, but for its directory; the ports of the sinks are put in."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One message, as the gateway took it."""

    token: str
    """By which it is known again."""

    replies: tuple[str, ...]
    """The reply to each recipient: code and text."""


class Lab:
    """A gateway that runs, and the sinks around it."""

    def __init__(self, gateway: PrivateGateway, sinks: Sinks, returned: list[str]) -> None:
        self.gateway = gateway
        self.sinks = sinks
        self.returned = returned
        """What ``unix`` was told when it gave mail back to the gateway."""

    def send(
        self,
        client: str,
        *recipients: str,
        sender: str = SENDER,
        utf8: bool = False,
        port: int = 0,
    ) -> Sent:
        """Send one message over SMTP, and close the session."""
        token = uuid.uuid4().hex
        with self.gateway.postfix.connect(client, port=port) as session:
            session.command_encoding = "utf-8"
            option = " SMTPUTF8" if utf8 else ""
            code, answer = session.docmd("MAIL", f"FROM:<{sender}>{option}")
            assert code == 250, answer
            replies = [_reply(session.docmd("RCPT", f"TO:<{to}>")) for to in recipients]
            if any(reply.startswith("2") for reply in replies):
                code, answer = session.data(message(token))
                assert code == 250, answer
        return Sent(token, tuple(replies))

    def reply(self, client: str, recipient: str) -> str:
        """Return the reply to one recipient, and send it nothing."""
        with self.gateway.postfix.connect(client) as session:
            session.command_encoding = "utf-8"
            session.docmd("MAIL", f"FROM:<{SENDER}>")
            return _reply(session.docmd("RCPT", f"TO:<{recipient}>"))

    def arrivals(self, token: str, count: int) -> list[tuple[str, str]]:
        """Wait for a message at its systems; return system and recipient, sorted."""

        def there(arrivals: list[Arrival]) -> bool:
            return sum(arrival.token == token for arrival in arrivals) >= count

        if not there(self.sinks.wait_for(there, SECONDS)):
            # For whoever reads of the failure: where is it?
            print(self.gateway.postfix.logged()[-8000:])  # noqa: T201
        return sorted((a.system, a.recipient) for a in self.sinks.arrived(token))

    def wait_until_empty(self) -> None:
        """Wait until Postfix has nothing more to deliver."""
        config = f"{self.gateway.postfix.config}"
        wait_until(lambda: "is empty" in self.gateway.postfix.run("postqueue", "-c", config, "-p"))


def message(token: str) -> bytes:
    """Return a short message that is known by its token."""
    text = f"From: {SENDER}\r\nSubject: A message\r\n{TOKEN}: {token}\r\n\r\nHello.\r\n"
    return text.encode()


def wait_until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


@contextmanager
def lab(
    *inis: str, base: str = INI, milter: bool = False, main: Mapping[str, str] | None = None
) -> Iterator[Lab]:
    """Run a gateway on :data:`INI` and what is put after it; ``milter``: which judges then.

    ``main``: more parameters of its main.cf.
    """
    folder = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp"))
    try:
        folder.chmod(0o755)  # smtpd runs as another user, and pytest's folders are root's alone
        with (
            Sinks() as sinks,
            _lab(folder, [base, *inis], sinks, main or {}, milter=milter) as running,
        ):
            yield running
    finally:
        shutil.rmtree(folder)


@contextmanager
def _lab(
    folder: Path, inis: Sequence[str], sinks: Sinks, main: Mapping[str, str], *, milter: bool
) -> Iterator[Lab]:
    returned: list[str] = []
    labs: list[Lab] = []

    def give_back(arrival: Arrival) -> None:
        if arrival.recipient.startswith("lost"):
            returned.append(labs[0].reply(UNIX, arrival.recipient))

    ports = {name: sinks.smtp(name) for name in ("exchange", "late", "internet")}
    ports["unix"] = sinks.smtp("unix", then=give_back)
    gateway = PrivateGateway(
        folder,
        [inis[0].format(**ports), *inis[1:]],
        {
            "mynetworks": "127.0.0.0/8, 10.0.0.0/8",
            "default_transport": f"smtp:[127.0.0.1]:{ports['internet']}",
            "myorigin": "corp.local",
            "virtual_transport": "lmtp:unix:private/here-sink",
            **main,
        },
        milter=milter,
    )
    with gateway:
        for name in ("lmtp", "here"):
            sinks.lmtp(name, gateway.postfix.queue / "private" / f"{name}-sink")
        labs.append(Lab(gateway, sinks, returned))
        yield labs[0]


def _reply(answer: tuple[int, bytes]) -> str:
    code, text = answer
    return f"{code} {text.decode(errors='replace')}"
