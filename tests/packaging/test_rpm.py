"""The RPM: built, looked over, unpacked, and its INI kept by an upgrade, in a root of its own.

rpmbuild runs on Debian here; nothing was ever installed on Fedora by these tests.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain import __version__
from support.packages import PACKAGING, PROJECT, dependencies, once, run, script

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)  # a build is part of the first test

MODULES = "usr/lib/codomain"
INI = Path("etc/codomain/codomain.ini")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package."""
    (path,) = once(tmp_path_factory, "rpm", script("build-rpm.sh")).glob("*.rpm")
    return path


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the package, without a database or a script."""
    folder = tmp_path_factory.mktemp("unpacked")
    with subprocess.Popen(["rpm2cpio", package], stdout=subprocess.PIPE) as archive:
        subprocess.run(
            ["cpio", "--extract", "--make-directories", "--quiet"],
            stdin=archive.stdout,
            cwd=folder,
            check=True,
            timeout=60.0,
        )
    assert archive.returncode == 0
    return folder


@pytest.fixture
def own_root(tmp_path: Path) -> Iterator[Path]:
    """Give a root with a database of its own."""
    root = tmp_path / "root"
    root.mkdir()
    run("rpm", "--root", root, "--initdb")
    yield root
    run("rpm", "--root", root, "--erase", "--nodeps", "--noscripts", "codomain", check=False)


def rpm(root: Path, *arguments: str | Path) -> str:
    """Run rpm on a root; what the package needs and what its scripts do is not there."""
    return run("rpm", "--root", root, "--nodeps", "--noscripts", "--notriggers", *arguments)


def query(package: Path, *arguments: str) -> list[str]:
    """Ask a package that is not installed."""
    return run("rpm", "--query", "--package", *arguments, package).splitlines()


def test_version_is_that_of_the_sources(package: Path) -> None:
    """It stands in one place; the spec is told."""
    assert query(package, "--queryformat", "%{VERSION} %{ARCH}") == [f"{__version__} noarch"]


def test_it_requires_what_the_project_needs(package: Path) -> None:
    """The same modules and floors as pyproject.toml's, by the names that Fedora provides."""
    needs = query(package, "--requires")
    for name, floor, below in dependencies():
        wanted = f"python3dist({name}) >= {floor}"
        assert (f"({wanted} with python3dist({name}) < {below})" if below else wanted) in needs
    assert "python3 >= 3.11" in needs


@pytest.mark.parametrize(
    ("extra", "how"),
    [
        ("milter", "recommends"),
        ("sync", "recommends"),
        ("uvloop", "recommends"),
        ("demo", "suggests"),
        ("shared", "suggests"),
    ],
)
def test_what_it_can_do_without_is_weak(package: Path, extra: str, how: str) -> None:
    """As in the Debian package: what an extra brings is no hard dependency."""
    for name, floor, _ in dependencies(extra):
        assert f"python3dist({name}) >= {floor}" in query(package, f"--{how}")


def test_only_the_ini_is_the_administrators(package: Path) -> None:
    """%config(noreplace): an upgrade leaves a changed one alone."""
    lines = query(package, "--queryformat", "[%{FILENAMES} %{FILEFLAGS:fflags}\\n]")
    flagged = dict(line.rsplit(" ", 1) for line in lines if not line.endswith(" "))
    assert [name for name, flags in flagged.items() if "c" in flags] == [f"/{INI}"]
    assert flagged[f"/{INI}"] == "cn"


@pytest.mark.parametrize("what", ["--scripts", "--triggers"])
def test_scripts_can_be_read_by_sh(package: Path, what: str) -> None:
    """A script that fails in the middle leaves half a package."""
    said = "\n".join(query(package, what))
    pieces = re.split(r"(?m)^\w+ scriptlet \(using /bin/sh\).*$", said)[1:]
    assert pieces
    for piece in pieces:
        run("sh", "-n", "-c", piece)


