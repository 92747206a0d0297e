"""Asking the running daemon over its control socket, for the commands that do.

Diagnostics: exit status 75, the daemon is not there, or may not be asked by us.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codomain import config as configuration
from codomain.errors import ConfigError
from codomain_cli import maincf
from codomain_cli.exits import AbsentError, RequestError
from codomain_cli.loading import DEFAULT
from codomain_cli.wire import (
    ANSWER_OCTETS,
    AnswerError,
    Request,
    read_answer,
    write_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS = 40.0
"""How long a command waits for the daemon, which gives itself thirty."""

_F = TypeVar("_F", bound="Callable[..., object]")


def socket_option(function: _F) -> _F:
    """Add ``--socket PATH`` to a command."""
    return click.option(
        "--socket",
        "path",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The daemon's control socket, where the INI does not say or cannot be read.",
    )(function)


def json_option(function: _F) -> _F:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def control_path(files: Sequence[Path], path: Path | None) -> Path:
    """Return where the control socket is: as told, or as the INI says.

    What is wrong within a file does not matter: the daemon runs with what was good.

    Raises:
        AbsentError: the INI says that there is none.
        ConfigError: a file that was named cannot be read; without its say it might be
            another daemon that is asked, and whose cache is dropped.

    """
    if path is not None:
        return path
    for file in files:
        _opened(file)
    main_cf = maincf.read(configuration.postfix_setting(files))
    written = configuration.control_setting(files, main_cf)
    if not written:
        raise AbsentError("there is no control socket: [codomain] control_socket is empty")
    return Path(written)


def _opened(file: Path) -> None:
    """Find out whether a file can be read; the usual one need not be, by whoever asks."""
    if file == DEFAULT:
        return
    try:
        file.open("rb").close()
    except OSError as error:
        why = error.strerror or f"{error}"
        raise ConfigError(
            [f"{file}: cannot be read: {why}; name a file that is there, or --socket PATH"]
        ) from error


def call(path: Path, command: str, **arguments: object) -> Any:  # noqa: ANN401 - as the command has it
    """Ask the daemon to do something, and return the result.

    Raises:
        AbsentError: it cannot be asked; the text says what to do.
        RequestError: the arguments make no sense to it.
        AnswerError: it did not do it, or answers in another language.

    """
    end = time.monotonic() + SECONDS
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(SECONDS)
            client.connect(os.fspath(path))
            client.sendall(write_request(Request(command, arguments)))
            answer = bytearray()
            while not answer.endswith(b"\n") and len(answer) <= ANSWER_OCTETS:
                client.settimeout(max(0.001, end - time.monotonic()))
                part = client.recv(65536)
                if not part:
                    break
                answer += part
    except (FileNotFoundError, ConnectionRefusedError):
        raise AbsentError(
            f"nobody listens on {path}: start codomain serve, or look into its log"
        ) from None
    except PermissionError:
        raise AbsentError(
            f"{path} may not be used by this user: use sudo, or join the group of the socket"
        ) from None
    except (OSError, ValueError) as error:
        raise AbsentError(f"{path}: {error}; look into the daemon's log") from error
    if not answer:
        raise AbsentError(f"{path}: the daemon closed without an answer; try again")
    try:
        return read_answer(bytes(answer))
    except RequestError as error:
        if error.kind == "arguments":
            raise
        raise AnswerError(f"the daemon says: {error}") from error
