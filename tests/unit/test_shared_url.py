"""[cache] shared: which addresses of a server there are, and what is wrong with the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.config import control_setting, parse
from codomain.errors import ConfigError
from codomain.settings.faults import WrongError
from codomain.settings.sharedurl import SharedServer, parse_shared

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("redis://cache.example.com", SharedServer("redis", "cache.example.com")),
        ("redis://192.0.2.7:6380/3", SharedServer("redis", "192.0.2.7", 6380, database=3)),
        ("rediss://codomain@[2001:db8::7]", SharedServer("rediss", "2001:db8::7", user="codomain")),
        ("rediss://c/", SharedServer("rediss", "c")),
        ("unix:///run/redis/redis.sock", SharedServer("unix", path="/run/redis/redis.sock")),
        ("unix:///run/r?db=2", SharedServer("unix", path="/run/r", database=2)),
        ("unix://codomain@/run/r", SharedServer("unix", path="/run/r", user="codomain")),
    ],
)
def test_an_address_is_taken_apart(text: str, server: SharedServer) -> None:
    """The scheme, host, port (6379 by default), socket, database and user."""
    assert parse_shared(text) == server


@pytest.mark.parametrize(
    "text",
    [
        "memcached://c",
        "redis:c",
        "redis://",
        "redis://c:0",
        "redis://c:70000",
        "redis://c:x",
        "redis://c/x",
        "redis://c/12345",
        "redis://c/0/1",
        "redis://c?db=1",
        "redis://c#1",
        "redis://c d",
        "redis://a b@c",
        "redis://[c",
        "unix://host/run/r",
        "unix://run",
        "unix:///run/r?db=x",
        "unix:///run/r?database=1",
        "unix:///" + "r" * 120,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """A fault of the configuration, before anything is connected."""
    with pytest.raises(WrongError):
        parse_shared(text)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    """Secrets are never in the INI; the fault would stand in the log."""
    with pytest.raises(ConfigError) as caught:
        parse("[cache]\nshared = redis://:pa55word@c\n")
    assert "shared_password_file" in str(caught.value)
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("rediss://codomain@[2001:db8::7]/4", "rediss://[2001:db8::7]:6379"),
        ("unix://codomain@/run/r?db=1", "unix:/run/r"),
    ],
)
def test_the_name_in_logs_and_metrics_has_no_user(text: str, name: str) -> None:
    """It stands on pages that others may read."""
    assert str(parse_shared(text)) == name


def warnings(cache: str) -> list[str]:
    """Return the warnings about [cache]."""
    return [line for line in parse(f"[cache]\n{cache}\n").warnings if "[cache]" in line]


def test_a_password_that_would_cross_the_net_is_warned_of(tmp_path: Path) -> None:
    """redis:// to another host is in the clear; this host and TLS are not."""
    file = tmp_path / "password"
    file.write_text("x")
    file.chmod(0o600)
    with_password = f"shared_password_file = {file}\nshared = "
    assert "rediss://" in warnings(f"{with_password}redis://192.0.2.7")[0]
    for fine in ("redis://127.0.0.1", "redis://[::1]", "rediss://192.0.2.7", "unix:///run/r"):
        assert warnings(with_password + fine) == []


def test_a_server_without_a_password_is_warned_of() -> None:
    """Whoever reaches its port may say who has a mailbox; a socket has its mode."""
    assert "shared_password_file" in warnings("shared = rediss://192.0.2.7")[0]
    assert warnings("shared = unix:///run/r") == []


def test_authorities_that_are_not_there_are_a_fault() -> None:
    """As for a directory: the start names the key."""
    with pytest.raises(ConfigError, match="shared_ca_file"):
        parse("[cache]\nshared = rediss://c\nshared_ca_file = /nonexistent/ca.pem\n")


def test_a_control_socket_with_too_long_a_path_is_a_fault() -> None:
    """unix(7): 108 octets with the zero, and four for the name under which it is made."""
    parse(f"[codomain]\ncontrol_socket = /{'s' * 102}\n")
    with pytest.raises(ConfigError, match=r"control_socket: .* write 103 octets"):
        parse(f"[codomain]\ncontrol_socket = /{'s' * 103}\n")


def test_the_commands_find_the_control_socket_in_an_ini_with_faults(tmp_path: Path) -> None:
    """The daemon runs with what was good; main.cf may override as for the daemon."""
    ini = tmp_path / "codomain.ini"
    ini.write_text("[codomain]\ncontrol_socket = /run/x\n[cache]\nsise = 4\nfound_ttl = soon\n")
    assert control_setting([ini], {}) == "/run/x"
    assert control_setting([ini], {"codomain_codomain_control_socket": "/run/y"}) == "/run/y"
    assert control_setting([tmp_path / "none.ini"], {}) == "/run/codomain/control"
