"""The faults of a directory, one row each: how it comes about, its proof, what mail gets.

A row is played twice: against :class:`codomain.directory.ldap.LdapDirectory` in the test's
own process, and against ``codomain serve`` asked over its policy socket.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.fakeldap import BIND_RESPONSE, DONE
from support.proxy import Counts, Door, Fault, Proxy
from support.slapd import BASE
from support.tamper import (
    end_searches_with,
    garble_searches,
    halve_searches,
    swallow_searches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from support.slapd import Slapd

LOGIN = f"cn=codomain,ou=services,{BASE}"
LOGIN_PASSWORD = "pässword"
CANARY = "ann@example.com"
READERS = f"cn=readers,{BASE}"

KNOWN = 60
"""Mailboxes u0 to u59, for those who must ask for somebody new each time."""

ACCESS = (
    "to attrs=userPassword by anonymous auth by * none",
    f'to dn.subtree="ou=people,{BASE}" by group.exact="{READERS}" read by anonymous read by * none',
    f'to dn.children="ou=staff,{BASE}" by group.exact="{READERS}" read by * none',
    "to * by * read",
)
"""The staff is for the readers alone; the people are for the anonymous, too, because no
password is sent over the connections that a proxy can read."""

DOWN = "451 4.4.3"
RIGHT = "right"
EITHER = "either"


def people(ldif: str) -> str:
    """Add the readers, and people of whom nobody has heard."""
    more = [
        f"\ndn: {READERS}\nobjectClass: groupOfNames\ncn: readers\nmember: {LOGIN}\n",
        *(
            f"\ndn: cn=U{n},ou=people,{BASE}\nobjectClass: user\ncn: U{n}\nsn: U\n"
            f"proxyAddresses: SMTP:u{n}@example.com\n"
            for n in range(KNOWN)
        ),
        f"\ndn: ou=staff,{BASE}\nobjectClass: organizationalUnit\nou: staff\n",
        f"\ndn: cn=Secret,ou=staff,{BASE}\nobjectClass: user\ncn: Secret\n",
        "sn: S\nproxyAddresses: SMTP:u-secret@example.com\n",
    ]
    return ldif + "".join(more)


def nobody(ldif: str) -> str:
    """Keep the root and the login: a replica that has not been filled."""
    return "\n\n".join(entry for entry in ldif.split("\n\n") if "ou=people" not in entry)


@dataclass
class Servers:
    """The real servers; tests give back what they change."""

    good: Slapd
    """Has the people, over ldap:// and ldaps://."""

    empty: Slapd
    """Has the login, and nobody else."""

    expired: Slapd
    """Has the people, and a certificate of yesterday."""

    foreign: Slapd
    """Has the people, and a certificate of another host."""


@dataclass
class Stage:
    """The servers, and the proxies in front of them."""

    servers: Servers
    first: Proxy
    second: Proxy
    before: tuple[Counts, Counts] = field(default_factory=lambda: (Counts(), Counts()))

    def mark(self) -> None:
        """Remember what has been counted, for the proof."""
        self.before = (Counts(**vars(self.first.counts)), Counts(**vars(self.second.counts)))

    def uris(self, row: Row) -> list[str]:
        """Return the servers of a row, as clients reach them."""
        proxies = (self.first, self.second) if row.two else (self.first,)
        return [proxy.uri(row.scheme) for proxy in proxies]

    def grown(self, name: str, which: int = 0) -> int:
        """Return by how much a count of a proxy has grown."""
        proxy = (self.first, self.second)[which]
        growth: int = getattr(proxy.counts, name) - getattr(self.before[which], name)
        return growth


def connects(port: int) -> str:
    """Tell what a connection to a port meets: ``open``, ``refused`` or ``dropped``."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "dropped"
    return "open"


@dataclass(frozen=True)
class Row:
    """One fault."""

    name: str
    """What is wrong."""

    inject: Callable[[Stage], None]
    """Brings it about."""

    proof: Callable[[Stage], object]
    """Tells, from what the proxies counted, that it took place."""

    reply: str = DOWN
    """What an uncached recipient gets: ``451 4.4.3``, the right answer, or one of both."""

    seconds: str = "none"
    """What the reply waits for at most: ``none``, or ``timeout``."""

    heal: Callable[[Stage], None] = lambda stage: stage.first.heal()
    """Ends it."""

    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys of the directory's section that differ; ``scheme``: of its servers."""

    two: bool = False
    """There are two servers."""

    reload: bool = False
    """It heals within a cool-down only with a reload: the server's refusal must not be
    provoked again and again."""

    @property
    def scheme(self) -> str:
        """The scheme of the servers' URIs."""
        return self.keys.get("scheme", "ldap")

    def login(self, secret: Path) -> dict[str, str]:
        """Return who asks: a password goes over TLS alone."""
        if self.scheme == "ldap":
            return {}
        secret.touch(0o600)
        secret.write_text(LOGIN_PASSWORD)
        return {"bind_dn": LOGIN, "bind_password_file": str(secret)}

    def more(self) -> dict[str, str]:
        """Return the keys of the section."""
        return {key: value for key, value in self.keys.items() if key != "scheme"}


def _fails(**fault: object) -> Callable[[Stage], None]:
    return lambda stage: stage.first.fail(Fault(**fault))  # type: ignore[arg-type]


def _ends(code: int, referral: str = "", *, entries: bool = False) -> Callable[[Stage], None]:
    return _fails(tamper=end_searches_with(code, referral, entries=entries))


def _given(code: int, operation: int = DONE) -> Callable[[Stage], object]:
    return lambda stage: stage.first.results[operation, code]


def _tampered(stage: Stage) -> bool:
    return stage.grown("tampered") > 0


