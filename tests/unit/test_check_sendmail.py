"""`codomain check` beside a Sendmail that does not ask codomain yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain_cli.check import checked
from codomain_cli.checks.sendmail_cf import is_joined, read
from codomain_cli.exits import Exit

if TYPE_CHECKING:
    from pathlib import Path

INI = """\
[codomain]
postfix = off
[policyd]
listen =
socketmap_listen = unix:/run/codomain/map
[milter]
listen = unix:/run/codomain/milter
[domain corp.example]
type = authoritative
"""
CF = "Xother, S=local:/run/other, F=T\nO InputMailFilters=other\nKmailertable hash /etc/mail/x\n"


def test_a_sendmail_that_does_not_ask_yet_is_no_error(tmp_path: Path) -> None:
    """README checks the INI before sendmail.mc has our lines: advice says what lacks."""
    (tmp_path / "codomain.ini").write_text(INI)
    (tmp_path / "sendmail.cf").write_text(CF)
    found, status = checked([tmp_path / "codomain.ini"], cf=tmp_path / "sendmail.cf")
    assert "sendmail.absent" in {finding.id for finding in found}
    assert status is Exit.OK


@pytest.mark.parametrize(
    "line",
    [
        "Xcodomain, S=local:/run/codomain/milter, F=T",
        "Kroute socket -T<TMPF> local:/run/elsewhere/map",
        "Kmxserved socket inet:2000@127.0.0.1",
    ],
)
def test_one_line_of_ours_makes_the_others_missed(line: str, tmp_path: Path) -> None:
    """Half of the lines is a mistake: then each that lacks is an error of its own."""
    (tmp_path / "sendmail.cf").write_text(f"{CF}{line}\n")
    cf = read(tmp_path / "sendmail.cf")
    assert cf is not None
    assert is_joined(cf)
