"""libmilter's callbacks and its main loop, by pymilter's C extension.

The extension is used as it is: ``Milter.setsymlist`` fails on Python 3, and here the
arguments stay the bytes that the MTA sent.  Only what is needed is negotiated: connect,
MAIL and header without a reply, RCPT, DATA and the end of the message with one.  DATA has
a reply because on an inet socket every message would else stall for 40 ms (small writes
of the MTA wait for a delayed acknowledgement); there is nothing to say, so pymilter's C
gives it, and Python is not asked.  The end of the header is wanted, without a reply,
because of a message that has no header: libmilter takes the end of a message right after
DATA for a mistake, answers nothing, and the MTA would wait until its time-out.

pymilter reads a host's name and a field's name as UTF-8; what is none never reaches us, and
where no reply is expected the MTA would wait for ever for what follows one.  So that counts
as CONTINUE: the client stays a stranger, the field is none that we look for.

A session hangs on libmilter's context, and is taken off when the connection ends, so that
the two do not keep each other alive.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import milter

from codomain.errors import ListenError
from codomain_milter.client import CONNECT_MACROS, MAIL_MACROS
from codomain_milter.door import log
from codomain_milter.session import FIELDS, Outcome, Session

if TYPE_CHECKING:
    from codomain_milter.door import MilterDoor
    from codomain_milter.place import Place

NAME = "codomain"
"""What libmilter calls itself in syslog."""

BACKLOG = 1024
"""Connections that wait to be accepted, as at the other doors."""

REPLACE = milter.ADDRCPT | milter.DELRCPT
"""The actions without which a recipient cannot be replaced."""

ACTIONS = REPLACE | milter.ADDRCPT_PAR | milter.ADDHDRS | milter.CHGHDRS | milter.SETSYMLIST
"""Every action that is asked for."""

UNWANTED = milter.P_NOHELO | milter.P_NOUNKNOWN | milter.P_NOBODY
"""What the MTA need not send."""

SILENT = milter.P_NR_CONN | milter.P_NR_MAIL | milter.P_NR_HDR | milter.P_NR_EOH
"""What the MTA need not wait for."""

LENGTHS = frozenset(map(len, FIELDS))
"""How long the names of the fields are that matter."""

# At hand: between two callbacks the MTA's processes empty the processor's caches, so that
# each name that has to be looked up in another object costs a visit to main memory.
_TAKEN = Outcome.CONTINUE
_CONTINUE = milter.CONTINUE
_NOREPLY = milter.NOREPLY


def listen(door: MilterDoor, place: Place, mode: int) -> None:
    """Register the callbacks, and open the socket with its mode.

    Raises:
        ListenError: libmilter refuses the place.

    """
    hooks = _Hooks(door)
    milter.set_flags(ACTIONS)
    milter.set_connect_callback(hooks.connect)
    milter.set_envfrom_callback(hooks.mail)
    milter.set_envrcpt_callback(hooks.rcpt)
    milter.set_header_callback(hooks.header)
    milter.set_eoh_callback(hooks.eoh)
    milter.set_eom_callback(hooks.eom)
    milter.set_abort_callback(hooks.abort)
    milter.set_close_callback(hooks.close)
    milter.set_exception_policy(milter.CONTINUE)
    milter.setconn(place.spec)
    milter.setbacklog(BACKLOG)
    milter.register(NAME, negotiate=hooks.negotiate)
    before = os.umask(0o177)  # until it has its mode, nobody may connect
    try:
        milter.opensocket(0)
    except milter.error as error:
        raise ListenError(f"{place.endpoint} cannot be opened: libmilter: {error}") from error
    finally:
        os.umask(before)
    place.settle(mode)


def serve() -> None:
    """Serve until :func:`stop`; on a thread of its own."""
    try:
        milter.main()
    except milter.error:
        log.exception("libmilter ended", extra={"fields": {"door": "milter"}})


def takes_signals() -> bool:
    """Tell whether libmilter's own signal thread waits (sigwait(3)), as far as /proc shows."""
    for task in Path("/proc/self/task").glob("*/wchan"):
        with contextlib.suppress(OSError):
            if "sigtimedwait" in task.read_text():
                return True
    return False


