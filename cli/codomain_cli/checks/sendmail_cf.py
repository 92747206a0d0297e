"""sendmail.cf: whether Sendmail asks codomain, and what takes mail past it.

In flows the text of a .cf, as m4 made it (op.me; cf/README says which macro makes which
line); out flow findings, each with the line of sendmail.mc that mends it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.address import fold_domain
from codomain_cli.checks.findings import Finding, Severity
from codomain_cli.checks.instance import Text, seconds, text_of
from codomain_cli.mainlines import LEAST_TIMEOUT, is_here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config, Endpoint

DEFAULT = Path("/etc/mail/sendmail.cf")
"""Where Sendmail's configuration is."""

MAPS = {"mxserved": "<TEMP>", "route": "<TMPF>"}
"""Our maps, and the words that mark a temporary answer in them."""

_FILTER = re.compile(r"X(?P<name>[^,]+),(?P<rest>.*)")
_LOCAL = re.compile(r"Kvirtuser\s+\w+\s+(?:-\S+\s+)*(?P<path>/\S+)")


@dataclass(frozen=True, slots=True)
class Cf:
    """One sendmail.cf."""

    text: Text
    """Its lines."""

    def all(self, pattern: str) -> list[tuple[int, re.Match[str]]]:
        """Return the lines that a pattern matches at their start."""
        return [(n, m) for n, line in self.text.lines if (m := re.match(pattern, line))]

    def members(self, letter: str) -> Iterator[tuple[str, str, int]]:
        """Give the names in a class, with the file and line where each stands."""
        braced = rf"(?:{letter}|\{{{letter}\}})"
        for number, match in self.all(rf"C{braced}\s*(.*)"):
            for word in match[1].split():
                yield word, self.text.path, number
        for _, match in self.all(rf"F{braced}(?:-o)?\s*(/\S+)"):
            for number, line in text_of(Path(match[1])).lines:
                yield line.strip(), match[1], number


def read(path: Path) -> Cf | None:
    """Read a sendmail.cf; None: it cannot be read."""
    try:
        path.read_bytes()
    except OSError:
        return None
    return Cf(text_of(path))


def ports(cf: Cf) -> set[int]:
    """Return the ports on which this Sendmail takes mail (op.me, DaemonPortOptions)."""
    found = set()
    for _, match in cf.all(r"O\s*DaemonPortOptions\s*=(.*)"):
        port = re.search(r"\bP(?:ort)?=(\w+)", match[1])
        name = port[1] if port else "smtp"
        found.add({"smtp": 25, "submission": 587}.get(name) or int(name) * name.isdigit())
    return found or {25}


def is_joined(cf: Cf) -> bool:
    """Tell whether anything in it speaks of codomain at all: a filter, a mailer, a map."""
    maps = "|".join(MAPS)
    return any(
        "codomain" in line.lower() or re.match(rf"K(?:{maps})\s+socket\s", line)
        for _, line in cf.text.lines
    )


def findings(config: Config, cf: Cf) -> Iterator[Finding]:
    """Return everything that is wrong."""
    yield from _relaying(config, cf)
    yield from _bypasses(config, cf)
    yield from _filter(config, cf)
    if config.policyd.socketmap_listen:
        yield from _maps(config, cf)
        yield from _local(config, cf)


def _found(  # noqa: PLR0913, PLR0917 - a finding has so many parts
    kind: str, severity: Severity, what: str, remedy: str, file: str, line: int, key: str = ""
) -> Finding:
    return Finding(f"sendmail.{kind}", severity, what, remedy, file, line, "", key)


