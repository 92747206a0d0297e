"""The decision and a model of it, written from the rules alone, answer the same.

A million questions are a command's: see CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import codomain
from codomain.address import parse_mailbox
from codomain.verdict import Deliver, Pass, Redirect, Relay
from support import boxes, differing, model, modelparts, nextsystems, world
from support.differing import QUESTIONS_A_WORLD, differences, in_world
from support.model import Model
from support.world import Asked, Domain, Entry, System, World

QUESTIONS = 50_000
PARTS = 10
WORLDS = QUESTIONS // QUESTIONS_A_WORLD // PARTS
"""For each part; more than one, so that several processes can share them."""

STRANGER, TRUSTED, UNIX, EXCHANGE = "198.51.100.7", "127.0.0.1", "192.0.2.10", "192.0.2.20"
ROUTE = "[192.0.2.10]"


def examples(*, down: bool = False) -> Model:
    """Build the world of the rules' examples."""
    entries = [
        Entry("cn=ann", ("ann@example.com", "a.smith@example.com")),
        Entry("cn=bob", ("bob@example.com",), contact=True, target="bob@unix.example.net"),
        Entry("cn=eve", ("eve@example.com",), contact=True, target="eve@evil.test"),
        Entry("cn=x1", ("x1@example.com",), contact=True, target="x2@example.com"),
        Entry("cn=x2", ("x2@example.com",), contact=True, target="x1@example.com"),
    ]
    unix = System("unix", (ROUTE,), ("example.com", "unix.example.net"), relay=True, peers=(UNIX,))
    return Model(
        World(
            [
                Domain("example.com", deliver_to="exchange"),
                Domain("corp.local", "authoritative"),
                Domain("unix.example.net", "relay"),
            ],
            [unix, System("exchange", ("[192.0.2.20]",), peers=(EXCHANGE,))],
            {"people": [] if down else entries},
            down=frozenset({"people"} if down else ()),
        )
    )


@pytest.mark.parametrize(
    ("client", "recipient", "verdict"),
    [
        (STRANGER, "ann@example.com", "Deliver ann@example.com via exchange"),
        (STRANGER, "A.Smith@EXAMPLE.com", "Deliver A.Smith@example.com via exchange"),
        (STRANGER, "ann+list@example.com", "Deliver ann+list@example.com via exchange"),
        (STRANGER, "bob@example.com", "Redirect bob@unix.example.net via unix"),
        (UNIX, "ann@example.com", "Deliver ann@example.com via exchange"),
        (UNIX, "bob@example.com", "Redirect bob@unix.example.net via unix"),
        (EXCHANGE, "ann@example.com", "Refuse loop"),
        (STRANGER, "nobody@example.com", "Relay unix"),
        (UNIX, "nobody@example.com", "Refuse loop"),
        (STRANGER, "nobody@corp.local", "Refuse unknown"),
        (STRANGER, "someone@elsewhere.test", "Refuse relaying"),
        (TRUSTED, "someone@elsewhere.test", "Pass"),
        (TRUSTED, "a..b.@elsewhere.test", "Pass"),
        (STRANGER, "eve@example.com", "Refuse relaying"),
        (STRANGER, "x1@example.com", "Refuse loop"),
        (STRANGER, "someone%elsewhere.test@example.com", "Refuse relaying"),
        (STRANGER, '"someone@elsewhere.test"@example.com', "Refuse relaying"),
        (STRANGER, "@example.com:someone@elsewhere.test", "Refuse relaying"),
        (STRANGER, "postmaster@example.com", "Deliver postmaster@example.com via exchange"),
        (STRANGER, "postmaster@elsewhere.test", "Refuse relaying"),
    ],
)
def test_the_model_knows_the_examples(client: str, recipient: str, verdict: str) -> None:
    """The model itself is held by the examples that stand beside the rules."""
    assert examples().decide(Asked(recipient.encode(), client=client)) == verdict


@pytest.mark.parametrize(
    "recipient", ["ann@example.com", "ann+list@example.com", "nobody@corp.local"]
)
@pytest.mark.parametrize("client", [STRANGER, TRUSTED, UNIX, EXCHANGE, ""])
def test_the_model_defers_while_the_directory_is_down(client: str, recipient: str) -> None:
    """Anyone, directory down, nothing cached: Defer 4.4.3."""
    verdict = examples(down=True).decide(Asked(recipient.encode(), client=client))
    assert verdict == "Defer directory"


