"""README's Sendmail section, word by word, on a host with Debian's own sendmail.mc."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from support.sendmail import unpacked
from support.sendmailhost import visit

if TYPE_CHECKING:
    from collections.abc import Iterator

README = Path(__file__).parents[3] / "README.md"

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

FILE = re.compile(r"`(/etc/codomain/[^`]+)`")


def section() -> str:
    """Return the section."""
    return README.read_text().partition("\n## Beside Sendmail\n")[2].partition("\n## ")[0]


def blocks() -> Iterator[tuple[str, str, str]]:
    """Give each block's language, its text, and the file that the text before it names."""
    text, at = section(), 0
    for match in BLOCK.finditer(text):
        named = FILE.findall(text[at : match.start()])
        at = match.end()
        yield match[2], dedent(match[3]), named[-1] if named else ""


@pytest.fixture(scope="module")
def walked() -> dict[str, Any]:
    """Give what comes of the section, followed by somebody who reads nothing else."""
    files = {name: text for language, text, name in blocks() if language != "sh"}
    script = [text for language, text, _ in blocks() if language == "sh"]
    recipients = [
        "ann@example.com",
        "bob@example.com",
        "nobody@example.com",
        "nobody@corp.example",
        "someone@foreign.test",
    ]
    assert len(files) == 2
    return visit(unpacked(), script, files, recipients)


def test_a_reader_gets_recipients_answered(walked: dict[str, Any]) -> None:
    """From the printed lines to a mailbox, a contact, the other system, and two refusals."""
    replies = {to: reply[:9] for to, reply in walked["replies"].items()}
    assert replies == {
        "ann@example.com": "250 2.1.5",
        "bob@example.com": "250 2.1.5",
        "nobody@example.com": "250 2.1.5",
        "nobody@corp.example": "550 5.1.1",
        # His address is one of this host's here, whom Sendmail lets relay; the milter does not.
        "someone@foreign.test": "554 5.7.1",
    }
    assert walked["arrived"] == [
        ["exchange", "ann@example.com"],
        ["unix", "bob@unix.example.net"],
        ["unix", "nobody@example.com"],
    ]


def test_what_the_reader_is_shown_is_true(walked: dict[str, Any]) -> None:
    """Step 5: -bv names the ways, explain the steps; step 2: check finds no fault."""
    said = walked["said"]
    assert "ann@example.com... deliverable: mailer esmtp, host [192.0.2.20]" in said
    assert "nobody@example.com... deliverable: mailer esmtp, host [192.0.2.10]" in said
    assert "relayed through unix" in said
    assert "Traceback" not in said
    assert "level=error" not in said


def test_the_file_that_is_written_is_one_that_the_section_names() -> None:
    """Each file has a name before it; each command runs."""
    names = [name for language, _, name in blocks() if language != "sh"]
    assert names == ["/etc/codomain/codomain.ini", "/etc/codomain/recipients.d/people.csv"]
    assert [language for language, _, _ in blocks()].count("sh") == 4
