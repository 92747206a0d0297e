"""A gateway for a whole session of reading: page after page is carried out on it.

A program in namespaces of its own (:mod:`support.readergateway`) waits for what to do next, so
that a page can be read, mail be sent, and the page be read on.  In flow command lines, files
and senders; out flow what the commands said, the replies of SMTP and what arrived where.  A
few commands are stand-ins (:mod:`support.standins`), everything else is the real program.  It
needs root.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from support.fetched import overlays
from support.postfixhost import SECONDS
from support.sendmail import unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ReaderHost:
    """The host, for those who read on it; it lives as long as the ``with`` block."""

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="host-")
        over = [*overlays(), f"{unpacked()}/usr"]
        program = (sys.executable, "-m", "support.readergateway")
        flags = ("--mount", "--uts", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
        self._errors = Path(self._scratch.name).with_suffix(".log").open("w+")
        self._process = subprocess.Popen(
            ["unshare", *flags, *program, self._scratch.name, *over],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            text=True,
        )

    def __enter__(self) -> Self:
        """Give the host; the first page waits until it is there."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and with it all that runs on it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
        Path(self._errors.name).unlink()
        self._scratch.cleanup()

    def tell(self, name: str, *arguments: object) -> Any:  # noqa: ANN401  # as the method has it
        """Have the gateway do something, and return what comes of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise AssertionError(f"the host is gone:\n{self._errors.read()}")
        answer = json.loads(line)
        assert "fault" not in answer, answer["fault"]
        return answer["value"]

    def fresh(self) -> None:
        """Begin anew, as after the installation of the package."""
        self.tell("fresh")

    def run(self, line: str, folder: str = "/srv/reader") -> tuple[int, str]:
        """Run a line of a shell; return its status, and all that it said."""
        status, said = self.tell("run", line, folder)
        return status, said

    def must(self, line: str, folder: str = "/srv/reader") -> str:
        """Run a line that ends well, and return what it said."""
        status, said = self.run(line, folder)
        assert status == 0, f"{line}: status {status}\n{said}"
        return said

    def put_in_force(self) -> None:
        """Do as install.md says, for a page that begins behind it."""
        for line in ("systemctl reload codomain", "codomain postfix --apply", "postfix reload"):
            self.must(line)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file."""
        self.tell("write", path, text, mode)

    def read(self, path: str) -> str:
        """Return a file."""
        return str(self.tell("read", path))

    def ask(self, client: str, recipient: str, *, send: bool = False) -> str:
        """Ask for a recipient by SMTP, and return the reply."""
        return str(self.tell("ask", client, recipient, send))

    def arrivals(self, count: int) -> list[tuple[str, str]]:
        """Wait for so many messages; return the system and the recipient of each, sorted."""
        return [(system, recipient) for system, recipient in self.tell("arrivals", count)]

    def directory(
        self,
        base: str,
        ldif: str,
        accounts: Mapping[str, str] | None = None,
        writers: Sequence[str] = (),
    ) -> None:
        """Start a directory with these entries, and with accounts and their passwords."""
        self.tell("directory", base, ldif, dict(accounts or {}), list(writers))
