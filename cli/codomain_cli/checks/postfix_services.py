"""master.cf, sockets and milters: whether smtpd reaches codomain, and what stands beside it.

In flow the configuration and one Postfix; out flow findings.
"""

from __future__ import annotations

import grp
import pwd
import re
from typing import TYPE_CHECKING

from codomain_cli.checks.asked import OURS, is_ours, milters, our_maps, our_milter
from codomain_cli.checks.findings import Finding, Severity
from codomain_cli.checks.instance import items
from codomain_cli.checks.postfix_main import found, shape_of, too_short
from codomain_cli.mainlines import LEAST_TIMEOUT, ROUTING
from codomain_cli.masterlines import CLEANUP, REWRITE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config
    from codomain_cli.checks.instance import Instance
    from codomain_cli.masterlines import Service

OTHERS, GROUP = 0o006, 0o060
"""Who may connect: to a unix socket one must be able to write (unix(7))."""

MAPPED = ("relay_domains", "relay_recipient_maps", "virtual_alias_maps", "transport_maps")
"""Parameters that name maps of ours."""

_UNIX = re.compile(r"(?:^|[\s,{:])unix:(/[^\s,}:]+)")


def findings(config: Config, instance: Instance) -> Iterator[Finding]:
    """Return what is wrong with the services and the sockets."""
    kind = shape_of(config, instance)
    if kind in ROUTING and our_maps(config, instance, instance.value("transport_maps")):
        for service in instance.listening:
            yield from _rewrite(config, instance, service)
    yield from _outside(config, instance)
    yield from _group(config, instance)
    yield from _milters(config, instance)
    yield from _double(config, instance)


def _rewrite(config: Config, instance: Instance, service: Service) -> Iterator[Finding]:
    name = instance.value("rewrite_service_name", service.key)
    there = next((s for s in instance.services if s.key == f"{name}/unix"), None)
    line = instance.service_line(service.key)
    file = instance.master.path
    if there is None:
        yield Finding(
            "postfix.rewrite_service_missing",
            Severity.ERROR,
            f"master.cf has no service {name}: {service.name} resolves no address, and every"
            " client waits and is told to come again",
            f"{name} unix - - y - - trivial-rewrite -o transport_maps=",
            file,
            line,
            "",
            "rewrite_service_name",
        )
    elif our_maps(config, instance, instance.value("transport_maps", there.key)):
        yield Finding(
            "postfix.rewrite_service",
            Severity.WARNING,
            f"{service.name} resolves addresses through the transport map, and remembers a failure"
            " for its life: after an outage of the directory it goes on answering 451 4.3.0",
            f"-o rewrite_service_name={REWRITE}",
            file,
            line,
            "",
            "rewrite_service_name",
        )


def _outside(config: Config, instance: Instance) -> Iterator[Finding]:
    """Find sockets that a chrooted program cannot reach."""
    chrooted = [s for s in instance.listening if _is_chrooted(instance, s)]
    if not chrooted:
        return
    seen: set[str] = set()
    for name, written in instance.written.items():
        for path in _UNIX.findall(written):
            endpoint = f"unix:{path}"
            ours = is_ours(
                (
                    *config.policyd.listen,
                    *config.policyd.socketmap_listen,
                    *filter(None, [config.milter.listen]),
                ),
                endpoint,
                instance.queue,
            )
            if not ours or path in seen:
                continue
            seen.add(path)
            inside = path.startswith(f"{instance.queue}/")
            relative = path.removeprefix(f"{instance.queue}/")
            yield found(
                instance,
                name,
                Severity.ERROR,
                f"{chrooted[0].name} runs in a chroot and does not see {path}: every client is"
                " told to come again",
                f"unix:{relative}"
                if inside
                else f"a socket below {instance.queue}, such as unix:{instance.queue}/codomain/…,"
                " in codomain.ini and here",
                kind="postfix.socket_outside_chroot",
            )


def _is_chrooted(instance: Instance, service: Service) -> bool:
    default = "n" if _level(instance) else "y"
    return (service.chroot if service.chroot != "-" else default) == "y"


def _level(instance: Instance) -> bool:
    """Tell whether ``-`` in the chroot column means no (compatibility_level, 3.0 and newer)."""
    number = re.match(r"[0-9]+", instance.value("compatibility_level"))
    return number is not None and int(number[0]) >= 1


def _group(config: Config, instance: Instance) -> Iterator[Finding]:
    door = config.policyd
    sockets = [e for e in (*door.listen, *door.socketmap_listen) if e.kind == "unix"]
    if not sockets or door.socket_mode & OTHERS == OTHERS:
        return
    owner = instance.value("mail_owner")
    if door.socket_mode & GROUP == GROUP and _is_member(owner, door.socket_group):
        return
    file = f"{config.files[0]}" if config.files else "codomain.ini"
    place = config.origins.get(("policyd", "", "socket_group")) or config.origins.get(
        ("policyd", "", "socket_mode")
    )
    yield Finding(
        "postfix.socket_group",
        Severity.ERROR,
        f"smtpd runs as {owner}, and may not write to the sockets: every client is told to come"
        " again",
        f"socket_group = {_group_of(owner)}",
        place.file if place else file,
        place.line if place else 0,
        "policyd",
        "socket_group" if door.socket_mode & GROUP == GROUP else "socket_mode",
    )


