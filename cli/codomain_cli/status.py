"""``codomain status``: what the running daemon has in force, and what answers it.

Exit status: 0, every directory answers; 1, one does not; 75, the daemon is not there.
A next system that does not answer call-outs is shown, and changes nothing of it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from codomain_cli.caller import call, control_path, json_option, socket_option
from codomain_cli.exits import Exit
from codomain_cli.loading import config_option
from codomain_cli.nextsystems import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@click.command()
@config_option
@socket_option
@json_option
def status(files: Sequence[Path], path: Path | None, *, as_json: bool) -> None:
    """Show the configuration in force, and which directories, servers and next systems are up."""
    found = call(control_path(files, path), "status")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for line in lines(found):
            click.echo(line)
    if not all(directory["up"] for directory in found["directories"]):
        sys.exit(Exit.NEGATIVE)


def lines(found: Any) -> Iterator[str]:  # noqa: ANN401 - an answer's result
    """Write a status for a person."""
    loaded = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["loaded"]))
    yield f"codomain {found['version']}, configuration {found['generation']} of {loaded}"
    for file in found["files"]:
        yield f"  {file}"
    for directory in found["directories"]:
        why = f": {directory['detail']}" if directory["detail"] else ""
        yield f"directory {directory['name']} is {_up(directory['up'])}{why}"
        for server in directory["servers"]:
            yield f"  {server['uri']} is {_up(server['up'])}"
        if directory["index"] is not None:
            yield f"  {_index(directory['index'])}"
    if found["callouts"] is not None:
        yield from written(found["callouts"])
    shared = found["shared"]
    if shared is not None:
        why = f": {shared['detail']}" if shared["detail"] else ""
        yield f"shared cache {shared['server']} is {_up(shared['up'])}{why}"


def _up(up: object) -> str:
    return "up" if up else "down"


def _index(index: Any) -> str:  # noqa: ANN401 - an answer's part
    if not index["usable"]:
        return "local index cannot be used: every address is searched for"
    age = "of unknown age" if index["age"] is None else f"in step {index['age']:.0f} s ago"
    return f"local index of {index['entries']} entries, {age}"
