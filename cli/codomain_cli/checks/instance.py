"""One Postfix, as its files and postconf(1) show it: what is in force, and where it stands.

In flows the folder of a main.cf; out flow the parameters, expanded, the services of
master.cf with what each overrides, and the file and line of all of them.  Nothing is
changed and no program but postconf is run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.errors import ConfigError
from codomain_cli.maincf import SBIN, SECONDS, parse
from codomain_cli.masterlines import parse as services_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codomain_cli.masterlines import Service

_SEPARATORS = re.compile(r"[,\s]")


@dataclass(frozen=True, slots=True)
class Text:
    """A file of Postfix: logical lines, each with the number of its first one."""

    path: str = ""
    """The file."""

    lines: tuple[tuple[int, str], ...] = ()
    """Number and text; what an indented line goes on with is joined (postconf(5))."""

    def line_of(self, pattern: str) -> int:
        """Return the last logical line that a pattern matches at its start; 0: none."""
        found = [number for number, text in self.lines if re.match(pattern, text)]
        return found[-1] if found else 0


@dataclass(frozen=True, slots=True)
class Instance:
    """What is in force."""

    values: Mapping[str, str] = field(default_factory=dict)
    """Every parameter, expanded."""

    written: Mapping[str, str] = field(default_factory=dict)
    """Those that main.cf sets, as they are written there."""

    services: Sequence[Service] = ()
    """master.cf."""

    overrides: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By service (``smtp/inet``) and parameter: what master.cf sets, expanded."""

    main: Text = field(default_factory=Text)
    """main.cf."""

    master: Text = field(default_factory=Text)
    """master.cf."""

    def value(self, name: str, service: str = "") -> str:
        """Return a parameter as a service sees it, or as main.cf has it."""
        overridden = self.overrides.get(service, {}).get(name)
        return self.values.get(name, "") if overridden is None else overridden

    def items(self, name: str, service: str = "") -> list[str]:
        """Return a list that a parameter holds."""
        return items(self.value(name, service))

    def at(self, name: str, service: str = "") -> tuple[str, int]:
        """Return where a parameter stands: its file, and the line (0: it is a default)."""
        if service and name in self.overrides.get(service, {}):
            start = self.service_line(service)
            return self.master.path, _option_line(self.master.path, start, name)
        return self.main.path, self.main.line_of(rf"{re.escape(name)}\s*=")

    def service_line(self, service: str) -> int:
        """Return the line at which a service's entry begins."""
        name, _, kind = service.rpartition("/")
        return self.master.line_of(rf"{re.escape(name)}\s+{kind}\s")

    @property
    def queue(self) -> str:
        """The queue directory, which is the root of a chrooted service."""
        return self.value("queue_directory")

    @property
    def listening(self) -> list[Service]:
        """The services that take mail by SMTP."""
        return [service for service in self.services if service.command == "smtpd"]


def read(where: str) -> Instance | None:
    """Read the Postfix of a folder, or the system's (``auto``); None: there is none.

    Raises:
        ConfigError: postconf is there and fails.

    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])
    postconf = shutil.which("postconf", path=path)
    if where == "off" or postconf is None:
        return None
    command = [postconf] if where == "auto" else [postconf, "-c", where]
    values = parse(_run([*command, "-x"], where) or ())
    if not values:
        return None
    folder = Path(values["config_directory"] if where == "auto" else where)
    return Instance(
        values=values,
        written=parse(_run([*command, "-n"], where) or ()),
        services=services_of(_run([*command, "-M"], where) or ()),
        overrides=_overrides(_run([*command, "-xP"], where) or []),
        main=text_of(folder / "main.cf"),
        master=text_of(folder / "master.cf"),
    )


def text_of(path: Path) -> Text:
    """Read a file's logical lines; none where it cannot be read."""
    try:
        raw = path.read_text(errors="replace").split("\n")
    except OSError:
        return Text(str(path))
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(raw, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and lines:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {line.strip()}")
        else:
            lines.append((number, line.rstrip()))
    return Text(str(path), tuple(lines))


def items(text: str) -> list[str]:
    """Split a list at blanks and commas, but not within braces (postconf(5))."""
    found, word, depth = [], "", 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth <= 0 and _SEPARATORS.match(character):
            found.append(word)
            word = ""
        else:
            word += character
    return [one for one in (*found, word) if one]


def seconds(text: str, unit: str = "s") -> float | None:
    """Read a time of Postfix's (postconf(5)); None: it is none."""
    match = re.fullmatch(r"\s*([0-9]+)\s*([smhdw]?)\s*", text)
    if match is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    return int(match[1]) * units[match[2] or unit]


def _run(command: list[str], where: str) -> list[str] | None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError([f"main.cf: postconf ({where}): {error}"]) from error
    if done.returncode == 0:
        return done.stdout.splitlines()
    fatal = [line for line in done.stderr.splitlines() if "fatal:" in line]
    if where == "auto" and any("No such file" in line for line in fatal):
        return None
    raise ConfigError([f"main.cf: postconf ({where}): {(fatal or ['it fails'])[-1]}"])


def _overrides(lines: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, value in parse(lines).items():
        service, _, parameter = name.rpartition("/")
        found.setdefault(service, {})[parameter] = value
    return found


def _option_line(path: str, start: int, name: str) -> int:
    """Return the line of ``-o name=`` in the entry that begins at a line."""
    try:
        lines = Path(path).read_text(errors="replace").split("\n")
    except OSError:
        return start
    for number, line in enumerate(lines[start - 1 :], start):
        bare = line.strip()
        if number > start and bare and not line[0].isspace() and not bare.startswith("#"):
            break
        if not bare.startswith("#") and re.search(rf"-o\s*(\{{\s*)?{name}\s*=", line):
            return number
    return start
