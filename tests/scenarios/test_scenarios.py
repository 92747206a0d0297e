r"""Mail stories: one folder each, with its INI, its directories and what must come of it.

A folder holds ``codomain.ini``; a file for each of its directories, read as files where
the INI says ``type = files`` (``/scenario`` stands for the folder), and else, by the
directory's name, as the entries that an LDAP server would give: ``ad.ldif`` of one that
answers, ``ad.stale.ldif`` of one that is down and whose earlier answers still serve; a
directory without either is down.  Where next systems are asked, ``systems.tsv`` has what they
say: connector, recipient (``*``: of every other one), and ``known``, ``unknown``, ``anything``
or ``unsure``.  ``requests.tsv`` has one row for each question:

client, flags
    ``stranger``, ``trusted``, ``unknown`` or an address; ``sasl``, ``cert=…``,
    ``context=…``, ``smtputf8=no``, ``probe`` for another codomain's call-out, and ``smtp`` for a
    path as SMTP and the milter write it.
recipient
    As the policy protocol writes it; ``\u200b`` and ``\xff`` stand for one character or byte.
verdict
    ``Deliver ADDRESS via CONNECTOR``, ``Redirect TARGET``, ``Relay CONNECTOR``, ``Refuse REASON`` …
action
    What the policy server answers, letter for letter.
recipient, alias, transport, access
    What the maps answer to the same recipient, letter for letter; ``-``: they are not asked.
rule
    Why.

Every value was written by hand from the rule that its row names.
"""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from codomain.address import parse_path, parse_recipient
from codomain.callout.answer import Outcome as Known
from codomain.config import Config, DirectorySection, parse
from codomain.decision import decide
from codomain.directory import ldif
from codomain.directory.files import FilesDirectory
from codomain.directory.record import Record
from codomain.directory.schema import SCHEMAS, Attributes
from codomain.finding import Need
from codomain.question import Door, Question
from codomain.replies import Replies
from codomain.resolver import Answer
from codomain.rules import Rules, rules_from
from codomain.verdict import Reason
from codomain_milter.reply import PREFIX
from codomain_milter.session import Outcome
from codomain_policyd.reply import map_answer, policy_action
from codomain_policyd.socketmap import NOTFOUND
from support.decisions import Entries, no_lookup, told
from support.milters import Fakes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.directory.base import Recipient
    from codomain.finding import Inquiry, Outage
    from codomain.verdict import Verdict

HERE = Path(__file__).parent
STORIES = sorted(path.parent.name for path in HERE.glob("*/requests.tsv"))
MAPS = ("recipient", "alias", "transport", "access")
COLUMNS = ["client", "flags", "recipient", "verdict", "action", *MAPS, "rule"]
CLIENTS = {"stranger": "198.51.100.7", "trusted": "127.0.0.1", "unknown": ""}
ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4}))")


class Row(NamedTuple):
    """One row of a golden file."""

    place: str
    client: str
    flags: dict[str, str]
    recipient: bytes
    verdict: str
    action: str
    maps: tuple[str, ...]


