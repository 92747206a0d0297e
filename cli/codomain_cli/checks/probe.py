"""``--probe``: directories, next systems and names, as they answer now.

In flows the configuration; out flow findings, and what was found right.  Whatever does not
answer now has the id of :data:`SILENT`, and makes the exit status 75.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.address import fold_domain
from codomain.callout import atonce as callouts
from codomain.callout.host import QUEUE, host_from
from codomain.connectors import host_name, resolve_host
from codomain.errors import DirectoryError
from codomain.rules import rules_from
from codomain.settings.names import is_address
from codomain_cli.checks import mx
from codomain_cli.checks.connectors import found
from codomain_cli.checks.findings import Finding, Severity
from codomain_cli.checks.greeting import greet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config, ConnectorSection
    from codomain.directory.base import Directory
    from codomain_cli.checks.greeting import Greeted
    from codomain_cli.checks.hosts import ThisHost

SILENT = frozenset({"probe.directory", "probe.callout", "probe.smart_host", "probe.mx"})
"""What may be right again in a minute: exit status 75 (EX_TEMPFAIL)."""


def directory(config: Config, opened: Directory) -> Iterator[Finding]:
    """Bind to a directory and search it."""
    name = opened.name
    try:
        opened.check()
    except DirectoryError as error:
        yield found(
            config,
            "probe.directory",
            Severity.ERROR,
            f"directory {name} does not answer: {error}: while it does not, mail waits (451 4.4.3)",
            "servers = one that answers, and the bind_dn and base that it knows",
            name,
            "servers",
            "directory",
        )
        return
    yield _ok("probe.directory", f"directory {name} answers")


def systems(config: Config, host: ThisHost, queue: str = QUEUE) -> Iterator[Finding]:
    """Ask every next system; ``queue`` is where the relative path of a socket begins."""
    yield from _controls(config)
    shared = {c.name: domain for c in config.connectors if (domain := _shared(config, c))}
    for connector in config.connectors:
        for smart_host in connector.smart_hosts:
            if not host.is_here(smart_host):
                domain = shared.get(connector.name, "")
                yield from _smart_host(config, connector, smart_host, domain, queue)
        yield from _peers(config, connector)
    yield from _mx(config, host)


def _controls(config: Config) -> Iterator[Finding]:
    for name, said in callouts.checked(config).items():
        if said is None:
            yield _ok("probe.callout", f"connector {name} takes its verify_control")
        else:
            yield found(
                config,
                "probe.callout",
                Severity.ERROR,
                f"connector {name}: {said}: no recipient is refused by its word, and what it does"
                " not know comes back to forged senders",
                "verify_control = an address that it surely takes",
                name,
                "verify_control",
            )


def _shared(config: Config, connector: ConnectorSection) -> str:
    """Return a shared domain whose unknown people go to a connector; empty: none does."""
    rules = rules_from(config, lambda _name: [])
    for domain in config.domains:
        ways = [way.name for way in rules.connectors.covering(domain.name)]
        if domain.type == "shared" and connector.name in ways:
            return domain.name
    return ""


def _smart_host(
    config: Config, connector: ConnectorSection, smart_host: str, domain: str, queue: str
) -> Iterator[Finding]:
    path = smart_host.removeprefix("unix:")
    inside = path != smart_host and not path.startswith("/")
    hello = fold_domain(config.codomain.hostname) or "localhost"
    said = greet(
        host_from(
            f"unix:{queue}/{path}" if inside else smart_host, lmtp=connector.transport == "lmtp"
        ),
        hello,
        domain,
        lmtp=connector.transport == "lmtp",
        tls=connector.tls != "none",
    )
    where = f"connector {connector.name}: {smart_host}"
    if said.fault:
        yield found(
            config,
            "probe.smart_host",
            Severity.ERROR,
            f"{where} does not answer: {said.fault}: its mail waits in the queue",
            "smart_hosts = one that answers",
            connector.name,
            "smart_hosts",
        )
        return
    yield from _certificate(config, connector, smart_host, said)
    if said.reply is not None:
        yield from _recipient(config, connector, where, domain, said)
    else:
        yield _ok("probe.smart_host", f"{where} answers")


def _certificate(
    config: Config, connector: ConnectorSection, smart_host: str, said: Greeted
) -> Iterator[Finding]:
    strict = connector.tls in {"encrypt", "verify"}
    if strict and not said.tls and not smart_host.startswith("unix:"):
        fault, severity = "offers no STARTTLS", Severity.ERROR
    elif said.certificate and connector.tls == "verify":
        fault, severity = (
            f"has a certificate that proves nothing ({said.certificate})",
            Severity.ERROR,
        )
    elif said.certificate and not is_address(host_name(smart_host)):
        fault, severity = (
            f"has a certificate that proves nothing ({said.certificate})",
            Severity.ADVICE,
        )
    else:
        return
    yield found(
        config,
        "probe.certificate",
        severity,
        f"connector {connector.name}: {smart_host} {fault}: "
        + (
            "it is asked about nobody, and [callout] on_failure decides"
            if severity is Severity.ERROR
            else "whoever is between can read and change what goes there"
        ),
        "a certificate of that name, by an authority that this host trusts",
        connector.name,
        "tls",
    )


def _recipient(
    config: Config, connector: ConnectorSection, where: str, domain: str, said: Greeted
) -> Iterator[Finding]:
    assert said.reply is not None  # noqa: S101  # the caller's
    if said.reply.taken:
        yield found(
            config,
            "probe.takes_anything",
            Severity.WARNING,
            f"{where} takes somebody at {domain} whom nobody can have: it is not the last of the"
            " chain, or it will bounce such mail to senders who may be forged",
            "let it refuse unknown recipients at RCPT",
            connector.name,
            "smart_hosts",
        )
    elif said.reply.says_unknown:
        yield _ok("probe.smart_host", f"{where} refuses whom it does not know")
    else:
        yield found(
            config,
            "probe.refused",
            Severity.WARNING,
            f"{where} does not take mail for {domain} from us ({said.reply}): it waits, or comes"
            " back to its sender",
            f"let it take mail for {domain} from this host",
            connector.name,
            "smart_hosts",
        )


def _peers(config: Config, connector: ConnectorSection) -> Iterator[Finding]:
    key = "peers" if connector.peers else "smart_hosts"
    hosts = [h for h in connector.smart_hosts if not h.startswith("unix:")]
    for peer in connector.peers or [host_name(host) for host in hosts]:
        name = peer.partition("/")[0].strip("[]")
        if not is_address(name) and not resolve_host(name):
            yield found(
                config,
                "probe.peer",
                Severity.WARNING,
                f"{name} has no address: mail from it counts as a stranger's, and what it does not"
                " know goes back to it",
                "peers = its networks",
                connector.name,
                key,
            )


def _mx(config: Config, host: ThisHost) -> Iterator[Finding]:
    """Ask where the mail goes that fallback = mx leaves to the MX."""
    for domain in config.domains:
        if domain.fallback != "mx":
            continue
        try:
            names = mx.lookup(domain.name)
        except mx.DnsError as error:
            fault, kind, severity = f"cannot be looked up ({error})", "probe.mx", Severity.ERROR
        else:
            back = [n for n in names if host.is_here(n, resolve_host)]
            if not back:
                continue
            fault, kind = f"is this host ({back[0]})", "probe.mx_is_here"
            severity = Severity.ERROR
        yield found(
            config,
            kind,
            severity,
            f"the MX of {domain.name} {fault}: what no connector takes "
            + ("goes in a circle" if kind == "probe.mx_is_here" else "waits"),
            "fallback = refuse, or a connector that covers it",
            domain.name,
            "fallback",
            "domain",
        )


def _ok(kind: str, what: str) -> Finding:
    return Finding(kind, Severity.OK, what)
