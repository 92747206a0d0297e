"""A slapd with the people of these tests, and the directories that ask it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.postfix import Lab, lab
from support.slapd import Settings, Slapd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.authority import Authority

PEOPLE = Path(__file__).with_name("people.ldif")

DIRECTORY = """\
[directory ad]
type = ldap
servers = {server}
schema = active-directory
base = dc=example,dc=com
"""


@pytest.fixture(scope="session")
def people() -> str:
    """Give the entries of the people."""
    return PEOPLE.read_text()


@pytest.fixture(scope="session")
def directory_server(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, people: str
) -> Iterator[Slapd]:
    """Give a slapd that no test stops."""
    certificate = authority.sign("people", "DNS:localhost,IP:127.0.0.1")
    folder = tmp_path_factory.mktemp("p") / "d"
    with Slapd(folder, people, Settings(certificate=certificate)) as server:
        yield server


@pytest.fixture(scope="session")
def bound(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> str:
    """Give the keys of a directory that is asked over TLS, with a password."""
    secret = tmp_path_factory.mktemp("secret") / "password"
    secret.touch(0o600)
    secret.write_text("geheim")
    return (
        f"ca_file = {authority.file}\n"
        "bind_dn = cn=codomain,ou=services,dc=example,dc=com\n"
        f"bind_password_file = {secret}\n"
    )


@pytest.fixture(scope="module")
def gateway(directory_server: Slapd, bound: str) -> Iterator[Lab]:
    """Give a gateway that asks over ldaps://; tests leave it as it is."""
    with lab(DIRECTORY.format(server=directory_server.ldaps) + bound) as running:
        yield running
