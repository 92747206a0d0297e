"""Aliases that lead to codomain's addresses: routed by the map, and rewritten by nobody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.sendmail import sendmail_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sendmail import SendmailLab

PEOPLE = Path(__file__).with_name("people.ldif")

ALIASES = """\
mailbox: ann@example.com
contact: bob@example.com
shared: dora@example.com
target: bob@unix.example.net
"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[SendmailLab]:
    """Give a gateway with aliases."""
    ini = f"SITE\n[directory people]\ntype = files\npath = {PEOPLE}\n"
    with sendmail_lab(ini) as running:
        (running.folder / "aliases").write_text(ALIASES)
        running.sendmail.run("-bi")
        yield running


@pytest.mark.parametrize(
    ("alias", "system", "recipient"),
    [
        ("mailbox", "exchange", "ann@example.com"),
        ("shared", "unix", "dora@example.com"),
        ("target", "unix", "bob@unix.example.net"),
        # its target's system, under its own address: no milter sees what an alias leads to
        ("contact", "unix", "bob@example.com"),
    ],
)
def test_where_an_alias_leads_is_routed(
    gateway: SendmailLab, alias: str, system: str, recipient: str
) -> None:
    """docs/howto/sendmail.md, Aliases: the map gives the way, and the address stays."""
    token = gateway.submit(f"{alias}@gateway.test")
    assert gateway.arrivals(token, 1) == [(system, recipient)]
