"""One gateway's configuration in a folder of its own, its daemon, and whoever asks it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from codomain_cli.background import Background
from codomain_cli.wire import Request, read_answer, write_request
from support.doors import policy_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = 20.0
"""The bound of every wait; on a quiet machine all of them take less than a second."""


def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Site:
    """One gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ini = folder / "codomain.ini"
        self.policy = folder / "policy"
        self.http = folder / "http"
        self.control = folder / "control"

    def write(self, directory: str, cache: str = "", codomain: str = "", more: str = "") -> None:
        """Write the INI around the keys of its one directory."""
        self.ini.write_text(
            "[codomain]\nhostname = mx.example.com\npostfix = off\n"
            f"control_socket = {self.control}\n{codomain}\n"
            f"[policyd]\nlisten = unix:{self.policy}\nsocketmap_listen =\nsocket_group =\n"
            f"[http]\nlisten = unix:{self.http}\n"
            f"[cache]\n{cache}\n"
            "[domain example.com]\ntype = authoritative\n"
            f"{more}\n[directory people]\n{directory}\n"
        )

    def write_ldap(self, servers: str, cache: str = "", more: str = "", keys: str = "") -> None:
        """Write the INI for a directory over LDAP, below the tests' base."""
        directory = (
            f"type = ldap\nservers = {servers}\nschema = inetorgperson\n"
            f"base = dc=example,dc=com\n{keys}"
        )
        self.write(directory, cache, more=more)

    def serve(self) -> Background:
        """Return the daemon, not started yet."""
        return Background(self.ini, self.folder)

    def ask(self, recipient: str) -> str:
        """Ask the policy server about a recipient as a stranger, on a new connection."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(self.policy))
            client.sendall(policy_request(recipient=recipient, client_address="198.51.100.7"))
            return client.recv(4096).decode().strip()

    def get(self, path: str) -> tuple[int, str]:
        """Get a page of the admin door: the status and the text."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(self.http))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body

    def metric(self, sample: str) -> float:
        """Return a sample of /metrics as it is written there; none is 0."""
        lines = self.get("/metrics")[1].splitlines()
        found = [line for line in lines if line.startswith(f"{sample} ")]
        return float(found[0].split()[-1]) if found else 0.0

    def raw(self, octets: bytes, *, end: bool = False) -> bytes:
        """Send octets to the control socket, and return all that comes back."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(self.control))
            client.sendall(octets)
            if end:
                client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def tell(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 - as the command has it
        """Send a request to the control socket, and return its result."""
        return read_answer(self.raw(write_request(Request(command, arguments))))

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the administrator to its end."""
        return run(*arguments, "--config", self.ini)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command ``codomain`` to its end."""
    code = "from codomain_cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *[os.fspath(argument) for argument in arguments]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
