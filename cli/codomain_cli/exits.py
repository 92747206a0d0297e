"""Exit statuses, sysexits(3), and the errors that only commands know."""

from __future__ import annotations

from enum import IntEnum

from codomain.errors import CodomainError


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    """It did what it was asked, and the answer is yes."""

    NEGATIVE = 1
    """It did what it was asked, and the answer is no."""

    USAGE = 64
    """EX_USAGE: the command line makes no sense."""

    UNAVAILABLE = 69
    """EX_UNAVAILABLE: something that it needs is not on this host, or not permitted."""

    SOFTWARE = 70
    """EX_SOFTWARE: a fault of our own."""

    OS = 71
    """EX_OSERR: a port or socket cannot be opened."""

    TEMPORARY = 75
    """EX_TEMPFAIL: a directory does not answer now."""

    CONFIG = 78
    """EX_CONFIG: the configuration cannot be used."""

    INTERRUPTED = 130
    """Ended by Ctrl-C, as shells count it."""


class UnavailableError(CodomainError):
    """Something that a command needs is not on this host, or not permitted; status 69."""


class AbsentError(CodomainError):
    """The daemon cannot be asked; exit status 75 (EX_TEMPFAIL)."""


class RequestError(CodomainError):
    """A request that the daemon does not carry out; the client is told why."""

    def __init__(self, kind: str, text: str) -> None:
        """Take one of :data:`codomain_cli.wire.KINDS`, and what is wrong in words."""
        super().__init__(text)
        self.kind = kind
