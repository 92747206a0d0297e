"""The lines of main.cf that put codomain into Postfix, from one configuration.

In flows the :class:`codomain.config.Config` and what is known of the Postfix; out flow
parameters in the order of postconf(5), each with its reason for the postmaster.  There are
three shapes: with maps (the rule), with ``redirect = filter`` (sites without maps), and
with the check alone (shadow mode: nothing is routed, so the site's own routing stays).
Where the milter judges in place of the policy server, the first is ``milter`` and the last
``judge``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from codomain.errors import ConfigError
from codomain.rules import rules_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config, DomainSection, Endpoint

QUEUE = "/var/spool/postfix"
"""queue_directory's default (postconf(5))."""

LMTP = "lmtp:unix:private/dovecot-lmtp"
"""Where a mailbox server on the same host mostly takes mail."""

LEAST_TIMEOUT = 10
"""Seconds that Postfix waits for an answer: with both at 5 s a client waited for 12 s."""

ERRORS = 1001
"""Each 452 counts as an error; more than smtpd_recipient_limit's default, 1000 (postconf(5))."""

UNAVAILABLE = "451 4.3.5 Recipient check unavailable"
"""What a client is told while codomain does not run (RFC 3463, X.3.5)."""

CHECK = "codomain_check"
"""The restriction class that asks codomain."""

PERMITS = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"
"""smtpd_relay_restrictions as it is by default, but for the temporary reply."""

TRUSTING = {"relay_recipient_maps", "virtual_mailbox_maps", "virtual_alias_maps"}
"""Maps by which smtpd would refuse, and cleanup rewrite, what is for the milter to do."""

Shape = Literal["maps", "filter", "check", "milter", "judge"]
ROUTING = ("maps", "milter")
"""The shapes that route by maps."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter of main.cf."""

    name: str
    """Its name."""

    value: str
    """Its value; may be empty."""

    why: str = ""
    """What it is for; empty: the same as the one before it."""


def shape(config: Config, *, milter: bool = False) -> Shape:
    """Tell how mail is led elsewhere; ``milter``: it is the milter that judges.

    Raises:
        ConfigError: the milter cannot do what ``redirect = filter`` asks for.

    """
    if milter:
        if config.policyd.redirect == "filter":
            raise ConfigError(["[policyd] redirect: filter is for the policy server alone"])
        return "milter" if config.policyd.socketmap_listen else "judge"
    if config.policyd.redirect == "filter":
        return "filter"
    return "maps" if config.policyd.socketmap_listen else "check"


def settings(
    config: Config, *, queue_directory: str = QUEUE, mailboxes: str = LMTP, milter: bool = False
) -> list[Setting]:
    """Return the parameters of main.cf for a configuration.

    Args:
        config: what codomain serves.
        queue_directory: Postfix's, to which the paths of sockets are relative in a chroot.
        mailboxes: virtual_transport, where this host delivers mailboxes itself.
        milter: the milter judges and rewrites, and not the policy server.

    Raises:
        ConfigError: codomain listens nowhere where Postfix could ask.

    """
    kind = shape(config, milter=milter)
    if milter:
        judged = [*_milter(config, queue_directory), *_restrictions(kind)]
        routed = _maps(config, queue_directory, mailboxes) if kind == "milter" else ()
        return [*map(_trusting, routed), *judged]
    found = [*_check(config, queue_directory), *_restrictions(kind)]
    if kind == "maps":
        found = [*_maps(config, queue_directory, mailboxes), *found]
    if kind == "filter":
        found = [*_lists(config, mailboxes), *found]
    if kind != "check" and (kind == "filter" or _diverts(config)):
        found += _errors()
    return found


def reach(endpoints: tuple[Endpoint, ...], queue_directory: str) -> str:
    """Write how Postfix reaches the best of some listeners; empty where there is none.

    A socket below the queue directory comes first, because a chrooted smtpd reaches it;
    then TCP; then a socket elsewhere.
    """
    written = [_written(endpoint, queue_directory) for endpoint in endpoints]
    return next((text for _, text in sorted(written)), "")


