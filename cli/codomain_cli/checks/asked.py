"""Where Postfix asks codomain: the policy server, the maps and the milter, in its own files.

In flow the values of main.cf and master.cf; out flow what they name, compared with where
codomain listens.  The forms are those of SMTPD_POLICY_README, socketmap_table(5) and
MILTER_README.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain_cli.checks.instance import items

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codomain.config import Config, Endpoint
    from codomain_cli.checks.instance import Instance

DEPTH = 5
"""Restriction classes within classes that are followed."""

OURS = re.compile(r"(?:^|[\s,{])socketmap:((?:unix|inet):\S*?):([a-z-]+)(?=$|[\s,}])")
"""A map in a list: where it is asked, and its name."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One element of a list of restrictions."""

    name: str
    """The restriction."""

    argument: str = ""
    """What it is about, for those that take one; without its braces."""

    options: Mapping[str, str] = field(default_factory=dict)
    """``timeout`` and the like, and what stands in inner braces (``default_action``)."""

    bare: frozenset[str] = frozenset()
    """The options that stand in no braces of their own and hold blanks."""


def is_ours(endpoints: tuple[Endpoint, ...], written: str, queue: str) -> bool:
    """Tell whether an address in main.cf is one where codomain listens.

    ``written`` is ``unix:PATH``, relative to the queue directory, or ``inet:HOST:PORT``.
    """
    kind, _, rest = written.partition(":")
    if kind in {"unix", "local"}:
        path = rest if rest.startswith("/") else f"{queue}/{rest}"
        return any(e.kind == "unix" and path in _paths(e.path, queue) for e in endpoints)
    port = rest.rpartition(":")[2]
    return any(e.kind == "inet" and f"{e.port}" == port for e in endpoints)


def _paths(path: str, queue: str) -> set[str]:
    """Return how a socket below the queue directory may be written, chrooted or not."""
    return {path, *([path.removeprefix(queue)] if path.startswith(f"{queue}/") else ())}


def restrictions(instance: Instance, name: str, service: str = "") -> list[Asked]:
    """Return the restrictions of a list, classes opened, in their order."""
    return list(_opened(instance, instance.value(name, service), DEPTH))


def _opened(instance: Instance, text: str, depth: int) -> Iterator[Asked]:
    classes = instance.items("smtpd_restriction_classes")
    words = iter(items(text))
    for word in words:
        if word in classes and depth:
            yield from _opened(instance, instance.value(word), depth - 1)
        elif word == "check_policy_service":
            yield _policy(next(words, ""))
        elif re.fullmatch(r"check_\w+_access", word):
            yield Asked(word, next(words, ""))
        else:
            yield Asked(word)


def _policy(text: str) -> Asked:
    if not text.startswith("{"):
        return Asked("check_policy_service", text)
    inner = items(text[1:-1])
    options, bare = {}, set()
    for index, item in enumerate(inner[1:], 1):
        name, equals, value = item.strip("{}").partition("=")
        if equals:
            options[name.strip()] = value.strip()
            rest = inner[index + 1] if index + 1 < len(inner) else "="
            if not item.startswith("{") and "=" not in rest:
                bare.add(name.strip())
    return Asked("check_policy_service", inner[0] if inner else "", options, frozenset(bare))


def asks_us(config: Config, instance: Instance, asked: Asked) -> bool:
    """Tell whether a restriction asks codomain."""
    if asked.name == "check_policy_service":
        return is_ours(config.policyd.listen, asked.argument, instance.queue)
    if asked.name == "check_recipient_access":
        return "access" in our_maps(config, instance, asked.argument)
    return False


def our_maps(config: Config, instance: Instance, text: str) -> list[str]:
    """Return the names of the maps of ours in a list."""
    return [
        name
        for where, name in OURS.findall(text)
        if is_ours(config.policyd.socketmap_listen, where, instance.queue)
    ]


def maps_named(text: str) -> list[str]:
    """Return the names of all maps by socketmap in a list, wherever they are asked."""
    return [name for _, name in OURS.findall(text)]


def milters(instance: Instance, service: str = "") -> list[str]:
    """Return the milters of a service in their order, with their options."""
    return instance.items("smtpd_milters", service)


def our_milter(config: Config, instance: Instance, service: str = "") -> str:
    """Return our milter as it is written; empty: it is not there."""
    if config.milter.listen is None:
        return ""
    for written in milters(instance, service):
        where = next(iter(items(written.strip("{} "))), "")
        if is_ours((config.milter.listen,), where, instance.queue):
            return written
    return ""


def is_joined(config: Config, instance: Instance) -> bool:
    """Tell whether anything in main.cf or master.cf speaks of codomain at all."""
    texts = [*instance.written.values(), *instance.written]
    if any("codomain" in text for text in texts) or our_milter(config, instance):
        return True
    return any(
        asks_us(config, instance, asked) for name in LISTS for asked in restrictions(instance, name)
    )


LISTS = (
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
)
"""The lists that smtpd goes through at RCPT, in their order but for the last two."""
