"""The recipient policies: what each gives where, and the checks across their keys.

In flows the configuration; out flow faults, warnings, the order in which policies are
tried, and the templates of each.  Whether a domain is authoritative is said by its
``[domain]`` alone; a policy that says otherwise is a fault (KB 823158: the flag belongs to
the space, and two policies that disagree on it are the classic mistake).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from codomain.settings.faults import Faults, Place, nearest, shown
from codomain.settings.template import DEFAULT, Template, read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from codomain.settings.named import DomainSection, PolicySection
    from codomain.settings.whole import Config

    OwnerOf = Callable[[str], DomainSection | None]
    """Whose a folded domain is among ours."""


class Places(Protocol):
    """Where the keys stand (:class:`codomain.settings.checks.Places`)."""

    def of(self, kind: str, name: str, key: str = "", item: str = "") -> Place:
        """Return the place of a key, or of an item in its list."""

    def wrote(self, kind: str, name: str, key: str) -> bool:
        """Tell whether a key was written at all."""

    def lacks(self, kind: str, name: str, key: str) -> bool:
        """Tell whether a key has no value."""


def primary_of(policy: PolicySection) -> str:
    """Return the domain of the primary address; empty: the policy has no domain at all."""
    return policy.primary or next(iter(policy.address_spaces), "")


def enabled_of(policy: PolicySection) -> tuple[str, ...]:
    """Return the domains in which addresses are given now."""
    return policy.enabled or policy.address_spaces


def has_entries(policy: PolicySection) -> bool:
    """Tell whether a policy can be for an entry at all: a null filter is for none."""
    return policy.default or bool(policy.filter)


def templates_of(policy: PolicySection) -> tuple[Template, ...]:
    """Return the templates in use, that of the primary address first."""
    written = [read_template(text) for text in policy.templates]
    with_one = {template.domain for template in written}
    plain = [
        read_template(f"{DEFAULT}@{space}")
        for space in policy.address_spaces
        if space not in with_one
    ]
    enabled = enabled_of(policy)
    used = [template for template in (*written, *plain) if template.domain in enabled]
    return tuple(sorted(used, key=lambda template: template.domain != primary_of(policy)))


def ranked(policies: Iterable[PolicySection]) -> tuple[PolicySection, ...]:
    """Return the policies in the order in which they are tried: the default one is the last."""
    return tuple(sorted(policies, key=lambda policy: (policy.default, -policy.priority)))


def untouched_spaces(policies: Iterable[PolicySection]) -> frozenset[str]:
    """Return the domains that only policies without entries name."""
    policies = tuple(policies)
    given = {s for policy in policies if has_entries(policy) for s in policy.address_spaces}
    return frozenset(s for policy in policies for s in policy.address_spaces) - given


def check(config: Config, owner_of: OwnerOf, places: Places, faults: Faults) -> None:
    """Note every fault of the policies."""
    for policy in config.policies:
        _Checked(policy, owner_of, places, faults).run()
    _default(config.policies, owner_of, places, faults)


def advise(config: Config, owner_of: OwnerOf, places: Places, faults: Faults) -> None:
    """Note what works, and is hardly meant."""
    for policy in filter(has_entries, config.policies):
        for space in enabled_of(policy):
            owner = owner_of(space)
            if owner is not None and owner.type == "relay":
                faults.warn(
                    places.of("policy", policy.name, "address_spaces", space),
                    f"{shown(space)} is a relay domain: no directory is asked, and mail for the"
                    " addresses that it gives goes to the other system; "
                    + ("take it out" if policy.default else "remove filter, as it is for nobody")
                    + f", or write type = shared in [domain {owner.name}]",
                )
    if config.policies and not any(
        d.type == "ldap" and d.schema == "active-directory" for d in config.directories
    ):
        faults.warn(
            places.of("policy", config.policies[0].name),
            "no directory has schema = active-directory, and it is for no entry; remove it",
        )


class _Checked:
    """One policy under check."""

    def __init__(
        self, policy: PolicySection, owner_of: OwnerOf, places: Places, faults: Faults
    ) -> None:
        self._policy = policy
        self._owner_of = owner_of
        self._places = places
        self._faults = faults

    def run(self) -> None:
        policy = self._policy
        if self._places.lacks("policy", policy.name, "address_spaces"):
            self._fault("address_spaces", "", "it gives no addresses; write a domain of yours")
            return
        for space in policy.address_spaces:
            if self._owner_of(space) is None:
                self._fault(
                    "address_spaces",
                    space,
                    f"{shown(space)} is no domain of ours, and mail for it would not come here;"
                    f" write a [domain {space}]",
                )
        self._among("enabled", policy.enabled)
        self._among("authoritative", policy.authoritative)
        for text in policy.templates:
            self._among("templates", (read_template(text).domain,), text)
        self._primary()
        self._filter()
        if self._places.wrote("policy", policy.name, "authoritative"):
            self._flags()

    def _primary(self) -> None:
        policy = self._policy
        self._among("primary", (policy.primary,) if policy.primary else ())
        primary = primary_of(policy)
        if primary in policy.address_spaces and primary not in enabled_of(policy):
            self._fault(
                "enabled", "", f"the primary domain {shown(primary)} is not enabled; add it"
            )

    def _filter(self) -> None:
        policy = self._policy
        if policy.default and policy.filter:
            self._fault("filter", "", "the default policy is for all that is left; remove it")
        if "%s" in policy.filter:
            self._fault("filter", "", "%s stands for an address, and there is none; remove it")

    def _flags(self) -> None:
        policy = self._policy
        for space in policy.address_spaces:
            owner = self._owner_of(space)
            if owner is None or (owner.type == "authoritative") == (space in policy.authoritative):
                continue
            said = "authoritative" if space in policy.authoritative else "not authoritative"
            self._fault(
                "authoritative",
                space,
                f"it says that {shown(space)} is {said}, and [domain {owner.name}] says"
                f" type = {owner.type}; what the domain says holds, so say the same",
            )

    def _among(self, key: str, spaces: tuple[str, ...], item: str = "") -> None:
        known = self._policy.address_spaces
        for space in spaces:
            if space not in known:
                near = nearest(space, known)
                hint = f'the nearest is "{near}"' if near else "add it there"
                text = f"{shown(space)} is not in address_spaces; {hint}"
                self._fault(key, item or space, text)

    def _fault(self, key: str, item: str, text: str) -> None:
        self._faults.add(self._places.of("policy", self._policy.name, key, item), text)


def _default(
    policies: tuple[PolicySection, ...], owner_of: OwnerOf, places: Places, faults: Faults
) -> None:
    """Check that there is one policy for all that is left, and that it comes last."""
    defaults = [policy for policy in policies if policy.default]
    if policies and not defaults:
        faults.add(
            places.of("policy", policies[-1].name),
            "no policy is for the entries of no other one; write default = yes in the last one",
        )
    for policy in defaults[1:]:
        faults.add(
            places.of("policy", policy.name, "default"),
            f"{shown(defaults[0].name)} is the default policy already; write no",
        )
    for policy in defaults[:1]:
        above = [other.name for other in policies if other.priority < policy.priority]
        if above:
            faults.add(
                places.of("policy", policy.name, "priority"),
                f"the default policy comes last, and {shown(above[0])} has a lower one; write 0",
            )
        primary = primary_of(policy)
        owner = owner_of(primary)
        if owner is not None and owner.type != "authoritative":
            faults.add(
                places.of("policy", policy.name, "primary"),
                f"the primary domain of the default policy is authoritative, and {shown(primary)}"
                f" is {owner.type}; write one that is, such as a private one",
            )
