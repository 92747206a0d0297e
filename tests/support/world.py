"""A configuration, what its directories hold and what is asked, without anything of codomain.

What the model (:mod:`support.model`) reads; :mod:`support.questions` draws it and writes it
as an INI.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Domain:
    """A domain of ours."""

    name: str
    type: str = "shared"
    subdomains: bool = False
    directories: tuple[str, ...] = ("people",)
    deliver_to: str = ""
    deliver_as: str = "given"
    delimiters: str = "+"
    keep_extension: bool = True
    catch_all: str = ""
    fallback: str = "refuse"
    on_outage: str = "defer"


@dataclass
class System:
    """A connector: another mail system."""

    name: str
    hosts: tuple[str, ...]
    spaces: tuple[str, ...] = ()
    relay: bool = False
    cost: int = 10
    peers: tuple[str, ...] = ()
    verify: bool = False


@dataclass(frozen=True)
class Entry:
    """An entry of a directory, with its addresses as they are written there."""

    dn: str
    addresses: tuple[str, ...]
    contact: bool = False
    primary: str = ""
    target: str = ""
    host: str = ""
    restricted: bool = False


@dataclass
class World:
    """A configuration and what its directories hold."""

    domains: list[Domain]
    systems: list[System]
    entries: dict[str, list[Entry]]
    down: frozenset[str] = frozenset()
    allowed_hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    allowed_targets: tuple[str, ...] = ()
    max_depth: int = 5
    postmaster: str = ""
    hostname: str = "gateway.test"
    networks: tuple[str, ...] = ("127.0.0.0/8",)
    trust_sasl: bool = True
    certificates: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    peers_may_relay: bool = False
    on_failure: str = "accept"
    answers: int = 0  # what the systems say that are asked (support.nextsystems)


@dataclass(frozen=True)
class Asked:
    """A question as its door writes it."""

    recipient: bytes
    door: str = "policy"
    client: str = ""
    sasl: bool = False
    certificate: str = ""
    context: str = ""
    smtputf8: bool | None = None
    probe: bool = False
