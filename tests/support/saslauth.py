"""Logins for an MTA's SASL, without an account: what saslauthd(8) answers on its socket.

libsasl2 (pwcheck_method: saslauthd) sends four strings, each after its length in two
octets: login, password, service, realm; and reads one, which begins with OK or NO.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONF = """\
pwcheck_method: saslauthd
saslauthd_path: {socket}
mech_list: PLAIN
"""
"""What libsasl2 reads for a service (``Sendmail.conf``)."""


class SaslAuth:
    """Knows who may log in; everybody on this host may ask."""

    def __init__(self, folder: Path, logins: Mapping[str, str]) -> None:
        """Take a new folder for the socket and the configuration, and passwords by login."""
        folder.mkdir()
        folder.chmod(0o755)
        self.folder = folder
        place = folder / "mux"

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                login, password, _service, _realm = (self._string() for _ in range(4))
                good = bool(password) and logins.get(login) == password
                self.wfile.write(struct.pack("!H2s", 2, b"OK" if good else b"NO"))

            def _string(self) -> str:
                (length,) = struct.unpack("!H", self.rfile.read(2))
                return self.rfile.read(length).decode()

        self._server = socketserver.ThreadingUnixStreamServer(f"{place}", Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        place.chmod(0o666)
        (folder / "Sendmail.conf").write_text(CONF.format(socket=place))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
