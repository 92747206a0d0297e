"""An import that is killed at any moment, and one whose server dies."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from support.contactsite import BASE, Gateway

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from support.contactsite import XoSlapd

HEADER = (
    "objectClass,dn,name,cn,sn,givenName,displayName,proxyAddresses,targetAddress,mail,mailnickname"
)
CONTACTS = 1100
"""More than a page of 1,000 (RFC 2696)."""

KILLS = 4
SECONDS = 60.0


def table(count: int, target: str = "remote.domain") -> str:
    """Write a file of contacts in ten units."""
    lines = [HEADER]
    for n in range(count):
        dn = f"cn=User {n},ou=unit {n % 10},ou=users,{BASE}"
        proxies = f"SMTP:user{n}@{target};smtp:user{n}@xo.one"
        name = f"User {n}"
        lines.append(
            f'contact,"{dn}",{name},{name},{n},User,{name},{proxies},SMTP:user{n}@{target},'
            f"user{n}@{target},user{n}"
        )
    return "".join(f"{line}\r\n" for line in lines)


def count_of(xo: XoSlapd) -> int:
    """Count the contacts that are there."""
    return xo.export().count("objectClass: contact\n")


def test_killed_at_any_moment_and_run_again_it_ends_as_if_it_had_not_been(
    new_xo: Callable[..., XoSlapd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Creations and changes: the second run does what is left, and the entries are the same."""
    random.seed(10)
    killed, whole = (
        Gateway(tmp_path_factory.mktemp("g"), new_xo().ldapi),
        Gateway(tmp_path_factory.mktemp("h"), (quiet := new_xo()).ldapi),
    )
    first, second = table(CONTACTS), table(CONTACTS).replace(",User,", ",Renamed,")
    for text in (first, second):
        path = whole.file(text)
        began = time.monotonic()
        assert whole.contacts("import", path, "--create-ou", "--apply").status == 0
        took = time.monotonic() - began
        path = killed.file(text)
        for _ in range(KILLS):
            process = killed.start("contacts", "import", path, "--create-ou", "--apply")
            time.sleep(random.uniform(0.2 * took, took))  # any moment: nothing is waited for
            process.kill()
            process.communicate(timeout=SECONDS)
        done = killed.contacts("import", path, "--create-ou", "--apply")
        assert done.status == 0, done
        again = killed.contacts("import", path)
        assert again.lines[-1] == (
            f"planned: 0 create, 0 change, {CONTACTS} same, 0 conflict, 0 refused"
        )
        assert killed.export() == whole.export()
    assert count_of(quiet) == CONTACTS


def test_a_server_that_dies_ends_it_with_75_and_what_was_done_is_said(
    gateway: Gateway, xo: XoSlapd
) -> None:
    """Temporary: run again it does what is left."""
    path = gateway.file(table(CONTACTS))
    process = gateway.start("contacts", "import", path, "--create-ou", "--apply")
    end = time.monotonic() + SECONDS
    while not count_of(xo):
        assert time.monotonic() < end
    xo.kill()
    out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 75, out
    assert b"done: 11 units and " in out
    xo.start()
    done = gateway.contacts("import", path, "--create-ou", "--apply")
    assert done.status == 0, done
    assert count_of(xo) == CONTACTS
