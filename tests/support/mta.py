"""The MTA's side of the milter protocol, for tests: miltertest with what a test needs beside it."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import miltertest

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 20.0
"""The bound of every wait for the milter."""

STRANGER = "198.51.100.7"
SENDER = "<author@elsewhere.test>"

ACTIONS = miltertest.SMFI_V6_ACTS & ~miltertest.SMFIF_SETSYMLIST
"""What the MTA offers: miltertest cannot read an answer with lists of macros in it."""


STEPS = miltertest.SMFI_V6_PROT
"""What the MTA may leave out."""


class End(NamedTuple):
    """What a milter did at the end of a message."""

    reply: str
    """``c`` (continue), or the reply."""

    added: list[tuple[str, str]]
    """Recipients, with their parameters."""

    deleted: list[str]
    """Recipients."""

    inserted: list[tuple[str, str]]
    """Fields."""

    removed: list[tuple[str, int]]
    """Fields, each of its name and number."""


class Mta:
    """One connection to a milter."""

    def __init__(
        self, place: Path | tuple[str, int], actions: int = ACTIONS, steps: int = STEPS
    ) -> None:
        family = socket.AF_INET if isinstance(place, tuple) else socket.AF_UNIX
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(place if isinstance(place, tuple) else f"{place}")
        self._connection = miltertest.MilterConnection(self.sock)
        self.actions, self.steps = self._connection.optneg_mta(actions, steps)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def connect(self, client: str = STRANGER, *, port: int = 40114, **macros: str) -> None:
        """Tell of a client; a path is that of a unix socket, an empty one is not known."""
        self.macros("C", macros)
        family = "6" if ":" in client else "L" if client.startswith("/") else "4"
        known = {"family": family, "port": port, "address": client}
        if not client:
            self.raw("C", b"client.test\0U")
            return
        self._step("C", hostname="client.test", **known)

    def mail(self, sender: str = SENDER, *parameters: str, **macros: str) -> None:
        """Begin a message."""
        self.macros("M", macros)
        self._step("M", args=[sender, *parameters])

    def rcpt(self, recipient: str, *parameters: str) -> str:
        """Ask for a recipient; return ``c`` (continue), or the reply."""
        return self._reply(self._connection.send_get("R", args=[recipient, *parameters]))

    def rcpt_raw(self, data: bytes) -> str:
        """The same, with all octets of the arguments as they are."""
        self.raw("R", data)
        return self._reply(self._connection.recv())

    def data(self) -> str:
        """Announce the message."""
        return self._reply(self._connection.send_get("T"))

    def header(self, name: str, value: str) -> None:
        """Send a field."""
        self._step("L", name=name, value=value)

    def end(self) -> End:
        """End the message; its header ends first."""
        self._step("N")
        *actions, last = self._connection.send_eom()
        end = End(self._reply(last), [], [], [], [])
        for code, values in actions:
            match code:
                case "+":
                    end.added.append((values["rcpt"], ""))
                case "2":
                    end.added.append((values["rcpt"], " ".join(values["args"])))
                case "-":
                    end.deleted.append(values["rcpt"])
                case "i":
                    end.inserted.append((values["name"], values["value"]))
                case "m":
                    assert values["value"] == ""
                    end.removed.append((values["name"], values["index"]))
                case _:
                    raise AssertionError(code)
        return end

    def abort(self) -> None:
        """Abort the message (RSET)."""
        self._connection._send("A")

    def message(self, *recipients: str, headers: list[tuple[str, str]] | None = None) -> End:
        """Send a whole message whose recipients are all taken."""
        self.mail()
        assert [self.rcpt(recipient) for recipient in recipients] == ["c"] * len(recipients)
        assert self.data() == "c"
        for name, value in headers or []:
            self.header(name, value)
        return self.end()

    def macros(self, stage: str, macros: dict[str, str]) -> None:
        """Define macros; ``auth_authen`` stands for ``{auth_authen}``."""
        if macros:
            named = {f"{{{name}}}": value for name, value in macros.items()}
            self._connection.send_macro(stage, **named)

    def raw(self, command: str, data: bytes) -> None:
        """Send a packet of any content."""
        self.sock.sendall(struct.pack("!Lc", len(data) + 1, command.encode()) + data)

    def _step(self, command: str, **values: object) -> None:
        """Send what is not replied to, or else must be answered with continue."""
        self._connection._send(command, **values)
        silent = {"C": 0x1000, "M": 0x4000, "L": 0x80, "N": 0x40000}[command]
        if not self.steps & silent:
            assert self._reply(self._connection.recv()) == "c"

    def _reply(self, answer: tuple[str, dict[str, Any]]) -> str:
        code, values = answer
        if code == "y":
            return f"{values['smtpcode']}{values['space']}{values['text']}"
        return code


def symbols(place: Path) -> dict[int, str]:
    """Negotiate as an MTA that takes lists of macros, and return those asked for, by stage."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(SECONDS)
        sock.connect(f"{place}")
        flags = (6, miltertest.SMFI_V6_ACTS, miltertest.SMFI_V6_PROT)
        sock.sendall(struct.pack("!LcLLL", 13, b"O", *flags))
        answer = b""
        while len(answer) < 4 or len(answer) < 4 + struct.unpack("!L", answer[:4])[0]:
            answer += sock.recv(4096)
    rest, found = answer[17:], {}
    while rest:
        (stage,) = struct.unpack("!L", rest[:4])
        text, _, rest = rest[4:].partition(b"\0")
        found[stage] = text.decode()
    return found
