"""Tuning from main.cf: the lines that show how, and what of it an ``--apply`` has to keep.

A parameter that is not Postfix's own is shown by postconf(1), and draws no warning, only
where one of its own refers to it (postconf(5)).  ``${name?}`` refers to one and expands to
nothing.  In flow the configuration and what main.cf says now; out flow its lines.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from codomain.config import postfix_parameters
from codomain.settings.source import parameter_of
from codomain_cli.mainlines import CHECK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codomain.config import Config
    from codomain_cli.mainlines import Setting

CLASSES = "smtpd_restriction_classes"
"""Where they are named: a list in which what is empty means nothing."""

_NAMED = re.compile(r"\$\{(codomain_\w+)\?\}")


def tuning(config: Config, *, milter: bool) -> list[str]:
    """Return lines of main.cf that set keys to what they are: whoever tunes begins with them.

    With the milter no class of restrictions is ours, and the list holds nothing else.
    """
    values = {parameter_of("cache", "", "size"): config.cache.size}
    for connector in config.connectors[:1]:
        values[parameter_of("connector", connector.name, "cost")] = connector.cost
    lines = [f"{name} = {value}" for name, value in values.items()]
    return [*lines, f"{CLASSES} = {'' if milter else CHECK}{_references(values)}"]


def still_named(config: Config, now: str, setting: Setting) -> Setting:
    """Add to the list what is named in it now, so that what is tuned goes on being so.

    Args:
        config: whose keys can be tuned; what is none is not kept.
        now: the value in main.cf, as it is written there.
        setting: the value that takes its place.

    """
    known = postfix_parameters(config.files)
    kept = _references(name for name in _NAMED.findall(now) if name in known)
    return replace(setting, value=f"{setting.value}{kept}")


def _references(names: Iterable[str]) -> str:
    return "".join(f"${{{name}?}}" for name in dict.fromkeys(names))
