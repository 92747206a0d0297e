"""Asking the next systems from within a decision, without waiting.

A decision asks through :class:`Asker`; where nobody knows yet, the way back is
:class:`codomain.finding.NeedError`, as with directories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from codomain.callout.answer import Outcome
from codomain.finding import Inquiry, Need, NeedError

if TYPE_CHECKING:
    from codomain.address import Address
    from codomain.connectors import Connector
    from codomain.finding import Trace


class Ask(Protocol):
    """Looks into what is known of next systems now."""

    def __call__(self, inquiry: Inquiry, /) -> Outcome | None:
        """Return what is known of a recipient at a connector, or None: nobody has asked yet."""


def nobody(_inquiry: Inquiry, /) -> Outcome:
    """Stand for next systems where there is nobody who could ask them."""
    return Outcome.UNSURE


class Asker:
    """Asks for one decision."""

    __slots__ = ("_ask", "_trace")

    def __init__(self, ask: Ask, trace: Trace) -> None:
        self._ask = ask
        self._trace = trace

    def outcome(self, way: Connector, address: Address) -> Outcome:
        """Return what the connector's system says of an address.

        Raises:
            NeedError: nobody has asked it yet.

        """
        text = address.text()
        if text is None:
            self._trace("call-out", f"{way.name}: the address cannot be written out")
            return Outcome.UNSURE
        inquiry = Inquiry(way.name, address.key or text, text)
        outcome = self._ask(inquiry)
        if outcome is None:
            raise NeedError(Need("", text, inquiry))
        self._trace("call-out", f"{way.name}: {text} is {outcome.value}")
        return outcome
