"""Nothing that a client or an entry says becomes a second recipient, argument or line.

The answers of the doors are looked at as the MTA reads them, for questions and entries that
were drawn to break them (:mod:`support.questions`): commas, quotes, blanks, ``> NOTIFY=``,
CR, LF, NUL, look-alikes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from codomain.address import parse_mailbox
from codomain.question import Door
from codomain.replies import Replies
from codomain.verdict import Redirect
from codomain_milter.dsn import read
from codomain_policyd.reply import map_answer, policy_action
from support.differing import in_world, question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.verdict import Verdict
    from support.world import Asked, World

WORLDS = 15
CONTROL = re.compile(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
REPLIES = Replies({})


def drawn(part: int) -> Iterator[tuple[World, Asked, Verdict]]:
    """Give all questions of some worlds."""
    for seed in range(1 + part * WORLDS, 1 + (part + 1) * WORLDS):
        yield from in_world(seed)


def hops(world: World) -> set[str]:
    """Return every next hop that the configuration's text comes to (ADR 7)."""
    found = {"smtp:[host.test]"}
    for system in world.systems:
        hosts = [h if h.startswith("[") else f"[{h}]" for h in system.hosts]
        found.add("smtp:" + ", ".join(hosts))
    return found


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("by_filter", [False, True])
def test_a_policy_reply_is_one_action_of_one_line(part: int, *, by_filter: bool) -> None:
    """SMTPD_POLICY_README: one line and an empty one; FILTER and REDIRECT name one thing each."""
    words = set()
    for world, asked, verdict in drawn(part):
        if asked.door == "map":
            continue
        action = policy_action(verdict, REPLIES, by_filter=by_filter)
        assert action.startswith(b"action="), (asked, action)
        assert action.endswith(b"\n\n"), (asked, action)
        line = action[7:-2]
        assert not CONTROL.search(line), (asked, action)
        word, _, rest = line.decode().partition(" ")
        words.add(word if not word.isdigit() else word[0])
        if word == "FILTER":
            assert rest in hops(world), (asked, action)
        elif word == "REDIRECT":
            # without quotes (access(5)): one mailbox, and the MTA reads nothing behind it
            assert "\n" not in rest
            assert rest.rpartition("@")[2], (asked, action)
        else:
            assert word == "DUNNO" or word[0] in "45", (asked, action)
    assert {"DUNNO", "4", "5"} <= words
    assert ("REDIRECT" in words) == by_filter


@pytest.mark.parametrize("part", range(4))
def test_a_map_answer_is_one_mailbox_or_a_hop_of_the_configuration(part: int) -> None:
    """socketmap_table(5): what follows OK is all read as the value."""
    aliases = 0
    for world, asked, verdict in drawn(part):
        if question(asked).door is not Door.MAP:
            continue
        alias = map_answer("alias", verdict, REPLIES, ours=True)
        transport = map_answer("transport", verdict, REPLIES, ours=True)
        for answer in (alias, transport, map_answer("access", verdict, REPLIES, ours=True)):
            assert not CONTROL.search(answer), (asked, answer)
        if alias.startswith(b"OK "):
            aliases += 1
            assert parse_mailbox(alias[3:].decode()) is not None, (asked, alias)
        if transport.startswith(b"OK ") and not transport.startswith(b"OK error:"):
            assert transport[3:].decode() in hops(world), (asked, transport)
    assert aliases


@pytest.mark.parametrize("part", range(4))
def test_what_the_milter_adds_is_one_mailbox_and_known_parameters(part: int) -> None:
    """A list in addrcpt would add several; an argument of a client's is written anew or left."""
    parameters = re.compile(r"(NOTIFY=[A-Z,]+)?( ?ORCPT=[A-Za-z0-9-]+;[!-~]+)?")
    targets = 0
    for _world, asked, verdict in drawn(part):
        if not isinstance(verdict, Redirect):
            continue
        targets += 1
        assert parse_mailbox(verdict.target) is not None, (asked, verdict)
        assert not CONTROL.search(verdict.target.encode()), (asked, verdict)
        said = (b"NOTIFY=NEVER> X=1", b"ORCPT=rfc822;" + asked.recipient, b"SIZE=1\r\nDATA")
        original = question(asked).recipient.text() or ""
        written = read(said, original).parameters()
        assert parameters.fullmatch(written), (asked, written)
    assert targets
