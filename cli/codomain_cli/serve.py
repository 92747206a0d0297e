"""``codomain serve``: opens every door of the configuration in one process.

SIGHUP reads the configuration anew: a bad one is logged and the old one stays; a good one
is swapped in at once, and no connection drops.  SIGTERM stops accepting, answers what is
under way, and ends.

Diagnostics: exit status 78, the configuration cannot be used and every fault is named; 71,
a port or socket cannot be opened; 70, libmilter ended by itself; 0 after SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

import click

from codomain import __version__
from codomain.errors import CodomainError
from codomain.log import event, set_up
from codomain.metrics import Metrics
from codomain.runtime import InForce, Runtime
from codomain_cli.admin import Admin
from codomain_cli.health import Health
from codomain_cli.loading import config_option, load
from codomain_milter.server import MilterServer
from codomain_policyd.server import Doors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from codomain.config import Config

STOP_SECONDS = 10.0
"""What is under way at a stop is answered within this; systemd waits 90 (DefaultTimeoutStopSec)."""

RETIRE_SECONDS = 5.0
"""A runtime that was replaced is closed this long after its last request's deadline."""

HTTP_MODE = 0o660
"""The mode of the admin door's unix socket."""

log = logging.getLogger("codomain.serve")


@click.command()
@config_option
@click.option("--no-uvloop", is_flag=True, help="Use Python's own event loop.")
def serve(files: Sequence[Path], *, no_uvloop: bool) -> None:
    """Answer Postfix and Sendmail until SIGTERM."""
    config = load(files)
    set_up(config.codomain.log_level, config.codomain.log_format)
    daemon = Daemon(files, config)
    factory = None if no_uvloop else _uvloop()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(daemon.run())


class Daemon:
    """One running process: its doors, its configuration in force, its signals."""

    def __init__(self, files: Sequence[Path], config: Config) -> None:
        """Build the first runtime.

        Raises:
            CodomainError: a directory's files or section cannot be used.

        """
        self._files = files
        self._metrics = Metrics(__version__)
        self._in_force = InForce(Runtime(config, self._metrics))
        self._reloaded()
        self._reloading: asyncio.Task[None] | None = None
        self._reload_again = False
        self._failed = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Open the doors, serve, and close them.

        Raises:
            ListenError: a port or socket cannot be opened.
            CodomainError: a part of it ended that cannot be started again.

        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        self._doors = Doors(self._in_force)
        self._milter = MilterServer(self._in_force, lambda: self._end(stop))
        self._health = Health(self._in_force)
        admin = Admin(self._metrics, self._health)
        config = self._in_force.runtime.config
        await admin.open(config.http.listen, config.policyd.socket_group, HTTP_MODE)
        try:
            await self._open()
            watch = loop.create_task(self._health.run())
            try:
                event(log, logging.INFO, "ready", version=__version__, loop=type(loop).__module__)
                notify("READY=1")
                await stop.wait()
            finally:
                notify("STOPPING=1")
                event(log, logging.INFO, "stopping")
                await asyncio.gather(
                    self._doors.stop(STOP_SECONDS), self._milter.stop(STOP_SECONDS)
                )
                watch.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watch
        finally:
            await admin.close()
            self._in_force.runtime.close()
        event(log, logging.INFO, "stopped")
        if self._failed:
            raise CodomainError("libmilter ended by itself")

    def _end(self, stop: asyncio.Event) -> None:
        event(log, logging.ERROR, "libmilter ended by itself; this process ends, to begin anew")
        self._failed = True
        stop.set()

    async def _open(self) -> None:
        await self._doors.open()
        try:
            await self._milter.open()
        except BaseException:
            await self._doors.stop(0.0)
            raise

    def _reload_soon(self) -> None:
        """Start a reload; one that is asked for while another runs comes after it."""
        if self._reloading is not None and not self._reloading.done():
            self._reload_again = True
            return
        self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        while True:
            self._reload_again = False
            before = self._in_force.runtime
            try:
                after = await asyncio.to_thread(self._build, before)
            except CodomainError as error:
                self._metrics.reload_successful.set(0)
                for line in str(error).splitlines():
                    event(log, logging.ERROR, "reload failed", fault=line)
                event(log, logging.ERROR, "the configuration in force stays")
            except Exception:
                self._metrics.reload_successful.set(0)
                log.exception("reload failed by a fault of our own; the configuration stays")
            else:
                self._swap(before, after)
            if not self._reload_again:
                return

    def _build(self, before: Runtime) -> Runtime:
        """Read and check everything anew, in a thread: requests go on meanwhile."""
        return Runtime(load(self._files), self._metrics, before=before)

    def _swap(self, before: Runtime, after: Runtime) -> None:
        self._in_force.runtime = after
        self._doors.refresh()
        self._health.look_now()
        set_up(after.config.codomain.log_level, after.config.codomain.log_format)
        self._reloaded()
        for key in ("policyd", "http", "milter"):
            if getattr(before.config, key).listen != getattr(after.config, key).listen:
                event(log, logging.WARNING, "restart needed", section=key, key="listen")
        retire = before.config.policyd.deadline + RETIRE_SECONDS
        asyncio.get_running_loop().call_later(retire, before.close)

    def _reloaded(self) -> None:
        runtime = self._in_force.runtime
        self._metrics.reload_successful.set(1)
        self._metrics.reload_timestamp.set(runtime.loaded)
        for line in runtime.warnings:
            event(log, logging.WARNING, "configuration", advice=line)
        event(
            log,
            logging.INFO,
            "configuration in force",
            generation=runtime.generation,
            files=",".join(map(str, runtime.config.files)),
        )


def notify(state: str) -> None:
    """Tell systemd about a change of state (sd_notify(3)); nothing happens elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(state.encode(), address)


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's event loop where it is installed; it takes a third less of the CPU."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
