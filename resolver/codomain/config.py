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
from codomain.settings.provenance import origins_of
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
from codomain.settings.source import MAIN_CF, expand, join, override, parameters_of, read_file
from codomain.settings.whole import Config, ReplyOverride

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
    "control_setting",
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


def control_setting(files: Sequence[Path], postfix: Mapping[str, str]) -> str:
    """Return where the daemon's control socket is, for its commands.

    It raises nothing, and looks at nothing else: the daemon runs with a configuration that
    was good, whatever the files say meanwhile.  ``postfix`` as for :func:`load`.
    """
    faults = Faults()
    blocks = [block for path in expand(files) for block in read_file(path, faults)]
    source = join(blocks, faults)
    override(source, postfix, faults)
    return build(source, faults).codomain.control_socket


def postfix_parameters(files: Sequence[Path] = ()) -> tuple[str, ...]:
    """Return the names of the main.cf parameters that :func:`load` looks at.

    ``files``: as for :func:`load`; without them the sections that have names are left out.
    It raises nothing, as :func:`postfix_setting` does.
    """
    faults = Faults()
    blocks = [block for path in expand(files) for block in read_file(path, faults)]
    return (*defaults.MAIN_CF_DEFAULTS, *parameters_of(join(blocks, faults)))


def _finish(
    blocks: list[Section], files: tuple[Path, ...], postfix: Mapping[str, str], faults: Faults
) -> Config:
    source = join(blocks, faults)
    override(source, postfix, faults)
    config = build(source, faults)
    config = defaults.complete(config, source, postfix, faults)
    checks.check(config, source, faults)
    checks.classes(config, postfix, faults)
    config = checks.secrets(config, source, faults)
    order = [*map(str, files), MAIN_CF]
    if faults.faults:
        raise ConfigError(faults.fault_lines(order))
    config = replace(config, files=files, origins=origins_of(source, postfix))
    advice.advise(config, source, faults)
    return replace(config, warnings=tuple(faults.warning_lines(order)))
