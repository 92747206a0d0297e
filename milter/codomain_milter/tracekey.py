"""The secret of this instance's trace fields, kept over restarts in the state directory."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path

from codomain.log import event
from codomain_milter.trace import KEY_OCTETS

FILE = "trace.key"
"""Its name in ``[codomain] state_directory``."""

log = logging.getLogger("codomain.milter")


def trace_key(state_directory: str) -> bytes:
    """Return the secret, made where there is none yet.

    Where it cannot be kept, one that lasts as long as the process serves, with a warning:
    mail that comes back after a restart is then stopped by the count of hops.
    """
    path = Path(state_directory) / FILE
    try:
        with contextlib.suppress(FileNotFoundError):
            key = path.read_bytes()
            if len(key) == KEY_OCTETS:
                return key
        return _made(path)
    except OSError as error:
        why = error.strerror or str(error)
        event(log, logging.WARNING, "the trace key is not kept", file=path, detail=why)
        return secrets.token_bytes(KEY_OCTETS)


def _made(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_OCTETS)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, key)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    return key
