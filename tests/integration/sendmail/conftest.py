"""Gateways with Sendmail: one that no test changes, and one that tests take apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.sendmail import SendmailLab, sendmail_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

PEOPLE = Path(__file__).with_name("people.ldif")

DIRECTORY = f"SITE\n[directory people]\ntype = files\npath = {PEOPLE}\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[SendmailLab]:
    """Give a gateway; tests leave it as they found it."""
    with sendmail_lab(DIRECTORY) as running:
        yield running