def _swallowed(stage: Stage) -> bool:
    return stage.grown("up") > 0 and stage.grown("down") == 0


def _both(fault: Fault) -> Callable[[Stage], None]:
    def inject(stage: Stage) -> None:
        stage.first.fail(fault)
        stage.second.fail(fault)

    return inject


def _heal_both(stage: Stage) -> None:
    stage.first.heal()
    stage.second.heal()


def _lose_rights(stage: Stage) -> None:
    stage.servers.good.modify(READERS, "member", f"cn=nobody,{BASE}")


def _regain_rights(stage: Stage) -> None:
    stage.servers.good.modify(READERS, "member", LOGIN)


def _sees_nobody(stage: Stage) -> bool:
    found = stage.servers.good.search(LOGIN, LOGIN_PASSWORD, "(mail=*)")
    return found == (0, 0) and stage.grown("up") > 0 and stage.grown("down") > 0


def _change_password(stage: Stage) -> None:
    stage.servers.good.modify(LOGIN, "userPassword", "another")
    stage.first.lead_to(stage.servers.good.ldaps)  # who is bound would not notice


def _password_is_refused(stage: Stage) -> bool:
    code, _ = stage.servers.good.search(LOGIN, LOGIN_PASSWORD, "(mail=*)")
    return code == 49 and stage.grown("connections") > 0


def _restore_password(stage: Stage) -> None:
    stage.servers.good.modify(LOGIN, "userPassword", LOGIN_PASSWORD)


def _lead(server: str, scheme: str = "ldap") -> Callable[[Stage], None]:
    def lead(stage: Stage) -> None:
        stage.first.lead_to(getattr(getattr(stage.servers, server), scheme))

    return lead


def _nothing_found(stage: Stage) -> bool:
    return stage.first.results[DONE, 0] > 0 and stage.grown("up") > 0


_TLS = {"scheme": "ldaps"}
_CANARY = {"canary": CANARY}
_GOOD_TLS = _lead("good", "ldaps")

FAULTS = (
    Row(
        "refused",
        _fails(door=Door.REFUSED),
        lambda s: connects(s.first.port) == "refused" and s.grown("connections") == 0,
    ),
    Row(
        "unreachable",
        _fails(door=Door.DROPPED),
        lambda s: connects(s.first.port) == "dropped" and s.grown("connections") == 0,
        seconds="timeout",  # a connection that was open is waited for that long
    ),
    Row("accepted and silent", _fails(silent=True), _swallowed, seconds="timeout"),
    Row(
        "silent after bind",
        _fails(tamper=swallow_searches),
        lambda s: _tampered(s) and s.first.results[BIND_RESPONSE, 0] > 0,
        seconds="timeout",
    ),
    Row("cut in the middle of an answer", _fails(tamper=halve_searches, cut=True), _tampered),
    Row("garbage", _fails(tamper=garble_searches), _tampered),
    Row("operations error", _ends(1), _given(1)),
    # What was found before the limit is shown; what was not, may only not have come so far.
    Row("time limit", _ends(3, entries=True), _given(3)),
    Row("size limit", _ends(4, entries=True), _given(4)),
    Row("referral only", _ends(10, "ldap://192.0.2.1/"), _given(10)),
    Row("insufficient rights", _ends(50), _given(50)),
    Row("busy", _ends(51), _given(51)),
    Row("unavailable", _ends(52), _given(52)),
    Row(
        "noSuchObject",
        _lead("empty"),
        _given(32),
        heal=_lead("good"),
        keys={"base": f"ou=people,{BASE}"},
    ),
    Row("rights lost", _lose_rights, _sees_nobody, heal=_regain_rights, keys=_TLS | _CANARY),
    Row("empty replica", _lead("empty"), _nothing_found, heal=_lead("good"), keys=_CANARY),
    Row("rights lost, no canary", _lose_rights, _sees_nobody, heal=_regain_rights, keys=_TLS),
    Row("empty replica, no canary", _lead("empty"), _nothing_found, heal=_lead("good")),
    Row(
        "bind refused",
        _change_password,
        _password_is_refused,
        heal=_restore_password,
        keys=_TLS,
        reload=True,
    ),
    Row(
        "certificate expired",
        _lead("expired", "ldaps"),
        lambda s: s.grown("connections") and s.grown("up"),
        heal=_GOOD_TLS,
        keys=_TLS,
    ),
    Row(
        "certificate of another host",
        _lead("foreign", "ldaps"),
        lambda s: s.grown("connections") and s.grown("up"),
        heal=_GOOD_TLS,
        keys=_TLS,
    ),
    Row("one answer a second", _fails(pause=1.0), _tampered, reply=EITHER, seconds="timeout"),
    Row("one octet at a time", _fails(trickle=0.25), _tampered, seconds="timeout"),
    Row(
        "first of two refused",
        _fails(door=Door.REFUSED),
        lambda s: connects(s.first.port) == "refused" and s.grown("up", 1) > 0,
        reply=RIGHT,
        two=True,
    ),
    Row(
        "first of two silent",
        _fails(silent=True),
        lambda s: _swallowed(s) and s.grown("down", 1) > 0,
        reply=RIGHT,
        seconds="timeout",
        two=True,
    ),
    Row(
        "both of two refused",
        _both(Fault(door=Door.REFUSED)),
        lambda s: "open" not in (connects(s.first.port), connects(s.second.port)),
        heal=_heal_both,
        two=True,
    ),
    Row(
        "both of two silent",
        _both(Fault(silent=True)),
        lambda s: s.grown("down") == 0 == s.grown("down", 1),
        heal=_heal_both,
        seconds="timeout",
        two=True,
    ),
)
"""Every way of a directory to fail that mail may meet."""
