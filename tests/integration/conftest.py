"""Servers that the integration tests share: a certificate authority and a slapd."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codomain.directory.ldap import LdapDirectory
from support.authority import Authority
from support.ldapsection import Section
from support.slapd import Settings, Slapd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEOPLE = Path(__file__).parents[1] / "support" / "people.ldif"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give the authority that the tests' directories trust."""
    return Authority(tmp_path_factory.mktemp("ca") / "ours")


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Slapd]:
    """Give a slapd with the people of people.ldif, which no test stops or changes."""
    certificate = authority.sign("ours", "DNS:localhost,IP:127.0.0.1")
    settings = Settings(certificate=certificate)
    with Slapd(tmp_path_factory.mktemp("s") / "d", PEOPLE.read_text(), settings) as server:
        yield server


@pytest.fixture
def new_slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Slapd]]:
    """Give a maker of servers of one's own, which are running and stop with the test."""
    servers: list[Slapd] = []

    def make(**settings: Any) -> Slapd:  # noqa: ANN401 - the fields of Settings
        folder = tmp_path_factory.mktemp("s") / "d"
        servers.append(Slapd(folder, PEOPLE.read_text(), Settings(**settings)))
        return servers[-1].start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def new_directory() -> Iterator[Callable[..., LdapDirectory]]:
    """Give a maker of directories over servers' URIs, which are closed with the test."""
    directories: list[LdapDirectory] = []

    def make(
        *servers: str,
        observe: Callable[[str, str, float], None] | None = None,
        **keys: Any,  # noqa: ANN401 - the fields of Section
    ) -> LdapDirectory:
        directories.append(LdapDirectory(Section(servers, **keys), observe))
        return directories[-1]

    yield make
    for directory in directories:
        directory.close()