def _is_member(owner: str, group: str) -> bool:
    """Tell whether a user is in a group; yes where this host knows neither."""
    try:
        user = pwd.getpwnam(owner)
    except KeyError:
        return True
    if not group:
        return True  # the daemon's own group, which the INI does not tell
    try:
        found_group = grp.getgrnam(group)
    except KeyError:
        return False
    return user.pw_gid == found_group.gr_gid or owner in found_group.gr_mem


def _group_of(owner: str) -> str:
    try:
        return grp.getgrgid(pwd.getpwnam(owner).pw_gid).gr_name
    except KeyError:
        return owner


def _milters(config: Config, instance: Instance) -> Iterator[Finding]:
    listed = milters(instance)
    ours = our_milter(config, instance)
    if not ours:
        return
    own = _options(ours)
    yield from _default_action(instance, own)
    if listed[-1] != ours:
        yield found(
            instance,
            "smtpd_milters",
            Severity.WARNING,
            f"{listed[-1]} stands behind codomain: when it refuses a recipient, codomain is not"
            " told, and a contact's target gets the mail all the same",
            f"smtpd_milters = {', '.join([*(one for one in listed if one != ours), ours])}",
            kind="postfix.milter_not_last",
        )
    timeout = own.get("command_timeout") or instance.value("milter_command_timeout")
    if too_short(timeout, config.milter.deadline):
        yield found(
            instance,
            "milter_command_timeout",
            Severity.WARNING,
            f"Postfix gives up after {timeout}, before codomain has answered: when a directory is"
            " slow a client hears 451 4.7.1, and the milter is out for the rest of the connection",
            f"milter_command_timeout = {max(LEAST_TIMEOUT, round(2 * config.milter.deadline))}s",
        )
    for service in instance.listening:
        yield from _milter_off(config, instance, service, ours)


def _options(written: str) -> dict[str, str]:
    """Return the options of one milter (MILTER_README, ``{ inet:…, default_action=… }``)."""
    pairs = [item.strip("{} ").partition("=") for item in items(written.strip("{} "))[1:]]
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _default_action(instance: Instance, own: dict[str, str]) -> Iterator[Finding]:
    action = own.get("default_action", instance.value("milter_default_action")).split()[0:1]
    if action == ["accept"]:
        yield found(
            instance,
            "smtpd_milters" if "default_action" in own else "milter_default_action",
            Severity.ERROR,
            "while codomain does not run all mail passes unjudged, and contacts' mail stays here",
            "milter_default_action = tempfail",
            kind="postfix.milter_default_action",
        )
    elif "default_action" not in own and "milter_default_action" not in instance.written:
        yield found(
            instance,
            "milter_default_action",
            Severity.WARNING,
            "its default is not the same in all versions of Postfix: mail may pass unjudged while"
            " codomain does not run",
            "milter_default_action = tempfail",
        )


def _milter_off(
    config: Config, instance: Instance, service: Service, ours: str
) -> Iterator[Finding]:
    """Find a service that asks no milter, but for one that takes mail back from a filter."""
    overridden = instance.overrides.get(service.key, {})
    if "smtpd_milters" not in overridden or our_milter(config, instance, service.key):
        return
    if overridden.get("content_filter") != "":
        yield found(
            instance,
            "smtpd_milters",
            Severity.WARNING,
            f"the service {service.name} does not ask codomain: whoever reaches it sends past"
            " the decision, and contacts' mail stays here",
            f"-o smtpd_milters={ours}",
            service=service.key,
            kind="postfix.milter_overridden",
        )


def _double(config: Config, instance: Instance) -> Iterator[Finding]:
    """Find the milter and the map of aliases at once: each would rewrite the other's target."""
    if not our_milter(config, instance):
        return
    if "alias" not in our_maps(config, instance, instance.value("virtual_alias_maps")):
        return
    yield found(
        instance,
        "virtual_alias_maps",
        Severity.WARNING,
        "the milter and the map both turn contacts into their targets: a target in a domain of"
        " ours is looked up again, and a chain of contacts is followed twice",
        f"virtual_alias_maps =   (and, for local programs, {CLEANUP} in master.cf)",
        kind="postfix.double_rewriting",
    )


def unreached(config: Config, instance: Instance) -> Iterator[Finding]:
    """Find maps that main.cf asks where codomain does not listen."""
    for name in MAPPED:
        for where, _ in OURS.findall(instance.value(name)):
            if not is_ours(config.policyd.socketmap_listen, where, instance.queue):
                yield found(
                    instance,
                    "codomain_map" if "codomain_map" in instance.written else name,
                    Severity.ERROR,
                    f"no map of codomain's listens at {where}: if nobody does, every client is"
                    " told to come again",
                    "codomain postfix prints where it listens",
                    kind="postfix.map_elsewhere",
                )
                return
