"""The lines of master.cf that put codomain into Postfix: services and their options.

In flow the services that are there, as ``postconf -M`` shows them (master(5)); out flow
those that are new or changed, whole, so that each can take the place of the one of the
same name.  A second trivial-rewrite without transport maps resolves addresses for smtpd,
which remembers failures for its life; and services with restrictions of their own get the
check into them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codomain_cli.mainlines import CHECK, ROUTING, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REWRITE = "codomain-rewrite"
"""The trivial-rewrite of smtpd."""

CLEANUP = "codomain-cleanup"
"""The cleanup of what passes no milter."""

LOCAL = frozenset({"pickup", "qmqpd"})
"""Programs that take mail otherwise than by SMTP (postfix(1))."""

SUBMISSION = frozenset({"submission", "submissions", "smtps", "587", "465"})
"""Services for a site's own users (RFC 6409, RFC 8314), by name, port or syslog_name."""

USERS = "permit_sasl_authenticated,reject"
"""Who may submit; what the stock master.cf says."""

_ENTRY = re.compile(r"(\S+)\s+(\S+)\s+((?:\S+\s+){5})(\S+)(?:\s+(.*))?")


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of master.cf."""

    name: str
    """What it listens on, such as ``smtp`` or ``127.0.0.1:10025``."""

    type: str
    """inet, unix, pass, …"""

    fields: tuple[str, ...]
    """private, unpriv, chroot, wakeup, maxproc."""

    command: str
    """The program."""

    options: tuple[str, ...] = ()
    """Its arguments, ``-o`` together with its value."""

    @property
    def key(self) -> str:
        """Name and type, as postconf(1) wants them."""
        return f"{self.name}/{self.type}"

    @property
    def chroot(self) -> str:
        """The field that says whether it runs in the queue directory."""
        return self.fields[2]

    def option(self, name: str) -> str | None:
        """Return the value of the last ``-o name=value``, None where there is none."""
        found = [value for n, value in map(_pair, self.options) if n == name]
        return found[-1] if found else None

    def with_option(self, name: str, value: str) -> Service:
        """Return it with ``-o name=value`` in place of those of that name."""
        blank = any(character.isspace() for character in value)
        written = f"-o {{ {name} = {value} }}" if blank else f"-o {name}={value}"
        kept = tuple(option for option in self.options if _pair(option)[0] != name)
        return replace(self, options=(*kept, written))

    def line(self) -> str:
        """Return it on one line."""
        return " ".join([self.name, self.type, *self.fields, self.command, *self.options])

    def lines(self) -> list[str]:
        """Return it as a postmaster writes it, an option on each line."""
        first = f"{self.name:<9} {self.type:<5} {'  '.join(f'{f:<5}' for f in self.fields)}"
        return [f"{first} {self.command}", *(f"  {option}" for option in self.options)]


def parse(lines: Iterable[str]) -> list[Service]:
    """Read the output of ``postconf -M``, a service on each line."""
    matches = filter(None, (_ENTRY.fullmatch(line.strip()) for line in lines))
    return [
        Service(m[1], m[2], tuple(m[3].split()), m[4], tuple(_arguments(m[5] or "")))
        for m in matches
    ]


def services(present: Iterable[Service], shape: Shape) -> list[Service]:
    """Return the services that are new or changed, given those that are there."""
    there = list(present)
    return [
        *_rewrite(there, shape),
        *_local(there, shape),
        *(
            changed
            for service in there
            if service.command == "smtpd"
            for changed in [_smtpd(service, shape)]
            if changed != service
        ),
    ]


def is_submission(service: Service) -> bool:
    """Tell whether a service is for the site's own users."""
    names = {
        service.name.rpartition(":")[2],
        (service.option("syslog_name") or "").rpartition("/")[2],
    }
    return bool(names & SUBMISSION) or service.option("smtpd_sasl_auth_enable") == "yes"


def _rewrite(there: list[Service], shape: Shape) -> Iterator[Service]:
    if shape not in ROUTING:
        return
    chroot = next((s.chroot for s in there if s.key == "rewrite/unix"), "y")
    wanted = Service(
        REWRITE, "unix", ("-", "-", chroot, "-", "-"), "trivial-rewrite", ("-o transport_maps=",)
    )
    if wanted not in there:
        yield wanted


def _local(there: list[Service], shape: Shape) -> Iterator[Service]:
    """Give what local programs submit, which passes no milter, a cleanup that rewrites."""
    if shape != "milter":
        return
    chroot = next((s.chroot for s in there if s.key == "cleanup/unix"), "y")
    wanted = Service(
        CLEANUP,
        "unix",
        ("n", "-", chroot, "-", "0"),
        "cleanup",
        ("-o virtual_alias_maps=${codomain_map}:alias",),
    )
    if wanted not in there:
        yield wanted
    for service in there:
        if service.command in LOCAL and service.option("cleanup_service_name") != CLEANUP:
            yield service.with_option("cleanup_service_name", CLEANUP)


def _smtpd(service: Service, shape: Shape) -> Service:
    if shape in ROUTING and service.option("rewrite_service_name") != REWRITE:
        service = service.with_option("rewrite_service_name", REWRITE)
    if shape in {"milter", "judge"} or not is_submission(service):
        # The milter is asked in all of them. Others with restrictions of their own take mail
        # back from a content filter.
        return service
    name = "smtpd_recipient_restrictions" if shape == "filter" else "smtpd_relay_restrictions"
    value = service.option(name)
    if value is None or CHECK in value:
        return service  # what main.cf says holds, or it is there
    return service.with_option(name, f"{CHECK},{value.strip() or USERS}")


def _pair(option: str) -> tuple[str, str]:
    """Return name and value of ``-o name=value`` or ``-o { name = value }``."""
    if not option.startswith("-o"):
        return "", ""
    text = option[2:].strip()
    if text.startswith("{"):
        text = text[1:-1]
    name, _, value = text.partition("=")
    return name.strip(), value.strip()


def _arguments(text: str) -> Iterator[str]:
    words = _words(text)
    for word in words:
        yield f"-o {next(words, '')}" if word == "-o" else word


def _words(text: str) -> Iterator[str]:
    """Split at blanks, but not within braces (master(5): ``{ name = value }``)."""
    depth, word = 0, ""
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character.isspace() and depth <= 0:
            if word:
                yield word
            word = ""
        else:
            word += character
    if word:
        yield word
