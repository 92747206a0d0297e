"""What would become of mail to an entry, if the directory were as it is planned.

In flow an entry and the state that is planned; out flows what the decision says to a
stranger's mail for each of its addresses in domains of ours, where that is no good.  The
decision itself is asked (:func:`codomain.decision.decide`), so a plan is judged by nothing
but the rules by which mail will be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain.address import parse_mailbox
from codomain.decision import decide
from codomain.directory.opening import open_directory
from codomain.directory.schema import address_key
from codomain.errors import DirectoryError
from codomain.finding import Outage
from codomain.question import Question
from codomain.rules import rules_from
from codomain.verdict import Defer, Reason, Refuse
from codomain_cli.bulk.names import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codomain.config import Config
    from codomain.directory.base import Directory, Recipient
    from codomain_cli.bulk.names import Name

BAD = frozenset(
    {
        Reason.UNKNOWN,
        Reason.RELAYING,
        Reason.LOOP,
        Reason.NO_ROUTE,
        Reason.AMBIGUOUS,
        Reason.FAULT,
    }
)
"""The reasons that speak against an entry; the others speak of the client or of an outage."""


class Outlook:
    """The decision over a planned state of one directory; the others are asked as they are."""

    def __init__(self, config: Config, directory: str) -> None:
        self._config = config
        self._name = directory
        # Peers that are given by name play no part: a stranger asks.
        self._rules = rules_from(config, lambda _name: [])
        self._others: dict[str, Directory] = {}
        self._state: Mapping[str, tuple[Recipient, ...]] = {}

    def fault(self, recipient: Recipient, state: Mapping[str, tuple[Recipient, ...]]) -> str:
        """Say why mail to an entry would not go where it leads; empty: it would.

        ``state`` are the entries of the directory by address, as they are to be.
        """
        self._state = state
        # The others lead to the target, and its own system may well be closed to strangers.
        target = address_key(recipient.target)
        others = [key for key in recipient.addresses if key != target and self._serves(key)]
        for key in others or recipient.addresses:
            address = parse_mailbox(key)
            if address is None or not self._serves(key):
                continue
            verdict = decide(self._rules, Question(address), self._peek)
            if isinstance(verdict, Refuse | Defer) and verdict.reason in BAD:
                return f"mail to {key} would be refused: {verdict.detail or verdict.reason.value}"
        return ""

    def elsewhere(self, key: str, name: Name) -> str:
        """Say who has an address in another directory of its domain; empty: nobody.

        The first directory would win, and the other entry get no mail.  ``name``: an entry of
        this name is the same one, in a directory that is asked twice.

        Raises:
            DirectoryError: a directory does not answer, so that it cannot be known.

        """
        domain = self._rules.domains.match(key.rpartition("@")[2])
        for directory in domain.directories if domain is not None else ():
            found = () if directory == self._name else self._peek(directory, key)
            if isinstance(found, Outage):
                raise DirectoryError(f"[directory {directory}]: {found.detail}")
            for recipient in found:
                if name_of(recipient.dn).key != name.key:
                    return f"{recipient.dn} in [directory {directory}]"
        return ""

    def ours(self, recipient: Recipient) -> bool:
        """Tell whether an address of the entry is in a domain for which this directory speaks."""
        return any(map(self._serves, recipient.addresses))

    def close(self) -> None:
        """Close the other directories."""
        for directory in self._others.values():
            directory.close()

    def _serves(self, key: str) -> bool:
        domain = self._rules.domains.match(key.rpartition("@")[2])
        return domain is not None and self._name in domain.directories

    def _peek(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage:
        if directory == self._name:
            return self._state.get(key, ())
        try:
            other = self._other(directory)
            known = other.peek(key)
            if known is not None:
                return known
            section = next(s for s in self._config.directories if s.name == directory)
            return other.find(key, section.timeout)
        except DirectoryError as error:
            return Outage(str(error))

    def _other(self, name: str) -> Directory:
        if name not in self._others:
            section = next(s for s in self._config.directories if s.name == name)
            state = self._config.codomain.state_directory
            self._others[name] = open_directory(section, state_directory=state)
        return self._others[name]
