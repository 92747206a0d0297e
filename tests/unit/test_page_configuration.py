"""The configuration in force: as one would write it, where it stands, and no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.config import parse
from codomain.settings import kinds
from codomain.settings.whole import NAMED, SINGLE, keys_of
from codomain_cli.page.configuration import ADDRESSES, Value, values, write, write_duration
from codomain_cli.page.masks import DOTS

if TYPE_CHECKING:
    from pathlib import Path

INI = """\
[codomain]
postfix = off
postmaster = hostmaster@corp.example
[http]
show_addresses = {show}
[callout]
sender = probe@corp.example
[domain corp.example]
type = authoritative
catch_all = somebody@corp.example
[connector unix]
smart_hosts = [192.0.2.10]
verify = callout
verify_control = root@corp.example
[directory ad]
servers = ldaps://dc1.corp.example
base = dc=corp
bind_dn = cn=codomain
bind_password_file = {password}
canary = admin@corp.example
[replies]
unknown.text = Nobody has it
unknown.code = 550 5.1.1
"""


def _found(tmp_path: Path, show: str = "no") -> dict[str, dict[str, Value]]:
    password = tmp_path / "ldap.password"
    password.write_text("correct-horse\n")
    password.chmod(0o600)
    config = parse(INI.format(password=password, show=show))
    return {header: {value.key: value for value in found} for header, found in values(config)}


def test_every_key_of_every_section_is_there(tmp_path: Path) -> None:
    """Nothing that is in force is left out."""
    found = _found(tmp_path)
    for kind, section in SINGLE.items():
        assert list(found[kind]) == list(keys_of(section))
    for header in ("domain corp.example", "connector unix", "directory ad"):
        assert list(found[header]) == list(keys_of(NAMED[header.split()[0]]))


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Not even where they are; that there is one is no secret."""
    for show in ("no", "yes"):
        found = _found(tmp_path, show)
        assert found["directory ad"]["bind_password_file"].written == DOTS
        assert found["cache"]["shared_password_file"].written == ""
        assert "correct-horse" not in str(found)
        assert "ldap.password" not in str(found)


@pytest.mark.parametrize(
    ("header", "key", "whole"),
    [
        ("codomain", "postmaster", "hostmaster@corp.example"),
        ("callout", "sender", "probe@corp.example"),
        ("domain corp.example", "catch_all", "somebody@corp.example"),
        ("connector unix", "verify_control", "root@corp.example"),
        ("directory ad", "canary", "admin@corp.example"),
    ],
)
def test_addresses_of_people_are_masked(tmp_path: Path, header: str, key: str, whole: str) -> None:
    """Every key that holds one, unless `show_addresses`."""
    assert _found(tmp_path)[header][key].written == f"{whole[0]}{DOTS}@corp.example"
    assert _found(tmp_path, "yes")[header][key].written == whole


def test_no_key_of_an_address_is_missed() -> None:
    """The reference calls every key that holds somebody's address so, and each is masked."""
    specs = [spec for s in (*SINGLE.values(), *NAMED.values()) for spec in keys_of(s).values()]
    named = [spec.kind for spec in specs if spec.kind.name in {"address", "list; each address"}]
    assert len(named) >= 5
    assert all(kind in ADDRESSES for kind in named)


def test_values_stand_as_one_would_write_them(tmp_path: Path) -> None:
    """Durations, flags, modes, parts and lists, with the place of each."""
    found = _found(tmp_path)
    assert found["policyd"]["deadline"] == Value("deadline", "4s", "default")
    assert found["policyd"]["socket_mode"].written == "0660"
    assert found["cache"]["refresh_ahead"].written == "0.8"
    assert found["cache"]["stale_ttl"].written == "1d"
    assert found["trust"]["trusted_networks"].written == "127.0.0.0/8, ::1/128"
    assert found["trust"]["trust_sasl"].written == "yes"
    assert found["directory ad"]["max_shrink"].written == "20%"
    assert found["domain corp.example"]["type"] == Value("type", "authoritative", "codomain.ini:9")
    assert found["replies"]["unknown.code"].written == "550 5.1.1"
    assert found["replies"]["unknown.text"].written == "Nobody has it"
    assert not found["directory ad"]["base"].default


@pytest.mark.parametrize("written", ["0ms", "200ms", "1s", "90s", "2m", "24h", "30d", "1h"])
def test_a_duration_reads_as_the_same(written: str) -> None:
    """What the page shows could be put into the INI."""
    kind = kinds.duration("0ms", "365d")
    seconds = kind.read(written)
    assert kind.read(write_duration(seconds)) == seconds
    assert write(seconds, kind) == write_duration(seconds)
