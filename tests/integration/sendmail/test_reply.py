"""The milter's words as Sendmail's clients hear them."""

from __future__ import annotations

from pathlib import Path

from support.sendmail import STRANGER, sendmail_lab

PEOPLE = Path(__file__).with_name("people.ldif")
TEXT = "100% unknown, %s and %n. " + " ".join(["Nobody has it."] * 25)
INI = f"SITE\n[replies]\nunknown.text = {TEXT}\n[directory people]\ntype = files\npath = {PEOPLE}\n"


def test_a_text_of_the_administrator_is_whole() -> None:
    """Sendmail takes % for a format, too, and says several lines (smfi_setmlreply)."""
    with sendmail_lab(INI) as lab, lab.sendmail.connect(STRANGER) as session:
        session.docmd("MAIL", "FROM:<author@elsewhere.test>")
        code, text = session.docmd("RCPT", "TO:<nobody@corp.local>")
    first, *rest = text.decode().split("\n")
    assert (code, len(rest)) == (550, 1)
    lines = [first.removeprefix("5.1.1 <nobody@corp.local>... ")]
    lines += [line.removeprefix("5.1.1 ") for line in rest]
    assert " ".join(lines) == f"Recipient address rejected: {TEXT}"
