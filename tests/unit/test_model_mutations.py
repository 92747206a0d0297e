"""Ten rules and more, each broken once: the model or the golden rows must see it.

Each mutation replaces one piece of source in a copy of ``resolver/codomain``, which a
Python of its own then imports.  A piece that is not found, or found twice, is a failure:
the mutation has to follow the code.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "resolver" / "codomain"
QUESTIONS = 20_000
"""More than the one that differs latest needs; the comparison stops at the first difference."""


class Mutation(NamedTuple):
    """One fault to be put in."""

    breaks: str
    module: str
    text: str
    fault: str


MUTATIONS = [
    Mutation(
        "a foreign domain is refused to strangers",
        "decision.py",
        "if not self.standing.sends_out:",
        "if not self.standing.sends_out and recipient.domain.startswith('['):",
    ),
    Mutation(
        "a hidden foreign address is refused",
        "decision.py",
        "return self.recipient.routed or hides_foreign(self.recipient.local)",
        "return self.recipient.routed or '@' in self.recipient.local",
    ),
    Mutation(
        "an exact entry wins over what looks hidden",
        "decision.py",
        "            found = self.finder.whole(recipient, domain)\n"
        "            if found is not None:",
        "            found = self.finder.whole(recipient, domain)\n"
        "            if found is not None and not self._hides_foreign():",
    ),
    Mutation(
        "postmaster is never refused",
        "decision.py",
        "if self._is_postmaster(recipient, domain):",
        "if recipient.local == 'postmaster':",
    ),
    Mutation(
        "an outage delivers nothing unchecked where an entry was found",
        "decision.py",
        "if not chosen or self.known or way is None or text is None:",
        "if not chosen or way is None or text is None:",
    ),
    Mutation(
        "an outage sends nothing back to where it came from",
        "decision.py",
        "if self._hides_foreign() or way.name in self.standing.peer_of:",
        "if self._hides_foreign():",
    ),
    Mutation(
        "the catch-all's target is reached without an extension",
        "decision.py",
        "return self._to_target(domain.catch_all, recipient, (catch_all_mark(domain),))",
        "return self._to_target(domain.catch_all.with_local('x+' + domain.catch_all.local), "
        "recipient, (catch_all_mark(domain),))",
    ),
    Mutation(
        "a restricted recipient takes no stranger's mail",
        "decision.py",
        "if entry.restricted and not self.standing.trusted:",
        "if entry.restricted and not self.standing.sends_out:",
    ),
    Mutation(
        "an address that cannot be read is malformed, wherever it is",
        "decision.py",
        "        if recipient.broken:\n            return Refuse(Reason.MALFORMED)\n",
        "",
    ),
    Mutation(
        "a non-ASCII recipient needs SMTPUTF8",
        "decision.py",
        "return address.local.isascii() and address.written.isascii()",
        "return address.local.isascii()",
    ),
    Mutation(
        "a target is authorised",
        "contacts.py",
        "if not self.rules.allows(target.domain):",
        "if not self.rules.allows(target.domain) and not way:",
    ),
    Mutation(
        "a restricted target takes no stranger's mail",
        "contacts.py",
        "        if found.entry.restricted and not self.standing.trusted:\n"
        "            return Refuse(Reason.RESTRICTED, found.entry.dn)\n"
        "        if found.leads_nowhere:",
        "        if found.leads_nowhere:",
    ),
    Mutation(
        "an extension goes on only where the configuration says so",
        "contacts.py",
        "if domain.keep_extension and self.rules.carries(found.extension, target):",
        "if self.rules.carries(found.extension, target):",
    ),
    Mutation(
        "a chain of contacts has a bound",
        "contacts.py",
        "if len(met) > self.rules.max_depth:\n            return Refuse",
        "if len(met) > self.rules.max_depth + 1:\n            return Refuse",
    ),
    Mutation(
        "a mailbox's own system gets nothing back",
        "contacts.py",
        "if way is not None and way.name in self.standing.peer_of:",
        "if way is not None and way.name in self.standing.peer_of[1:]:",
    ),
    Mutation(
        "allow_relay is asked of strangers",
        "unresolved.py",
        "ways = [way for way in ways if way.allow_relay]",
        "ways = list(ways)",
    ),
    Mutation(
        "a chain of systems moves forward",
        "unresolved.py",
        "ways, earlier = covering[last + 1 :], covering[: last + 1]",
        "ways, earlier = [w for w in covering if w.name not in peers], covering[: last + 1]",
    ),
    Mutation(
        "a system that does not say ends the chain",
        "unresolved.py",
        "return self._unsure(way)",
        "continue",
    ),
    Mutation(
        "a system that only refused it before is no proof",
        "unresolved.py",
        "doubted = doubted or way",
        "pass",
    ),
    Mutation(
        "another gateway's call-out is answered without asking on",
        "unresolved.py",
        "outcome = Outcome.UNSURE if self._probed else self._asker.outcome(way, address)",
        "outcome = self._asker.outcome(way, address)",
    ),
    Mutation(
        "a system that had the mail gets back only what it knows",
        "unresolved.py",
        "if way.verify and self._asker.outcome(way, address) is Outcome.KNOWN:",
        "if way.verify and self._asker.outcome(way, address) is not Outcome.UNKNOWN:",
    ),
    Mutation(
        "a contact's target is asked of its system",
        "contacts.py",
        "(no := self.ways.check(way, target)) is not None",
        "(no := self.ways.check(None, target)) is not None",
    ),
    Mutation(
        "a directory that is down ends the search",
        "finding.py",
        "raise DownError(directory, entries)",
        "continue",
    ),
    Mutation(
        "two entries for one address are never guessed",
        "finding.py",
        "if len(entries) > 1:",
        "if len(entries) > 2:",
    ),
    Mutation(
        "a login counts only where logins are trusted",
        "trust.py",
        "or (question.authenticated and self._sasl)",
        "or question.authenticated",
    ),
    Mutation(
        "compatibility forms of %, ! and @ hide an address, too",
        "address.py",
        'compatible = unicodedata.normalize("NFKC", local)',
        'compatible = unicodedata.normalize("NFC", local)',
    ),
]


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python that imports the tree before everything else."""
    path = f"{tree}:{ROOT / 'tests'}"
    return subprocess.run(  # our own interpreter and modules
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"},
    )


