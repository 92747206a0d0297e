"""Another milter, as a site has one: it refuses, adds and deletes recipients.

``python othermilter.py PORT`` listens on 127.0.0.1.  A recipient whose extension is
``refuse`` is refused at RCPT; one with ``delete`` is deleted at the end of the message; and
for one with ``add-NAME`` the recipient NAME of the same domain is added there.  One with
``veto`` has the whole message refused at its end.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import milter

from codomain_cli.private_postfix import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTIONS = milter.ADDRCPT | milter.DELRCPT


class Message:
    """What happens at the end of one message."""

    def __init__(self) -> None:
        self.add: list[str] = []
        self.delete: list[str] = []
        self.veto = False


def mail(context: milter.Context, _sender: bytes, *_parameters: bytes) -> int:
    """Begin a message."""
    context.setpriv(Message())
    return milter.CONTINUE


def rcpt(context: milter.Context, recipient: bytes, *_parameters: bytes) -> int:
    """Refuse a recipient, or note what becomes of it."""
    given = recipient.decode()
    local, _, domain = given.strip("<>").rpartition("@")
    _, _, wish = local.partition("+")
    if wish == "refuse":
        context.setreply("550", "5.7.1", "another milter says no")
        return milter.REJECT
    if wish == "delete":
        context.getpriv().delete.append(given)
    elif wish == "veto":
        context.getpriv().veto = True
    elif wish.startswith("add-"):
        context.getpriv().add.append(f"<{wish.removeprefix('add-')}@{domain}>")
    return milter.CONTINUE


def eom(context: milter.Context) -> int:
    """Change the envelope."""
    message = context.getpriv()
    for recipient in message.add:
        context.addrcpt(recipient)
    for recipient in message.delete:
        context.delrcpt(recipient)
    return milter.REJECT if message.veto else milter.CONTINUE


def close(context: milter.Context) -> int:
    """Part from the context."""
    context.setpriv(None)
    return milter.CONTINUE


@contextmanager
def running() -> Iterator[int]:
    """Run it in a process of its own; its port."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, Path(__file__), str(port)],
        stdout=subprocess.PIPE,
        cwd="/",  # the folder milter/ of a source tree would hide the extension
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield port
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Serve until a signal."""
    milter.set_flags(ACTIONS)
    milter.set_envfrom_callback(mail)
    milter.set_envrcpt_callback(rcpt)
    milter.set_eom_callback(eom)
    milter.set_close_callback(close)
    milter.setconn(f"inet:{sys.argv[1]}@127.0.0.1")
    milter.register("other")
    milter.opensocket(1)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    milter.main()


if __name__ == "__main__":
    main()
