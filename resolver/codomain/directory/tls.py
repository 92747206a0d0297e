"""TLS towards an LDAP server, verified by OpenSSL: the chain, the dates and the name.

ldap3 on its own verifies nothing, or, asked to, compares names with code that knows no
address in a certificate from Python 3.12 on.  Here the whole check is OpenSSL's, for
``ldaps`` and StartTLS alike: RFC 4513 section 3.1.3 and RFC 6125, with DNS names and IP
addresses of subjectAltName.
"""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any

import ldap3

from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from codomain.directory.link import Connection


class Trust:
    """The authorities that may vouch for the servers of one directory."""

    def __init__(self, ca_file: str) -> None:
        """Take the INI's ``ca_file``; empty: the authorities of the system."""
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context, made at first need: the system's store takes 20 ms to read.

        Raises:
            DirectoryError: ``ca_file`` is missing or holds no certificate; the MTA gets
                451 4.4.3 until it is mended, without a restart.

        """
        with self._lock:
            if self._context is None:
                try:
                    self._context = ssl.create_default_context(cafile=self._ca_file or None)
                except OSError as error:  # ssl.SSLError is one
                    raise DirectoryError(f"ca_file {self._ca_file}: {error}") from error
            return self._context


class StrictTls(ldap3.Tls):
    """What ldap3 calls when a connection turns to TLS."""

    def __init__(self, trust: Trust) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._trust = trust

    def wrap_socket(self, connection: Connection, do_handshake: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - ldap3's own signature
        """Turn the connection's socket into a verified one; the handshake is done at once.

        Raises:
            OSError: as ssl.SSLError, with OpenSSL's reason, or TimeoutError.

        """
        plain: Any = connection.socket
        connection.socket = self._trust.context().wrap_socket(
            plain.take(), server_hostname=connection.server.host
        )
