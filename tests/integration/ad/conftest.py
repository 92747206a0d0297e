"""Domain controllers for the tests of this folder; a missing one is a failure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.samba import NAMES, PASSWORD, Samba, provisioned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.authority import Authority


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a provisioned controller, one for all workers of a run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return provisioned(folder / "active-directory")


@pytest.fixture(scope="module")
def controllers(
    tmp_path_factory: pytest.TempPathFactory, template: Path, authority: Authority
) -> Iterator[Callable[[], Samba]]:
    """Give a maker of controllers that are running, and end with the module."""
    made: list[Samba] = []
    certificate = authority.sign("dc1", NAMES)

    def make() -> Samba:
        made.append(Samba(template, tmp_path_factory.mktemp("dc") / "d", certificate))
        return made[-1].start()

    yield make
    for controller in made:
        controller.close()


@pytest.fixture(scope="module")
def samba(controllers: Callable[[], Samba]) -> Samba:
    """Give a controller that the tests of a module share."""
    return controllers()


@pytest.fixture(scope="session")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the administrator's password, as ``bind_password_file`` holds it."""
    path = tmp_path_factory.mktemp("secret") / "password"
    path.write_text(PASSWORD)
    path.chmod(0o600)
    return str(path)
