"""Reading the configuration for a command: the INI, and Postfix's main.cf beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from codomain import config as configuration
from codomain.errors import ConfigError
from codomain_cli import maincf, shadowmaps
from codomain_cli.unavailable import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codomain.config import Config

DEFAULT = Path("/etc/codomain/codomain.ini")
"""Where the INI is, unless ``--config`` says otherwise."""

_F = TypeVar("_F", bound="Callable[..., object]")


def config_option(function: _F) -> _F:
    """Add ``--config FILE`` to a command; it may be given more than once."""
    return click.option(
        "--config",
        "files",
        type=click.Path(path_type=Path),
        multiple=True,
        default=(DEFAULT,),
        show_default=str(DEFAULT),
        metavar="FILE",
        help="The INI file; given again, later files add and override.",
    )(function)


def load(files: Sequence[Path], postfix: str = "") -> Config:
    """Read and check the files, with what main.cf says as defaults.

    ``postfix`` takes the place of ``[codomain] postfix``; empty: what the files say.

    Raises:
        ConfigError: with a line for every fault.

    """
    where = postfix or configuration.postfix_setting(files)
    main_cf = maincf.read(where, configuration.postfix_parameters(files))
    config = configuration.load(files, postfix=main_cf)
    faults = unavailable(config)
    if shadowmaps.shadows(config):
        faults += shadowmaps.asked(maincf.read(where, shadowmaps.PARAMETERS))
    if faults:
        raise ConfigError(faults)
    return config
