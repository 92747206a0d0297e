"""Reading the directories from end to end: files, local indexes, and servers with ``--probe``.

In flow the opened directories; out flow their entries, and what cannot be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.directory.files import FilesDirectory
from codomain.errors import DirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config, DirectorySection
    from codomain.directory.base import Directory, Recipient


def recipients(
    config: Config, section: DirectorySection, opened: Directory, *, probe: bool
) -> Iterator[Recipient] | None:
    """Return the entries of a directory; None: they cannot be walked.

    Raises, while they are read:
        DirectoryError: the server or the index does not give all of them.

    """
    if isinstance(opened, FilesDirectory):
        return opened.recipients()
    if section.mode == "sync":
        from codomain.directory.index import index_path
        from codomain.directory.indexreader import recipients as indexed

        return indexed(index_path(config.codomain.state_directory, section.name))
    return _searched(section) if probe else None


def _searched(section: DirectorySection) -> Iterator[Recipient]:
    """Search a server page by page (RFC 2696), the first one that answers."""
    # ldap3 is imported for servers alone.
    import time

    from codomain.directory.follow import Extent
    from codomain.directory.messages import Search
    from codomain.directory.paged import pages
    from codomain.directory.servers import parse_server
    from codomain.directory.tls import Trust
    from codomain.directory.wire import Wire

    extent = Extent.of(section)
    failure = DirectoryError(f"directory {section.name} has no server")
    for uri in section.servers:
        until = time.monotonic() + section.connect_timeout + section.timeout
        try:
            wire = Wire(parse_server(uri), section, Trust(section.ca_file), until)
        except DirectoryError as error:
            failure = error
            continue
        search = Search(extent.base, extent.scope, extent.filter, extent.schema.attributes)
        try:
            for entry in pages(wire, search, references=extent.schema.references_are_usual):
                recipient = extent.recipient(entry.dn, entry.raw)
                if recipient is not None:
                    yield recipient
        finally:
            wire.close()
        return
    raise failure