def _relaying(config: Config, cf: Cf) -> Iterator[Finding]:
    if not any("Relaying denied" in text for _, text in cf.text.lines):
        at = next((n for n, line in _raw(cf) if "promiscuous_relay.m4" in line), 0)
        yield _found(
            "promiscuous_relay",
            Severity.ERROR,
            "strangers may relay through this host to anywhere, and it will be on every black list",
            "dnl FEATURE(`promiscuous_relay')",
            cf.text.path,
            at or cf.text.line_of(r"SLocal_check_rcpt"),
        )
    ours = {domain.name for domain in config.domains}
    for word, file, line in cf.members("R"):
        if fold_domain(word) in ours:
            yield _found(
                "class_r",
                Severity.WARNING,
                f"{word} is in class R: strangers may relay to everything below it, and clients"
                " whose verified name lies in it may relay anywhere",
                f"dnl RELAY_DOMAIN(`{word}')",
                file,
                line,
                word,
            )
    for number, match in cf.all(r"R\$\+ < @ \$\* \$=m >\s+\$@ RELAY"):
        yield _found(
            "relay_entire_domain",
            Severity.WARNING,
            "clients whose name lies in this host's own domain may relay anywhere",
            "dnl FEATURE(`relay_entire_domain')",
            cf.text.path,
            number,
            match[0].split("\t")[0],
        )


def _raw(cf: Cf) -> list[tuple[int, str]]:
    try:
        lines = Path(cf.text.path).read_text(errors="replace").split("\n")
    except OSError:
        return []
    return list(enumerate(lines, 1))


def _bypasses(config: Config, cf: Cf) -> Iterator[Finding]:
    for number, match in cf.all(r"DL(\S.*)"):
        yield _found(
            "luser_relay",
            Severity.WARNING,
            f"mail for unknown people of this host goes to {match[1]}, and codomain's refusal of"
            " them is not asked for",
            "dnl define(`LUSER_RELAY', …)",
            cf.text.path,
            number,
            "LUSER_RELAY",
        )
    ours = {domain.name for domain in config.domains}
    for _, match in cf.all(_LOCAL.pattern):
        for number, line in text_of(Path(match["path"])).lines:
            key = line.split()[0]
            if key.startswith("@") and fold_domain(key[1:]) in ours:
                yield _found(
                    "virtusertable",
                    Severity.WARNING,
                    f"all mail for {key[1:]} is led elsewhere, unknown people's too, and nothing"
                    " reaches the other system",
                    f"remove the entry of {key}, and run makemap",
                    match["path"],
                    number,
                    key,
                )


def _filter(config: Config, cf: Cf) -> Iterator[Finding]:
    if config.milter.listen is None:
        return
    where = re.escape(_written(config.milter.listen))
    found = [
        (number, match["name"].strip(), match["rest"])
        for number, match in cf.all(_FILTER.pattern)
        if re.search(rf"\bS={where}(?=\s*(,|$))", match["rest"])
    ]
    remedy = "codomain sendmail prints the INPUT_MAIL_FILTER line"
    if not found:
        yield _found(
            "filter_missing",
            Severity.ERROR,
            f"no filter at {_written(config.milter.listen)}: Sendmail takes mail for people whom"
            " nobody knows, and returns it later to senders who may be forged",
            remedy,
            cf.text.path,
            cf.text.line_of(r"X"),
            "InputMailFilters",
        )
        return
    number, name, rest = found[0]
    listed = cf.all(r"O\s*InputMailFilters\s*=(.*)")
    names = re.split(r"[\s,;]+", listed[-1][1][1].strip()) if listed else []
    if name not in names:
        yield _found(
            "filter_unlisted",
            Severity.ERROR,
            f"the filter {name} is not in InputMailFilters, and nobody asks it: unknown people's"
            " mail is taken, and returned later",
            remedy,
            cf.text.path,
            listed[-1][0] if listed else number,
            "InputMailFilters",
        )
    elif names[-1] != name:
        yield _found(
            "filter_not_last",
            Severity.WARNING,
            f"{names[-1]} stands behind codomain: when it refuses a recipient, codomain is not"
            " told, and a contact's target gets the mail all the same",
            f"define(`confINPUT_MAIL_FILTERS', `{','.join([*names[:-1], name])}')",
            cf.text.path,
            listed[-1][0],
            "InputMailFilters",
        )
    yield from _flags(config, cf, number, rest)


