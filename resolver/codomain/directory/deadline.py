"""A socket that keeps one deadline over a whole operation, and bounds what it takes in.

A socket's own time-out counts for each ``recv``: a server that sends one byte a second
would hold a thread for ever.  Here every call gets what is left of the operation's time,
and no call is begun when nothing is left.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from typing import Any

ANSWER_OCTETS = 4_194_303
"""The most that one operation takes in: OpenLDAP's sockbuf_max_incoming_auth."""

AddressInfo = tuple[int, int, int, str, Any]
"""One answer of :func:`socket.getaddrinfo`."""


class Deadline:
    """How much time and how many octets are left for an operation.

    Shared by a connection and its socket; each operation sets it anew.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._octets = 0

    def begin(self, until: float) -> None:
        """Start an operation that ends at ``until`` (:func:`time.monotonic`)."""
        self._until = until
        self._octets = ANSWER_OCTETS

    def passed(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() >= self._until

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none are.

        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def spend(self, octets: int) -> None:
        """Count what was received.

        Raises:
            OSError: it is more than one operation may take in.

        """
        self._octets -= octets
        if self._octets < 0:
            raise OSError(f"the answer is longer than {ANSWER_OCTETS} octets")


class DeadlineSocket:
    """The part of a socket that ldap3 uses, under a :class:`Deadline`."""

    def __init__(self, raw: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._deadline = deadline
        self._limit: float | None = None
        self.family = raw.family

    def take(self) -> socket.socket:
        """Give the socket itself away, for a TLS handshake within the time that is left."""
        self._raw.settimeout(self._allowed())
        return self._raw

    def bind(self, address: Any) -> None:  # noqa: ANN401 - the address's form is the family's
        """Bind to a local address."""
        self._raw.bind(address)

    def settimeout(self, seconds: float | None) -> None:
        """Limit each call further; it never gets more than what is left of the operation."""
        self._limit = seconds

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket."""
        self._raw.setsockopt(level, option, value)

    def connect(self, address: Any) -> None:  # noqa: ANN401 - the address's form is the family's
        """Connect, or raise TimeoutError or another OSError."""
        self._raw.settimeout(self._allowed())
        self._raw.connect(address)

    def sendall(self, data: bytes) -> None:
        """Send everything, or raise TimeoutError or another OSError."""
        self._raw.settimeout(self._allowed())
        self._raw.sendall(data)

    def fileno(self) -> int:
        """Return the file descriptor, for a loop that waits for what comes."""
        return self._raw.fileno()

    def send_now(self, data: bytes) -> None:
        """Send everything without waiting, or raise OSError: the other side does not read."""
        self._deadline.left()
        self._raw.settimeout(0)
        if self._raw.send(data) != len(data):
            raise OSError("the server does not read")

    def recv_now(self, octets: int) -> bytes | None:
        """Receive what is there after :meth:`send_now`; None: nothing is; empty: closed.

        A TLS layer may hold more than it gave: it is asked until it says None.
        """
        try:
            data = self._raw.recv(octets)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        self._deadline.spend(len(data))
        return data

    @property
    def layered(self) -> bool:
        """Whether a TLS layer may hold octets for which the descriptor does not wake a loop."""
        return isinstance(self._raw, ssl.SSLSocket)

    def recv(self, octets: int) -> bytes:
        """Receive something, or raise TimeoutError or another OSError; empty: closed."""
        self._raw.settimeout(self._allowed())
        data = self._raw.recv(octets)
        self._deadline.spend(len(data))
        return data

    def readable(self) -> bool:
        """Tell whether there is something to read, or the other side has closed.

        Between two operations both mean that the connection is of no more use.
        """
        self._raw.settimeout(0)
        try:
            # Not the TLS layer's recv: a closed connection shows below it.
            socket.socket.recv(self._raw, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def shutdown(self, how: int) -> None:
        """End the connection; a call under way in another thread returns at once."""
        # Not the TLS layer's, which forgets its keys under the hands of that other thread.
        socket.socket.shutdown(self._raw, how)

    def close(self) -> None:
        """Close the socket."""
        self._raw.close()

    def _allowed(self) -> float:
        left = self._deadline.left()
        return left if self._limit is None else min(left, self._limit)


def resolve(host: str, port: int, deadline: Deadline) -> list[AddressInfo]:
    """Return the addresses of a host, within the time that is left.

    The system's resolver knows no deadline: it is waited for in a thread of its own, which
    is left behind where it takes longer.

    Raises:
        OSError: there are none (socket.gaierror), or TimeoutError.

    """
    answers: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            answers.put(error)
        except UnicodeError:  # a label of more than 63 octets
            answers.put(OSError(f"{host} is no host name"))

    threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left())
    except queue.Empty:
        raise TimeoutError(f"looking up {host} timed out") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
