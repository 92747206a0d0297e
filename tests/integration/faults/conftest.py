"""The real servers behind the proxies, which one worker's tests share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.faults import ACCESS, Servers, Stage, nobody, people
from support.proxy import Proxy
from support.slapd import Settings, Slapd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.authority import Authority

PEOPLE = (Path(__file__).parents[2] / "support" / "people.ldif").read_text()


@pytest.fixture(scope="session")
def fault_servers(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Servers]:
    """Give the servers; whoever changes one changes it back."""

    def make(name: str, names: str, ldif: str, days: int = 30) -> Slapd:
        certificate = authority.sign(f"faults-{name}", names, days=days)
        folder = tmp_path_factory.mktemp("f") / "d"
        return Slapd(folder, ldif, Settings(certificate=certificate, access=ACCESS))

    here = "DNS:localhost,IP:127.0.0.1"
    servers = Servers(
        good=make("good", here, people(PEOPLE)),
        empty=make("empty", here, nobody(PEOPLE)),
        expired=make("expired", here, people(PEOPLE), days=-1),
        foreign=make("foreign", "DNS:other.example", people(PEOPLE)),
    )
    every = (servers.good, servers.empty, servers.expired, servers.foreign)
    try:
        for server in every:
            server.start()
        yield servers
    finally:
        for server in every:
            server.stop()


@pytest.fixture
def new_stage(fault_servers: Servers) -> Iterator[Callable[..., Stage]]:
    """Give a maker of proxies in front of the good server."""
    proxies: list[Proxy] = []

    def make(*, tls: bool = False) -> Stage:
        good = fault_servers.good
        server = good.ldaps if tls else good.ldap
        first, second = Proxy(server, tls=tls), Proxy(server, tls=tls)
        proxies.extend([first, second])
        return Stage(fault_servers, first, second)

    yield make
    for proxy in proxies:
        proxy.close()
