"""The followers of one ``codomain sync``: started, watched, stopped, reloaded.

Each directory has a thread of its own (:mod:`codomain_cli.syncjob`); the main thread takes
signals and what the jobs tell, one after the other.
"""

from __future__ import annotations

import logging
import queue
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from codomain.directory.index import index_path
from codomain.errors import (
    CodomainError,
    DirectoryError,
    IndexBusyError,
    ShrinkError,
)
from codomain.log import event, set_up
from codomain_cli.exits import Exit
from codomain_cli.loading import load
from codomain_cli.sync import followed
from codomain_cli.syncjob import Job
from codomain_cli.systemd import notify

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rich.progress import Progress

    from codomain.config import Config
    from codomain.directory.follow import Terms
    from codomain_cli.syncjob import Told

STATUSES = (
    (ShrinkError, Exit.NEGATIVE),
    (DirectoryError, Exit.TEMPORARY),
    (IndexBusyError, Exit.TEMPORARY),
)
"""How ``--once`` ends with each error; anything else cannot be written: EX_OSERR."""

log = logging.getLogger("codomain.sync")


class Following:
    """All jobs of one process."""

    def __init__(self, files: Sequence[Path], names: Sequence[str], bars: Progress | None) -> None:
        self._files = files
        self._names = names
        self._bars = bars
        self._told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._jobs: dict[str, Job] = {}
        self._ready = False

    def run(self, config: Config, terms: Terms) -> Exit:
        """Follow until told to end, or until all is in step; returns the exit status.

        Raises:
            CodomainError: an index cannot be taken.

        """
        before = [
            (number, signal.signal(number, lambda *_, t=told: self._told.put(t)))
            for number, told in (
                (signal.SIGTERM, "end"),
                (signal.SIGINT, "end"),
                (signal.SIGHUP, "reload"),
            )
        ]
        try:
            self._start(config, terms)
            return self._watch(replace(terms, accept_shrink=False))
        finally:
            notify("STOPPING=1")
            self._stop(self._jobs)
            for number, handler in before:
                signal.signal(number, handler)

    def _watch(self, terms: Terms) -> Exit:
        self._say_ready()
        while not all(job.over for job in self._jobs.values()):
            told = self._told.get()
            if told == "end":
                event(log, logging.INFO, "stopping")
                return Exit.OK
            if told == "reload" and not terms.once:
                self._reload(terms)
            self._say_ready()
        return _worst([job.error for job in self._jobs.values()])

    def _say_ready(self) -> None:
        if not self._ready and all(job.ready for job in self._jobs.values()):
            self._ready = True
            event(log, logging.INFO, "ready", directories=",".join(self._jobs))
            notify("READY=1")

    def _start(self, config: Config, terms: Terms) -> None:
        """Start the jobs of a configuration that do not run yet; all or none."""
        new = {}
        try:
            for section in followed(config, self._names):
                path = index_path(config.codomain.state_directory, section.name)
                if section.name not in self._jobs:
                    new[section.name] = Job(section, path, terms, self._told.put, self._bars)
        except BaseException:
            self._stop(new)
            raise
        self._jobs |= new
        for job in new.values():
            job.start()

    def _stop(self, jobs: dict[str, Job]) -> None:
        for job in jobs.values():
            job.stop()
        for job in jobs.values():
            job.join()

    def _reload(self, terms: Terms) -> None:
        """Read the configuration anew, and follow what is another directory now."""
        try:
            config = load(self._files)
            sections = followed(config, self._names)
        except CodomainError as error:
            for line in str(error).splitlines():
                event(log, logging.ERROR, "reload failed", fault=line)
            event(log, logging.ERROR, "the configuration in force stays")
            return
        set_up(config.codomain.log_level, config.codomain.log_format)
        state = config.codomain.state_directory
        same = {section.name for section in sections} & {
            name
            for name, job in self._jobs.items()
            if job.section in sections and job.path == index_path(state, name)
        }
        gone = {name: job for name, job in self._jobs.items() if name not in same}
        self._stop(gone)
        self._jobs = {name: self._jobs[name] for name in same}
        self._start(config, terms)
        event(log, logging.INFO, "configuration in force", kept=",".join(sorted(same)))


def _worst(errors: Iterable[CodomainError | None]) -> Exit:
    """Return the exit status of several ends: what a human must see comes first."""
    statuses = [_status(error) for error in errors if error is not None]
    order = (Exit.SOFTWARE, Exit.OS, Exit.NEGATIVE, Exit.TEMPORARY)
    return next((status for status in order if status in statuses), Exit.OK)


def _status(error: CodomainError) -> Exit:
    if type(error) is CodomainError:
        return Exit.SOFTWARE
    return next((status for kind, status in STATUSES if isinstance(error, kind)), Exit.OS)