def _written(endpoint: Endpoint, queue_directory: str) -> tuple[int, str]:
    if endpoint.kind == "unix":
        path = PurePosixPath(endpoint.path)
        if path.is_relative_to(queue_directory):
            return 0, f"unix:{path.relative_to(queue_directory)}"
        return 2, f"unix:{path}"
    if not endpoint.port:
        raise ConfigError([f"{endpoint}: any free port is none that Postfix can be told of"])
    anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not opened
    host = anywhere.get(endpoint.host, endpoint.host)
    return 1, f"inet:[{host}]:{endpoint.port}" if ":" in host else f"inet:{host}:{endpoint.port}"


def _maps(config: Config, queue_directory: str, mailboxes: str) -> Iterator[Setting]:
    where = reach(config.policyd.socketmap_listen, queue_directory)
    yield Setting("codomain_map", f"socketmap:{where}", "Where the maps are asked.")
    yield _map(
        "relay_domains",
        "domain",
        "Our domains whose mailboxes are on other systems, and who exists there. Take these"
        " domains out of mydestination and of your own lists.",
    )
    yield _map("relay_recipient_maps", "recipient")
    if any(is_here(domain) for domain in config.domains):
        yield _map(
            "virtual_mailbox_domains",
            "mailbox-domain",
            "Our domains whose mailboxes are on this host. virtual_transport names the server"
            " that has them; virtual(8) cannot be it.",
        )
        yield _map("virtual_mailbox_maps", "recipient")
        yield Setting("virtual_transport", mailboxes)
    yield Setting(
        "virtual_alias_domains",
        "",
        "Contacts become their targets. No domain consists of aliases; by default Postfix"
        " would ask the map of aliases for each domain.",
    )
    yield _map("virtual_alias_maps", "alias")
    yield Setting(
        "enable_original_recipient", "no", "Two addresses that lead to one target: one delivery."
    )
    yield _map("transport_maps", "transport", "The next hop of each recipient.")
    yield Setting("fast_flush_domains", "", "Its default asks relay_domains again and again.")
    delimiters = "".join(sorted({c for d in config.domains for c in d.recipient_delimiter}))
    if delimiters:
        yield Setting("recipient_delimiter", delimiters, "What parts user+extension.")


def _map(name: str, of: str, why: str = "") -> Setting:
    return Setting(name, f"${{codomain_map}}:{of}", why)


def _trusting(setting: Setting) -> Setting:
    """Leave to the milter what it alone decides."""
    if setting.name not in TRUSTING:
        return setting
    return Setting(setting.name, "", "Empty: the milter says who exists, and rewrites.")


def _milter(config: Config, queue_directory: str) -> Iterator[Setting]:
    if config.milter.listen is None:
        raise ConfigError(["[milter] listen: it is empty, and Postfix could ask nobody"])
    timeout = max(LEAST_TIMEOUT, math.ceil(2 * config.milter.deadline))
    yield Setting(
        "smtpd_milters",
        reach((config.milter.listen,), queue_directory),
        "The milter judges each recipient, and turns contacts into their targets. It has to be"
        " the last one: put your own milters before it. A milter is not told when one that"
        " stands after it refuses a recipient: a contact's target would be added all the same."
        " A smtpd that takes mail back from a content filter"
        " gets -o smtpd_milters= in master.cf.",
    )
    yield Setting(
        "milter_default_action",
        "tempfail",
        "While codomain does not run, clients are told to come again.",
    )
    yield Setting("milter_protocol", "6", "With DSN parameters and changed recipients.")
    yield Setting(
        "milter_command_timeout",
        f"{timeout}s",
        "Postfix waits for at least twice [milter] deadline.",
    )


def _lists(config: Config, mailboxes: str) -> Iterator[Setting]:
    here = [domain.name for domain in config.domains if is_here(domain)]
    away = [domain.name for domain in config.domains if not is_here(domain)]
    yield Setting(
        "relay_domains",
        ", ".join(away),
        "Our domains whose mailboxes are on other systems; run codomain postfix again when"
        " they change. Take them out of mydestination.",
    )
    if here:
        yield Setting(
            "virtual_mailbox_domains",
            ", ".join(here),
            "Our domains whose mailboxes are on this host, and the server that has them.",
        )
        yield Setting("virtual_transport", mailboxes)
    routes = "".join(f" {{ {name} = {hop} }}" for name, hop in _routes(config))
    yield Setting(
        "transport_maps",
        f"inline:{{{routes} }}" if routes else "",
        "FILTER names the next hop of a recipient. REDIRECT names none: the target's domain has"
        " it from here, and so has what local programs send.",
    )


