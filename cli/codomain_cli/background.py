"""``codomain serve`` as a process of one's own, for the demo and the tests.

It is started, waited for until its doors are open (sd_notify(3)), reloaded and ended by
its process id; its log goes to a file.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from codomain.errors import CodomainError

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 30.0
"""A start takes half a second; a loaded machine needs longer."""

STOP_SECONDS = 15.0
"""More than the daemon gives what is under way (codomain_cli.serve)."""

_RUN = "from codomain_cli.main import main; main()"


class Background:
    """One daemon."""

    def __init__(self, ini: Path, folder: Path) -> None:
        """Take its INI, and a folder for its log and its notifications."""
        self._ini = ini
        self._folder = folder
        self.log = folder / "codomain.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, and return when its doors are open.

        Raises:
            CodomainError: it ended, or is not ready in time; with what it logged.

        """
        notified = self._folder / "notify"
        notified.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox, self.log.open("ab") as log:
            inbox.bind(os.fspath(notified))
            inbox.settimeout(0.1)
            self._process = subprocess.Popen(
                [sys.executable, "-c", _RUN, "serve", "--config", os.fspath(self._ini)],
                env={**os.environ, "NOTIFY_SOCKET": os.fspath(notified)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for whoever started us; we are ended after Postfix.
                start_new_session=True,
            )
            try:
                self._await_ready(inbox, self._process)
            except BaseException:
                self.stop()
                raise
        return self

    @property
    def pid(self) -> int:
        """Its process id.

        Raises:
            CodomainError: it does not run.

        """
        if self._process is None:
            raise CodomainError("codomain does not run")
        return self._process.pid

    def reload(self) -> None:
        """Send SIGHUP."""
        self._signal(signal.SIGHUP)

    def stop(self) -> int | None:
        """End it, if it runs, and return its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def logged(self) -> str:
        """Return its log so far."""
        return self.log.read_text(errors="replace")

    def wait_for_log(self, text: str, times: int = 1, seconds: float = START_SECONDS) -> None:
        """Wait until a text stands in the log so many times.

        Raises:
            CodomainError: it does not in time.

        """
        end = time.monotonic() + seconds
        while self.logged().count(text) < times:
            if time.monotonic() > end:
                raise CodomainError(f"codomain did not log {text!r}:\n{self.logged()}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.stop()

    def _signal(self, number: int) -> None:
        if self._process is None:
            raise CodomainError("codomain does not run")
        self._process.send_signal(number)

    def _await_ready(self, inbox: socket.socket, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                if b"READY=1" in inbox.recv(4096):
                    return
            except TimeoutError:
                if process.poll() is not None:
                    break
        raise CodomainError(f"codomain serve did not start:\n{self.logged()}")
