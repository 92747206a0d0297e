"""Which directory is meant, who writes, and the connection.

In flow the configuration and the command's options; out flow a ``[directory]`` section
with the writer's credentials and a bound connection.  A configuration's own ``bind_dn`` may
mostly read only, so that of the writer is given with the command.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from codomain.directory.schema import ACTIVE_DIRECTORY
from codomain.directory.servers import parse_server
from codomain.directory.tls import Trust
from codomain.directory.wire import deadline
from codomain.directory.writing import WritingWire
from codomain.errors import ConfigError, DirectoryError
from codomain.settings import secret
from codomain.settings.faults import WrongError

if TYPE_CHECKING:
    from codomain.config import Config, DirectorySection


def section_of(config: Config, name: str) -> DirectorySection:
    """Return the directory that is meant: the one named, or the only one over LDAP.

    Raises:
        ConfigError: there is no such one, or its schema keeps no contacts.

    """
    where = config.files[0] if config.files else "codomain.ini"
    found = [section for section in config.directories if section.type == "ldap"]
    known = ", ".join(section.name for section in found) or "none"
    if name:
        found = [section for section in found if section.name == name]
    if not found:
        what = f"[directory {name}] is not there" if name else "no [directory]"
        raise ConfigError([f"{where}: {what} with type = ldap; there is {known}"])
    if len(found) > 1:
        raise click.UsageError(f"which directory? --directory names one of {known}")
    section = found[0]
    if section.schema != ACTIVE_DIRECTORY.name:
        fault = (
            f"{where}: [directory {section.name}] schema: {section.schema} has no"
            f" proxyAddresses and no targetAddress; contacts need {ACTIVE_DIRECTORY.name}"
        )
        raise ConfigError([fault])
    if not section.base:
        raise ConfigError([f"{where}: [directory {section.name}] base: contacts need one"])
    return section


def as_writer(section: DirectorySection, bind_dn: str, password_file: str) -> DirectorySection:
    """Return the section with the credentials of the command, where it has some."""
    if not bind_dn and not password_file:
        return section
    if not bind_dn or not password_file:
        raise click.UsageError("--bind-dn and --password-file go together")
    plain = [server for server in section.servers if server.startswith("ldap://")]
    if plain and not section.starttls:
        fault = (
            f"[directory {section.name}] starttls: the password of --bind-dn would cross the"
            f" net to {plain[0]} in the clear; write ldaps://, or starttls = yes"
        )
        raise ConfigError([fault])
    try:
        secret.check(password_file)
    except WrongError as error:
        raise click.UsageError(f"--password-file: {error}") from None
    return replace(section, bind_dn=bind_dn, bind_password_file=password_file)


def connect(section: DirectorySection) -> WritingWire:
    """Connect to the first server that answers.

    Raises:
        DirectoryError: none does, or the bind is refused.

    """
    trust = Trust(section.ca_file)
    faults = []
    for uri in section.servers:
        try:
            return WritingWire(parse_server(uri), section, trust, deadline(section))
        except DirectoryError as error:
            faults.append(str(error))
    raise DirectoryError("; ".join(faults) or f"[directory {section.name}] servers: none")
