"""Directories that may answer "success" and show nobody, with nobody who would prove it.

In flow the configuration; out flows a finding for each LDAP directory without a canary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain_cli.checks.connectors import found
from codomain_cli.checks.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config

WHAT = (
    "has no canary: after a start while its server shows nobody (rights lost, an empty replica),"
    " everybody is refused as unknown (550)"
)


def findings(config: Config) -> Iterator[Finding]:
    """Return a finding for each directory that wants a canary."""
    for directory in config.directories:
        if directory.type != "ldap" or directory.canary:
            continue
        asking = (
            domain.name
            for domain in config.domains
            if domain.type != "relay"
            and (not domain.directory or directory.name in domain.directory)
        )
        named = next(asking, "example.com")
        yield found(
            config,
            "directory.canary",
            Severity.ADVICE,
            WHAT,
            f"canary = postmaster@{named}, or another address that it is never without",
            directory.name,
            "canary",
            "directory",
        )
