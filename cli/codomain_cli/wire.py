"""The language of the control socket: one line of JSON to the daemon, one line back.

PROTOCOL
    A client connects to the unix socket that ``[codomain] control_socket`` names, sends one
    request, reads one answer, and the daemon closes.  Both are one line: a JSON object
    (RFC 8259) in UTF-8 that ends with a line feed.  A request is

        {"codomain": 1, "command": "cache.purge", "arguments": {"addresses": ["ann@example.com"]}}

    ``codomain`` is the version of this protocol, ``arguments`` may be left out.  An answer is

        {"codomain": 1, "result": ...}      what was asked for
        {"codomain": 1, "error": {"kind": "arguments", "text": "..."}}

    where kind is ``request`` (no request of this version), ``command`` (no such command),
    ``arguments`` (they make no sense) or ``failed`` (a fault of the daemon's, in its log).

COMMANDS
    ``version``, ``status``, ``cache.stats``, ``cache.purge`` (addresses), ``cache.flush``,
    ``explain`` (address and more), ``shadow.report``; what each takes and gives stands with
    its handler (:mod:`codomain_cli.handlers`, :mod:`codomain_cli.livehandlers`).

LIMITS
    A request has :data:`REQUEST_OCTETS` at most and comes within
    :data:`codomain_cli.control.REQUEST_SECONDS`; an answer has :data:`ANSWER_OCTETS`.

This module knows no sockets: octets in, values out, and back again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codomain.errors import CodomainError
from codomain_cli.exits import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
"""The version of the protocol."""

REQUEST_OCTETS = 65_536
"""The longest request, with its line feed: two hundred addresses of the longest kind."""

ANSWER_OCTETS = 16_777_216
"""The longest answer: a report, and not the contents of the cache."""

KINDS = ("request", "command", "arguments", "failed")
"""What can be wrong."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the daemon is asked to do."""

    command: str
    """The command's name."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What it is to be done with."""


class AnswerError(CodomainError):
    """What came back is no answer of this version."""


def write_request(request: Request) -> bytes:
    """Write a request as a line."""
    return _line({"command": request.command, "arguments": request.arguments})


def read_request(line: bytes) -> Request:
    """Read a line as a request.

    Raises:
        RequestError: it is none, of kind ``request``.

    """
    if len(line) > REQUEST_OCTETS:
        raise RequestError("request", f"more than {REQUEST_OCTETS} octets")
    read = _object(line)
    if read is None:
        raise RequestError("request", "no JSON object")
    if type(read.get("codomain")) is not int or read["codomain"] != VERSION:
        raise RequestError("request", f"the version of the protocol is {VERSION}")
    command, arguments = read.get("command"), read.get("arguments", {})
    if not isinstance(command, str) or not isinstance(arguments, dict):
        raise RequestError("request", "no command, or arguments that are no object")
    return Request(command, arguments)


def write_result(result: object) -> bytes:
    """Write what was asked for as a line."""
    return _line({"result": result})


def write_error(error: RequestError) -> bytes:
    """Write why nothing was done as a line."""
    return _line({"error": {"kind": error.kind, "text": str(error)}})


def read_answer(line: bytes) -> Any:  # noqa: ANN401 - whatever a command gives
    """Read a line as an answer, and return its result.

    Raises:
        RequestError: the daemon did not do it, and says why.
        AnswerError: it is no answer of this version.

    """
    read = _object(line) if line.endswith(b"\n") else None
    if read is None or read.get("codomain") != VERSION:
        raise AnswerError("no answer of this version: is the daemon another one?")
    error = read.get("error")
    if isinstance(error, dict) and error.get("kind") in KINDS:
        raise RequestError(error["kind"], str(error.get("text", "")))
    if "result" not in read:
        raise AnswerError("an answer without a result")
    return read["result"]


def _line(values: Mapping[str, object]) -> bytes:
    return json.dumps({"codomain": VERSION, **values}, default=str).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        read = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None
