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
import gc
import importlib
import logging
import signal
import sys
from typing import TYPE_CHECKING

import click

from codomain import __version__
from codomain.errors import CodomainError, ListenError
from codomain.log import event, set_up
from codomain.metrics import Metrics
from codomain.runtime import InForce, Runtime
from codomain_cli.control import Control
from codomain_cli.handlers import Handlers
from codomain_cli.health import Health
from codomain_cli.indexes import watch_indexes
from codomain_cli.leftout import tell_left_out
from codomain_cli.loading import config_option, load
from codomain_cli.loopfaults import LoopFaults
from codomain_cli.page.pages import Pages
from codomain_cli.page.recent import Recent
from codomain_cli.systemd import notify
from codomain_cli.watchdog import period, watch
from codomain_milter.server import MilterServer
from codomain_policyd.activation import Activation
from codomain_policyd.server import Doors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from codomain.config import Config
    from codomain.sharedkeys import Purge
    from codomain_cli.admin import Admin

STOP_SECONDS = 10.0
"""What is under way at a stop is answered within this; systemd waits 90 (DefaultTimeoutStopSec)."""

RETIRE_SECONDS = 5.0
"""A runtime that was replaced is closed this long after its last request's deadline."""

RELOAD_SWITCH = 0.0005
"""Seconds after which a thread that builds a runtime gives the interpreter to the event loop.

The loop needs it anew for each connection that has asked something: with the usual 5 ms
(sys.getswitchinterval()) sixteen of them would wait for 80 ms.
"""

ADVICE_LINES = 20
"""What a start or a reload says of the configuration; one file may have thousands of faults."""

HTTP_MODE = 0o660
"""The mode of the admin door's unix socket."""

AT_START = (
    ("policyd", "listen"),
    ("policyd", "socketmap_listen"),
    ("policyd", "socket_group"),
    ("policyd", "socket_mode"),
    ("http", "listen"),
    ("milter", "listen"),
    ("codomain", "control_socket"),
    ("codomain", "control_group"),
)
"""What is opened at the start alone: sections and keys that a reload cannot put in force."""

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
        loop.set_exception_handler(LoopFaults())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        self._doors = Doors(self._in_force, activation=Activation.of_process())
        self._milter = MilterServer(self._in_force, lambda: self._end(stop))
        self._health = Health(self._in_force)
        self._metrics.directories_ready = self._health.up
        handlers = Handlers(self._in_force, self._health, self._doors.refresh)
        control = Control(handlers.table())
        self._use_shared(loop)
        config = self._in_force.runtime.config
        await self._open()
        try:
            admin = await self._open_admin(handlers)
        except BaseException:
            await self._close(0.0)
            raise
        try:
            await _open_control(control, config)
            watching = self._watch()
            try:
                event(log, logging.INFO, "ready", version=__version__, loop=type(loop).__module__)
                notify("READY=1")
                await stop.wait()
            finally:
                notify("STOPPING=1")
                event(log, logging.INFO, "stopping")
                await self._close(STOP_SECONDS)
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
        finally:
            await control.close()
            await admin.close()
            self._in_force.runtime.close()
        event(log, logging.INFO, "stopped")
        if self._failed:
            raise CodomainError("libmilter ended by itself")

    async def _open_admin(self, handlers: Handlers) -> Admin:
        """Open the admin door, and hear of refusals for its page from now on.

        Mail is answered before: aiohttp alone takes as long to import as all else together.
        The import is a thread's, so that the loop goes on with requests meanwhile.
        """
        self._recent = Recent()
        logging.getLogger("codomain").addHandler(self._recent)
        module = await asyncio.to_thread(importlib.import_module, "codomain_cli.admin")
        gc.freeze()  # as the runtime does: what stays need not be looked through again
        self._pages = Pages(self._in_force, handlers, self._recent)
        admin: Admin = module.Admin(self._metrics, self._health, self._in_force, self._pages)
        config = self._in_force.runtime.config
        await admin.open(config.http.listen, config.policyd.socket_group, HTTP_MODE)
        return admin

    def _watch(self) -> asyncio.Future[list[None]]:
        """Look after what changes by itself, and tell systemd that we do, until cancelled."""
        watchers = [
            self._health.run(),
            watch_indexes(self._in_force, self._doors.refresh),
            self._pages.rates.run(),
            tell_left_out(self._metrics, self._recent),
        ]
        seconds = period()
        if seconds is not None:
            watchers.append(watch(self._in_force, notify, seconds))
        return asyncio.gather(*watchers)

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

    async def _close(self, seconds: float) -> None:
        """Close the doors of the MTA; what is under way is answered within so long."""
        await asyncio.gather(self._doors.stop(seconds), self._milter.stop(seconds))

    def _use_shared(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let verdicts go when the second level of the cache says so, on a thread of its own."""

        def changed(purge: Purge | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._shared_changed, purge)

        self._in_force.runtime.start(changed)

    def _shared_changed(self, purge: Purge | None) -> None:
        runtime = self._in_force.runtime
        if purge is not None and purge.everything:
            runtime.flush()
        elif purge is not None:
            runtime.purge(*purge.keys)
        self._doors.refresh()

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
        usual = sys.getswitchinterval()
        sys.setswitchinterval(RELOAD_SWITCH)
        try:
            return Runtime(load(self._files), self._metrics, before=before)
        finally:
            sys.setswitchinterval(usual)

    def _swap(self, before: Runtime, after: Runtime) -> None:
        self._in_force.runtime = after
        self._doors.refresh()
        self._use_shared(asyncio.get_running_loop())
        self._health.look_now()
        set_up(after.config.codomain.log_level, after.config.codomain.log_format)
        self._reloaded()
        for section, key in AT_START:
            old, new = (getattr(one.config, section) for one in (before, after))
            if getattr(old, key) != getattr(new, key):
                event(log, logging.WARNING, "restart needed", section=section, key=key)
        retire = before.config.policyd.deadline + RETIRE_SECONDS
        asyncio.get_running_loop().call_later(retire, before.close)

    def _reloaded(self) -> None:
        runtime = self._in_force.runtime
        self._metrics.reload_successful.set(1)
        self._metrics.reload_timestamp.set(runtime.loaded)
        advice = runtime.warnings
        for line in advice[:ADVICE_LINES]:
            event(log, logging.WARNING, "configuration", advice=line)
        if len(advice) > ADVICE_LINES:
            others = f"{len(advice) - ADVICE_LINES} lines more, which codomain check prints"
            event(log, logging.WARNING, "configuration", advice=others)
        event(
            log,
            logging.INFO,
            "configuration in force",
            generation=runtime.generation,
            files=",".join(map(str, runtime.config.files)),
        )


async def _open_control(control: Control, config: Config) -> None:
    """Open the control socket; mail does not wait for an administrator's tool."""
    section = config.codomain
    if not section.control_socket:
        return
    try:
        await control.open(section.control_socket, section.control_group)
    except ListenError as error:
        event(log, logging.ERROR, "control socket not opened; all else goes on", detail=error)


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's event loop where it is installed; it takes a third less of the CPU."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
