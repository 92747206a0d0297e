"""The configurations of the manuals: read by the real reader, and asked what the text promises.

A table with the header ``mail from | to | what happens`` is a promise about the configuration
above it: the last whole INI block of the page, with the fragments after it, and the
entries of its ``ldif`` and ``csv`` blocks.  ``ldif NAME`` gives the entries of one directory.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from codomain.callout.answer import Outcome
from codomain.config import Config, DirectorySection, load
from codomain.decision import decide
from codomain.directory import csvde, ldif
from codomain.directory.record import Record, recipient_of
from codomain.directory.schema import SCHEMAS, Attributes
from codomain.finding import Need
from codomain.replies import Replies
from codomain.rules import rules_from
from codomain.verdict import Defer, Deliver, Pass, Redirect, Refuse, Relay
from codomain_cli.check import checked
from codomain_cli.checks.findings import Severity
from codomain_cli.mainlines import settings
from support.decisions import STRANGER, TRUSTED, Entries, no_lookup, question
from support.documents import Block, Table, blocks, name_of, pages, tables

if TYPE_CHECKING:
    from pathlib import Path

    from codomain.directory.base import Recipient
    from codomain.question import Question
    from codomain.verdict import Verdict

PAGES = [page for page in pages() if any(block.language == "ini" for block in blocks(page))]
HEADER = ("mail from", "to", "what happens")
PROMISING = [page for page in PAGES if any(table.header == HEADER for table in tables(page))]
DOWN = ", while the directory is down"

BASE = """\
[codomain]
postfix = off
[domain example.com]
type = shared
[domain corp.example]
type = authoritative
[connector exchange]
smart_hosts = [192.0.2.20]
[connector unix]
smart_hosts = [192.0.2.10]
"""
"""What stands around a fragment that a manual shows."""

ALONE = "[codomain]\npostfix = off\n"
"""The Postfix of this machine is not that of the manual's gateway."""


def is_whole(block: Block) -> bool:
    """Tell whether an INI block is a configuration by itself, and not a part of one."""
    return re.search(r"^\[domain ", block.text, re.MULTILINE) is not None


def furnished(text: str, folder: Path) -> str:
    """Put files that are there in the place of those that an INI names."""
    password = folder / "password"
    password.write_text("secret")
    password.chmod(0o600)
    (folder / "ca.pem").touch()
    text = re.sub(r"(_password_file = ).*", rf"\g<1>{password}", text)
    return re.sub(r"(ca_file = ).*", rf"\g<1>{folder}/ca.pem", text)


