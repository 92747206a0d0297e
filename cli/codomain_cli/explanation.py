"""One decision as it came about: put together for ``codomain explain``.

In flow a question, the parts of a configuration in force, and look-ups (the command's own,
or the daemon's); out flows an :class:`Explanation`, which :mod:`codomain_cli.explainobject`
makes an object of.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from codomain.address import parse_mailbox
from codomain.decision import decide
from codomain.finding import Need
from codomain.question import Door, Question
from codomain.shadow import SHADOW, mode_of
from codomain.verdict import Defer, Reason, Redirect, Verdict
from codomain_cli.answers import Answers, Verdicts, answers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codomain.config import Config
    from codomain.directory.base import Directory
    from codomain.domains import Domain
    from codomain.replies import Replies
    from codomain.rules import Rules
    from codomain.trust import Standing
    from codomain_cli.lookups import Callout, Lookup, Lookups

HARVEST = Defer(Reason.HARVEST)
"""What a client under the harvest brake is told, whoever the recipient is."""


@dataclass(slots=True)
class Steps:
    """The steps of a decision, in their order (:class:`codomain.finding.Trace`)."""

    taken: list[tuple[str, str]] = field(default_factory=list)
    """Name and finding of each."""

    muted: bool = False
    """Hear of nothing: the same is decided again."""

    def __call__(self, step: str, detail: str, /) -> None:
        """Take one step; decided again with more knowledge, the same step is the same."""
        if not self.muted and (step, detail) not in self.taken:
            self.taken.append((step, detail))


@dataclass(frozen=True, slots=True)
class InForce:
    """The parts of a configuration from which a decision follows."""

    config: Config
    """The configuration."""

    rules: Rules
    """What decides."""

    replies: Replies
    """What clients are told."""

    directories: Iterable[Directory] = ()
    """The directories, for the state of their indexes."""

    generation: int | None = None
    """The number of the daemon's configuration; None: it is not the daemon's."""


@dataclass(slots=True)
class Explanation:
    """One decision, as it came about."""

    question: Question
    """What was asked."""

    in_force: InForce
    """What decided."""

    standing: Standing
    """Who the client is to us."""

    domain: Domain | None
    """Whose the recipient's domain is among ours; None: it is foreign."""

    verdict: Verdict | None
    """What was decided; None: that takes an answer which nobody has asked for yet."""

    needs: Need | None
    """What has to be asked first, where there is no verdict."""

    shadow: bool
    """Shadow mode holds: the mail is let through, whatever the verdict."""

    braked: bool
    """The client is under the harvest brake, and is told nothing of any recipient."""

    steps: list[tuple[str, str]]
    """Every step: its name and what it found."""

    lookups: list[Lookup]
    """What the directories said."""

    callouts: list[Callout]
    """What the next systems said."""

    answers: Answers
    """What each door answers."""

    @property
    def outcome(self) -> Verdict | None:
        """What happens to the mail, if shadow mode does not hold."""
        return HARVEST if self.braked else self.verdict


def explained(
    question: Question, in_force: InForce, lookups: Lookups, steps: Steps, *, braked: bool = False
) -> Explanation:
    """Decide on a question with what the look-ups know or find out."""
    rules, config = in_force.rules, in_force.config
    verdict = _decided(rules, question, lookups, steps)
    steps.muted = True
    asked = Question(question.recipient, door=Door.MAP)
    for_maps = _decided(rules, asked, lookups, steps)
    for_target = None
    target = parse_mailbox(for_maps.target) if isinstance(for_maps, Redirect) else None
    if target is not None:
        for_target = _decided(rules, replace(asked, recipient=target), lookups, steps)
    steps.muted = False
    domain = rules.domains.match(question.recipient.domain) if question.recipient.domain else None
    contexts = {context.name: context.mode for context in config.contexts}
    mode = mode_of(question, contexts, rules.domains, config.codomain.mode)
    told = HARVEST if braked else _known(verdict)
    verdicts = Verdicts(told, _known(for_maps), _known(for_target), shadow=mode == SHADOW)
    return Explanation(
        question,
        in_force,
        rules.trust.standing(question),
        domain,
        _known(verdict),
        verdict if isinstance(verdict, Need) else None,
        mode == SHADOW,
        braked,
        steps.taken,
        list(lookups.made.values()),
        list(lookups.callouts.values()),
        answers(question.recipient, domain, verdicts, config, in_force.replies),
    )


def _decided(rules: Rules, question: Question, lookups: Lookups, steps: Steps) -> Verdict | Need:
    return decide(rules, question, lookups, steps, lookups.ask)


def _known(verdict: Verdict | Need | None) -> Verdict | None:
    return None if isinstance(verdict, Need) else verdict
