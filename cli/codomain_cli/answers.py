"""What each door answers to a question, letter for letter, for ``codomain explain``.

In flow the verdicts: that of the client, that of the maps (which know no client), and that
of the redirect's target, for which Postfix asks its maps again.  Out flow answers as the
MTA reads them.  A verdict of None: nobody knows it yet, and neither the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codomain.address import Address, parse_mailbox
from codomain.question import Question
from codomain.verdict import Defer, Pass, Redirect, Refuse
from codomain_milter.reply import told
from codomain_milter.taking import feasible, taken
from codomain_policyd.reply import (
    DOMAIN_MAPS,
    DUNNO,
    found,
    map_answer,
    policy_action,
    sendmail_hop,
)
from codomain_policyd.socketmap import NOTFOUND

if TYPE_CHECKING:
    from codomain.config import Config
    from codomain.domains import Domain
    from codomain.replies import Replies
    from codomain.verdict import Verdict

POSTFIX_MAPS = ("recipient", "alias", "transport", "access")
"""The maps that Postfix asks for a recipient."""

SENDMAIL_MAPS = ("route",)
"""The map that Sendmail asks for one."""


@dataclass(frozen=True, slots=True)
class MapAnswer:
    """What one map answers to one key."""

    map: str
    """The map's name."""

    key: str
    """The key, as the MTA asks."""

    answer: str | None
    """The answer, without its netstring; None: not known yet."""


@dataclass(slots=True)
class Answers:
    """What all doors answer."""

    policy: str | None
    """The policy server's action; None: not known yet."""

    milter: str | None
    """The milter's reply, or CONTINUE; None: not known yet."""

    changes: tuple[str, ...] = ()
    """What the milter changes at the end of the message."""

    maps: list[MapAnswer] = field(default_factory=list)
    """What the maps answer."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts from which the answers follow; None: not known yet."""

    client: Verdict | None
    """For the client, through the policy door and the milter."""

    maps: Verdict | None
    """For the maps."""

    target: Verdict | None
    """For the maps, of the mailbox to which the client's verdict redirects."""

    shadow: bool = False
    """Shadow mode holds at the policy door and at the milter."""


def answers(
    recipient: Address,
    domain: Domain | None,
    verdicts: Verdicts,
    config: Config,
    replies: Replies,
) -> Answers:
    """Return what each door answers."""
    made = Answers(_policy(verdicts, config, replies), None)
    _milter(made, recipient, verdicts, replies)
    made.maps = _domain_maps(recipient, domain)
    whole = bool(recipient.local and recipient.written)
    for key in keys_of(recipient):
        for name in (*POSTFIX_MAPS, *SENDMAIL_MAPS):
            answer = _map(name, verdicts.maps, replies, ours=domain is not None)
            # A key without a local part or a domain is in no map.
            made.maps.append(MapAnswer(name, key, answer if whole else _text(NOTFOUND)))
    target = verdicts.maps.target if isinstance(verdicts.maps, Redirect) else ""
    mailbox = parse_mailbox(target) if target else None
    if mailbox is not None:
        answer = _map("transport", verdicts.target, replies, ours=True)
        made.maps.append(MapAnswer("transport", target, answer))
    if recipient.domain:
        # Of a domain of ours the map route has said all there is.
        foreign = verdicts.maps if domain is None and isinstance(verdicts.maps, Pass) else None
        hop = foreign.connector if foreign is not None else None
        answer = _text(NOTFOUND if hop is None else sendmail_hop(hop))
        made.maps.append(MapAnswer("mailertable", recipient.domain, answer))
    return made


def keys_of(recipient: Address) -> list[str]:
    """Return the forms in which Postfix asks its maps for a recipient: quoted, and unquoted.

    It asks with the first one, and with the other where the two differ (postconf(5),
    smtputf8_enable and the external form of addresses).
    """
    quoted = recipient.text()
    bare = f"{recipient.local}@{recipient.domain}" if recipient.domain else str(recipient)
    return list(dict.fromkeys(key for key in (quoted, bare) if key))


def _policy(verdicts: Verdicts, config: Config, replies: Replies) -> str | None:
    verdict = verdicts.client
    if verdict is None:
        return None
    if verdicts.shadow:
        return _text(DUNNO)
    by_filter = config.policyd.redirect == "filter"
    return _text(policy_action(verdict, replies, by_filter=by_filter))


def _milter(made: Answers, recipient: Address, verdicts: Verdicts, replies: Replies) -> None:
    if verdicts.client is None:
        return
    given = f"<{recipient}>"
    raw = given.encode("utf-8", "surrogateescape")
    verdict = feasible(verdicts.client, raw, replaces=True)
    made.milter = "CONTINUE"
    if verdicts.shadow:
        return
    if isinstance(verdict, Refuse | Defer):
        code, enhanced, lines = told(replies[verdict.reason])
        # The lines of one reply; a percent sign is doubled for libmilter alone.
        made.milter = " / ".join(f"{code} {enhanced} {line.replace('%%', '%')}" for line in lines)
        return
    target = taken(raw, Question(recipient), verdict, shadow=False).target
    if target:
        made.changes = (f"addrcpt <{target}>", f"delrcpt {given}")


def _domain_maps(recipient: Address, domain: Domain | None) -> list[MapAnswer]:
    kind = None
    if domain is not None:
        kind = "relay" if domain.relay or domain.deliver_to is not None else "mailbox"
    return [
        MapAnswer(name, recipient.domain, _text(found(value) if kind == wanted else NOTFOUND))
        for name, (wanted, value) in DOMAIN_MAPS.items()
        if recipient.domain
    ]


def _map(name: str, verdict: Verdict | None, replies: Replies, *, ours: bool) -> str | None:
    return None if verdict is None else _text(map_answer(name, verdict, replies, ours=ours))


def _text(answer: bytes) -> str:
    return answer.decode("utf-8", "surrogateescape").strip()
