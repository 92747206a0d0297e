"""A redis-server of our own, in a folder of the test, on a free loopback port and a socket.

It keeps its port over a restart, and no data unless it is told to.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import redis

if TYPE_CHECKING:
    from pathlib import Path

    from support.authority import Certificate

START_SECONDS = 20.0
"""How long a server may take to answer; it takes 0.05 s on an idle machine."""

USER = "codomain"
USER_RULES = (
    "~codomain:*",
    "&codomain:*",
    "+getrange",
    "+pttl",
    "+eval",
    "+set",
    "+del",
    "+publish",
    "+subscribe",
    "+ping",
    "+select",
)
"""What a user of the server must be permitted, as docs/howto/several-gateways.md says."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one server does differently from the others."""

    password: str = ""
    """The password of the default user; empty: none is needed."""

    user_password: str = ""
    """The password of the user ``codomain``, who may do as little as possible; empty: no such."""

    certificate: Certificate | None = None
    """Its certificate: it then takes TLS alone on its port."""

    lines: tuple[str, ...] = ()
    """More lines of redis.conf."""


class RedisServer:
    """One server: configured when it is made, started by :meth:`start`."""

    def __init__(self, folder: Path, settings: Settings = Settings()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.path = folder / "redis"
        (folder / "redis.conf").write_text(self._config())

    @property
    def url(self) -> str:
        """How ``[cache] shared`` names it."""
        scheme = "rediss" if self._settings.certificate else "redis"
        return f"{scheme}://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it, and return when it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", str(self._folder / "redis.conf")], stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"redis: {(self._folder / 'log').read_text()}")
            time.sleep(0.01)
        return self

    def ask(self, *command: str | bytes | int) -> Any:  # noqa: ANN401 - whatever RESP2 can hold
        """Send it one command, as the default user, over its socket."""
        with redis.Redis(
            unix_socket_path=str(self.path), password=self._settings.password or None
        ) as client:
            return client.execute_command(*command)

    def names(self) -> list[bytes]:
        """Return the keys of values: those of marks are left out."""
        found: list[bytes] = self.ask("KEYS", "codomain:1:*:*")
        return sorted(found)

    def kill(self) -> None:
        """End it without a word, as kill -9 does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it, if it runs, also while it is paused."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it be silent: its connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it and start it again: what it had is lost."""
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _signal(self, number: int) -> None:
        if self._process is None:
            raise RuntimeError("redis does not run")
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False

    def _config(self) -> str:
        settings = self._settings
        lines = ["bind 127.0.0.1", "daemonize no", 'save ""', f"dir {self._folder}"]
        lines += [f"unixsocket {self.path}", "unixsocketperm 700", "enable-debug-command yes"]
        if settings.certificate is None:
            lines.append(f"port {self.port}")
        else:
            lines += ["port 0", f"tls-port {self.port}", "tls-auth-clients no"]
            lines.append(f"tls-cert-file {settings.certificate.file}")
            lines.append(f"tls-key-file {settings.certificate.key}")
            lines.append(f"tls-ca-cert-file {settings.certificate.authority}")
        if settings.password:
            lines.append(f"requirepass {settings.password}")
        if settings.user_password:
            rules = " ".join(USER_RULES)
            lines.append(f"user {USER} on >{settings.user_password} {rules}")
        return "\n".join([*lines, *settings.lines, ""])