def _flags(config: Config, cf: Cf, number: int, rest: str) -> Iterator[Finding]:
    flag = re.search(r"\bF=(\w?)", rest)
    if flag is None or flag[1] != "T":
        said = {"R": "all mail is refused for good (554)"}.get(
            flag[1] if flag else "", "all mail passes unjudged"
        )
        yield _found(
            "filter_flag",
            Severity.ERROR,
            f"while codomain does not run {said}, because the filter has no F=T",
            "F=T in its INPUT_MAIL_FILTER line",
            cf.text.path,
            number,
            "F",
        )
    times = dict(re.findall(r"\b([CSRE]):([0-9]+[smhdw]?)", rest))
    wait = seconds(times.get("R", "10s"))  # op.me: the default of R is 10 s
    if wait is not None and wait < 2 * config.milter.deadline:
        least = max(LEAST_TIMEOUT, round(2 * config.milter.deadline))
        yield _found(
            "filter_timeout",
            Severity.WARNING,
            f"Sendmail waits for {wait:g} s at RCPT, and codomain answers within"
            f" {config.milter.deadline:g} s: a little more, and the filter is out for the message",
            f"T=…R:{least}s in its INPUT_MAIL_FILTER line",
            cf.text.path,
            number,
            "T",
        )


def _maps(config: Config, cf: Cf) -> Iterator[Finding]:
    places = [_written(endpoint) for endpoint in config.policyd.socketmap_listen]
    what = {
        "mxserved": "strangers' mail for domains on other systems is refused as relaying",
        "route": "mail goes by MX or to local mailboxes, and not to the system that has them",
    }
    for name, mark in MAPS.items():
        lines = cf.all(rf"K{name}\s+socket\s+(.*)")
        remedy = f"Kmap lines of codomain sendmail: K{name} socket -T{mark} `{places[0]}'"
        used = any(re.search(rf"\$\({name} ", text) for _, text in cf.text.lines)
        if not lines or not used:
            yield _found(
                f"map_{name}",
                Severity.ERROR,
                f"the map {name} is not asked: {what[name]}",
                remedy,
                cf.text.path,
                lines[0][0] if lines else 0,
                name,
            )
            continue
        number, match = lines[-1]
        if match[1].split()[-1].strip("`'") not in places:
            yield _found(
                f"map_{name}",
                Severity.ERROR,
                f"the map {name} is asked where codomain does not listen: recipients are refused"
                " for now",
                remedy,
                cf.text.path,
                number,
                name,
            )
        if f"-T{mark}" not in match[1]:
            yield _found(
                "map_temporary",
                Severity.ERROR,
                f"the map {name} has no -T{mark}: while a directory is down its answer counts as"
                " not found, and mail is refused for good",
                remedy,
                cf.text.path,
                number,
                name,
            )


def _local(config: Config, cf: Cf) -> Iterator[Finding]:
    away = {domain.name for domain in config.domains if not is_here(domain)}
    for word, file, line in cf.members("w"):
        if fold_domain(word) in away:
            yield _found(
                "class_w",
                Severity.WARNING,
                f"{word} is in class w, as if its mailboxes were on this host: what the maps do not"
                " lead elsewhere is given to local accounts",
                f"take {word} out of class w",
                file,
                line,
                word,
            )


def _written(endpoint: Endpoint) -> str:
    """Write a listener as Sendmail does: ``local:PATH``, ``inet:PORT@HOST``."""
    if endpoint.kind == "unix":
        return f"local:{endpoint.path}"
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(endpoint.host, endpoint.host)  # noqa: S104
    return f"{'inet6' if ':' in host else 'inet'}:{endpoint.port}@{host}"
