"""The ``codomain_*`` parameters of main.cf: whether they are known, and whether they hold.

postconf(1) shows a parameter that is not its own only where one of its own refers to it by
``$name``; one that nobody refers to says nothing to Postfix, nor to us.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codomain.config import postfix_parameters
from codomain.settings.faults import nearest
from codomain_cli.checks.findings import Finding, Severity
from codomain_cli.mainlines import CHECK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.config import Config
    from codomain_cli.checks.instance import Instance

OWN = frozenset({CHECK, "codomain_map", "codomain_policy", "codomain_policy_timeout"})
"""What ``codomain postfix`` writes; no key stands behind these."""

_NAME = re.compile(r"(codomain_\w+)\s*=")
_REFERS = re.compile(r"\$[{(]?(\w+)")


def findings(config: Config, instance: Instance) -> Iterator[Finding]:
    """Return what is written into main.cf for codomain and does nothing."""
    known = postfix_parameters(config.files)
    lines = [(n, m[1]) for n, text in instance.main.lines if (m := _NAME.match(text))]
    referred = {name for _, text in instance.main.lines for name in _REFERS.findall(text)} | set(
        instance.items("smtpd_restriction_classes")
    )
    for number, name in lines:
        if name in OWN:
            continue
        if name in known and not instance.values.get(name) and name not in instance.values:
            yield _finding(
                "postfix.parameter_unused",
                instance,
                number,
                name,
                "no parameter of Postfix refers to it, so it is not in force",
                f"smtpd_restriction_classes = {CHECK}${{{name}?}}",
            )
        elif name not in known and name not in referred:
            near = nearest(name, known)
            yield _finding(
                "postfix.parameter_unknown",
                instance,
                number,
                name,
                "it is no key of codomain's, and does nothing",
                f"{near} =" if near else "remove it",
            )


def _finding(  # noqa: PLR0913, PLR0917 - a finding has so many parts
    kind: str, instance: Instance, line: int, name: str, what: str, remedy: str
) -> Finding:
    return Finding(kind, Severity.WARNING, what, remedy, instance.main.path, line, "", name)