@pytest.mark.parametrize("module", [model, modelparts, boxes, nextsystems, world])
def test_the_model_imports_nothing_of_codomain(module: object) -> None:
    """Two that share a parser would share its faults."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    names = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert not {name for name in names if name.startswith(codomain.__name__)}
    assert names


@pytest.mark.parametrize("part", range(PARTS))
def test_the_decision_and_the_model_answer_the_same(part: int) -> None:
    """50,000 questions, drawn from a seed: no difference."""
    first = 1 + part * WORLDS
    found = [str(d) for seed in range(first, first + WORLDS) for d in differences(seed)]
    assert not found, "\n".join(found)


def test_the_questions_draw_every_verdict() -> None:
    """A generator that never draws a verdict proves nothing about it."""
    words = set()
    for seed in range(1, 41):
        for _drawn, _asked, verdict in in_world(seed):
            reason = getattr(verdict, "reason", None)
            words.add(f"{type(verdict).__name__} {reason.value if reason else ''}".strip())
    assert words == {
        "Pass", "Deliver", "Redirect", "Relay", "Refuse unknown", "Refuse relaying",
        "Refuse malformed", "Refuse loop", "Refuse no_route", "Refuse restricted",
        "Refuse smtputf8", "Defer directory", "Defer ambiguous", "Defer fault", "Defer callout",
    }  # fmt: skip


def covers(space: str, domain: str) -> bool:
    """Tell whether an address space covers a domain: ``*.x`` what is below x alone."""
    space = space.replace("müller", "xn--mller-kva")
    return domain.endswith(space[1:]) if space.startswith("*.") else domain == space


def ours(drawn: World, domain: str) -> bool:
    """Tell whether a domain is one of ours."""
    return any(
        domain == name or (d.subdomains and domain.endswith(f".{name}"))
        for d in drawn.domains
        for name in [d.name.replace("müller", "xn--mller-kva")]
    )


def allowed(drawn: World, domain: str) -> bool:
    """Tell whether mail may be led to a domain, by the configuration and nothing else."""
    spaces = [space for s in drawn.systems if s.relay for space in s.spaces]
    return ours(drawn, domain) or any(
        covers(space, domain) for space in (*spaces, *drawn.allowed_targets)
    )


def trusted(drawn: World, asked: Asked) -> bool:
    """Tell whether a client may send anywhere, or is a peer that may."""
    standing = Model(drawn).standing(asked)
    return standing.trusted or (bool(standing.peer_of) and drawn.peers_may_relay)


@pytest.mark.parametrize("part", range(4))
def test_what_gets_through_from_an_untrusted_client_ends_where_it_may(part: int) -> None:
    """It ends in a domain of ours or in a target that is allowed, by a way of the configuration."""
    seen = 0
    for seed in range(1 + part * 20, 21 + part * 20):
        for drawn, asked, verdict in in_world(seed):
            if trusted(drawn, asked):
                continue
            ways = {s.name for s in drawn.systems} | {"host.test"}
            match verdict:
                case (
                    Deliver(address=address, connector=way)
                    | Redirect(target=address, connector=way)
                ):
                    end = parse_mailbox(address)
                    assert end is not None, (seed, asked, verdict)
                    to = drawn.postmaster
                    assert allowed(drawn, end.domain) or address == to, (seed, asked, verdict)
                    assert way is None or way.name in ways, (seed, asked, verdict)
                case Relay(connector=way):
                    peer = bool(Model(drawn).standing(asked).peer_of)
                    assert way.allow_relay or peer, (seed, asked, verdict)
                case Pass(ours=inside):
                    assert inside, (seed, asked, verdict)
                case _:
                    continue
            seen += 1
    assert seen > 100


def test_the_command_compares_and_says_how_many() -> None:
    """CONTRIBUTING.md names it for a million questions."""
    done = subprocess.run(  # our own interpreter and module
        [sys.executable, "-m", differing.__name__, "--questions", "500", "--seed", "7"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(differing.__file__).parents[1])},
    )
    assert done.stdout.startswith("500 questions in 2 worlds, 0 differences"), done
    assert done.returncode == 0
