"""A TCP proxy of ours in front of a real LDAP server, which can be told to misbehave.

It counts what passes, so that a test can prove that the fault it asked for took place:
connections, octets each way, answers that were tampered with, and the result codes that
the client was given.  What a fault has touched is cut when the fault ends, as a server
that restarts would cut it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Self

from support.tamper import operation_of, outcome, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.tamper import Tamper

HOLD_SECONDS = 0.2
"""A connection over loopback is there in microseconds; one that is not by then is dropped."""


class Door(Enum):
    """What happens to whoever connects."""

    OPEN = "open"
    """It is let in."""

    REFUSED = "refused"
    """Nobody listens: it is reset."""

    DROPPED = "dropped"
    """Its SYN is not answered: the queue of connections is full, and stays so."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave."""

    door: Door = Door.OPEN
    """What happens to new connections; unless it is open, those that exist carry nothing."""

    silent: bool = False
    """Everything is swallowed, from the first octet on."""

    tamper: Tamper | None = None
    """Changes each message of the server."""

    cut: bool = False
    """The connection is closed behind the first message that was changed."""

    pause: float = 0.0
    """Seconds before each message of the server."""

    trickle: float = 0.0
    """Seconds before each octet of the server."""


FINE = Fault()


@dataclass
class Counts:
    """What has passed so far."""

    connections: int = 0
    """Connections that were let in."""

    up: int = 0
    """Octets that clients sent."""

    down: int = 0
    """Octets that clients were given."""

    tampered: int = 0
    """Messages that were changed, held back or swallowed."""


class Proxy:
    """One port on loopback, in front of one server."""

    def __init__(self, server: str, *, tls: bool = False) -> None:
        """Take the server's URI; with ``tls`` octets pass as they are, and no message is read."""
        self._upstream = _place(server)
        self._tls = tls
        self.counts = Counts()
        self.results: Counter[tuple[int, int]] = Counter()
        # How often clients got a result: by the tag of the operation, and the code.
        self._fault = FINE
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._fillers: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = self._accept_in_a_thread()

    def uri(self, scheme: str = "ldap") -> str:
        """Return the URI by which clients reach it."""
        return f"{scheme}://127.0.0.1:{self.port}"

    def open(self) -> int:
        """Return how many connections there are now."""
        with self._lock:
            return len(self._pairs)

    def lead_to(self, server: str) -> None:
        """Take another server for all new connections, and cut the old ones."""
        self._upstream = _place(server)
        self._cut(lambda _: True)

    def fail(self, fault: Fault) -> None:
        """Misbehave from now on."""
        self._fault = fault
        if fault.door is not Door.OPEN:
            self._listen(fault.door)
        if fault.door is Door.REFUSED:
            self._cut(lambda _: True)

    def heal(self) -> None:
        """Behave from now on; what the fault has touched is cut."""
        fault, self._fault = self._fault, FINE
        if fault.door is not Door.OPEN:
            self._listen(Door.OPEN)
        self._cut(lambda pair: pair.touched)

    def close(self) -> None:
        """Stop, and close every connection."""
        self._over.set()
        self._shut(self._listener)
        self._acceptor.join()
        self._cut(lambda _: True)
        for pair in list(self._pairs):
            pair.join()
        for filler in self._fillers:
            filler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self, door: Door) -> None:
        self._shut(self._listener)
        self._acceptor.join()
        for filler in self._fillers:
            filler.close()
        self._fillers = []
        if door is Door.REFUSED:
            return
        self._listener = socket.create_server(
            ("127.0.0.1", self.port), backlog=0 if door is Door.DROPPED else 64
        )
        if door is Door.DROPPED:
            self._fill()
        else:
            self._acceptor = self._accept_in_a_thread()

    def _fill(self) -> None:
        """Fill the queue of connections that nobody takes, until one more is not let in."""
        while True:
            filler = socket.socket()
            filler.settimeout(HOLD_SECONDS)
            self._fillers.append(filler)
            try:
                filler.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return

    def _accept_in_a_thread(self) -> threading.Thread:
        thread = threading.Thread(target=self._accept, args=(self._listener,))
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(self._upstream, 5.0)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                with self._lock:
                    self.counts.connections += 1
                    self._pairs.add(_Pair(self, client, server))

    def _cut(self, which: Callable[[_Pair], bool]) -> None:
        with self._lock:
            gone = {pair for pair in self._pairs if which(pair)}
        for pair in gone:
            pair.shut()

    @staticmethod
    def _shut(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    # --- for the pairs

    @property
    def fault(self) -> Fault:
        """What is wrong now."""
        return self._fault

    def wait(self, seconds: float) -> None:
        """Wait, or return at once when the proxy is closed."""
        if seconds:
            self._over.wait(seconds)

    def messages(self, data: bytearray) -> Iterator[bytes]:
        """Take whole messages off the front of what a server sent; all of it under TLS."""
        while data:
            size = len(data) if self._tls else size_of(data)
            if not size or len(data) < size:
                return
            yield bytes(data[:size])
            del data[:size]

    def note(self, message: bytes, *, changed: bool) -> None:
        """Count what a client is given."""
        with self._lock:
            self.counts.down += len(message)
            self.counts.tampered += changed
            if not self._tls and message:
                seen = outcome(message)
                if seen is not None:
                    self.results[seen] += 1

    def sent(self, octets: int) -> None:
        """Count what a client sent."""
        with self._lock:
            self.counts.up += octets

    def gone(self, pair: _Pair) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._pairs.discard(pair)


class _Pair:
    """One client's connection and the one to the server behind it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        # Else a message that follows another waits for the first one's ACK, up to 40 ms.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.touched = proxy.fault is not FINE
        self._threads = [
            threading.Thread(target=self._run, args=(work,)) for work in (self._up, self._down)
        ]
        self._left = len(self._threads)
        self._lock = threading.Lock()
        for thread in self._threads:
            thread.start()

    def shut(self) -> None:
        """End both ways."""
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait for the threads."""
        for thread in self._threads:
            thread.join()

    def _run(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            work()
        self.shut()
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._client.close()
            self._server.close()
            self._proxy.gone(self)

    def _up(self) -> None:
        while data := self._client.recv(65536):
            self._proxy.sent(len(data))
            if self._mute():
                continue
            self._server.sendall(data)

    def _down(self) -> None:
        received = bytearray()
        while data := self._server.recv(65536):
            received += data
            for message in self._proxy.messages(received):
                if self._mute():
                    self._proxy.note(b"", changed=True)
                    continue
                self._pass_on(message)

    def _mute(self) -> bool:
        """Tell whether this connection carries nothing now."""
        fault = self._proxy.fault
        muted = fault.silent or fault.door is not Door.OPEN
        self.touched = self.touched or muted
        return muted

    def _pass_on(self, message: bytes) -> None:
        fault = self._proxy.fault
        given = fault.tamper(message, operation_of(message)) if fault.tamper else message
        changed = given != message or bool(fault.pause or fault.trickle)
        self.touched = self.touched or changed
        self._proxy.note(given, changed=changed)
        self._proxy.wait(fault.pause)
        if fault.trickle:
            for octet in given:
                self._proxy.wait(fault.trickle)
                self._client.sendall(bytes([octet]))
        elif given:
            self._client.sendall(given)
        if changed and fault.cut:
            raise OSError("cut")


def _place(uri: str) -> tuple[str, int]:
    host, _, port = uri.rpartition("//")[2].rpartition(":")
    return host, int(port)
