"""The blocks of main.cf and master.cf in the manuals, understood by the real postconf(1)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from codomain_cli.maincf import SBIN
from support.documents import Block, blocks, name_of, pages

KINDS = ("main.cf", "master.cf")
FOUND = [block for page in pages() for block in blocks(page) if block.language in KINDS]
SECONDS = 30.0
"""The bound of postconf, which takes milliseconds."""

BASE = "compatibility_level = 3.6\nmyhostname = gateway.example.com\n"
"""What stands before a block; without a name of the host postconf(1) asks DNS for it."""

_TABLE = re.compile(r"(?<=ldap:)/\S+")


def postconf(folder: Path, *arguments: str) -> tuple[str, str]:
    """Run postconf on a folder; return what it says, and its warnings."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])
    program = shutil.which("postconf", path=path)
    assert program, "postconf is missing: install postfix"
    done = subprocess.run(
        [program, "-c", folder, *arguments],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def parameters(text: str) -> dict[str, str]:
    """Read main.cf as postconf(5) describes it: a line that begins with a blank goes on."""
    joined = re.sub(r"\n[ \t]+", " ", re.sub(r"(?m)^\s*#.*\n?", "", text))
    pairs = (line.partition("=") for line in joined.splitlines() if line.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def shipped(name: str) -> str:
    """Return the master.cf or main.cf that Postfix brings along."""
    for folder in (Path("/usr/share/postfix"), Path("/etc/postfix")):
        for candidate in (folder / f"{name}.dist", folder / name):
            if candidate.exists():
                return candidate.read_text()
    raise AssertionError(f"no {name} to begin with: install postfix")


def place_of(block: Block) -> str:
    """Name a block, for pytest."""
    return block.place


@pytest.mark.parametrize("block", FOUND, ids=place_of)
def test_postconf_understands_the_block(block: Block, tmp_path: Path) -> None:
    """No unknown, unused or misread parameter: postconf says what stands there, and no warning."""
    main, master = ("", block.text) if block.language == "master.cf" else (block.text, "")
    for table in _TABLE.findall(main):
        (there,) = (other.text for other in blocks(block.page) if other.language == "ldap.cf")
        (tmp_path / Path(table).name).write_text(there)
    main = _TABLE.sub(lambda match: f"{tmp_path}/{Path(match[0]).name}", main)
    (tmp_path / "main.cf").write_text(BASE + main)
    (tmp_path / "master.cf").write_text(shipped("master.cf") + master)
    said, warnings = postconf(tmp_path, "-n")
    assert not warnings
    got = parameters(said)
    assert {name: got.get(name) for name in parameters(main)} == parameters(main)
    services, warnings = postconf(tmp_path, "-M")
    assert not warnings
    if master:
        (first, *_rest) = master.split()
        assert re.search(rf"(?m)^{re.escape(first)} ", services)


def test_there_are_blocks_of_main_cf() -> None:
    """Blocks that are not found would prove nothing."""
    named = {name_of(block.page) for block in FOUND}
    assert {"docs/howto/method-1.md", "docs/howto/take-over.md"} <= named


@pytest.mark.parametrize("text", ["relay_domain = example.com\n", "codomain_x = 1\n"])
def test_a_misspelled_parameter_is_noticed(text: str, tmp_path: Path) -> None:
    """The tool can object: a name that Postfix does not know is unused."""
    (tmp_path / "main.cf").write_text(BASE + text)
    (tmp_path / "master.cf").write_text(shipped("master.cf"))
    assert "unused parameter" in postconf(tmp_path, "-n")[1]
