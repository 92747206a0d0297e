"""``codomain cache``: what the daemon remembers, and making it forget.

Exit status: 0; 1, an address was not known; 64, it is no address; 75, the daemon is not
there, or not all gateways could be told.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from codomain_cli.caller import call, control_path, json_option, socket_option
from codomain_cli.exits import Exit
from codomain_cli.handlers import ADDRESSES
from codomain_cli.loading import config_option
from codomain_cli.plain import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.group()
def cache() -> None:
    """Show what the running daemon remembers, or make it forget."""


@cache.command()
@config_option
@socket_option
@json_option
def stats(files: Sequence[Path], path: Path | None, *, as_json: bool) -> None:
    """Show how much is remembered, and of what use it is."""
    found = call(control_path(files, path), "cache.stats")
    if as_json:
        _print_json(found)
        return
    for kind, entries in found["entries"].items():
        click.echo(f"{kind:<20} {entries:>10}")
    for kind, count in found["lookups"].items():
        click.echo(f"{'look-ups: ' + kind:<20} {count:>10}")
    _print_shared(found["shared"])


@cache.command()
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@config_option
@socket_option
@json_option
def purge(
    addresses: Sequence[str], files: Sequence[Path], path: Path | None, *, as_json: bool
) -> None:
    """Forget addresses, at all gateways: the directory is asked anew.

    Any form of an address will do; its extension is forgotten with it.
    """
    if len(addresses) > ADDRESSES:
        raise click.UsageError(f"at most {ADDRESSES} addresses at a time; flush forgets all")
    found = call(control_path(files, path), "cache.purge", addresses=list(addresses))
    if as_json:
        _print_json(found)
    else:
        for each in found["addresses"]:
            known = each["known"]
            what = "was not known" if not known else f"forgotten ({known} answers)"
            click.echo(f"{printable(each['address'])}: {what}")
        _print_shared(found["shared"])
    if _untold(found):
        sys.exit(Exit.TEMPORARY)
    if not all(each["known"] for each in found["addresses"]):
        sys.exit(Exit.NEGATIVE)


@cache.command()
@config_option
@socket_option
@json_option
def flush(files: Sequence[Path], path: Path | None, *, as_json: bool) -> None:
    """Forget everything, at all gateways; nothing serves if the directory fails now."""
    found = call(control_path(files, path), "cache.flush")
    if as_json:
        _print_json(found)
    else:
        click.echo(f"{found['known']} answers forgotten")
        _print_shared(found["shared"])
    if _untold(found):
        sys.exit(Exit.TEMPORARY)


def _untold(found: Any) -> bool:  # noqa: ANN401 - an answer's result
    shared = found["shared"]
    return shared is not None and not shared["up"]


def _print_shared(shared: Any) -> None:  # noqa: ANN401 - an answer's part
    if shared is None:
        return
    if shared["up"]:
        click.echo(f"shared by {shared['server']}")
    else:
        click.echo(
            f"shared by {shared['server']}, which cannot be reached ({shared['detail']}):"
            " the other gateways hear of it when it is there again",
            err=True,
        )


def _print_json(found: object) -> None:
    click.echo(json.dumps(found, indent=2))
