"""A whole gateway of one's own: codomain beside a private Postfix, joined as a site joins them.

In flow INI texts; the sockets, its main.cf and its HTTP port are given here.  What Postfix
needs comes from :mod:`codomain_cli.postfix`, to the letter.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self
from urllib.request import urlopen

from codomain_cli import postfix as lines
from codomain_cli.background import Background
from codomain_cli.loading import load
from codomain_cli.private_postfix import LOOPBACK, PrivatePostfix, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from codomain.config import Config

HTTP_SECONDS = 10.0
"""The daemon's own pages come in milliseconds."""

_BASE = """\
[codomain]
postfix = {postfix}
state_directory = {folder}
control_socket = {folder}/control

[policyd]
listen = unix:{queue}/codomain/policy
socketmap_listen = unix:{queue}/codomain/map

[http]
listen = inet:127.0.0.1:{http}
"""

_MILTER = """
[milter]
listen = unix:{queue}/codomain/milter
"""


class PrivateGateway:
    """Codomain and a Postfix that asks it."""

    def __init__(
        self, folder: Path, inis: Sequence[str], main: Mapping[str, str], *, milter: bool = False
    ) -> None:
        """Make the files of both; ``inis`` may override what is set here.

        Args:
            folder: an empty folder, into which every user may go.
            inis: the site's configuration; later ones add and override.
            main: parameters of main.cf beside those that codomain wants.
            milter: the milter judges, and not the policy server.

        Raises:
            CodomainError: the INI cannot be used, Postfix is missing, or we are not root.

        """
        (self.http,) = free_ports(1)
        self.folder = folder
        self.postfix = PrivatePostfix(folder / "postfix", main)
        self.ini = folder / "codomain.ini"
        (folder / "conf.d").mkdir()
        self.ini.write_text(
            (_BASE + _MILTER * milter).format(
                postfix=self.postfix.config,
                folder=folder,
                queue=self.postfix.queue,
                http=self.http,
            )
        )
        self.configure(*inis)
        self.daemon = Background(self.ini, folder)
        config = self.load()
        host = lines.read(config.codomain.postfix)
        self.postfix.add(
            lines.main_text(config, host, milter=milter),
            lines.master_text(config, host, milter=milter),
        )
        self._running = ExitStack()

    def configure(self, *inis: str) -> None:
        """Write the site's configuration; a running daemon reads it at a reload."""
        for number, ini in enumerate(inis):
            (self.folder / "conf.d" / f"{number}.ini").write_text(ini)

    def load(self) -> Config:
        """Read the configuration, as the commands do."""
        return load([self.ini])

    def url(self, page: str) -> str:
        """Return the address of one of the daemon's pages."""
        return f"http://{LOOPBACK}:{self.http}/{page}"

    def page(self, page: str) -> str:
        """Return one of the daemon's pages."""
        with urlopen(self.url(page), timeout=HTTP_SECONDS) as response:  # noqa: S310  # our own
            text: bytes = response.read()
        return text.decode()

    def __enter__(self) -> Self:
        """Start both."""
        with ExitStack() as starting:
            starting.enter_context(self.daemon)
            starting.enter_context(self.postfix)
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both, Postfix first."""
        self._running.close()
