"""Call-outs for a command that waits for them: each next system is asked when it is needed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from codomain.address import parse_mailbox
from codomain.callout.answer import Outcome
from codomain.callout.opening import asked
from codomain.callout.session import Said
from codomain.callout.system import system_from
from codomain.errors import NextSystemError

if TYPE_CHECKING:
    from codomain.config import Config
    from codomain.finding import Inquiry, Trace


def checked(config: Config) -> dict[str, str | None]:
    """Ask each next system for its control address; say by connector what is wrong, or None."""
    found: dict[str, str | None] = {}
    for section in asked(config):
        system = system_from(section, config)
        control = parse_mailbox(section.verify_control)
        address = control.text() if control else None
        try:
            if address is None:
                found[section.name] = "there is no verify_control, and no refusal is believed"
                continue
            said = system.ask(address, config.callout.timeout, judged=True)
        except NextSystemError as error:
            found[section.name] = f"its system does not answer: {error}"
        else:
            taken = said.outcome is Outcome.KNOWN
            found[section.name] = None if taken else f"it refuses its verify_control: {said.detail}"
        finally:
            system.close()
    return found


class AtOnce:
    """Asks, and remembers while the command runs (:class:`codomain.callout.asking.Ask`)."""

    def __init__(self, config: Config, trace: Trace) -> None:
        """Take the configuration, and who hears of each call-out with the system's own words."""
        self._systems = {section.name: system_from(section, config) for section in asked(config)}
        self._seconds = config.callout.timeout
        self._trace = trace
        self._said: dict[Inquiry, Said] = {}

    def __call__(self, inquiry: Inquiry, /) -> Outcome:
        """Ask a next system about a recipient."""
        if inquiry not in self._said:
            began = time.monotonic()
            try:
                system = self._systems[inquiry.connector]
                said = system.ask(inquiry.address, self._seconds, judged=False)
            except NextSystemError as error:
                said = Said(Outcome.UNSURE, str(error))
            self._said[inquiry] = said
            spent = (time.monotonic() - began) * 1000
            self._trace("asked", f"{inquiry.connector}: {said.detail}, {spent:.1f} ms")
        return self._said[inquiry].outcome

    def close(self) -> None:
        """End all sessions."""
        for system in self._systems.values():
            system.close()
