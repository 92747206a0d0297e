"""Writes codomain.ini(5) and the commented example from the declarations of the keys.

``python -m codomain_cli.reference --write`` puts both in their place in a source tree;
without ``--write`` it tells which of them has drifted, and ends with status 1.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codomain.settings.whole import NAMED, REASONS, REPLIES, SINGLE, TEMPORARY, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.settings.kinds import Spec

PROJECT = Path(__file__).resolve().parents[2]
MAN_PAGE = Path("docs/man/codomain.ini.5.md")
EXAMPLE = Path("contrib/codomain.ini")

WIDTH = 88
"""Characters on a line of the example."""

SAMPLE_NAMES = {
    "domain": "example.com",
    "connector": "unix",
    "directory": "ad",
    "policy": "default",
    "context": "submission",
}
"""The names that stand in the headers of the example."""

HEAD = """\
# codomain.ini(5)

## NAME

codomain.ini - configuration of codomain(8)

## SYNOPSIS

`/etc/codomain/codomain.ini`, `/etc/codomain/conf.d/*.ini`

## DESCRIPTION

The file is UTF-8. `[section]` or `[section name]` begins a section, `key = value` sets a
key. A line whose first character is `;` or `#` is a comment, and so is what follows white
space and a `;`. A list has commas between its items, or goes on in indented lines.
Durations are a number and a unit: `500ms`, `5s`, `10m`, `24h`, `7d`.

With `--config FILE` another file is read; given more than once, later files add and
override, key by key. Every `conf.d/*.ini` beside the first file is read after it, in the
order of their names. The parameter `codomain_SECTION_KEY` of main.cf goes before a key of
the sections that have no name.

Passwords are never in the file: `*_file` keys name a file that others cannot read, or,
by a relative path or `%d/NAME`, a credential of systemd (`LoadCredential=`).

An unknown section or key, a value that its key cannot take and a reference to what is not
there are faults: each is said with file, line, section and key, nothing is opened, and
the exit status is 78.
"""

REPLIES_TEXT = """\
### [replies]

What the client reads instead of our own replies. REASON is one of those below. Which
reasons are temporary (4xx) and which permanent (5xx) cannot be changed.

**REASON.code** (reply code, or reply code and enhanced status code; default: our own)
: The code, such as `550` or `550 5.1.1`; both have the class of the reason.

**REASON.text** (text, at most 400 octets; default: our own)
: One line of UTF-8 without control characters.
"""

TAIL = """\
## FILES

`/etc/codomain/codomain.ini`, `/etc/codomain/conf.d/*.ini`, `contrib/codomain.ini` (an example)

## DIAGNOSTICS

`codomain check` says faults and warnings as `FILE:LINE: [section] key: what is wrong; what
to write instead`.

## SEE ALSO

postconf(5), SMTPD_POLICY_README, socketmap_table(5), systemd.exec(5)
"""

EXAMPLE_HEAD = """\
; codomain.ini -- an example, with every key and its default; codomain.ini(5) says more.
; A key without # is set; what has a # in front is not, and its default holds.
"""


OWN_SPACE = """\
; The organisation's own space, which [policy default] names.
#[domain corp.example.com]
#type = authoritative
"""


MAILBOX_SYSTEM = """\
; The system of the mailboxes, which [domain example.com] names.
#[connector exchange]
#smart_hosts = [192.0.2.20]
"""


def sentences(section: type[Any]) -> dict[str, str]:
    """Return the sentence that stands below each field of a section, on one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(section)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, below in itertools.pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def man_page() -> str:
    """Return codomain.ini(5)."""
    parts = [HEAD, "## SECTIONS\n"]
    for kind, section in SINGLE.items():
        parts.append(_man_section(f"[{kind}]", section))
    for kind, section in NAMED.items():
        parts.append(_man_section(f"[{kind} NAME]", section))
    parts.append(REPLIES_TEXT + "\n" + "\n".join(_reasons()) + "\n")
    parts.append(TAIL)
    return "\n".join(parts)


def example() -> str:
    """Return the commented example; as it stands it sets nothing."""
    parts = [EXAMPLE_HEAD]
    for kind, section in SINGLE.items():
        parts.append("\n".join([f"[{kind}]", *_example_keys(section)]) + "\n")
    for kind, section in NAMED.items():
        header = f"#[{kind} {SAMPLE_NAMES[kind]}]"
        parts.append("\n".join([header, *_example_keys(section)]) + "\n")
        if kind == "domain":
            parts.append(OWN_SPACE)
        if kind == "connector":
            parts.append(MAILBOX_SYSTEM)
    parts.append(
        f"[{REPLIES}]\n; What the client reads: REASON.code and REASON.text.\n"
        "#unknown.code = 550 5.1.1\n#unknown.text = User unknown\n"
    )
    return "\n".join(parts)


def _man_section(header: str, section: type[Any]) -> str:
    said = sentences(section)
    lines = [f"### {header}", "", inspect.getdoc(section) or "", ""]
    for key, spec in keys_of(section).items():
        only = f"`type = {spec.only}` only; " if spec.only else ""
        lines += [f"**{key}** ({only}{spec.kind.name}; {_default(spec)})", f": {said[key]}", ""]
    return "\n".join(lines)


def _default(spec: Spec[Any]) -> str:
    written = f"`{spec.written}`" if spec.written else "empty"
    if spec.otherwise:
        other = f"`{spec.otherwise}`" if spec.otherwise.startswith("<") else spec.otherwise
        return f"default: {other}" + (f"; else {written}" if spec.written else "")
    return f"default: {written}"


def _reasons() -> Iterator[str]:
    temporary = {reason.value for reason in TEMPORARY}
    for reason in REASONS:
        yield f"- `{reason}`: {'temporary' if reason in temporary else 'permanent'}"


def _example_keys(section: type[Any]) -> Iterator[str]:
    said = sentences(section)
    for key, spec in keys_of(section).items():
        text = f"{said[key]} ({spec.kind.name}; {_default(spec)})"
        yield ""
        if spec.only:
            text = f"With type = {spec.only}: {text}"
        yield from textwrap.wrap(
            text.replace("`", ""), WIDTH, initial_indent="; ", subsequent_indent=";   "
        )
        yield f"#{key} = {spec.example or spec.written}".rstrip()


def main(arguments: list[str] | None = None) -> int:
    """Write both files, or tell which has drifted; return the exit status."""
    parser = argparse.ArgumentParser(prog="codomain_cli.reference", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files")
    parser.add_argument("--project", type=Path, default=PROJECT, help="the source tree")
    chosen = parser.parse_args(arguments)
    drifted = 0
    for path, text in ((MAN_PAGE, man_page()), (EXAMPLE, example())):
        target = chosen.project / path
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        drifted += 1
        if chosen.write:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path}: written\n")
        else:
            sys.stdout.write(f"{path}: differs from the declarations; run with --write\n")
    return int(drifted > 0 and not chosen.write)


if __name__ == "__main__":
    sys.exit(main())
