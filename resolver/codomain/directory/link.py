"""One connection to one LDAP server: opened, bound, searched, thrown away.

In flow a filter and a deadline; out flow entries as raw bytes, or an error that says
whether the connection is of any more use.  All of ldap3, which opens and binds, is in here
and in :mod:`codomain.directory.tls`, with its defaults, which suit no daemon, set right;
searches are ours (:mod:`codomain.directory.exchange`).
LDAP: RFC 4511; simple bind and SASL EXTERNAL: RFC 4513.
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ldap3
from ldap3.core.exceptions import LDAPException
from pyasn1.error import PyAsn1Error

from codomain.directory.ber import ProtocolError
from codomain.directory.deadline import Deadline, DeadlineSocket, resolve
from codomain.directory.exchange import CHUNK, Collector, exchange, read_on
from codomain.directory.messages import MAX_ID, Search
from codomain.directory.tls import StrictTls, Trust
from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from codomain.directory.exchange import Answer
    from codomain.directory.messages import Entry
    from codomain.directory.section import Login
    from codomain.directory.servers import Server

SIZE_LIMIT = 20
"""The most entries that a search asks for.

Two make an address ambiguous; the rest is room for entries that the server finds alike
and we do not (white space, accents).  More end in sizeLimitExceeded: no answer.
"""

IDLE_LIMIT = 120.0
"""Seconds after which an unused connection is not used again.

Below the four minutes after which NAT gateways and firewalls forget a TCP connection,
silently, and the 15 minutes of Active Directory's MaxConnIdleTime.
"""

SUCCESS = 0
NO_SUCH_OBJECT = 32
INVALID_CREDENTIALS = 49

SERVER_TROUBLE = frozenset({1, 8, 13, 48, INVALID_CREDENTIALS, 51, 52, 53, 80})
"""Result codes that speak of the server or of our rights to it, not of what was asked.

operationsError, strongerAuthRequired, confidentialityRequired, inappropriateAuthentication,
invalidCredentials, busy, unavailable, unwillingToPerform, other (RFC 4511 appendix A).
"""

_FAULTS = (
    LDAPException,
    ProtocolError,
    PyAsn1Error,
    OSError,
    # What ldap3's decoder lets out on bytes that are no LDAP.
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)

FIRST_ID = 1000
"""The messageID of the first search; ldap3 has counted the bind before it from 1."""


class BrokenError(DirectoryError):
    """The connection failed, or what came over it was no LDAP: it is of no more use."""

    def __init__(self, text: str, *, timed_out: bool) -> None:
        super().__init__(text)
        self.timed_out = timed_out


class ResultError(DirectoryError):
    """The server answered with anything but a plain success."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Connection(ldap3.Connection):
    """ldap3's connection, whose every socket keeps our deadline."""

    def __init__(self, server: ldap3.Server, deadline: Deadline, **options: Any) -> None:  # noqa: ANN401
        self._deadline = deadline
        self._guarded: DeadlineSocket | None = None
        super().__init__(server, **options)

    @property
    def socket(self) -> DeadlineSocket | None:
        """The socket in use; one that is set takes the place of the last, which is closed."""
        return self._guarded

    @socket.setter
    def socket(self, raw: socket.socket | None) -> None:
        if self._guarded is not None:
            self._guarded.close()  # ldap3 forgets those that did not connect
        self._guarded = None if raw is None else DeadlineSocket(raw, self._deadline)


class _Ldap3Server(ldap3.Server):
    """ldap3's server, whose name is looked up within our deadline.

    One object serves one connection: ldap3 keeps the address in use in it, and where two
    connections share it, a failure to open goes unnoticed.
    """

    def __init__(self, server: Server, tls: StrictTls, connect_timeout: float) -> None:
        local = server.scheme == "ldapi"
        super().__init__(
            f"ldapi://{server.host}" if local else server.host,
            port=server.port or None,
            use_ssl=server.scheme == "ldaps",
            get_info=ldap3.NONE,  # no schema is read, nothing is checked against one
            tls=tls,
            connect_timeout=connect_timeout,
        )
        self.addresses: list[list[Any]] = []

    def candidate_addresses(self) -> list[list[Any]]:
        """Return the addresses to try, with ldap3's two fields of its own behind each."""
        return self.addresses


