"""The errors of the house: one small tree, each knowing whether it passes.

"Not found" is never among them: it is an answer.  What is here means that no
answer could be had, and a door turns every one of these into a temporary reply
(451), because "I don't know" must never become "there is no such user".
"""

from __future__ import annotations


class CodomainError(Exception):
    """Whatever this program raises on purpose; its text is fit for a log line."""

    reason = "fault"
    """The reason under which a door replies and counts (see :mod:`codomain.replies`)."""


class DirectoryError(CodomainError):
    """A directory did not answer, or not with a plain success.

    The MTA gets ``451 4.4.3`` (RFC 3463, X.4.3: directory server failure).
    """

    reason = "directory"


class NotInIndexError(DirectoryError):
    """A directory did not answer about one address that its local index does not have.

    Whom the index has is answered for as ever, so the directory does not count as down;
    for this one address the MTA gets ``451 4.4.3``.
    """


class NextSystemError(CodomainError):
    """A next system cannot be asked about a recipient now, so nothing is known of it.

    ``[callout] on_failure`` decides: the mail is taken, or the MTA gets ``451 4.4.1``
    (RFC 3463, X.4.1: no answer from host).
    """

    reason = "callout"


class RecordError(CodomainError):
    """A record of a file that cannot be used: malformed, or an address that cannot be parsed.

    Nothing reaches the MTA: the file is not taken into service (see
    :mod:`codomain.directory.files`).
    """


class ConfigError(CodomainError):
    """One or more faults of the configuration; :attr:`faults` holds a line for each.

    At start the program ends with status 78 (EX_CONFIG, sysexits(3)); at a reload
    the configuration in force stays.
    """

    def __init__(self, faults: list[str]) -> None:
        """Keep every fault, so that all of them are mended in one go."""
        super().__init__("\n".join(faults))
        self.faults = faults


class ListenError(CodomainError):
    """A port or socket cannot be opened; the program ends with status 71 (EX_OSERR)."""


class IndexUnusableError(CodomainError):
    """A local index cannot be read: it is missing, not complete, or of another source.

    The daemon asks the directory itself meanwhile; a follower begins a new index.
    """

    reason = "directory"


class IndexDamagedError(IndexUnusableError):
    """A local index is not as it was written; nothing that it says is believed."""


class IndexBusyError(CodomainError):
    """Another process writes this index."""


class IndexWriteError(CodomainError):
    """A local index cannot be written: no space, no right, a disk that fails."""


class ShrinkError(CodomainError):
    """A change would take more away than ``max_shrink`` lets it; nothing was changed."""
