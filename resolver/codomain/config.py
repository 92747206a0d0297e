"""The configuration: codomain.ini, its drop-ins and main.cf, read and checked as one.

In flow the paths of the files and what Postfix says; out flows one frozen
:class:`Config`, or a :class:`codomain.errors.ConfigError` that holds every fault at once,
each as ``FILE:LINE: [section] key: what is wrong; what to write instead``.  At start the
MTA then sees nothing, because no socket is opened; at a reload the configuration in force
stays.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.errors import ConfigError
from codomain.settings import advice, checks, defaults, ini
from codomain.settings.build import build
from codomain.settings.faults import Faults
from codomain.settings.named import (
    ConnectorSection,
    ContextSection,
    DirectorySection,
    DomainSection,
    PolicySection,
)
from codomain.settings.names import Endpoint, Network
from codomain.settings.sections import (
    CacheSection,
    CalloutSection,
    CodomainSection,
    HarvestSection,
    HttpSection,
    MilterSection,
    PolicydSection,
    RedirectSection,
    TrustSection,
)
from codomain.settings.source import MAIN_CF, expand, join, override, read_file
from codomain.settings.whole import SINGLE, Config, ReplyOverride, keys_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codomain.settings.ini import Section

__all__ = [
    "CacheSection",
    "CalloutSection",
    "CodomainSection",
    "Config",
    "ConnectorSection",
    "ContextSection",
    "DirectorySection",
    "DomainSection",
    "Endpoint",
    "HarvestSection",
    "HttpSection",
    "MilterSection",
    "Network",
    "PolicySection",
    "PolicydSection",
    "RedirectSection",
    "ReplyOverride",
    "TrustSection",
    "load",
    "parse",
    "postfix_parameters",
    "postfix_setting",
]


def load(files: Sequence[Path], *, postfix: Mapping[str, str] | None = None) -> Config:
    """Read and check the files; ``conf.d/*.ini`` beside the first one is read after it.

    Args:
        files: later ones add and override, key by key.
        postfix: values of main.cf by parameter (:func:`postfix_parameters` are looked at),
            expanded as ``postconf -x`` does; None: there is no Postfix.

    Raises:
        ConfigError: with a line for every fault, in the order of the files.

    """
    faults = Faults()
    paths = expand(files)
    blocks = [block for path in paths for block in read_file(path, faults)]
    return _finish(blocks, tuple(paths), postfix or {}, faults)


def parse(
    text: str, *, name: str = "codomain.ini", postfix: Mapping[str, str] | None = None
) -> Config:
    """Read and check one text; ``name`` stands for its file in faults and warnings.

    Raises:
        ConfigError: as :func:`load` does.

    """
    faults = Faults()
    return _finish(ini.read(text, name, faults), (Path(name),), postfix or {}, faults)


def postfix_setting(files: Sequence[Path]) -> str:
    """Return what the files say under ``[codomain] postfix``: auto, off, or a folder.

    For whoever reads main.cf before :func:`load`.  It raises nothing: ``auto`` where the
    files cannot be read or say nonsense, and :func:`load` then says why.
    """
    faults = Faults()
    blocks = [block for path in expand(files) for block in read_file(path, faults)]
    return build(join(blocks, faults), faults).codomain.postfix


def postfix_parameters() -> tuple[str, ...]:
    """Return the names of the main.cf parameters that :func:`load` looks at."""
    overrides = [
        f"codomain_{kind}_{name}" for kind, section in SINGLE.items() for name in keys_of(section)
    ]
    return (*defaults.MAIN_CF_DEFAULTS, *overrides)


def _finish(
    blocks: list[Section], files: tuple[Path, ...], postfix: Mapping[str, str], faults: Faults
) -> Config:
    source = join(blocks, faults)
    override(source, postfix, faults)
    config = build(source, faults)
    config = defaults.complete(config, source, postfix, faults)
    checks.check(config, source, faults)
    config = checks.secrets(config, source, faults)
    order = [*map(str, files), MAIN_CF]
    if faults.faults:
        raise ConfigError(faults.fault_lines(order))
    config = replace(config, files=files)
    advice.advise(config, source, faults)
    return replace(config, warnings=tuple(faults.warning_lines(order)))
