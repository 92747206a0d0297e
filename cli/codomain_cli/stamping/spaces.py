"""The policies' address spaces beside the domains they belong to, for ``codomain check``.

In flows the configuration; out flows a line for each domain of ours, and one for each
space of a policy below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codomain.settings.checks import Owners
from codomain.settings.policies import enabled_of, has_entries, primary_of, ranked, templates_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config


@dataclass(frozen=True, slots=True)
class Space:
    """One address space of one policy."""

    domain: str
    """The domain of ours that it lies in; its ``type`` holds for the space."""

    space: str
    """The space itself: the domain, or one below it."""

    policy: str
    """The policy."""

    primary: bool
    """The policy's primary addresses lie in it."""

    enabled: bool
    """Addresses are given in it now."""

    templates: tuple[str, ...]
    """By which they are made; none: the policy is for no entry, or the space not enabled."""

    def __str__(self) -> str:
        """Say it in one line."""
        said = ["primary"] if self.primary else []
        said += [] if self.enabled else ["not enabled"]
        said += [", ".join(self.templates)] if self.templates else []
        if self.enabled and not self.templates:
            said.append("for no entry")
        return f"policy {self.policy}: {self.space} ({'; '.join(said)})"


def spaces(config: Config) -> tuple[Space, ...]:
    """Return every space of every policy, in the order in which policies are tried."""
    owners = Owners(config.domains)
    return tuple(_spaces(config, owners))


def _spaces(config: Config, owners: Owners) -> Iterator[Space]:
    for policy in ranked(config.policies):
        given = templates_of(policy) if has_entries(policy) else ()
        for space in policy.address_spaces:
            owner = owners.of(space)
            if owner is not None:
                yield Space(
                    domain=owner.name,
                    space=space,
                    policy=policy.name,
                    primary=space == primary_of(policy),
                    enabled=space in enabled_of(policy),
                    templates=tuple(t.text for t in given if t.domain == space),
                )


def described(config: Config) -> list[str]:
    """Return a line for each domain of ours that a policy names, with its policies' spaces."""
    found = spaces(config)
    lines = []
    for domain in config.domains:
        theirs = [str(space) for space in found if space.domain == domain.name]
        if theirs:
            lines.append(f"domain {domain.name} ({domain.type}): {', '.join(theirs)}")
    return lines