def test_it_brings_what_stands_beside_the_program(unpacked: Path) -> None:
    """Units, user, folder, pages and completion: those of the sources, where Fedora has them."""
    for source, target in (
        *((path, f"usr/lib/systemd/system/{path.name}") for path in units()),
        (PACKAGING / "systemd/codomain.sysusers", "usr/lib/sysusers.d/codomain.conf"),
        (PACKAGING / "systemd/codomain.tmpfiles", "usr/lib/tmpfiles.d/codomain.conf"),
        (
            PACKAGING / "completion/codomain.bash",
            "usr/share/bash-completion/completions/codomain",
        ),
        (PACKAGING / "completion/codomain.zsh", "usr/share/zsh/site-functions/_codomain"),
    ):
        assert (unpacked / target).read_bytes() == source.read_bytes(), target
    there = {path.name for path in (unpacked / "usr/share/man").rglob("*.gz")}
    assert there == {f"{path.name}.gz" for path in (PROJECT / "docs/man").glob("*.[0-9]")}
    for folder in ("conf.d", "recipients.d"):
        assert (unpacked / "etc/codomain" / folder).is_dir()


def units() -> list[Path]:
    """Return the units of the sources."""
    found = [*(PACKAGING / "systemd").glob("*.service"), *(PACKAGING / "systemd").glob("*.socket")]
    assert len(found) == 4
    return found


def test_examples_are_where_the_ini_says(unpacked: Path) -> None:
    """The shipped INI names the file that shows every key."""
    (named,) = re.findall(r"(?m)^; (/usr/share/doc/\S+)", (unpacked / INI).read_text())
    assert (unpacked / named.lstrip("/")).is_file()


def test_unpacked_program_runs(unpacked: Path, tmp_path: Path) -> None:
    """The command finds its modules in the folder that the package brings, and reads its INI."""
    program = unpacked / "usr/bin/codomain"
    text = program.read_text()
    assert text.startswith("#!/usr/bin/python3 -sP\n")
    moved = tmp_path / "codomain"
    moved.write_text(text.replace(f"/{MODULES}", f"{unpacked / MODULES}"))
    moved.chmod(0o755)
    assert run(moved, "--version").startswith(f"codomain, version {__version__}")
    (tmp_path / "alone.ini").write_text("[codomain]\npostfix = off\n")
    said = run(
        moved, "check", "--config", unpacked / INI, "--config", tmp_path / "alone.ini", check=False
    )
    assert "the configuration can be used" in said


def test_units_start_what_the_package_brings(unpacked: Path) -> None:
    """A unit that names a program elsewhere would never start."""
    for unit in (unpacked / "usr/lib/systemd/system").glob("*.service"):
        (program,) = re.findall(r"(?m)^ExecStart=/(\S+)", unit.read_text())
        assert (unpacked / program).stat().st_mode & 0o111


def test_changed_ini_survives_an_upgrade_and_a_removal(
    package: Path, own_root: Path, tmp_path: Path
) -> None:
    """Kept byte for byte beside the new one; at the removal it is put aside."""
    ini = own_root / INI
    rpm(own_root, "--install", older(tmp_path))
    assert "the older version's" in ini.read_text()
    ini.write_text("[codomain]\npostmaster = postmaster@example.com\n")
    rpm(own_root, "--upgrade", package)
    assert ini.read_text() == "[codomain]\npostmaster = postmaster@example.com\n"
    assert "the older" not in (ini.parent / "codomain.ini.rpmnew").read_text()
    rpm(own_root, "--erase", "codomain")
    assert not ini.exists()
    assert "postmaster@example.com" in (ini.parent / "codomain.ini.rpmsave").read_text()
    assert not (own_root / MODULES).exists()


def older(folder: Path) -> Path:
    """Build the package of an older version with another INI, from a copy of the sources."""
    tree = folder / "tree"
    tree.mkdir()
    run("bash", "-c", f'. "{PACKAGING}/tree.sh"; copy_tree "{PROJECT}" "{tree}"')
    source = tree / "resolver/codomain/__init__.py"
    source.write_text(re.sub(r'__version__ = ".*"', '__version__ = "0.0.1"', source.read_text()))
    with (tree / "packaging/debian/codomain.ini").open("a") as ini:
        ini.write("; the older version's\n")
    run(tree / "packaging/build-rpm.sh", folder / "older")
    (path,) = (folder / "older").glob("codomain-0.0.1-*.rpm")
    return path
