"""Who the client is to us: trusted, a peer of some connectors, or a stranger.

We can only narrow what the MTA permits: whoever is to relay must be permitted there, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from codomain.connectors import Connectors
    from codomain.question import Question


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client may do; everything that a verdict reads of it."""

    trusted: bool = False
    """It may send anywhere that the MTA permits."""

    peer_of: tuple[str, ...] = ()
    """The connectors whose system it belongs to; their mail has been there already."""

    sends_out: bool = False
    """It may send to domains that are not ours (trusted, or a peer with peers_may_relay)."""


CLIENTS = 10_000
"""Clients whose networks are remembered; a busy gateway sees about as many in an hour."""

NOBODY = Standing()
"""A stranger."""


class Trust:
    """The rules of trust in force."""

    def __init__(  # noqa: PLR0913  # one argument for each key of [trust]
        self,
        networks: Iterable[IPv4Network | IPv6Network],
        connectors: Connectors,
        *,
        sasl: bool = True,
        certificates: Iterable[str] = (),
        contexts: Iterable[str] = (),
        peers_may_relay: bool = False,
    ) -> None:
        """Take the keys of ``[trust]``, and the names of the contexts that are trusted."""
        self._networks = tuple(networks)
        self._connectors = connectors
        self._sasl = sasl
        self._certificates = frozenset(fold_fingerprint(c) for c in certificates)
        self.reads_certificates = bool(self._certificates)
        """Some certificate is trusted; where none is, nobody need ask for fingerprints."""
        self._contexts = frozenset(contexts)
        self._peers_may_relay = peers_may_relay
        self._clients: dict[IPv4Address | IPv6Address, tuple[bool, tuple[str, ...]]] = {}

    def standing(self, question: Question) -> Standing:
        """Return what the client of a question may do."""
        near, peer_of = self._known(question.client)
        trusted = (
            near
            or (question.authenticated and self._sasl)
            or bool(question.context and question.context in self._contexts)
            or bool(
                question.fingerprint
                and fold_fingerprint(question.fingerprint) in self._certificates
            )
        )
        return Standing(trusted, peer_of, trusted or bool(peer_of and self._peers_may_relay))

    def _known(self, client: IPv4Address | IPv6Address | None) -> tuple[bool, tuple[str, ...]]:
        """Return whether a client's network is trusted, and whose peer it is; remembered.

        Walking through the networks takes longer than all the rest of a decision.
        """
        if client is None:
            return False, ()
        known = self._clients.get(client)
        if known is None:
            if len(self._clients) >= CLIENTS:
                self._clients.clear()
            near = any(client in network for network in self._networks)
            known = self._clients[client] = (near, self._connectors.peers_of(client))
        return known


def fold_fingerprint(fingerprint: str) -> str:
    """Return a certificate's fingerprint in the form in which they are compared."""
    return fingerprint.replace(":", "").strip().lower()