class Story:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        ini = (folder / "codomain.ini").read_text(encoding="utf-8")
        self.config: Config = parse(ini.replace("/scenario", str(folder)))
        self.rules: Rules = rules_from(self.config, no_lookup)
        self.replies = Replies(self.config.replies)
        self._systems = systems_of(folder / "systems.tsv")
        self._files: dict[str, FilesDirectory] = {}
        self._entries = Entries()
        for section in self.config.directories:
            if section.type == "files":
                self._files[section.name] = FilesDirectory(section)
            else:
                self._ldap(section, folder)

    def _ldap(self, section: DirectorySection, folder: Path) -> None:
        answers = folder / f"{section.name}.ldif"
        stale = folder / f"{section.name}.stale.ldif"
        if not answers.exists():
            self._entries.down.add(section.name)
        for path in (answers, stale):
            if path.exists():
                self._entries.add(section.name, *ldap_entries(path, section.schema))

    def peek(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Look into the directories of the folder."""
        files = self._files.get(directory)
        return self._entries(directory, key) if files is None else files.peek(key)

    def ask(self, inquiry: Inquiry, /) -> Known:
        """Say what a next system says."""
        every = self._systems.get((inquiry.connector, "*"), Known.UNSURE)
        return self._systems.get((inquiry.connector, inquiry.address), every)

    def decide(self, question: Question) -> Verdict:
        """Decide; everything is known."""
        verdict = decide(self.rules, question, self.peek, ask=self.ask)
        assert not isinstance(verdict, Need)
        return verdict

    def maps(self, question: Question) -> tuple[str, ...]:
        """Ask every map for the recipient of a question, as the map door does."""
        recipient = question.recipient
        if not recipient.local or not recipient.written:
            return ("NOTFOUND",) * len(MAPS)
        ours = self.rules.domains.match(recipient.domain) is not None
        verdict = self.decide(Question(recipient, Door.MAP))
        answers = [map_answer(name, verdict, self.replies, ours=ours) for name in MAPS]
        return tuple("NOTFOUND" if a == NOTFOUND else a.decode() for a in answers)


def systems_of(path: Path) -> dict[tuple[str, str], Known]:
    """Read what the next systems of a folder say."""
    if not path.exists():
        return {}
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return {(name, address): Known(outcome) for name, address, outcome in lines}


def ldap_entries(path: Path, schema: str) -> Iterator[Recipient]:
    """Read LDIF as the entries that an LDAP server would give."""
    with path.open(encoding="utf-8") as lines:
        for record in ldif.read(lines):
            assert isinstance(record, Record), record
            raw = {
                name: [v.encode() if isinstance(v, str) else v for v in values]
                for name, values in record.attributes.items()
            }
            yield SCHEMAS[schema].recipient(record.dn, Attributes(raw))


def unescaped(text: str) -> bytes:
    r"""Turn ``\x..`` into that byte and ``\u....`` into that character."""

    def one(match: re.Match[bytes]) -> bytes:
        return bytes.fromhex(match[1].decode()) if match[1] else chr(int(match[2], 16)).encode()

    return ESCAPE.sub(one, text.encode())


def rows(story: str) -> list[Row]:
    """Read a golden file."""
    found: list[Row] = []
    path = HERE / story / "requests.tsv"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if not found and cells == COLUMNS:
            continue
        assert len(cells) == len(COLUMNS), f"{story}:{number}: {len(cells)} cells"
        client, flags, recipient, verdict, action, *maps, rule = cells
        assert rule, f"{story}:{number}: no rule"
        words = dict(flag.partition("=")[::2] for flag in flags.split())
        found.append(
            Row(
                f"{story}:{number}", client, words, unescaped(recipient), verdict, action,
                tuple(maps),
            )
        )  # fmt: skip
    return found


def question_of(row: Row) -> Question:
    """Make the question of a row."""
    client = CLIENTS.get(row.client, row.client)
    parsed = parse_path if "smtp" in row.flags else parse_recipient
    question = Question(
        recipient=parsed(row.recipient),
        client=ip_address(client) if client else None,
        authenticated="sasl" in row.flags,
        fingerprint=row.flags.get("cert", ""),
        context=row.flags.get("context", ""),
        probe="probe" in row.flags,
    )
    if "smtputf8" in row.flags:
        question = replace(question, door=Door.MILTER, smtputf8=row.flags["smtputf8"] == "yes")
    return question


@pytest.mark.parametrize("name", STORIES)
def test_every_row_of_a_story_comes_true(name: str) -> None:
    """Verdict, policy action and map answers are those of the golden file, letter for letter."""
    story = Story(HERE / name)
    by_filter = story.config.policyd.redirect == "filter"
    wrong = []
    for row in rows(name):
        question = question_of(row)
        verdict = story.decide(question)
        action = policy_action(verdict, story.replies, by_filter=by_filter)
        if told(verdict).removesuffix(" diverted") != row.verdict:
            wrong.append(f"{row.place}: {told(verdict)!r} is not {row.verdict!r}")
        if action != f"action={row.action}\n\n".encode():
            wrong.append(f"{row.place}: {action!r} is not {row.action!r}")
        if row.maps != ("-",) * len(MAPS):
            wrong += [
                f"{row.place}: {map_name} {got!r} is not {wanted!r}"
                for map_name, got, wanted in zip(MAPS, story.maps(question), row.maps, strict=True)
                if got != wanted
            ]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("name", STORIES)
def test_the_milter_gives_every_row_the_same_verdict(name: str) -> None:
    """Parity: through libmilter's callbacks a question gets the verdict of the golden file.

    Where that is another way out, a milter has no means to take it: a loop.
    """
    story = Story(HERE / name)
    wrong = []
    for row in rows(name):
        question = question_of(row)
        path = milter_path(row, question)
        by_policy = story.decide(question)
        wanted, action = row.verdict, row.action
        if told(by_policy).endswith(" diverted"):
            wanted = "Refuse loop"
            action = story.replies[Reason.LOOP].line
        milter = Milter(story, row)
        outcome = milter.rcpt(path)
        if milter.verdict != wanted:
            wrong.append(f"{row.place}: {milter.verdict!r} is not {wanted!r} for {path!r}")
        said = f"{outcome.value} {milter.reply}".strip()
        refused = action[0] in "45"
        if said.partition(" ")[2] != (action if refused else "") or refused == (
            outcome is Outcome.CONTINUE
        ):
            wrong.append(f"{row.place}: {said!r} is not {action!r}")
    assert not wrong, "\n" + "\n".join(wrong)


def milter_path(row: Row, question: Question) -> bytes:
    """Write a row's recipient as SMTP does: in brackets, and quoted where it must be."""
    if "smtp" in row.flags:
        return row.recipient
    plain = b"<" + row.recipient + b">"
    parsed = parse_path(plain)
    recipient = question.recipient
    if (parsed.local, parsed.domain) == (recipient.local, recipient.domain):
        return plain
    local = re.sub(r'(["\\\\])', r"\\\1", recipient.local)
    text = f'<"{local}"@{recipient.written}>'
    return text.encode("utf-8", "surrogateescape")


class Milter:
    """One connection of an MTA to the milter, which decides as a story does."""

    def __init__(self, story: Story, row: Row) -> None:
        made = Fakes(connect=False)
        made.runtime.replies = story.replies
        made.resolver.peek_aside = lambda question, _later: Answer(story.decide(question))  # type: ignore[method-assign, assignment, return-value]
        client = CLIENTS.get(row.client, row.client)
        made.session.connect((client, 40114) if client else None)
        flags = {"sasl": "{auth_authen}", "cert": "{cert_fp}", "context": "{daemon_name}"}
        made.context.macros = {
            macro: row.flags[flag] or "somebody"
            for flag, macro in flags.items()
            if flag in row.flags
        }
        parameters = [] if row.flags.get("smtputf8") == "no" else [b"SMTPUTF8"]
        parameters += [b"SIZE=1"] if "probe" in row.flags else []
        made.session.mail(b"<author@elsewhere.test>", *parameters)
        self._made = made

    def rcpt(self, path: bytes) -> Outcome:
        """Ask for a recipient."""
        return self._made.session.rcpt(path)

    @property
    def verdict(self) -> str:
        """The verdict, in the words of the golden files."""
        return told(self._made.door.verdicts[-1]) if self._made.door.verdicts else "none"

    @property
    def reply(self) -> str:
        """The reply that was set, without what smtpd itself puts before our text."""
        if not self._made.context.replies:
            return ""
        code, enhanced, text = self._made.context.replies[-1]
        return f"{code} {enhanced} {text.removeprefix(PREFIX)}"


@pytest.mark.parametrize("name", STORIES)
def test_every_story_has_rows(name: str) -> None:
    """A golden file that cannot be read as rows would prove nothing."""
    assert len(rows(name)) >= 3


def test_every_folder_is_a_story_or_a_bad_configuration() -> None:
    """A folder without a golden file would be skipped without a word."""
    folders = {path.name for path in HERE.iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert folders - {"bad_config", "mistakes"} == set(STORIES)
