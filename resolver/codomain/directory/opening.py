"""From a ``[directory …]`` section to the directory itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.directory.files import FilesDirectory

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.config import DirectorySection
    from codomain.directory.base import Directory

    Observe = Callable[[str, str, float], None]
    """Hears of each search of a server: its URI, the result, the seconds."""


def open_directory(
    section: DirectorySection,
    observe: Observe | None = None,
    before: Directory | None = None,
    *,
    state_directory: str = "",
) -> Directory:
    """Open a directory; an LDAP server that is down now is no error.

    ``before`` is the one of the same section that is in service: no file of it may be gone.
    ``state_directory`` is where the local index of ``mode = sync`` is; empty: the directory
    itself is asked, whatever its mode.

    Raises:
        RecordError: a files directory holds a bad record; every one is named.
        DirectoryError: the section cannot be used.

    """
    if section.type == "files":
        paths = before.paths if isinstance(before, FilesDirectory) else ()
        return FilesDirectory(section, paths)
    # ldap3 takes 0.13 s to import, which a site without LDAP need not wait for.
    from codomain.directory.ldap import LdapDirectory  # noqa: PLC0415

    live = LdapDirectory(section, observe)
    if section.mode == "live" or not state_directory:
        return live
    # These need lmdb, which a site without mode = sync need not have.
    from codomain.directory.index import index_path, source_of  # noqa: PLC0415
    from codomain.directory.synced import SyncedDirectory  # noqa: PLC0415

    path = index_path(state_directory, section.name)
    return SyncedDirectory(section, live, path, source_of(section))
