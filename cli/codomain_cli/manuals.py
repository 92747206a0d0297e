"""Writes the manual pages in mdoc(7): codomain(1), one page for each command, codomain.ini(5).

What they say stands in the code: a command's page is its module's docstring and its
options, codomain.ini(5) the declarations of the keys.  ``python -m codomain_cli.manuals
--write`` puts them into docs/man of a source tree; without ``--write`` it tells which of
them has drifted, and ends with status 1.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codomain_cli import reference
from codomain_cli.main import COMMANDS, codomain

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path("docs/man")
DATE = "November 24, 2026"
"""When the pages' form was last changed; a page's content follows the code."""

WIDTH = 90
"""Characters of a line of text in the source of a page."""

FILES = (
    ("/etc/codomain/codomain.ini", "the configuration, see codomain.ini(5)"),
    ("/etc/codomain/conf.d/*.ini", "more of it, read after it"),
    ("/run/codomain/control", "where commands reach the daemon"),
    ("/var/lib/codomain", "the local indexes, and what must outlive a restart"),
)
"""Files that an administrator looks for, and what they are."""

STATUSES = (
    ("0", "all is well, or the answer is yes"),
    ("1", "the answer is no"),
    ("64", "the command line cannot be understood (EX_USAGE)"),
    ("70", "a fault of ours (EX_SOFTWARE)"),
    ("71", "a port, a socket or a file cannot be opened (EX_OSERR)"),
    ("75", "a directory or the daemon does not answer now: try again (EX_TEMPFAIL)"),
    ("78", "the configuration cannot be used; every fault is named (EX_CONFIG)"),
)
"""The exit statuses of every command, after sysexits(3)."""

_INLINE = re.compile(
    r"``(?P<code>[^`]+)``|:\w+:`~?(?P<role>[^`]+)`|`(?P<tick>[^`]+)`|"
    r"(?P<page>[a-z][\w.-]*)\((?P<number>[1-8])\)"
)

_KEY = re.compile(r"\*\*(?P<name>[\w.]+)\*\*\s+\((?P<about>.*?)\)\s*\n:\s+(?P<text>.*)", re.DOTALL)


def pages() -> dict[str, str]:
    """Return each page's text by its file's name."""
    made = {"codomain.1": _overview(), "codomain.ini.5": _ini()}
    for name in COMMANDS:
        made[f"codomain-{name}.1"] = _command_page(name)
    return made


def _head(name: str, section: int, what: str) -> Iterator[str]:
    yield '.\\" Written by codomain_cli.manuals from the code; change it there.'
    yield f".Dd {DATE}"
    yield f".Dt {name.upper()} {section}"
    yield ".Os codomain"
    yield ".Sh NAME"
    yield f".Nm {name}"
    yield f".Nd {_plain(what)}"


def _overview() -> str:
    lines = [*_head("codomain", 1, "share one SMTP domain between several mail systems")]
    lines += [".Sh SYNOPSIS", ".Nm", ".Ar command", ".Op Ar option ...", ".Sh DESCRIPTION"]
    lines += _paragraphs(
        "Codomain stands at a mail gateway, beside Postfix or Sendmail, and answers for each "
        "envelope recipient: does it exist here, does it live on another system, where does it "
        "go, and may this client send it there at all.\n\n"
        "The commands, each with a page of its own:"
    )
    lines.append(".Bl -tag -width Ds")
    for name in COMMANDS:
        command = _command(name)
        lines += [f".It Xr codomain-{name} 1", *_text(command.get_short_help_str(200))]
    lines += [".El", *_tail(["postfix 1", "codomain.ini 5"])]
    return _joined(lines)


def _command_page(name: str) -> str:
    command = _command(name)
    module = importlib.import_module(COMMANDS[name])
    title, _, rest = textwrap.dedent(module.__doc__ or "").strip().partition("\n\n")
    what = title.partition(":")[2].strip() or title
    lines = [*_head(f"codomain-{name}", 1, what[:1].lower() + what[1:].rstrip("."))]
    lines.append(".Sh SYNOPSIS")
    parts = _parts(command, f"codomain {name}")
    for shown, part in parts:
        lines += [f".Nm {shown}", *_synopsis(part)]
        if part is not parts[-1][1]:
            lines.append(".Pp")
    lines += [".Sh DESCRIPTION", *_paragraphs(command.help or title)]
    if rest:
        lines += [".Pp", *_paragraphs(rest)]
    for shown, part in parts:
        options = [param for param in part.params if isinstance(param, click.Option)]
        if len(parts) > 1:
            lines += [f".Ss {shown}", *_paragraphs(part.help or "")]
        elif options:
            lines.append(".Sh OPTIONS")
        if options:
            lines += [".Bl -tag -width Ds", *(line for o in options for line in _option(o)), ".El"]
    lines += _tail(["codomain 1", "codomain.ini 5"])
    return _joined(lines)


def _parts(command: click.Command, name: str) -> list[tuple[str, click.Command]]:
    """Return the command with its name, or those below it where it is a group."""
    if not isinstance(command, click.Group):
        return [(name, command)]
    return [
        part
        for below, inner in sorted(command.commands.items())
        for part in _parts(inner, f"{name} {below}")
    ]


def _synopsis(command: click.Command) -> Iterator[str]:
    for param in command.params:
        if isinstance(param, click.Option):
            if not param.hidden:
                yield f".Op Fl Fl {_flag(param)}{_argument(param)}"
        else:
            word = (param.metavar or param.name or "").strip("[].").upper()
            more = " ..." if param.nargs != 1 else ""
            yield f".{'Ar' if param.required else 'Op Ar'} {word}{more}"


def _option(option: click.Option) -> Iterator[str]:
    if option.hidden:
        return
    yield f".It Fl Fl {_flag(option)}{_argument(option)}"
    yield from _text(option.help or "")


def _flag(option: click.Option) -> str:
    longest: str = max(option.opts, key=len)
    return longest.lstrip("-")


def _argument(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if isinstance(option.type, click.Choice):
        return " Ar " + "|".join(map(str, option.type.choices))
    return f" Ar {option.metavar or option.type.name.upper()}"


def _ini() -> str:
    """Turn the reference of the INI, which is Markdown, into a page."""
    lines = [*_head("codomain.ini", 5, "configuration of codomain")]
    body = reference.man_page().partition("## DESCRIPTION\n")[2]
    lines.append(".Sh DESCRIPTION")
    for block in re.split(r"\n{2,}", body.strip()):
        made = list(_block(block))
        if made[0] == ".Pp" and lines[-1].startswith((".Sh", ".Ss")):
            del made[0]
        lines += made
    return _joined(lines)


def _block(block: str) -> Iterator[str]:
    if block.startswith("### "):
        yield f".Ss {_escape(block[4:].replace('`', ''))}"
    elif block.startswith("## "):
        yield f".Sh {_escape(block[3:].replace('`', ''))}"
    elif block.startswith(("    ", "```")):
        yield ".Bd -literal -offset indent"
        yield from (_escape(line) for line in block.strip("`").splitlines() if line.strip())
        yield ".Ed"
    elif block.startswith("|"):
        yield from _table(block)
    elif key := _KEY.match(block):
        yield ".Bl -tag -width Ds"
        yield f".It Cm {_escape(key['name'])}"
        yield from _text(f"({_plain(key['about'])}) {key['text']}")
        yield ".El"
    elif block.startswith("- "):
        yield ".Bl -bullet -compact"
        for item in re.split(r"(?m)^- ", block)[1:]:
            yield ".It"
            yield from _text(item)
        yield ".El"
    else:
        yield ".Pp"
        yield from _text(block)


def _table(block: str) -> Iterator[str]:
    """Turn a Markdown table into a list: the first column as tags."""
    yield ".Bl -tag -width Ds"
    for row in block.splitlines()[2:]:
        first, *others = (cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|")))
        yield ".It " + _escape(first.replace("`", ""))
        yield from _text("; ".join(filter(None, others)).replace("\\|", "|"))
    yield ".El"


def _tail(see: list[str]) -> Iterator[str]:
    yield ".Sh FILES"
    yield ".Bl -tag -width Ds"
    for path, what in FILES:
        yield f".It Pa {path}"
        yield from _text(what)
    yield ".El"
    yield ".Sh EXIT STATUS"
    yield ".Bl -tag -width Ds"
    for status, what in STATUSES:
        yield f".It {status}"
        yield from _text(what)
    yield ".El"
    yield ".Sh SEE ALSO"
    for index, page in enumerate(see):
        yield f".Xr {page}{' ,' if index < len(see) - 1 else ''}"


def _paragraphs(text: str) -> Iterator[str]:
    for index, block in enumerate(re.split(r"\n\s*\n", textwrap.dedent(text).strip())):
        if index:
            yield ".Pp"
        yield from _text(block)


def _text(text: str) -> Iterator[str]:
    """Fill a paragraph; one sentence begins a line, as mdoc wants it."""
    plain = _plain(" ".join(text.split()))
    for sentence in re.split(r"(?<=[a-z)][.:;?!]) (?=[A-Z])", plain):
        for line in textwrap.wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False):
            yield _escape(line)


def _plain(text: str) -> str:
    """Take the marks off inline text; man pages have no colours to lose."""
    return _INLINE.sub(
        lambda found: (
            found["code"] or (found["role"] or "").rpartition(".")[2] or found["tick"] or found[0]
        ),
        text,
    )


def _escape(line: str) -> str:
    """Keep roff from reading text: a backslash, and a dot or quote that begins a line."""
    line = line.replace("\\", "\\e").rstrip()
    # groff reads ASCII alone without its preprocessor.
    line = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in line)
    return f"\\&{line}" if line[:1] in {".", "'"} else line


def _joined(lines: list[str]) -> str:
    return "\n".join(line for line in lines if line) + "\n"


def _command(name: str) -> click.Command:
    command = codomain.get_command(click.Context(codomain), name)
    if command is None:
        raise LookupError(name)
    return command


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or tell which has drifted; return the exit status."""
    parser = argparse.ArgumentParser(prog="codomain_cli.manuals", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files")
    parser.add_argument("--project", type=Path, default=reference.PROJECT, help="the source tree")
    chosen = parser.parse_args(arguments)
    drifted = 0
    for name, text in pages().items():
        target = chosen.project / FOLDER / name
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        drifted += 1
        if chosen.write:
            target.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{FOLDER / name}: {'written' if chosen.write else 'differs'}\n")
    return int(drifted > 0 and not chosen.write)


if __name__ == "__main__":
    sys.exit(main())
