"""The lists of restrictions: whether codomain is asked at RCPT, before any permit, and in time.

In flow the configuration and one Postfix; out flow findings about main.cf's lists, and
about each service of master.cf that has lists of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain_cli.checks.asked import LISTS, asks_us, restrictions
from codomain_cli.checks.findings import Finding, Severity
from codomain_cli.checks.postfix_main import found, shape_of, too_short
from codomain_cli.mainlines import CHECK, LEAST_TIMEOUT, UNAVAILABLE
from codomain_cli.masterlines import is_submission

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config
    from codomain_cli.checks.asked import Asked
    from codomain_cli.checks.instance import Instance
    from codomain_cli.masterlines import Service

RELAY, RECIPIENT = "smtpd_relay_restrictions", "smtpd_recipient_restrictions"

ORDER = "smtpd_relay_before_recipient_restrictions"


def findings(config: Config, instance: Instance) -> Iterator[Finding]:
    """Return what is wrong with how codomain is asked at RCPT."""
    asked = list(_asked(config, instance))
    yield from asked
    if any(one.severity is Severity.ERROR for one in asked):
        return  # nobody is asked before that is mended
    kind = shape_of(config, instance)
    if kind in {"milter", "judge"}:
        return
    wanted = RECIPIENT if kind == "filter" else RELAY
    lists = _lists(config, instance)
    if not any(lists.values()):
        line = f"{CHECK}, permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"
        yield found(
            instance,
            wanted,
            Severity.ERROR,
            "codomain is asked about no recipient: strangers get mail in wherever the maps let"
            " it in, peers' mail goes round, and nothing of [trust] or [connector] holds",
            f"{wanted} = {CHECK if kind == 'filter' else line}",
            kind="postfix.check_missing",
        )
        return
    yield from _permits(config, instance, "")
    if kind == "filter":
        yield from _late(config, instance)
    elif lists[RECIPIENT] and not lists[RELAY]:
        yield from _after_relay(instance)
    if instance.value(ORDER) == "no" and not lists[RECIPIENT]:
        yield found(
            instance,
            ORDER,
            Severity.WARNING,
            f"{RECIPIENT} is gone through first, and what it permits or refuses is not decided by"
            " codomain",
            f"{ORDER} = yes",
        )
    for service in instance.listening:
        yield from _service(config, instance, service, lists)


def _lists(config: Config, instance: Instance, service: str = "") -> dict[str, bool]:
    """Return which lists ask codomain."""
    return {
        name: any(asks_us(config, instance, one) for one in restrictions(instance, name, service))
        for name in LISTS
    }


def _asked(config: Config, instance: Instance) -> Iterator[Finding]:
    """Look at how each policy server that may be ours is asked."""
    seen: set[Asked | str] = set()
    services = ["", *(service.key for service in instance.listening)]
    for service in services:
        for name in LISTS:
            if service and name not in instance.overrides.get(service, {}):
                continue
            for one in restrictions(instance, name, service):
                if one.name == "check_policy_service" and f"{one}" not in seen:
                    seen.add(f"{one}")
                    yield from _policy(config, instance, one, name, service)


def _policy(
    config: Config, instance: Instance, one: Asked, name: str, service: str
) -> Iterator[Finding]:
    where = _written(instance, one, name)
    if one.bare:
        yield found(
            instance,
            where,
            Severity.ERROR,
            f"{', '.join(sorted(one.bare))} has blanks and no braces of its own: smtpd ends with"
            ' "malformed option", and no client gets in',
            f"{{ {one.argument}, {{ default_action={UNAVAILABLE} }} }}",
            kind="postfix.policy_braces",
            service=service,
        )
        return
    if not asks_us(config, instance, one):
        # A policy server of somebody else's, unless the class of ours asks it.
        if where.startswith("codomain"):
            yield found(
                instance,
                where,
                Severity.ERROR,
                f"nobody listens at {one.argument}: every client is told to come again",
                f"[policyd] listen says where codomain listens; {_reach(config, instance)}",
                kind="postfix.policy_elsewhere",
            )
        return
    timeout = one.options.get("timeout") or instance.value("smtpd_policy_service_timeout")
    if too_short(timeout, config.policyd.deadline):
        at = "codomain_policy_timeout" if "codomain_policy_timeout" in instance.written else where
        yield found(
            instance,
            at,
            Severity.WARNING,
            f"Postfix gives up after {timeout}, and codomain answers within"
            f" {config.policyd.deadline:g} s at a second try only: when a directory is slow the"
            " client waits longer, and hears 451 4.3.5 in place of 451 4.4.3",
            f"{at} = {max(LEAST_TIMEOUT, round(2 * config.policyd.deadline + 0.5))}s",
            kind="postfix.policy_timeout",
        )


def _reach(config: Config, instance: Instance) -> str:
    from codomain_cli.mainlines import reach

    return reach(config.policyd.listen, instance.queue) or "it is empty"


def _written(instance: Instance, one: Asked, name: str) -> str:
    """Return the parameter in which a policy server is written, as far as one can tell."""
    for parameter in ("codomain_policy", CHECK, name):
        text = instance.value(parameter)
        if one.argument and one.argument in text and parameter in instance.written:
            return parameter
    return name


def _permits(config: Config, instance: Instance, service: str) -> Iterator[Finding]:
    """Find what permits before codomain is asked, in the list that asks it."""
    for name in (RELAY, RECIPIENT):
        if service and name not in instance.overrides.get(service, {}):
            continue
        before: list[str] = []
        for one in restrictions(instance, name, service):
            if asks_us(config, instance, one):
                break
            if one.name.startswith("permit"):
                before.append(one.name)
        else:
            continue
        if before:
            yield found(
                instance,
                name,
                Severity.WARNING,
                f"{', '.join(before)} ends the list before codomain is asked: what it permits is"
                " neither judged nor sent to its own system by the check",
                f"{name} = {CHECK}, … {', '.join(before)} …",
                service=service,
                kind="postfix.permit_before_check",
            )


def _late(config: Config, instance: Instance) -> Iterator[Finding]:
    """With FILTER nothing may refuse behind the check: what it set outlives the refusal."""
    names = restrictions(instance, RECIPIENT)
    at = next((n for n, one in enumerate(names) if asks_us(config, instance, one)), None)
    if at is None:
        return
    behind = [one.name for one in names[at + 1 :] if not one.name.startswith("permit")]
    if behind:
        yield found(
            instance,
            RECIPIENT,
            Severity.WARNING,
            f"{', '.join(behind)} may refuse a recipient for whom FILTER or REDIRECT is set: the"
            " message's other recipients go that way all the same",
            f"{RECIPIENT} = {', '.join(behind)}, {CHECK}",
            kind="postfix.check_not_last",
        )


def _after_relay(instance: Instance) -> Iterator[Finding]:
    names = [one.name for one in restrictions(instance, RELAY)]
    if "reject_unauth_destination" in names or "defer_unauth_destination" in names:
        yield found(
            instance,
            RELAY,
            Severity.ADVICE,
            "Postfix refuses some recipients before codomain is asked, with words of its own, and"
            " codomain's replies and counts miss them",
            f"{RELAY} = {CHECK}, {', '.join(names)}",
            kind="postfix.check_late",
        )


def _service(
    config: Config, instance: Instance, service: Service, lists: dict[str, bool]
) -> Iterator[Finding]:
    """Find a service of master.cf that switches the check off."""
    overridden = instance.overrides.get(service.key, {})
    lost = [name for name, asks in lists.items() if asks and name in overridden]
    if not lost or _takes_back(instance, service):
        return
    if any(_lists(config, instance, service.key).values()):
        yield from _permits(config, instance, service.key)
        return
    users = is_submission(service)
    value = overridden[lost[0]].replace(" ", "")
    yield found(
        instance,
        lost[0],
        Severity.WARNING,
        f"the service {service.name} does not ask codomain: "
        + (
            "your users' mail for unknown people is taken, and comes back to them later"
            if users
            else "whoever reaches it sends past the decision"
        ),
        f"-o {lost[0]}={CHECK},{value}".rstrip(","),
        service=service.key,
        kind="postfix.check_overridden",
    )


def _takes_back(instance: Instance, service: Service) -> bool:
    """Tell whether a service takes mail back from a content filter, which was judged before."""
    overridden = instance.overrides.get(service.key, {})
    return overridden.get("content_filter") == "" or (
        "no_milters" in overridden.get("receive_override_options", "")
    )
