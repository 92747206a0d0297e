"""Any bytes make a configuration or a list of faults, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codomain.config import Config, load, parse
from codomain.errors import ConfigError
from codomain.settings.faults import Faults
from codomain.settings.ini import read
from codomain.settings.whole import NAMED, REASONS, SINGLE, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = sorted({key for section in (*SINGLE.values(), *NAMED.values()) for key in keys_of(section)})
HEADERS = [
    *(f"[{kind}]" for kind in SINGLE),
    *(f"[{kind} {name}]" for kind in NAMED for name in ("a", "example.com", "bücher.example")),
    "[replies]",
]
PIECES = [
    "0", "1", "yes", "no", "shared", "relay", "shadow", "ldap", "files", "5s", "20%", "0.8", "0660",
    "*", "*.", ".", ",", ";", " ;", "#", "=", "[", "]", ":", "/", "@", "%s", "(", ")", "\t", "\r",
    "\0", "\ufeff", "\u2028", "\ud800", "é", "192.0.2.1", "::1", "::ffff:0:0/96", "/0", "/129",
    "unix:/a", "inet:", "redis://", "ldap://[", "ldaps://h:99999", "example.com", "a@example.com",
    "utf-8", "idna", "550 5.1.1", "%d/", "auto",
]  # fmt: skip
VALUES = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
LINES = st.one_of(
    st.sampled_from(HEADERS),
    st.tuples(st.sampled_from(KEYS), VALUES).map(" = ".join),
    st.tuples(st.sampled_from(REASONS), st.sampled_from([".code = ", ".text = "]), VALUES).map(
        "".join
    ),
    VALUES.map(lambda value: f"  {value}"),
    VALUES,
)
TEXTS = st.lists(LINES, max_size=12).map("\n".join)


def outcome(read_it: Callable[[], Config]) -> list[str]:
    """Return the faults of a configuration, or none for a good one."""
    try:
        config = read_it()
    except ConfigError as error:
        return error.faults or pytest.fail("a ConfigError without a fault")
    assert isinstance(config, Config)
    return []


@given(st.one_of(st.binary(max_size=400), TEXTS.map(lambda t: t.encode("utf-8", "replace"))))
@settings(deadline=None)
def test_any_bytes_are_a_configuration_or_faults(data: bytes) -> None:
    """A file is data: no content of it raises anything but ConfigError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "codomain.ini")
        path.write_bytes(data)
        faults = outcome(lambda: load([path]))
    assert all(line.startswith(f"{path}") for line in faults)


@given(TEXTS, st.dictionaries(
    st.sampled_from(
        ["mynetworks", "myhostname", "recipient_delimiter", "relay_domains", "mydestination",
         "codomain_policyd_listen", "codomain_cache_shared_password_file"]
    ), VALUES,
))  # fmt: skip
@settings(deadline=None)
def test_any_text_and_main_cf_are_a_configuration_or_faults(
    text: str, postfix: dict[str, str]
) -> None:
    """Neither the INI nor main.cf raises anything else, and each fault is one printable line."""
    for line in outcome(lambda: parse(text, postfix=postfix)):
        assert "\n" not in line
        assert line.encode()


@given(st.lists(st.text(max_size=20), max_size=8))
@settings(deadline=None)
def test_every_key_is_found_on_its_line(lines: list[str]) -> None:
    """The reader counts lines as an editor does: at line feeds alone."""
    text = "\n".join(["[policyd]", *(line.replace("\n", "") for line in lines), "deadline = 4s"])
    values = [
        section.keys["deadline"]
        for section in read(text, "f", Faults())
        if "deadline" in section.keys
    ]
    for value in values:
        assert value.place.line == len(lines) + 2