class Link:
    """A bound connection to a server; for one thread at a time, but for :meth:`abort`."""

    def __init__(self, server: Server, login: Login, trust: Trust, until: float) -> None:
        """Connect, turn to TLS where asked, and bind, all before ``until``.

        Raises:
            BrokenError: no connection, no TLS, or no verified certificate.
            ResultError: the server refused the bind.
            DirectoryError: the password or ``ca_file`` cannot be read.

        """
        self.server = server
        self._used = time.monotonic()
        self._last = FIRST_ID - 1
        self._deadline = Deadline()
        self._deadline.begin(until)
        self._connection: Connection | None = None
        try:
            self._open(login, trust)
        except _FAULTS as error:
            raise self._broken(error) from error
        except DirectoryError:
            self.close()
            raise

    def search(
        self, base: str, scope: str, sought: str | bytes, attributes: tuple[str, ...], until: float
    ) -> Answer:
        """Search, and return what was found, or nothing where nothing was.

        ``scope`` is one of the INI's, ``sought`` a filter as text, or encoded.

        Raises:
            BrokenError: the connection failed, or the time was up.
            ResultError: the server gave another result than success.

        """
        guarded = self._open_socket()
        self._deadline.begin(until)
        try:
            search = self._request(base, scope, sought, attributes)
            answer = exchange(guarded, self._last, search)
        except _FAULTS as error:
            raise self._broken(error) from error
        return self._checked(answer)

    def begin(  # noqa: PLR0913, PLR0917  # a search, and what is remembered
        self,
        base: str,
        scope: str,
        sought: str | bytes,
        attributes: tuple[str, ...],
        until: float,
        met: dict[bytes, Entry] | None = None,
    ) -> Collector:
        """Send a search as :meth:`search` does, but wait for nothing; :meth:`read` goes on.

        ``met`` holds entries of earlier answers (:class:`Collector`).

        Raises:
            BrokenError: the connection failed, or the time was up.

        """
        guarded = self._open_socket()
        self._deadline.begin(until)
        try:
            request = self._request(base, scope, sought, attributes).encode(self._last)
            guarded.send_now(request)
        except _FAULTS as error:
            raise self._broken(error) from error
        return Collector(self._last, met)

    def fileno(self) -> int:
        """Return the descriptor on which the answer to :meth:`begin` comes.

        Raises:
            BrokenError: it is closed.

        """
        return self._open_socket().fileno()

    def read(self, collector: Collector, most: int) -> Answer | None:
        """Take what is there, ``most`` octets and one chunk at most; None: more must come.

        Raises:
            BrokenError: the connection failed.

        """
        guarded = self._open_socket()
        try:
            while (data := guarded.recv_now(CHUNK)) is not None:
                answer = collector.feed(data)
                if answer is not None or not guarded.layered or collector.octets > most:
                    return answer
        except _FAULTS as error:
            raise self._broken(error) from error
        return None

    def late(self) -> BrokenError:
        """Give up a search whose time is up; the connection is of no more use."""
        return self._broken(TimeoutError("timed out"))

    def finish(self, collector: Collector, answer: Answer | None) -> Answer:
        """Wait for the rest of a search that was begun; returns and raises as :meth:`search`."""
        guarded = self._open_socket()
        try:
            whole = read_on(guarded, collector) if answer is None else answer
        except _FAULTS as error:
            raise self._broken(error) from error
        return self._checked(whole)

    def used(self) -> None:
        """Take note that the server has answered."""
        self._used = time.monotonic()

    def usable(self) -> bool:
        """Tell whether a connection that was not in use may be used again."""
        if time.monotonic() - self._used > IDLE_LIMIT:
            return False
        guarded = None if self._connection is None else self._connection.socket
        return guarded is not None and not guarded.readable()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.socket = None

    def take_socket(self) -> socket.socket:
        """Give the bound connection's socket away; this object is of no more use.

        Raises:
            BrokenError: it is closed already, or the time was up.

        """
        guarded = None if self._connection is None else self._connection.socket
        if guarded is None:
            raise BrokenError(f"{self.server.uri}: closed", timed_out=False)
        try:
            taken = guarded.take()
        except OSError as error:
            raise self._broken(error) from error
        self._connection = None
        return taken

    def abort(self) -> None:
        """End what another thread does on this connection: it gets BrokenError at once."""
        connection = self._connection  # once: its own thread may close it meanwhile
        guarded = None if connection is None else connection.socket
        if guarded is not None:
            with contextlib.suppress(OSError):  # it is closed already
                guarded.shutdown(socket.SHUT_RDWR)

    def _open(self, login: Login, trust: Trust) -> None:
        if login.starttls or self.server.scheme == "ldaps":
            trust.context()  # now: a ca_file that cannot be read is no fault of the server
        server = _Ldap3Server(self.server, StrictTls(trust), login.connect_timeout)
        server.addresses = self._addresses()
        self._connection = connection = Connection(
            server,
            self._deadline,
            client_strategy=ldap3.SAFE_SYNC,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,  # never to where an answer sends us, with our password
            auto_range=False,  # ldap3 takes a range that cannot be read for the end
            check_names=False,
            return_empty_attributes=False,
            receive_timeout=math.ceil(login.timeout),
            **self._identity(login),
        )
        connection.open(read_server_info=False)
        if login.starttls and self.server.scheme == "ldap":
            connection.start_tls(read_server_info=False)
            if not connection.tls_started:
                raise OSError("StartTLS was not begun")
        # SAFE_SYNC returns a tuple, which is true whatever happened: the result counts.
        _, result, _, _ = connection.bind(read_server_info=False)
        self._expect(result, "bindResponse")

    def _open_socket(self) -> DeadlineSocket:
        guarded = None if self._connection is None else self._connection.socket
        if guarded is None:
            raise BrokenError(f"{self.server.uri}: closed", timed_out=False)
        return guarded

    def _request(
        self, base: str, scope: str, sought: str | bytes, attributes: tuple[str, ...]
    ) -> Search:
        """Count the search, and give it the time that is left."""
        self._last = self._last % MAX_ID + 1
        seconds = math.ceil(self._deadline.left())
        return Search(base, scope, sought, attributes, SIZE_LIMIT, seconds)

    def _checked(self, answer: Answer) -> Answer:
        if answer.done.code != SUCCESS:
            text = f"{self.server.uri}: {answer.done.describe()}"
            raise ResultError(text, answer.done.code)
        self.used()
        return answer

    def _addresses(self) -> list[list[Any]]:
        if self.server.scheme == "ldapi":
            return [[socket.AF_UNIX, socket.SOCK_STREAM, 0, None, self.server.host, None, None]]
        found = resolve(self.server.host, self.server.port, self._deadline)
        return [[*address, None, None] for address in found]

    def _identity(self, login: Login) -> dict[str, Any]:
        if login.bind_dn:
            password = read_password(login.bind_password_file)
            return {"user": login.bind_dn, "password": password, "authentication": ldap3.SIMPLE}
        if self.server.scheme == "ldapi":
            return {
                "authentication": ldap3.SASL,
                "sasl_mechanism": ldap3.EXTERNAL,
                "sasl_credentials": "",
            }
        return {"authentication": ldap3.ANONYMOUS}

    def _expect(self, result: dict[str, Any], kind: str) -> None:
        """Take only a success, of the kind of message that is due."""
        if result["type"] != kind:
            raise ValueError(f"{result['type']} where {kind} was due")
        code = result["result"]
        if code != SUCCESS:
            said = result["message"] or ", ".join(map(str, result["referrals"] or []))
            text = f"{self.server.uri}: {result['description']} ({code}) {said}"
            raise ResultError(text.strip(), code)

    def _broken(self, error: BaseException) -> BrokenError:
        timed_out = self._deadline.passed() or isinstance(error, TimeoutError)
        self.close()
        text = str(error) or type(error).__name__
        return BrokenError(f"{self.server.uri}: {text}", timed_out=timed_out)


def read_password(path: str) -> bytes:
    """Read a password as it is now: it may have been changed since the last connection.

    One line feed at its end is not part of it.  It is sent as these bytes.

    Raises:
        DirectoryError: it cannot be read, or is empty; a server would take an empty one for
            an anonymous bind, and show nothing (RFC 4513 section 5.1.2).

    """
    try:
        password = Path(path).read_bytes()
    except OSError as error:
        raise DirectoryError(f"bind_password_file {path}: {error.strerror}") from error
    password = password.removesuffix(b"\r\n" if password.endswith(b"\r\n") else b"\n")
    if not password:
        raise DirectoryError(f"bind_password_file {path}: it is empty")
    return password
