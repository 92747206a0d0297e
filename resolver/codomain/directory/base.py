"""What every directory gives: entries, by the addresses that resolve to them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from codomain.finding import Outage


class Kind(Enum):
    """What an entry stands for."""

    MAILBOX = "mailbox"
    """A person or system whose mail is kept by the system of this directory."""

    CONTACT = "contact"
    """A person on another system; the mail goes to :attr:`Recipient.target`."""

    GROUP = "group"
    """A list that the mailbox system expands; for us it is a mailbox."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One entry of a directory, as far as mail is concerned."""

    dn: str
    """The entry's name, unique in its directory: a DN, or ``file:line``; for logs."""

    kind: Kind
    """What it stands for."""

    addresses: tuple[str, ...]
    """Every address that resolves to it, as :attr:`codomain.address.Address.key`."""

    primary: str = ""
    """Its primary address as written in the directory; empty: it names none."""

    target: str = ""
    """Where its mail goes instead (targetAddress, mailRoutingAddress), as written."""

    mail_host: str = ""
    """The host that keeps its mailbox (mailHost), as written; empty: any."""

    restricted: bool = False
    """It takes mail of authenticated senders only (msExchRequireAuthToSendTo)."""


class Directory(Protocol):
    """Something that can be asked for an address."""

    name: str
    """The name of its section in the INI."""

    def peek(self, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Answer from memory at once, or None where :meth:`find` must be asked.

        An outage: it cannot be known now, and asking would not help; the MTA gets
        451 4.4.3.  Called on the event loop's thread and on the milter's: it never blocks
        and never raises.
        """

    def find(self, key: str, timeout: float) -> tuple[Recipient, ...]:
        """Return the entries to which an address resolves; none: it is not there.

        ``key`` is an :attr:`codomain.address.Address.key`.  More than one entry means
        that several claim the address.  Called in a thread; it returns or raises within
        ``timeout`` seconds.

        Raises:
            DirectoryError: there was no plain answer; the MTA gets 451 4.4.3, or an
                earlier answer that still serves.

        """

    def check(self) -> None:
        """Tell whether the directory answers now.

        Raises:
            DirectoryError: it does not, with the reason; ``/readyz`` answers 503.

        """

    def close(self) -> None:
        """Give up connections and files; a search under way ends with an error."""


@runtime_checkable
class Indexed(Protocol):
    """A directory in front of which stands a local index."""

    name: str
    """The name of its section in the INI."""

    usable: bool
    """The index answers; else every address is asked for."""

    entries: int
    """The entries that the index holds."""

    synced: float
    """When it was last known to be in step, in seconds of Unix time; 0.0: never."""

    def look(self) -> bool:
        """Look at the index; whether answers may be other ones than before.

        Called many times a second, on the event loop's thread: it never blocks.
        """