def _routes(config: Config) -> Iterator[tuple[str, str]]:
    """Give one next hop to each domain that has one, as transport(5) writes them."""
    connectors = rules_from(config, lambda _name: []).connectors
    found: dict[str, str] = {}
    for domain in config.domains:
        ways = connectors.covering(domain.name)
        if domain.deliver_to:
            ways = [connectors.by_name[domain.deliver_to]]
        if ways and not is_here(domain):
            found[domain.name] = ways[0].next_hop
            if domain.subdomains:
                found[f".{domain.name}"] = ways[0].next_hop
    for space in [space for section in config.connectors for space in section.address_spaces]:
        inside = space.replace("*.", "x.", 1)
        if not any(domain.name == space for domain in config.domains):
            found.setdefault(space.removeprefix("*"), connectors.covering(inside)[0].next_hop)
    yield from found.items()


def _check(config: Config, queue_directory: str) -> Iterator[Setting]:
    policy = reach(config.policyd.listen, queue_directory)
    if not policy and shape(config) != "maps":
        raise ConfigError(["[policyd] listen: it is empty, and Postfix could ask nobody"])
    if policy:
        timeout = max(LEAST_TIMEOUT, math.ceil(2 * config.policyd.deadline))
        yield Setting(
            "codomain_policy_timeout",
            f"{timeout}s",
            "Who is asked about each recipient. Postfix waits for at least twice [policyd]"
            " deadline. The inner braces are needed.",
        )
        yield Setting(
            "codomain_policy",
            f"{{ {policy}, timeout=$codomain_policy_timeout, {{ default_action={UNAVAILABLE} }} }}",
        )
    yield Setting(
        "smtpd_restriction_classes",
        CHECK,
        "A name for the check, because master.cf takes no blanks. Add it to your own classes.",
    )
    asked = "check_policy_service $codomain_policy"
    yield Setting(CHECK, asked if policy else "check_recipient_access ${codomain_map}:access")


def _restrictions(kind: Shape) -> Iterator[Setting]:
    if kind == "filter":
        yield Setting(
            "smtpd_relay_restrictions", PERMITS, "Your own permits may stand here as before."
        )
        yield Setting(
            "smtpd_recipient_restrictions",
            CHECK,
            "Your own restrictions stand before it: what FILTER and REDIRECT set outlives the"
            " refusal of a recipient by a later one. No permit may stand before it.",
        )
    elif kind in {"milter", "judge"}:
        yield Setting(
            "smtpd_relay_restrictions",
            PERMITS,
            "Who may relay is Postfix's to say, and the milter narrows it. What is refused here"
            " the milter never sees.",
        )
    else:
        yield Setting(
            "smtpd_relay_restrictions",
            f"{CHECK}, {PERMITS}",
            "The check stands first: after a permit it would not be asked, and Postfix would"
            " refuse some recipients with words of its own. It never permits.",
        )
    yield Setting(
        "smtpd_relay_before_recipient_restrictions",
        "yes",
        "The lists in this order, also with an old compatibility_level.",
    )
    yield Setting("disable_vrfy_command", "yes", "VRFY would tell strangers who exists.")
    yield Setting(
        "strict_smtputf8",
        "yes",
        "Addresses that are not ASCII need SMTPUTF8 (RFC 6531): 553 5.6.7.",
    )


def _errors() -> Iterator[Setting]:
    yield Setting(
        "smtpd_soft_error_limit",
        str(ERRORS),
        "A message has one way out where it is set by FILTER or REDIRECT, and recipients of"
        " another get 452 and come again. Postfix counts each 452 as an error, and would hang"
        " up after twenty.",
    )
    yield Setting("smtpd_hard_error_limit", str(ERRORS))


def is_here(domain: DomainSection) -> bool:
    """Tell whether the mailboxes of a domain are on this host."""
    return domain.type != "relay" and not domain.deliver_to


def _diverts(config: Config) -> bool:
    """Tell whether mail can get another way out than the transport map says (FILTER).

    That needs two connectors for one domain: the second is for a peer of the first, or for
    strangers where the first does not relay.
    """
    connectors = rules_from(config, lambda _name: []).connectors
    spaces = {space for connector in config.connectors for space in connector.address_spaces}
    return any(
        len(connectors.covering(domain)) > 1
        for space in spaces
        for domain in (space.removeprefix("*."), space.replace("*.", "x.", 1))
    )