def model_differs(tree: Path) -> bool:
    """Compare with the model; whatever else ends the comparison is no difference."""
    done = run(tree, "-m", "support.differing", "--questions", str(QUESTIONS), "--first")
    told = re.search(r", (\d+) differences, ", done.stdout)
    assert told is not None, done.stderr
    return int(told[1]) > 0


def golden_rows_differ(tree: Path) -> bool:
    """Ask the golden rows."""
    done = run(
        tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly",
        "tests/scenarios/test_scenarios.py",
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.returncode == 1


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a copy of the resolver."""
    shutil.copytree(SOURCE, tmp_path / "codomain", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_copy_without_a_fault_differs_in_nothing(tree: Path) -> None:
    """It is the copy that is asked, and a fault alone makes it differ."""
    where = run(tree, "-c", "import codomain.decision; print(codomain.decision.__file__)")
    assert where.stdout.strip() == str(tree / "codomain" / "decision.py")
    assert not model_differs(tree)
    assert not golden_rows_differ(tree)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[m.breaks.replace(" ", "-") for m in MUTATIONS])
def test_the_model_or_a_golden_row_sees_the_fault(tree: Path, mutation: Mutation) -> None:
    """A rule that can be broken without a test that fails is not held by any."""
    path = tree / "codomain" / mutation.module
    source = path.read_text(encoding="utf-8")
    assert source.count(mutation.text) == 1, f"{mutation.module} has no longer {mutation.text!r}"
    path.write_text(source.replace(mutation.text, mutation.fault), encoding="utf-8")
    assert model_differs(tree) or golden_rows_differ(tree), mutation.breaks


def test_there_are_ten_mutations_of_the_decision() -> None:
    """As many as the decision has rules that open or close something."""
    assert sum(m.module in {"decision.py", "contacts.py"} for m in MUTATIONS) >= 10
