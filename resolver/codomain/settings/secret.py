"""Files that hold a password: where they are, and whether they may be used.

In flows the path as the INI has it, out flows the path of the file.  A relative path, and
one that begins with ``%d/``, is a credential of systemd (systemd.exec(5),
LoadCredential=), which lies below ``$CREDENTIALS_DIRECTORY``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from codomain.settings.faults import WrongError, shown

OTHERS = stat.S_IRWXO
"""What nobody but owner and group may do with the file."""

SECRET_OCTETS = 4096
"""So much of the file is looked at; no directory takes a longer password."""

PREFIXES = ("%d/", "$CREDENTIALS_DIRECTORY/", "${CREDENTIALS_DIRECTORY}/")
"""How unit files and shells write the folder of the credentials."""


def locate(written: str) -> str:
    """Return the path of a password file.

    Raises:
        WrongError: it is relative, and systemd gave no folder of credentials.

    """
    relative = written
    for prefix in PREFIXES:
        relative = relative.removeprefix(prefix)
    if relative.startswith("/"):
        return relative
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise WrongError(
            f"{shown(written)} is a credential, and $CREDENTIALS_DIRECTORY is not set;"
            " write an absolute path"
        )
    return str(Path(folder) / relative)


def check(path: str) -> None:
    """Look whether a password file may be used.

    Raises:
        WrongError: it is missing, no file, open to others, or empty: an empty password
            would be an anonymous bind (RFC 4513 section 5.1.2).

    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise WrongError(f"{shown(path)} is no file; write the path of one")
        if status.st_mode & OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise WrongError(f"others can use {shown(path)} (mode {mode:04o}); chmod 0640 it")
        with Path(path).open("rb") as file:
            first = file.read(SECRET_OCTETS).split(b"\n", 1)[0].strip()
    except (OSError, ValueError) as error:
        if isinstance(error, WrongError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise WrongError(
            f"{shown(path)} cannot be read: {reason}; write the password to it"
        ) from error
    if not first:
        raise WrongError(f"{shown(path)} holds no password; write it on the first line")