def read(texts: list[str], folder: Path) -> Config:
    """Read an INI and its fragments as files of one configuration; no Postfix is asked."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}.ini")
        paths[-1].write_text(furnished(text, folder))
    return load(paths, postfix={})


def entries_of(block: Block, section: DirectorySection) -> list[Recipient]:
    """Read a block of entries as a directory of a configuration does."""
    reader = {"ldif": ldif.read, "csv": csvde.read}[block.language]
    found = []
    for record in reader(block.text.splitlines(keepends=True)):
        assert isinstance(record, Record), f"{block.place}: {record}"
        if section.type == "files":
            recipient = recipient_of(record, block.place)
            found += [recipient] if recipient else []
            continue
        raw = {
            name: [v.encode() if isinstance(v, str) else v for v in values]
            for name, values in record.attributes.items()
        }
        found.append(SCHEMAS[section.schema].recipient(record.dn, Attributes(raw)))
    return found


def above(page: Path, table: Table) -> tuple[list[Block], list[Block]]:
    """Return the configuration and the entries that a table speaks of."""
    inis: list[Block] = []
    people: list[Block] = []
    for block in blocks(page):
        if block.at > table.at:
            break
        if block.language in {"ldif", "csv"}:
            people.append(block)
        elif block.language == "ini" and is_whole(block):
            people = people if not inis else []
            inis = [block]
        elif block.language == "ini":
            inis.append(block)
    return inis, people


class Promise:
    """A configuration of a page, with its directories, at one of its tables."""

    def __init__(self, page: Path, table: Table, folder: Path) -> None:
        inis, people = above(page, table)
        self.config = read([block.text for block in inis], folder)
        self.rules = rules_from(self.config, no_lookup)
        self.replies = Replies(self.config.replies)
        self.entries, self.down = Entries(), Entries()
        for section in self.config.directories:
            for block in people:
                if block.about in {"", section.name}:
                    self.entries.add(section.name, *entries_of(block, section))
            self.down.down.add(section.name)

    def told(self, asked: Question, *, down: bool) -> str:
        """Say what happens to mail, in the words of the manuals."""
        peek = self.down if down else self.entries
        verdict = decide(self.rules, asked, peek, ask=lambda _inquiry: Outcome.UNSURE)
        assert not isinstance(verdict, Need)
        return in_words(verdict, asked, self.replies)


def in_words(verdict: Verdict, asked: Question, replies: Replies) -> str:
    """Write a verdict as the tables do."""
    match verdict:
        case Pass():
            return "passed"
        case Deliver(address=address, connector=way):
            given = asked.recipient.text()
            changed = f" as {address}" if address != given else ""
            return f"delivered through {way.name}{changed}" if way else "delivered on this host"
        case Redirect(target=target, connector=way):
            return f"redirected to {target}" + (f" through {way.name}" if way else "")
        case Relay(connector=connector, diverted=diverted):
            return f"relayed through {connector.name}" + (" (FILTER)" if diverted else "")
        case Refuse(reason=reason):
            return f"refused: {replies[reason].line[:9]}"
        case Defer(reason=reason):
            return f"deferred: {replies[reason].line[:9]}"


def asked_by(who: str, recipient: str) -> Question:
    """Make the question of a row."""
    client = {"a stranger": STRANGER, "a trusted client": TRUSTED}.get(who, who)
    ip_address(client)
    return question(recipient, client)


@pytest.mark.parametrize("page", PROMISING, ids=name_of)
def test_what_a_table_promises_comes_true(page: Path, tmp_path: Path) -> None:
    """Each row: the verdict of the configuration above it is the one that the text names."""
    wrong = []
    for number, table in enumerate(table for table in tables(page) if table.header == HEADER):
        folder = tmp_path / str(number)
        folder.mkdir()
        promise = Promise(page, table, folder)
        assert table.rows
        for who, recipient, happens in table.rows:
            down = who.endswith(DOWN)
            got = promise.told(asked_by(who.removesuffix(DOWN), recipient), down=down)
            if got != happens:
                wrong.append(f"{name_of(page)}:{table.line}: {who}, {recipient}: {got}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_ini_block_can_be_read(page: Path, tmp_path: Path) -> None:
    """A whole one by itself, a fragment beside a usual configuration, without a fault."""
    for number, block in enumerate(block for block in blocks(page) if block.language == "ini"):
        folder = tmp_path / str(number)
        folder.mkdir()
        if is_whole(block):
            read([block.text], folder)
        else:
            read([BASE, block.text], folder)


@pytest.mark.parametrize("page", PROMISING, ids=name_of)
def test_lines_for_postfix_are_made_of_every_configuration(page: Path, tmp_path: Path) -> None:
    """`codomain postfix` can be run with what the manual shows, where Postfix is what it is for."""
    made = 0
    for number, block in enumerate(block for block in blocks(page) if block.language == "ini"):
        folder = tmp_path / str(number)
        folder.mkdir()
        if is_whole(block):
            config = read([block.text], folder)
            milter = not config.policyd.listen
            made += any(
                s.name == "smtpd_relay_restrictions" for s in settings(config, milter=milter)
            )
    assert made


def test_the_manuals_that_are_step_by_step_have_a_table() -> None:
    """Each of these shows a configuration, and says what comes of it."""
    named = {page.name for page in PROMISING}
    assert named >= {
        "from-ldap-maps.md",
        "from-ldap-routing.md",
        "install.md",
        "method-1.md",
        "method-2.md",
        "microsoft-365.md",
        "migration.md",
        "take-over.md",
        "two-gateways.md",
    }


MEANT = {("method-2.md", "entry.no_route")}
"""What a manual shows as an example of a fault: Eve, whose contact leads to a foreign domain."""


def objections(page: Path, table: Table, folder: Path) -> list[str]:
    """Return what codomain check has against a configuration and its entries; advice is none."""
    folder.mkdir()
    inis, people = above(page, table)
    kinds = {block.language for block in people}
    for number, block in enumerate(people):
        (folder / f"{number}.{block.language}").write_text(block.text)
    patterns = ", ".join(f"{folder}/*.{kind}" for kind in sorted(kinds))
    files = []
    for number, text in enumerate([*(block.text for block in inis), ALONE]):
        files.append(folder / f"{number}.ini")
        files[-1].write_text(
            re.sub(r"(?m)^path = .*", f"path = {patterns}", furnished(text, folder))
        )
    findings, _ = checked(files)
    grave = {Severity.ERROR, Severity.WARNING}
    return [
        f"{name_of(page)}:{table.line}: {finding.id}: {finding.what}"
        for finding in findings
        if finding.severity in grave and (page.name, finding.id) not in MEANT
    ]


@pytest.mark.parametrize("page", PROMISING, ids=name_of)
def test_check_has_no_objection(page: Path, tmp_path: Path) -> None:
    """What a manual shows is what `codomain check` would have a postmaster write."""
    promising = [table for table in tables(page) if table.header == HEADER]
    said = [line for t in promising for line in objections(page, t, tmp_path / f"{t.line}")]
    assert not said, "\n".join(said)
