"""Carrying a plan out: what is sent in which order, and what came of it.

First the units, then the contacts that give addresses up, then the other changes, then the
new ones: so no address is of two entries at a time, but where two contacts exchange theirs,
and mail to these is deferred for that moment.  Every request is whole: killed at any
moment, each entry is as before or as planned, and a new plan has what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain.directory.link import ResultError
from codomain.directory.messages import SUCCESS
from codomain.directory.writing import Addition
from codomain.errors import DirectoryError
from codomain_cli.bulk.plan import What
from codomain_cli.bulk.records import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from codomain.directory.messages import Done
    from codomain.directory.writing import Modification, WritingWire
    from codomain_cli.bulk.names import Name
    from codomain_cli.bulk.plan import Plan, Step

REFERRAL = 10
ALREADY_EXISTS = 68
MEANWHILE = frozenset({16, 20})
"""Result codes of a value that went or came since the plan was made: noSuchAttribute,
attributeOrValueExists."""

TROUBLE = frozenset({8, REFERRAL, 13, 51, 52})
"""Result codes that would meet every request: strongerAuthRequired, referral (a replica),
confidentialityRequired, busy, unavailable (RFC 4511 appendix A)."""


@dataclass(slots=True)
class Outcome:
    """What was done."""

    units: int = 0
    """Organisational units that were created."""

    created: int = 0
    """Contacts that were created."""

    changed: int = 0
    """Contacts that were changed."""

    faults: list[Fault] = field(default_factory=list)
    """Records that were not carried out, with the server's reason."""

    addresses: set[str] = field(default_factory=set)
    """The addresses of which the answer may be another one now."""


class Applying:
    """One plan being carried out."""

    def __init__(self, wire: WritingWire, plan: Plan) -> None:
        """Take a connection that may write."""
        self.outcome = Outcome()
        self._wire = wire
        self._plan = plan
        self._seen: Callable[[], object] = lambda: None
        self._kept: dict[str, str] = {}  # addresses that were to be given up, and were not

    def run(self, seen: Callable[[], object] = lambda: None) -> Outcome:
        """Do it all; what one record meets does not stop the others.

        :attr:`outcome` says how far it came, also where it ends with an error; ``seen`` is
        called after each contact.

        Raises:
            DirectoryError: the connection failed, or the server takes no changes at all.

        """
        self._seen = seen
        for unit in self._plan.units:
            self._make(unit)
        changes = list(self._plan.steps_of(What.CHANGE))
        self._wave(step for step in changes if step.gives_up)
        self._wave(step for step in changes if not step.gives_up)
        self._wave(self._plan.steps_of(What.CREATE))
        return self.outcome

    def _make(self, unit: Name) -> None:
        attributes = {"objectClass": (b"organizationalUnit",), "ou": (unit.own()[1].encode(),)}
        for _, done in self._wire.carry_out([Addition(str(unit), attributes)]):
            self._check(done)
            if done.code == SUCCESS:
                self.outcome.units += 1
            elif done.code != ALREADY_EXISTS:  # somebody else made it: good
                self.outcome.faults.append(Fault(0, str(unit), done.describe()))

    def _wave(self, steps: Iterable[Step]) -> None:
        by_request: dict[int, Step] = {}
        requests: list[Addition | Modification] = []
        for step in steps:
            blocked = [address for address in sorted(step.takes) if address in self._kept]
            if blocked:
                why = f"{blocked[0]} is still an address of {self._kept[blocked[0]]}"
                self._fail(step, why)
            elif step.request is not None:
                by_request[id(step.request)] = step
                requests.append(step.request)
        try:
            for request, done in self._wire.carry_out(requests):
                self._check(done)
                self._note(by_request[id(request)], done)
        except DirectoryError:  # what was under way may have been done
            for step in by_request.values():
                self.outcome.addresses |= step.takes | step.gives_up
            raise

    def _note(self, step: Step, done: Done) -> None:
        if done.code != SUCCESS:
            why = "it was changed meanwhile, run it again: " if done.code in MEANWHILE else ""
            self._fail(step, f"{why}the directory says {done.describe()}")
            return
        if step.what is What.CREATE:
            self.outcome.created += 1
        else:
            self.outcome.changed += 1
        self.outcome.addresses |= step.takes | step.gives_up
        self._seen()

    def _fail(self, step: Step, why: str) -> None:
        self._kept.update((address, str(step.contact.name)) for address in step.gives_up)
        self.outcome.faults.append(Fault(step.contact.line, str(step.contact.name), why))
        self._seen()

    def _check(self, done: Done) -> None:
        """Stop where every other request would meet the same."""
        if done.code in TROUBLE:
            told = done.describe()
            if done.code == REFERRAL:
                told += ": this server takes no changes, write to that one"
            raise ResultError(f"{self._wire.server.uri}: {told}", done.code)
