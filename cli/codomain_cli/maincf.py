"""What Postfix's main.cf says, as postconf(1) reads it.

In flows ``[codomain] postfix`` (auto, off, or the folder of a main.cf); out flow the
parameters that the configuration looks at, expanded, by name.  A parameter of our own
(``codomain_*``) is seen by postconf only where one of Postfix's own refers to it; others
are not "used", and are left out here as Postfix leaves them out.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from codomain.config import postfix_parameters
from codomain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SECONDS = 10.0
"""postconf(1) reads files alone, in milliseconds; a hang is a broken host, not a slow one."""

SBIN = ("/usr/sbin", "/usr/local/sbin")
"""Where postconf is, beside the PATH: that of a user seldom has these."""

_ABSENT = re.compile(r"fatal: open \S*main\.cf: No such file")


def read(
    where: str, names: Sequence[str] | None = None, *, timeout: float = SECONDS
) -> dict[str, str]:
    """Return the parameters of main.cf by name; none where there is no Postfix.

    Args:
        where: ``auto``, ``off``, or the folder of a main.cf.
        names: the parameters (:func:`codomain.config.postfix_parameters`); None: those of
            the sections that stand once.
        timeout: seconds after which postconf is ended.

    Raises:
        ConfigError: postconf is there and fails, or the folder has no main.cf.  Going on
            without mynetworks would refuse the site's own clients for good.

    """
    if where == "off":
        return {}
    import subprocess

    command = _postconf()
    if command is None:
        return {}
    folder = [] if where == "auto" else ["-c", where]
    try:
        done = subprocess.run(
            [command, *folder, "-x", *(names or postfix_parameters())],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError([_fault(where, f"no answer within {timeout:g} s")]) from error
    except OSError as error:
        raise ConfigError([_fault(where, error.strerror or "cannot be run")]) from error
    if done.returncode == 0:
        return parse(done.stdout.splitlines())
    if where == "auto" and _ABSENT.search(done.stderr):
        return {}
    fatal = [line for line in done.stderr.splitlines() if "fatal:" in line]
    raise ConfigError([_fault(where, fatal[-1] if fatal else f"status {done.returncode}")])


def parse(lines: Iterable[str]) -> dict[str, str]:
    """Return the values by name from postconf's output, ``name = value`` on a line each."""
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _postconf() -> str | None:
    import shutil

    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])
    return shutil.which("postconf", path=path)


def _fault(where: str, why: str) -> str:
    return f"main.cf: postconf ({where}): {why}; mend it, or write postfix = off in [codomain]"
