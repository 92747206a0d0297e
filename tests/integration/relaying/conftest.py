"""A slapd with the contacts that the forms ask for, and one that is down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain_cli.private_postfix import free_ports
from support.relayforms import people
from support.slapd import Slapd

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION = """\
[directory people]
type = ldap
servers = {server}
schema = active-directory
base = dc=example,dc=com
"""


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the section of a directory that answers."""
    with Slapd(tmp_path_factory.mktemp("r") / "d", people()) as server:
        yield SECTION.format(server=server.ldap)


@pytest.fixture(scope="session")
def directory_down() -> str:
    """Give the section of one that does not."""
    (port,) = free_ports(1)
    return SECTION.format(server=f"ldap://127.0.0.1:{port}")