def stop() -> None:
    """Let :func:`serve` end; it blocks for up to 5 s."""
    milter.stop()


def _status(outcome: Outcome) -> int:
    return milter.REJECT if outcome is Outcome.REJECT else milter.TEMPFAIL


class _Hooks:
    """The callbacks: each finds its session, and turns an outcome into a status."""

    def __init__(self, door: MilterDoor) -> None:
        self._door = door
        self._waits = False  # an MTA that waits for replies to header or its end has been here

    def negotiate(self, context: milter.Context, options: list[int]) -> int:
        """Choose actions and steps among those that the MTA offers (xxfi_negotiate)."""
        offered, steps = options[:2]
        session = Session(self._door, context, replaces=offered & REPLACE == REPLACE)
        context.setpriv(session)
        session.silent = SILENT & steps
        if session.silent != SILENT:
            self._waits = True
        if offered & milter.SETSYMLIST:
            context.setsymlist(milter.M_CONNECT, CONNECT_MACROS)
            context.setsymlist(milter.M_ENVFROM, MAIL_MACROS)
        options[:] = [offered & ACTIONS, (UNWANTED | SILENT) & steps, 0, 0]
        return milter.CONTINUE

    def connect(
        self,
        context: milter.Context,
        _hostname: str,
        _family: int,
        hostaddr: tuple[object, ...] | str | None,
    ) -> int:
        """Take the client's address (xxfi_connect)."""
        session = context.getpriv() or self._old(context)
        session.connect(hostaddr)
        return self._quiet(session, milter.P_NR_CONN)

    def mail(self, context: milter.Context, sender: bytes, *parameters: bytes) -> int:
        """Begin a message (xxfi_envfrom)."""
        session = context.getpriv() or self._old(context)
        session.mail(sender, *parameters)
        return _NOREPLY if not self._waits else self._quiet(session, milter.P_NR_MAIL)

    def rcpt(self, context: milter.Context, recipient: bytes, *parameters: bytes) -> int:
        """Decide on a recipient (xxfi_envrcpt)."""
        try:
            session = context.getpriv() or self._old(context)
            outcome = session.rcpt(recipient, *parameters)
            return _CONTINUE if outcome is _TAKEN else _status(outcome)
        except BaseException:  # noqa: BLE001  # pymilter would take it for CONTINUE
            return milter.TEMPFAIL

    def header(self, context: milter.Context, name: str, value: bytes) -> int:
        """Look at a field (xxfi_header); by far the most callbacks are for others than ours."""
        if len(name) not in LENGTHS and not self._waits:
            return _NOREPLY
        session = context.getpriv() or self._old(context)
        session.header(name, value)
        return self._quiet(session, milter.P_NR_HDR)

    def eoh(self, context: milter.Context) -> int:
        """Pass the end of the header by (xxfi_eoh)."""
        if not self._waits:
            return _NOREPLY
        return self._quiet(context.getpriv() or self._old(context), milter.P_NR_EOH)

    def eom(self, context: milter.Context) -> int:
        """End a message (xxfi_eom)."""
        try:
            session = context.getpriv() or self._old(context)
            outcome = session.eom()
            return _CONTINUE if outcome is _TAKEN else _status(outcome)
        except BaseException:  # noqa: BLE001  # the same
            return milter.TEMPFAIL

    def abort(self, context: milter.Context) -> int:
        """Forget a message (xxfi_abort)."""
        (context.getpriv() or self._old(context)).abort()
        return _CONTINUE

    def close(self, context: milter.Context) -> int:
        """End a connection (xxfi_close)."""
        session = context.getpriv()
        if session is not None:
            session.close()
        context.setpriv(None)
        return _CONTINUE

    def _old(self, context: milter.Context) -> Session:
        """Begin the session of an MTA that is too old to negotiate, and waits for each reply."""
        session = Session(self._door, context)
        context.setpriv(session)
        self._waits = True
        return session

    def _quiet(self, session: Session, step: int) -> int:
        return milter.NOREPLY if session.silent & step else milter.CONTINUE
