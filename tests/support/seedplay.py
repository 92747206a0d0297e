"""The seed's own mail systems: a gateway, what stands behind it, and who hands mail on.

KB 321721 shares ``xo.one`` between the organisation ``xo.local`` and other systems.  Each
system keeps what it is given for its own people and hands the rest on, to the next system
or back to the gateway, over SMTP; what it is told there is kept.
"""

from __future__ import annotations

import shutil
import smtplib
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codomain_cli.private_gateway import PrivateGateway
from codomain_cli.sinks import Sinks
from support.postfix import SECONDS, Lab, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain_cli.sinks import Arrival

EXCHANGE = "192.168.1.20"
OTHER = "192.168.1.10"  # the seed's smart host
LAST = "192.168.1.30"
REMOTE = "192.0.2.60"
SECOND = "192.0.2.61"
SYSTEMS = {
    "exchange": EXCHANGE,
    "other": OTHER,
    "last": LAST,
    "remote": REMOTE,
    "second": SECOND,
    "internet": "",
}
"""The systems, and the addresses from which they send."""

GATEWAY = "gateway"
"""As the next hop of a system: back to where the mail came from."""

HOPS = 6
"""Postfix's hopcount_limit here: a loop is over soon."""


@dataclass(frozen=True, slots=True)
class Handed:
    """One recipient that a system handed on, and what it was told."""

    system: str
    """Who handed it on."""

    to: str
    """To whom."""

    recipient: str
    """The recipient."""

    reply: str
    """The reply to RCPT, or to DATA where that one was no."""


@dataclass(slots=True)
class Play:
    """The gateway and the systems, running."""

    lab: Lab
    """The gateway, as tests speak to it."""

    ports: dict[str, int]
    """Where the systems listen."""

    directory: str
    """The ``[directory]`` of every configuration."""

    people: dict[str, set[str]] = field(default_factory=dict)
    """Whom each system knows; a system that is not named knows everybody."""

    onward: dict[str, str] = field(default_factory=dict)
    """Where each system hands on what it does not know."""

    handed: list[Handed] = field(default_factory=list)
    """All that was handed on."""

    def configure(self, ini: str) -> None:
        """Put another configuration in force, and make Postfix forget what it knows."""
        self.write(ini)
        self.reload()

    def write(self, ini: str) -> None:
        """Write a configuration; it is not in force yet."""
        self.lab.gateway.configure(self.filled(ini))

    def filled(self, ini: str) -> str:
        """Put the ports in."""
        return ini.format(**self.ports) + self.directory

    def reload(self, message: str = '"configuration in force"') -> None:
        """Let the daemon read what was written."""
        daemon = self.lab.gateway.daemon
        before = daemon.logged().count(message)
        daemon.reload()
        daemon.wait_for_log(message, before + 1)
        self.lab.gateway.postfix.command("reload")
        self.behave({}, {})

    def behave(self, people: dict[str, set[str]], onward: dict[str, str]) -> None:
        """Say whom the systems know, and where they hand on the rest; forget what was."""
        self.people, self.onward = people, onward
        self.handed.clear()

    def wait_handed(self, count: int) -> list[Handed]:
        """Wait until so many recipients were handed on."""
        wait_until(lambda: len(self.handed) >= count, SECONDS)
        return self.handed

    def arrive(self, arrival: Arrival) -> None:
        """Keep what has come to a system, or hand it on."""
        onward = self.onward.get(arrival.system, "")
        if not onward or arrival.recipient.lower() in self.people.get(arrival.system, set()):
            return
        if onward == GATEWAY:
            session = self.lab.gateway.postfix.connect(SYSTEMS[arrival.system])
        else:
            session = smtplib.SMTP("127.0.0.1", self.ports[onward], "system.test", SECONDS)
            session.ehlo()
        with session:
            session.docmd("MAIL", f"FROM:<{arrival.sender}>")
            code, text = session.docmd("RCPT", f"TO:<{arrival.recipient}>")
            if code == 250:
                code, said = session.data(arrival.content)
                text = text if code == 250 else said
        reply = f"{code} {text.decode()}"
        self.handed.append(Handed(arrival.system, onward, arrival.recipient, reply))


@contextmanager
def play(ini: str, directory: str) -> Iterator[Play]:
    """Run the gateway on a configuration and its directory."""
    folder = Path(tempfile.mkdtemp(prefix="seed-", dir="/tmp"))
    plays: list[Play] = []
    try:
        folder.chmod(0o755)  # smtpd runs as another user
        with Sinks() as sinks:
            then = partial(_then, plays)
            ports = {name: sinks.smtp(name, then=then) for name in SYSTEMS}
            gateway = PrivateGateway(
                folder,
                [ini.format(**ports) + directory],
                {
                    "mynetworks": "127.0.0.0/8, 192.168.1.20",
                    "default_transport": f"smtp:[127.0.0.1]:{ports['internet']}",
                    "myorigin": "xo.local",
                    "hopcount_limit": f"{HOPS}",
                },
            )
            with gateway:
                plays.append(Play(Lab(gateway, sinks, []), ports, directory))
                yield plays[0]
    finally:
        shutil.rmtree(folder)


def _then(plays: list[Play], arrival: Arrival) -> None:
    if plays:
        plays[0].arrive(arrival)
