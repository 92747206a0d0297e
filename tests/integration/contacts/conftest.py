"""Directories into which contacts are brought, and a gateway over each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.contactsite import ROOT, Gateway, XoSlapd
from support.samba import NAMES, Samba, provisioned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.authority import Authority


@pytest.fixture
def new_xo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., XoSlapd]]:
    """Give a maker of servers that are running, and stop with the test."""
    made: list[XoSlapd] = []

    def make(
        ldif: str = ROOT, schema: Callable[[str], str] | None = None, *, start: bool = True
    ) -> XoSlapd:
        made.append(XoSlapd(tmp_path_factory.mktemp("s") / "x", ldif, schema))
        if start:
            made[-1].start()
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def xo(new_xo: Callable[..., XoSlapd]) -> XoSlapd:
    """Give a server that holds its root and nothing else."""
    return new_xo()


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory, xo: XoSlapd) -> Gateway:
    """Give a gateway over it; socket paths must be short."""
    return Gateway(tmp_path_factory.mktemp("g"), xo.ldapi)


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Samba]:
    """Give a domain controller that the tests of a module share."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    template = provisioned(folder / "active-directory")
    certificate = authority.sign("dc1", NAMES)
    controller = Samba(template, tmp_path_factory.mktemp("dc") / "d", certificate)
    try:
        yield controller.start()
    finally:
        controller.close()
