"""Password files: secrets are never in the INI, and never readable by others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from codomain.config import parse
from codomain.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

LDAP = "[directory ad]\nservers = ldaps://dc1.example.com\nbind_dn = cn=codomain\n"


def password_file(tmp_path: Path, content: bytes = b"secret\n", mode: int = 0o640) -> Path:
    """Make a password file."""
    path = tmp_path / "ldap.password"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def fault(path: Path | str) -> str:
    """Return the one fault of a directory with this password file."""
    with pytest.raises(ConfigError) as caught:
        parse(f"{LDAP}bind_password_file = {path}\n")
    assert len(caught.value.faults) == 1
    return caught.value.faults[0]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_owner_and_group_may_read_it(tmp_path: Path, mode: int) -> None:
    """A password file of the daemon's group is in order."""
    path = password_file(tmp_path, mode=mode)
    config = parse(f"{LDAP}bind_password_file = {path}\n")
    assert config.directories[0].bind_password_file == str(path)


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o601])
def test_others_may_do_nothing_with_it(tmp_path: Path, mode: int) -> None:
    """config.md: must not be readable by others; nor may they write it."""
    path = password_file(tmp_path, mode=mode)
    assert fault(path) == (
        f"codomain.ini:4: [directory ad] bind_password_file: others can use {_shown(path)}"
        f" (mode {mode:04o}); chmod 0640 it"
    )


@pytest.mark.parametrize("content", [b"", b"\n", b"  \nsecret\n"])
def test_an_empty_one_is_a_fault(tmp_path: Path, content: bytes) -> None:
    """RFC 4513 section 5.1.2: an empty password is an unauthenticated bind, and succeeds."""
    assert "holds no password" in fault(password_file(tmp_path, content))


def test_a_folder_is_no_password_file(tmp_path: Path) -> None:
    """Whatever is no file is not opened: a FIFO would block the start."""
    assert "is no file" in fault(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert "is no file" in fault(pipe)


@pytest.mark.parametrize("written", ["ldap.password", "%d/ldap.password"])
def test_a_relative_path_is_a_credential_of_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """systemd.exec(5): LoadCredential= puts it below $CREDENTIALS_DIRECTORY, %d in unit files."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    path = password_file(tmp_path, mode=0o400)
    config = parse(f"{LDAP}bind_password_file = {written}\n")
    assert config.directories[0].bind_password_file == str(path)


def test_a_relative_path_without_credentials_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would depend on the folder in which the daemon happens to start."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "$CREDENTIALS_DIRECTORY is not set" in fault("ldap.password")


def test_the_password_of_the_shared_cache_is_checked_too(tmp_path: Path) -> None:
    """*_file keys name a file that must not be readable by others: each of them."""
    path = password_file(tmp_path, mode=0o644)
    with pytest.raises(ConfigError, match=r"\[cache\] shared_password_file: others can use"):
        parse(f"[cache]\nshared = redis://127.0.0.1\nshared_password_file = {path}\n")


@pytest.mark.parametrize(
    "servers", ["ldap://dc1.example.com\nstarttls = yes", "ldapi:///", "ldaps://dc1.example.com"]
)
def test_a_password_may_go_where_nobody_listens(tmp_path: Path, servers: str) -> None:
    """config.md: bind_dn over ldap:// needs StartTLS; ldaps and ldapi are in order."""
    path = password_file(tmp_path)
    text = f"[directory ad]\nservers = {servers}\nbind_dn = cn=x\nbind_password_file = {path}\n"
    assert parse(text).directories[0].bind_dn == "cn=x"


def _shown(path: Path) -> str:
    text = str(path)
    return f'"{text}"' if len(text) <= 60 else f'"{text[:60]}…"'
