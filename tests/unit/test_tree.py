"""Rules about the source tree itself: what may stand where, and what no file may say."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("resolver", "policyd", "milter", "cli")
PACKAGES = (
    "resolver/codomain",
    "policyd/codomain_policyd",
    "milter/codomain_milter",
    "cli/codomain_cli",
)
LOCKS = sorted((PROJECT / "packaging" / "requirements").glob("*.txt"))
# Put together from halves, so that this file does not say what it forbids.
REGISTRIES = ("pypi" + ".org", "python" + "hosted", "npmjs" + ".", "deb." + "debian.org")
MACHINE_PATH = re.compile(r"(?<![\w.$}~/-])/(?:work|root|home/\w+)" + r"/\w")
IDNA_CODEC = frozenset({"idna", "punycode"})


def _ignored_folders() -> frozenset[str]:
    lines = (PROJECT / ".gitignore").read_text().splitlines()
    return frozenset({".git", *(line.rstrip("/") for line in lines if line.endswith("/"))})


def _files() -> Iterator[Path]:
    """Every file of the project that .gitignore does not name."""
    ignored = _ignored_folders()
    for folder, folders, names in os.walk(PROJECT):
        folders[:] = [name for name in folders if name not in ignored]
        # In a second work tree .git is a file, which names the first one's path.
        own = (name for name in names if name != ".git" and not name.startswith(".coverage"))
        yield from (Path(folder, name) for name in own)


def _texts() -> Iterator[tuple[Path, str]]:
    for path in _files():
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if b"\0" not in data:
            yield path.relative_to(PROJECT), data.decode("utf-8", "replace")


def _codec_uses(source: str) -> list[int]:
    """Lines on which Python's own idna or punycode codec is named in a call or imported."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            named = {value.value for value in values if isinstance(value, ast.Constant)}
            found = not IDNA_CODEC.isdisjoint(named)
        elif isinstance(node, ast.Import):
            found = any(name.name == "encodings.idna" for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            found = node.module == "encodings.idna" or (
                node.module == "encodings" and any(name.name == "idna" for name in node.names)
            )
        else:
            continue
        if found:
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_source_roots_are_no_packages(root: str) -> None:
    """An __init__.py in a source root would make `milter` shadow pymilter's C extension."""
    assert (PROJECT / root).is_dir()
    assert not (PROJECT / root / "__init__.py").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package: str) -> None:
    """Each package carries its marker of PEP 561, or its types are lost to who imports it."""
    assert (PROJECT / package / "__init__.py").is_file()
    assert (PROJECT / package / "py.typed").is_file()


def test_test_folders_are_no_packages() -> None:
    """Test folders hold no __init__.py: pytest imports each file by its path."""
    assert not list((PROJECT / "tests").rglob("__init__.py"))


def test_nothing_under_tests_is_named_milter() -> None:
    """`tests` is on the path: a milter folder or module there would shadow pymilter's own."""
    names = [path.name for path in (PROJECT / "tests").rglob("*") if path.stem == "milter"]
    assert names == []


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is the machine's choice; the project names no registry."""
    found = [
        f"{path}: {host}" for path, text in _texts() for host in REGISTRIES if host in text.lower()
    ]
    assert found == []


def test_no_file_names_a_path_of_a_developers_machine() -> None:
    """No file holds a path that exists on one machine only."""
    found = [
        f"{path}: {match[0]}" for path, text in _texts() for match in MACHINE_PATH.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cd /" + "root/src", True),
        ("'/" + "home/ann/x'", True),
        ("DIR/" + "root/x", False),
        ("/var/" + "work/x", False),
        ('"$HERE/' + 'root/x"', False),
    ],
)
def test_paths_of_a_machine_are_recognised(text: str, *, found: bool) -> None:
    """Only an absolute path that begins at / counts, not a folder of the same name."""
    assert bool(MACHINE_PATH.search(text)) is found


def test_there_is_a_lock_file() -> None:
    """The rules for lock files below would hold for none."""
    assert LOCKS


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_hold_no_address(lock: Path) -> None:
    """No lock file contains a URL or a choice of index."""
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(--(extra-)?index-url|--find-links|-i|-f)\b", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_pin_every_package_by_hash(lock: Path) -> None:
    """Each requirement has one exact version and at least one sha256."""
    text = lock.read_text().replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.startswith("#")]
    loose = [
        line
        for line in requirements
        if not re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
    ]
    assert requirements
    assert loose == []


def test_lock_holds_every_dependency() -> None:
    """Each run-time dependency and each extra is in the lock file."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(name for extra in extras for name in extras[extra]),
    ]
    locked = re.findall(r"^([a-z0-9-]+)==", LOCKS[0].read_text(), re.MULTILINE)
    names = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in wanted}
    assert names - set(locked) == set()


def test_pythons_own_idna_codec_is_not_used() -> None:
    """It follows IDNA 2003, which maps straße to strasse: another domain (RFC 5892, RFC 6531)."""
    found = [
        f"{path}:{line}"
        for path, text in _texts()
        if path.suffix == ".py" and path.parts[0] in SOURCE_ROOTS
        for line in _codec_uses(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("x = y.encode('idna')", [1]),
        ("x = 1\nx = y.decode(encoding='idna')", [2]),
        ("x = str(y, 'idna')", [1]),
        ("import encodings.idna", [1]),
        ("from encodings import idna", [1]),
        ("import idna\nx = idna.encode(y)", []),
    ],
)
def test_uses_of_the_codec_are_recognised(source: str, lines: list[int]) -> None:
    """The codec's name in a call and its import count; the idna package does not."""
    assert _codec_uses(source) == lines


def test_commands_do_not_load_the_http_server() -> None:
    """`serve` alone imports aiohttp, which costs 0.3 s: no other command waits for it."""
    code = "import codomain_cli.main, sys; print('aiohttp' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(PROJECT / r) for r in SOURCE_ROOTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
