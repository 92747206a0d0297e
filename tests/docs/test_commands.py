"""The commands of the manuals: every ``codomain …`` is one that the program takes.

They are parsed by the real commands and not run: an option that is gone, a sub-command with
another name or an argument too many is a manual that has rotted.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from codomain_cli.main import codomain
from support.documents import blocks, inline_code, name_of, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [
    page for page in pages() if name_of(page).startswith(("README", "CONTR", "docs", "contrib"))
]

SHELL = {"", "sh", "console"}
"""Languages of blocks that hold commands."""

_START = re.compile(r"^(?:\$ |# )?(?:sudo (?:-u \w+ )?)?(?:\S*/bin/)?codomain(?= |$)")
_END = re.compile(r"\s*(?:\|\||&&|[|&;<>]|\d?>|\s#\s).*$")
_JOINT = re.compile(r"&&|\|\||; ")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_ELLIPSIS = ("…", "...")


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """Give the command lines of a page, from the program's name on, each with its place."""
    for block in blocks(page):
        if block.language in SHELL:
            joined = block.text.replace("\\\n", " ")
            for line in joined.splitlines():
                for piece in pieces(line):
                    if _START.match(piece.strip()):
                        yield block.place, piece.strip()
    for number, code in inline_code(page):
        if _START.match(code):
            yield f"{name_of(page)}:{number}", code


def pieces(line: str) -> Iterator[str]:
    """Split a line at what the shell joins commands by; what is quoted is no such thing."""
    at = 0
    for match in _JOINT.finditer(masked(line)):
        yield line[at : match.start()]
        at = match.end()
    yield line[at:]


def words(command: str) -> list[str]:
    """Split a command line into the arguments behind the program's name."""
    text = _START.sub("", command).strip()
    end = _END.search(masked(text))
    return shlex.split(text[: end.start()] if end else text)


def masked(text: str) -> str:
    """Return a text of the same length in which nothing is quoted."""
    return _QUOTED.sub(lambda match: "_" * len(match[0]), text)


def spelled(arguments: list[str]) -> Iterator[list[str]]:
    """Give a command line for each word of a choice such as ``stats|purge``."""
    for number, word in enumerate(arguments):
        if re.fullmatch(r"\w+(\|\w+)+", word):
            for choice in word.split("|"):
                yield [*arguments[:number], choice, *arguments[number + 1 :]]
            return
    yield arguments


def parse(arguments: list[str]) -> None:
    """Have the real commands take a command line, without running any of them.

    Raises:
        click.ClickException: one of them does not.

    """
    command: click.Command = codomain
    context = click.Context(codomain, info_name="codomain")
    while isinstance(command, click.Group):
        if not arguments:
            return
        found = command.get_command(context, arguments[0])
        if found is None:
            message = f"there is no command {arguments[0]!r}"
            raise click.UsageError(message)
        name, arguments = arguments[0], arguments[1:]
        command = found
        if not isinstance(command, click.Group):
            command.make_context(name, list(arguments), parent=context)
            return
        context = click.Context(command, info_name=name, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_one_that_the_program_takes(page: Path) -> None:
    """A name alone (`codomain sync`) is enough in a sentence; an option must be there."""
    wrong = []
    for place, command in commands(page):
        arguments = words(command)
        if any(word in _ELLIPSIS for word in arguments):
            continue
        in_a_sentence = len(arguments) <= 2 and not any(w.startswith("-") for w in arguments)
        for spelling in spelled(arguments):
            try:
                parse(spelling)
            except click.exceptions.MissingParameter:
                if not in_a_sentence:
                    wrong.append(f"{place}: {command}: an argument is missing")
            except click.ClickException as error:
                wrong.append(f"{place}: {command}: {error.format_message()}")
    assert not wrong, "\n".join(wrong)


def test_a_wrong_command_is_noticed() -> None:
    """The test itself: an unknown option, an unknown command, one argument too many."""
    for arguments in (["check", "--prob"], ["chek"], ["explain", "a@b.c", "d@e.f"], ["cache", "x"]):
        with pytest.raises(click.ClickException):
            parse(arguments)


def test_the_readme_has_commands() -> None:
    """A page whose commands are not found would prove nothing."""
    (readme,) = (page for page in PAGES if name_of(page) == "README.md")
    named = {name for _, command in commands(readme) for name in words(command)[:1]}
    assert named >= {"check", "explain", "postfix"}


def test_pipes_and_redirections_are_not_arguments() -> None:
    """What the shell takes for itself is no word of ours."""
    assert words("codomain sendmail > /etc/mail/codomain.m4") == ["sendmail"]
    assert words("codomain serve &") == ["serve"]
    assert words("sudo -u codomain codomain explain a@b.c --client ::1 | less") == [
        *("explain", "a@b.c", "--client", "::1"),
    ]
    assert words(".venv/bin/codomain check") == ["check"]
    assert words("codomain explain --log 'x; from=<a>' | less") == [
        "explain",
        "--log",
        "x; from=<a>",
    ]
    assert list(pieces("true; codomain check '; x' && ls")) == [
        "true",
        "codomain check '; x' ",
        " ls",
    ]
