"""The whole configuration as one value, and which sections there may be."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from codomain.settings import named, sections
from codomain.settings.kinds import spec_of
from codomain.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from codomain.settings.faults import Place
    from codomain.settings.kinds import Spec

SINGLE: Mapping[str, type[Any]] = MappingProxyType(
    {
        "codomain": sections.CodomainSection,
        "policyd": sections.PolicydSection,
        "milter": sections.MilterSection,
        "http": sections.HttpSection,
        "trust": sections.TrustSection,
        "redirect": sections.RedirectSection,
        "cache": sections.CacheSection,
        "callout": sections.CalloutSection,
        "harvest": sections.HarvestSection,
    }
)
"""The sections that stand once, by their word in the header."""

NAMED: Mapping[str, type[Any]] = MappingProxyType(
    {
        "domain": named.DomainSection,
        "connector": named.ConnectorSection,
        "directory": named.DirectorySection,
        "policy": named.PolicySection,
        "context": named.ContextSection,
    }
)
"""The sections that have a name, by their word in the header."""

REPLIES = "replies"
"""The section whose keys are reasons."""

REPLY_PARTS = ("code", "text")
"""What a reply has that can be set: ``reason.code`` and ``reason.text``."""

REASONS = tuple(reason.value for reason in Reason)
"""The reasons of refusals and deferrals."""

TEMPORARY = frozenset(
    {
        Reason.DIRECTORY,
        Reason.AMBIGUOUS,
        Reason.FAULT,
        Reason.ROUTE,
        Reason.CALLOUT,
        Reason.HARVEST,
    }
)
"""The reasons that say "not now": none of them may ever become a 5xx."""


@dataclass(frozen=True, slots=True)
class ReplyOverride:
    """What the administrator says instead of our own reply; what is empty stays ours."""

    code: int = 0
    """The reply code (RFC 5321 section 4.2); 0: our own."""

    enhanced: str = ""
    """The enhanced status code (RFC 3463); empty: our own."""

    text: str = ""
    """The text; empty: our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that the administrator decided, checked."""

    codomain: sections.CodomainSection = field(default_factory=sections.CodomainSection)
    """The program as a whole."""

    policyd: sections.PolicydSection = field(default_factory=sections.PolicydSection)
    """The policy server and the maps."""

    milter: sections.MilterSection = field(default_factory=sections.MilterSection)
    """The milter."""

    http: sections.HttpSection = field(default_factory=sections.HttpSection)
    """Metrics, health and the status page."""

    trust: sections.TrustSection = field(default_factory=sections.TrustSection)
    """Who may send to anywhere."""

    redirect: sections.RedirectSection = field(default_factory=sections.RedirectSection)
    """Where contacts may lead."""

    cache: sections.CacheSection = field(default_factory=sections.CacheSection)
    """What is remembered."""

    callout: sections.CalloutSection = field(default_factory=sections.CalloutSection)
    """How the next system is asked."""

    harvest: sections.HarvestSection = field(default_factory=sections.HarvestSection)
    """The brake on guessing."""

    domains: tuple[named.DomainSection, ...] = ()
    """Our domains, in the order of the files."""

    connectors: tuple[named.ConnectorSection, ...] = ()
    """The ways out, in the order of the files."""

    directories: tuple[named.DirectorySection, ...] = ()
    """The directories, in the order of the files."""

    policies: tuple[named.PolicySection, ...] = ()
    """The recipient policies."""

    contexts: tuple[named.ContextSection, ...] = ()
    """What holds for one policy_context each."""

    replies: Mapping[str, ReplyOverride] = field(default_factory=lambda: MappingProxyType({}))
    """Replies that differ from our own, by :class:`codomain.verdict.Reason` value."""

    files: tuple[Path, ...] = ()
    """The files that were read, in their order."""

    origins: Mapping[tuple[str, str, str], Place] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    """Where the values stand that were written, by section, name and key; see
    :func:`codomain.settings.provenance.provenance`."""

    warnings: tuple[str, ...] = ()
    """What works, but hardly as it was meant: lines as those of ``ConfigError.faults``."""


def keys_of(section: type[Any]) -> dict[str, Spec[Any]]:
    """Return the keys of a section and what was declared of each, in order."""
    return {f.name: spec for f in fields(section) if (spec := spec_of(f)) is not None}
