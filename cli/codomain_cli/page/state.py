"""Everything that the page shows of one moment.

It does not change any more, so that the HTML can be written in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from codomain.runtime import Runtime
    from codomain_cli.page.rates import Key, Rate
    from codomain_cli.page.recent import Refusal

Gathered = Any
"""What a handler of the control socket gives."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the page shows of one moment."""

    now: float
    """The moment, in seconds of Unix time."""

    runtime: Runtime
    """The configuration in force."""

    status: Gathered
    """The answer to ``status``."""

    stats: Gathered
    """The answer to ``cache.stats``."""

    rates: Mapping[Key, Rate]
    """How often each verdict was given."""

    course: tuple[Sequence[int], Sequence[int]]
    """How many recipients there were in each step of the last quarter of an hour, and how
    many of them were refused or deferred."""

    suspended: AbstractSet[str]
    """The connectors whose systems do not answer call-outs."""

    refusals: Sequence[Refusal]
    """The last refusals, the newest first."""
