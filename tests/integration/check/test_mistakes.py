"""`codomain check` against a table of mistakes, and against good configurations.

tests/scenarios/mistakes: each mistake is made in a good site; which finding, at which line,
is written by hand from the list of checks.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from codomain_cli.checks.findings import Finding, Severity
from codomain_cli.main import codomain
from support.mistakes import GOOD, Mistake, found, mistakes, site

ROWS = mistakes()


@pytest.mark.parametrize("good", sorted(path.name for path in GOOD.iterdir()))
def test_nothing_is_said_about_a_good_configuration(good: str, tmp_path: Path) -> None:
    """A finding that means nothing makes the others worthless."""
    findings, status = found(good, tmp_path)
    assert [one for one in findings if one.severity is not Severity.OK] == []
    assert status == 0


@pytest.mark.parametrize("row", ROWS, ids=[f"{n}-{row.id}" for n, row in enumerate(ROWS)])
def test_a_mistake_is_found_where_it_stands(row: Mistake, tmp_path: Path) -> None:
    """The finding, its severity, file and line, what mends it, and nothing else.

    Whoever mends it need not look for more.
    """
    findings, status = found(row.good, tmp_path, row.changes)
    there = [one for one in findings if one.id == row.id]
    assert there, findings
    assert any(_is_at(row, one.file, one.line) for one in there), there
    assert all(one.severity.value == row.severity and one.what and one.remedy for one in there)
    kinds = {one.id for one in findings if one.severity is not Severity.OK}
    assert kinds == {row.id}
    assert status == {"error": 78, "warning": 1, "advice": 0}[_worst(findings)]


def _is_at(row: Mistake, file: str, line: int) -> bool:
    if Path(file).name != row.file:
        return False
    if not row.line:
        return True
    return bool(line) and Path(file).read_text().split("\n")[line - 1].startswith(row.line)


def _worst(findings: list[Finding]) -> str:
    severities = {one.severity.value for one in findings}
    return next(s for s in ("error", "warning", "advice") if s in severities)


def test_the_policies_spaces_stand_beside_their_domains(tmp_path: Path) -> None:
    """Issue 10, item 2: each domain with the spaces that lie in it; that is no fault."""
    policy = "[policy default]\\ndefault = yes\\naddress_spaces = corp.example.net, example.com"
    findings, status = found("active-directory", tmp_path, f"codomain.ini: += {policy}")
    assert status == 0
    assert [one.what for one in findings if one.id == "policy.spaces"] == [
        "domain example.com (shared): policy default: example.com (%m@example.com)",
        (
            "domain corp.example.net (authoritative):"
            " policy default: corp.example.net (primary; %m@corp.example.net)"
        ),
    ]


def test_the_table_has_sixty_mistakes() -> None:
    """Issue 8, must reach: 60 seeded mistakes in INI, main.cf, master.cf and .cf."""
    assert len({row.changes for row in ROWS}) >= 60
    assert {row.file for row in ROWS} >= {"codomain.ini", "main.cf", "master.cf", "sendmail.cf"}


def test_json_has_every_key_of_a_finding(tmp_path: Path) -> None:
    """docs/howto/check.md: the object's keys are always there, and the status beside them."""
    ini = site("method-1", tmp_path, "main.cf: += luser_relay = ann@corp.example.net")
    arguments = ["check", "--json", "--config", f"{ini}", "--postfix", f"{tmp_path}"]
    done = CliRunner().invoke(codomain, arguments)
    said = json.loads(done.output)
    assert done.exit_code == said["status"] == 1
    assert said["findings"][0] == {
        "id": "postfix.luser_relay",
        "severity": "warning",
        "file": f"{tmp_path}/main.cf",
        "line": 23,
        "section": "",
        "key": "luser_relay",
        "what": "local(8) gives mail to ann@corp.example.net, also for people whom nobody knows,"
        " and codomain is not asked about that",
        "remedy": "luser_relay =",
    }


def test_every_id_is_documented() -> None:
    """docs/howto/check.md lists the ids beside those that are a section and a key of the INI."""
    text = (Path(__file__).parents[3] / "docs" / "howto" / "check.md").read_text()
    own = {row.id for row in ROWS if row.id.startswith(("postfix.", "sendmail.", "entry."))}
    assert [one for one in sorted(own) if f"`{one}`" not in text] == []
