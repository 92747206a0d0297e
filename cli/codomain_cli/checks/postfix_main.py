"""main.cf beside the decision: what takes mail past it, or answers in its place.

In flow the configuration and one Postfix; out flow findings.  Each says what Postfix does,
by postconf(5) and ADDRESS_CLASS_README; tests/integration/check shows it on a real one.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.address import fold_domain
from codomain.rules import rules_from
from codomain.settings.names import parents
from codomain_cli.checks.asked import maps_named, our_maps, our_milter
from codomain_cli.checks.findings import Finding, Severity
from codomain_cli.checks.instance import seconds, text_of
from codomain_cli.mainlines import ERRORS, is_here, shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config
    from codomain_cli.checks.instance import Instance
    from codomain_cli.mainlines import Shape

LOCAL_BYPASSES = (
    "luser_relay",
    "fallback_transport",
    "fallback_transport_maps",
    "mailbox_transport",
    "mailbox_transport_maps",
)
"""What local(8) does with mail in place of a mailbox, or with that of unknown users."""

COPIES = ("always_bcc", "recipient_bcc_maps", "sender_bcc_maps")
"""Who gets a copy of messages."""

TABLE_TYPES = ("hash", "btree", "lmdb", "cdb", "texthash", "dbm", "sdbm")
"""Tables whose source is a text file of the same name (postmap(1))."""

TABLE_OCTETS = 10_000_000
"""A larger table is not read; one line is about forty octets."""


def findings(config: Config, instance: Instance) -> Iterator[Finding]:
    """Return everything that main.cf does beside the decision."""
    kind = shape_of(config, instance)
    yield from _bypasses(config, instance, kind)
    yield from _catch_alls(config, instance)
    yield from _unset(config, instance)
    yield from _parents(config, instance, kind)
    yield from _rewriting(instance)
    yield from _origin(config, instance)
    yield from _missing_maps(config, instance, kind)
    if kind == "filter" or (kind == "maps" and _diverts(config)):
        yield from _beside_filter(instance)


def shape_of(config: Config, instance: Instance) -> Shape:
    """Return how this Postfix is joined to codomain."""
    judged = bool(our_milter(config, instance)) and config.policyd.redirect != "filter"
    return shape(config, milter=judged)


def found(  # noqa: PLR0913 - a finding has so many parts
    instance: Instance,
    name: str,
    severity: Severity,
    what: str,
    remedy: str,
    *,
    service: str = "",
    kind: str = "",
) -> Finding:
    """Return a finding about a parameter, with its place."""
    file, line = instance.at(name, service)
    return Finding(kind or f"postfix.{name}", severity, what, remedy, file, line, "", name)


def _bypasses(config: Config, instance: Instance, kind: Shape) -> Iterator[Finding]:
    for name in LOCAL_BYPASSES:
        if instance.value(name):
            yield found(
                instance,
                name,
                Severity.WARNING,
                f"local(8) gives mail to {instance.value(name)}, also for people whom nobody"
                " knows, and codomain is not asked about that",
                f"{name} =",
            )
    relayhost = instance.value("relayhost")
    if not relayhost:
        return
    loose = [domain.name for domain in config.domains if domain.fallback == "mx"]
    if loose or kind in {"check", "judge"}:
        yield found(
            instance,
            "relayhost",
            Severity.WARNING,
            f"what no connector takes of {', '.join(loose) or 'your domains'} goes to {relayhost},"
            " which may send it back",
            "relayhost =",
        )
    else:
        yield found(
            instance,
            "relayhost",
            Severity.ADVICE,
            f"mail for contacts in foreign domains goes to {relayhost}, and so would mail of your"
            " own domains whenever a map has no next hop for it",
            "relayhost =",
        )


def _catch_alls(config: Config, instance: Instance) -> Iterator[Finding]:
    ours = {domain.name: domain.subdomains for domain in config.domains}
    for word in instance.items("virtual_alias_maps"):
        table, _, path = word.partition(":")
        if table not in TABLE_TYPES or not path.startswith("/"):
            continue
        for number, key in _keys(path):
            domain = fold_domain(key[1:]) if key.startswith("@") else ""
            if domain and (domain in ours or any(ours.get(p) for p in parents(domain))):
                yield Finding(
                    "postfix.virtual_alias_maps.catch_all",
                    Severity.WARNING,
                    f"all mail for {domain} is led elsewhere, unknown people's too, and nothing"
                    " reaches the other system",
                    f"remove the entry of {key}; a catch_all belongs into [domain {domain}]",
                    path,
                    number,
                    "",
                    key,
                )


def _keys(path: str) -> Iterator[tuple[int, str]]:
    for name in glob.glob(glob.escape(path)):  # noqa: PTH207 - none where it is not there
        try:
            with open(name, errors="replace") as lines:  # noqa: PTH123
                text = lines.read(TABLE_OCTETS)
        except OSError:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip() and line[0] not in "# \t":
                yield number, line.split()[0]


def _unset(config: Config, instance: Instance) -> Iterator[Finding]:
    aliases = our_maps(config, instance, instance.value("virtual_alias_maps"))
    if aliases and "virtual_alias_domains" not in instance.written:
        yield found(
            instance,
            "virtual_alias_domains",
            Severity.WARNING,
            "Postfix asks the map of aliases for each domain, too, at each recipient, and takes"
            " a domain that it finds for one that consists of aliases",
            "virtual_alias_domains =",
        )
    domains = our_maps(config, instance, instance.value("relay_domains"))
    if domains and "fast_flush_domains" not in instance.written:
        yield found(
            instance,
            "fast_flush_domains",
            Severity.ADVICE,
            "its default is relay_domains: for every deferred message the map is asked, and a"
            " log is kept for each domain",
            "fast_flush_domains =",
        )


def _parents(config: Config, instance: Instance, kind: Shape) -> Iterator[Finding]:
    name = "parent_domain_matches_subdomains"
    if "relay_domains" not in instance.items(name):
        return
    plain = {fold_domain(item) for item in instance.items("relay_domains")}
    closed = [d.name for d in config.domains if d.name in plain and not d.subdomains]
    if closed and (kind != "filter" or name in instance.written):
        yield found(
            instance,
            name if name in instance.written else "relay_domains",
            Severity.WARNING,
            f"Postfix relays for everything below {', '.join(closed)}, too, although subdomains"
            " = no: what the check does not see is taken from strangers",
            f"{name} = debug_peer_list, smtpd_access_maps",
            kind=f"postfix.{name}",
        )


def _rewriting(instance: Instance) -> Iterator[Finding]:
    forms = {"allow_percent_hack": "user%site@domain", "swap_bangpath": "site!user"}
    for name, form in forms.items():
        if instance.written.get(name, "").strip() == "yes":
            yield found(
                instance,
                name,
                Severity.WARNING,
                f"{form} becomes user@site behind the check, which has judged another address",
                f"{name} = no",
            )


def _origin(config: Config, instance: Instance) -> Iterator[Finding]:
    origin = fold_domain(_read(instance.value("myorigin")))
    ours = {domain.name for domain in config.domains}
    if not origin or origin in ours or not ours:
        return  # empty: a file that cannot be read here
    local = origin in {fold_domain(item) for item in instance.items("mydestination")}
    best = next((d.name for d in config.domains if d.type == "authoritative"), min(ours))
    yield found(
        instance,
        "myorigin",
        Severity.ADVICE if local else Severity.WARNING,
        "mail for postmaster without a domain, which is never refused (RFC 5321), goes to"
        f" postmaster@{origin}, " + ("a mailbox of this host" if local else "which is nobody's"),
        f"myorigin = {best}",
    )


def _read(value: str) -> str:
    """Return a value, or the first line of the file that it names (postconf(5), myorigin)."""
    if not value.startswith("/"):
        return value
    lines = text_of(Path(value)).lines
    return lines[0][1] if lines else ""


_MAPS = {
    "relay_domains": ("domain", "mail for domains that are elsewhere is refused as relaying"),
    "relay_recipient_maps": ("recipient", "what nobody has is taken of local programs"),
    "virtual_alias_maps": ("alias", "mail for contacts goes to this domain's mailboxes"),
    "transport_maps": ("transport", "mail goes by MX, which may be this host"),
}


def _missing_maps(config: Config, instance: Instance, kind: Shape) -> Iterator[Finding]:
    if kind not in {"maps", "milter"}:
        return
    emptied = {"relay_recipient_maps", "virtual_alias_maps"}
    away = any(not is_here(domain) for domain in config.domains)
    for name, (of, what) in _MAPS.items():
        judged = kind == "milter" and name in emptied
        if judged or (name.startswith("relay_") and not away):
            continue
        if of not in maps_named(instance.value(name)):
            yield found(
                instance,
                name,
                Severity.ERROR,
                f"our map is not asked: {what}",
                f"{name} = ${{codomain_map}}:{of}",
            )
    if any(map(is_here, config.domains)):
        name = "virtual_mailbox_domains"
        if "mailbox-domain" not in maps_named(instance.value(name)):
            yield found(
                instance,
                name,
                Severity.ERROR,
                "our map is not asked: mail for domains of this host is refused as relaying",
                f"{name} = ${{codomain_map}}:mailbox-domain",
            )


def _beside_filter(instance: Instance) -> Iterator[Finding]:
    if instance.value("content_filter"):
        yield found(
            instance,
            "content_filter",
            Severity.WARNING,
            "what FILTER sends another way takes it in place of the content filter, and goes"
            " unscanned",
            "content_filter =",
        )
    for name in COPIES:
        if instance.value(name):
            yield found(
                instance,
                name,
                Severity.WARNING,
                "FILTER takes the copy along to the other system, and REDIRECT drops it",
                f"{name} =",
            )
    for name in ("smtpd_soft_error_limit", "smtpd_hard_error_limit"):
        limit = re.fullmatch(r"[0-9]+", instance.value(name))
        if limit is not None and int(limit[0]) < ERRORS:
            yield found(
                instance,
                name,
                Severity.WARNING,
                "each recipient that needs a message of its own gets 452, which counts as an"
                f" error: after {limit[0]} the client is slowed down or hung up on",
                f"{name} = {ERRORS}",
            )


def _diverts(config: Config) -> bool:
    """Tell whether a domain has two ways out, the second of which is set by FILTER."""
    connectors = rules_from(config, lambda _name: []).connectors
    spaces = {space for connector in config.connectors for space in connector.address_spaces}
    names = {name for s in spaces for name in (s.removeprefix("*."), s.replace("*.", "x.", 1))}
    return any(len(connectors.covering(name)) > 1 for name in names)


def too_short(text: str, deadline: float) -> bool:
    """Tell whether a time-out of Postfix is less than twice a deadline of ours."""
    timeout = seconds(text)
    return timeout is not None and timeout < 2 * deadline
