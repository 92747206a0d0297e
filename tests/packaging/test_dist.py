"""The sdist and the wheel: the same bytes twice, whole, and the tests pass from the wheel."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from codomain import __version__
from support.packages import PACKAGING, PROJECT, once, run

pytestmark = pytest.mark.timeout(300)  # a build is part of the first test

ROOTS = ("cli", "milter", "policyd", "resolver")
BUILD = "packaging/build-dist.sh"
ENVIRONMENT = {**os.environ, "PYTHON": sys.executable}
NOT_SHIPPED = {".ci/run", ".editorconfig", ".pre-commit-config.yaml"}
"""Files of the repository alone: its CI, an editor's settings, hooks of git."""

PART = ("tests/scenarios", "tests/unit/test_dashboard.py", "tests/unit/test_policy_codec.py")
"""What is run from the wheel here; CONTRIBUTING says how all of it is."""


def copy(folder: Path) -> None:
    """Copy what an archive of the repository would hold."""
    run("bash", "-c", f'. "{PACKAGING}/tree.sh"; copy_tree "{PROJECT}" "{folder}"')


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the sources, out of the hands of whoever works on them."""
    return once(tmp_path_factory, "tree", copy)


@pytest.fixture(scope="module")
def dist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both."""
    return once(tmp_path_factory, "dist", lambda folder: run(tree / BUILD, folder, env=ENVIRONMENT))


@pytest.fixture
def sdist(dist: Path, tmp_path: Path) -> Path:
    """Unpack the sdist."""
    with tarfile.open(dist / f"codomain-{__version__}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / f"codomain-{__version__}"


def wheel(dist: Path) -> Path:
    """Return the wheel: one for every Python and platform."""
    return dist / f"codomain-{__version__}-py3-none-any.whl"


def listed(folder: Path) -> set[str]:
    """List the files below a folder."""
    return {f"{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()}


def test_the_same_tree_gives_the_same_bytes(tree: Path, dist: Path, tmp_path: Path) -> None:
    """At another time, elsewhere, with another mask, zone and hash seed."""
    env = {**ENVIRONMENT, "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7"}
    shutil.copytree(tree, tmp_path / "moved", copy_function=shutil.copy)
    again = "umask 077; exec bash moved/packaging/build-dist.sh again"
    run("sh", "-c", again, env=env, cwd=tmp_path)
    names = {path.name for path in dist.iterdir()}
    assert names == {f"codomain-{__version__}.tar.gz", wheel(dist).name}
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (dist / name).read_bytes(), name


def test_version_stands_in_one_place(dist: Path) -> None:
    """pyproject.toml has none: the sources say it, and both archives repeat it."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    with zipfile.ZipFile(wheel(dist)) as archive:
        told = archive.read(f"codomain-{__version__}.dist-info/METADATA").decode()
    assert email.message_from_string(told)["Version"] == __version__


def test_sdist_holds_the_sources_and_nothing_else(tree: Path, sdist: Path) -> None:
    """What it takes to build, test and package: all that is in the repository but its own."""
    assert listed(sdist) - {"PKG-INFO"} == listed(tree) - NOT_SHIPPED


def test_wheel_holds_every_module(tree: Path, dist: Path) -> None:
    """The packages of the four source roots, the demo's directory, and the licence."""
    with zipfile.ZipFile(wheel(dist)) as archive:
        names = set(archive.namelist())
    modules = {
        f"{path.relative_to(tree / root)}"
        for root in ROOTS
        for path in (tree / root).glob("codomain*/**/*")
        if path.is_file() and path.suffix != ".pyc"
    }
    demo = {f"codomain_cli/demo_data/{path.name}" for path in (tree / "contrib/demo").iterdir()}
    own = {name for name in names if name.startswith(f"codomain-{__version__}.dist-info/")}
    assert names - own == modules | demo
    assert f"codomain-{__version__}.dist-info/licenses/LICENSE" in own


def test_tests_pass_from_the_wheel(dist: Path, sdist: Path, tmp_path: Path) -> None:
    """Installed without the sources; what it depends on is that of the running Python."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin/python"
    purelib = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    offline = ("install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", python, *offline, wheel(dist))
    # A line of a .pth file is a folder to look into: the .pth files in there are not read, and so
    # the editable install of the sources is not found.
    (purelib / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    place = run(python, "-P", "-c", "import codomain_cli; print(codomain_cli.__file__)").strip()
    assert Path(place).is_relative_to(purelib)

    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = subprocess.run(
        [python, "-P", "-m", "pytest", *quiet, "-o", "pythonpath=tests", *PART],
        cwd=sdist,
        env={key: text for key, text in os.environ.items() if not key.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=280.0,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert run(venv / "bin/codomain", "--version").startswith(f"codomain, version {__version__}")
