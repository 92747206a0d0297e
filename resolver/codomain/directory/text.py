"""Opens a file of entries as lines of text, in the encoding that it has.

A byte order mark (UTF-8, UTF-16) decides; then UTF-8, where the whole file is UTF-8;
then the encoding that the configuration names (cp932 is common in Japan).  The whole
file is decoded once before its first line is given out, so that an entry is never read
in an encoding that fails further down.
"""

from __future__ import annotations

import codecs
import io
import os
import stat
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from codomain.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 64 * 1024
"""Bytes that are decoded at a time while the encoding is found: a pipe's capacity, pipe(7)."""

BUFFER = 1024 * 1024
"""Bytes that are read from the file at a time.

Each read gives the interpreter away for a moment and takes it back before another thread has
woken up, which then begins to wait anew: with small reads, more often than each
sys.getswitchinterval(), the event loop of a daemon that reloads would stand still throughout.
"""

MAX_LINE = 8 * 1024 * 1024
"""Bytes in one line: no record may be longer (:data:`codomain.directory.ldif.MAX_RECORD`)."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class _Buffered(io.BufferedReader):
    """A file that is read a whole buffer at a time, also for a decoder that asks for 8 KiB."""

    def read1(self, _size: int = -1, /) -> bytes:
        return super().read1(BUFFER)


@contextmanager
def lines(path: str, fallback: str, newline: str) -> Iterator[Iterator[str]]:
    """Open a file and give its lines, with their ends.

    ``fallback`` is the encoding of a file without a byte order mark that is no UTF-8;
    ``newline`` is that of :func:`open`: a line ends at LF alone, or (empty) at LF, CR and
    CRLF; nothing is translated.

    Raises:
        OSError: it cannot be opened or read.
        RecordError: it is no regular file, it has another encoding (with the number of
            the first byte at fault), or a line is longer than :data:`MAX_LINE`.
        UnicodeError: it changed while it was read.

    """
    # A named pipe would block the open for ever; O_NONBLOCK means nothing for a file.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with _Buffered(io.FileIO(descriptor), BUFFER) as raw:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RecordError("it is no regular file")
        found = _encoding_of(raw, fallback)
        raw.seek(0)
        _bound_lines(raw)
        raw.seek(0)
        with io.TextIOWrapper(raw, encoding=found, newline=newline) as text:
            yield text


def _encoding_of(raw: IO[bytes], fallback: str) -> str:
    """Find a file's encoding, in which all of it can be decoded."""
    head = raw.read(CHUNK)
    marked = [name for mark, name in _MARKS if head.startswith(mark)]
    tried = marked or ["utf-8", fallback]
    faults: list[str] = []
    for name in dict.fromkeys(tried):
        raw.seek(0)
        fault = _undecodable(raw, name)
        if not fault:
            return name
        faults.append(fault)
    raise RecordError("; ".join(dict.fromkeys(faults)))


def _undecodable(raw: IO[bytes], encoding: str) -> str:
    """Say why a file is no text of an encoding; empty: it is."""
    try:
        " ".encode(encoding)  # refuses the codecs that are no encodings of text
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        return f"encoding = {encoding}: there is no such encoding"
    done = 0
    try:
        while chunk := raw.read(CHUNK):
            # UTF-16 without a mark is UTF-8 full of NULs to a decoder, and to nobody else.
            if encoding == "utf-8" and (at := chunk.find(b"\0")) >= 0:
                return f"no utf-8: NUL at byte {done + at}"
            done += len(chunk)
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        # The decoder may have kept bytes of the chunk before: count from the end.
        return f"no {encoding}: {error.reason} at byte {done - len(error.object) + error.start}"
    except UnicodeError as error:
        return f"no {encoding}: {error}"
    return ""


def _bound_lines(raw: IO[bytes]) -> None:
    """Refuse a file of which one line would eat the machine's memory.

    Looked at before reading, in big pieces: to ask for each line with a limit doubles
    the time that a line takes.
    """
    run = 0
    while chunk := raw.read(CHUNK):
        last = chunk.rfind(b"\n")
        run = run + len(chunk) if last < 0 else len(chunk) - last - 1
        if run > MAX_LINE:
            raise RecordError(f"a line of more than {MAX_LINE} bytes")
