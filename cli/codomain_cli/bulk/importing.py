"""One import: the file read, the directory looked at, the plan made and carried out.

In flow the configuration, the file and its terms; what there is to say goes to a
function, a line at a time.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codomain.errors import RecordError
from codomain_cli.bulk import names, records, report, telling
from codomain_cli.bulk.applying import Applying, Outcome
from codomain_cli.bulk.connecting import connect
from codomain_cli.bulk.held import fetch, look_around, schema_of
from codomain_cli.bulk.outlook import Outlook
from codomain_cli.bulk.plan import SPELLINGS, Plan, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

    from codomain.config import Config, DirectorySection
    from codomain.directory.writing import WritingWire

    Say = Callable[[str], object]
    """Takes a line for the postmaster."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a file is taken."""

    encoding: str
    """The encoding of a file without a byte order mark that is no UTF-8."""

    left_out: frozenset[str]
    """Attributes that are not written, in lower case."""

    remove: bool
    """Addresses go that an entry has and its record does not name."""

    create_units: bool
    """Missing organisational units are created."""


class Import:
    """One file on its way into one directory."""

    def __init__(
        self,
        config: Config,
        section: DirectorySection,
        path: str,
        terms: Terms,
        bars: Callable[[], Progress] | None = None,
    ) -> None:
        """Take what is wanted; ``section`` has the writer's credentials, ``bars`` makes bars."""
        self.plan = Plan()
        self.outcome: Outcome | None = None
        self.told = ""
        self._config = config
        self._section = section
        self._path = path
        self._terms = terms
        self._bars = bars

    def prepare(self, say: Say, *, verbose: bool = False) -> None:
        """Read the file, look at the directory, and make the plan.

        Raises:
            RecordError: the file cannot be read, or the directory cannot hold contacts.
            DirectoryError: the directory does not answer.

        """
        base = names.parse(self._section.base)
        reading = records.read(self._path, self._terms.encoding, base, self._terms.left_out)
        with closing(connect(self._section)) as wire:
            naming = self._judge_by_schema(wire, reading)
            with self._bar("reading", None) as seen:
                held = fetch(wire, self._section.base, sorted(reading.attributes), seen)
            new = [c.name for c in reading.contacts if c.name.key not in held.entries]
            look_around(wire, held, new, base)
        held.naming = naming
        with closing(Outlook(self._config, self._section.name)) as outlook:
            self.plan = plan_of(
                reading.contacts,
                held,
                outlook,
                remove=self._terms.remove,
                create_units=self._terms.create_units,
            )
        found = [*reading.faults, *self.plan.refused]
        self.plan.refused = sorted(found, key=lambda fault: fault.line)
        for line in report.planned(self.plan, self._path, verbose=verbose):
            say(line)

    def apply(self, say: Say) -> None:
        """Carry the plan out, and tell the daemon, however that ends.

        Raises:
            DirectoryError: the directory does not answer any more, or takes no changes.

        """
        if not self.plan.works():
            return
        total = sum(step.request is not None for step in self.plan.steps)
        with closing(connect(self._section)) as wire:
            applying = Applying(wire, self.plan)
            self.outcome = applying.outcome
            try:
                with self._bar("writing", total) as seen:
                    applying.run(seen)
            finally:
                socket = self._config.codomain.control_socket
                if socket:
                    self.told = telling.purge(Path(socket), self.outcome.addresses)
                for line in report.done(self.outcome, self._path):
                    say(line)
                if self.told:
                    say(self.told)

    def bad(self) -> bool:
        """Tell whether a record was not, or could not be, carried out."""
        failed = self.outcome is not None and self.outcome.faults
        return bool(self.plan.conflicts or self.plan.refused or failed)

    def _judge_by_schema(self, wire: WritingWire, reading: records.Reading) -> frozenset[str]:
        """Say once, and not for each record, what the directory cannot hold.

        Returns the attributes whose values are names of entries.
        """
        schema = schema_of(wire)
        if schema is None:  # it does not show it: the server says it for each record
            return frozenset()
        where = f"[directory {self._section.name}]"
        if records.CONTACT not in schema.classes:
            raise RecordError(f"{where}: its schema has no class contact, so it can hold none")
        missing = sorted(reading.attributes - schema.attributes)
        if missing:
            spelled = [SPELLINGS.get(name, name) for name in missing]
            without = " ".join(f"--leave-out {name}" for name in spelled)
            raise RecordError(
                f"{where}: its schema has no {', '.join(spelled)}: extend it, or write {without}"
            )
        reading.refuse_several(schema.single)
        return schema.naming

    @contextmanager
    def _bar(self, what: str, total: int | None) -> Iterator[Callable[[], object]]:
        """Show a bar for a while, and give what to call for each entry.

        Nothing is said meanwhile: it would stand in the bar's line, and go with the bar.
        """
        if self._bars is None:
            yield lambda: None
            return
        with self._bars() as bars:
            task = bars.add_task(what, total=total)
            yield lambda: bars.advance(task)
