"""How the envelope changes at the end of a message."""

from __future__ import annotations

from codomain_milter.dsn import Dsn
from codomain_milter.envelope import Changes, Envelope, Taken

TARGET = "bob@unix.example.net"


def replaced(name: str, target: str = TARGET, dsn: Dsn | None = None) -> Taken:
    """Make a recipient that is replaced."""
    return Taken(f"<{name}@example.com>", f"{name}@example.com", target, dsn or Dsn())


def kept(name: str, domain: str = "example.com") -> Taken:
    """Make a recipient that stays."""
    return Taken(f"<{name}@{domain}>", f"{name}@{domain}")


def changes(*taken: Taken) -> Changes:
    """Return the changes of a message to these."""
    return Envelope(taken=list(taken)).changes()


def test_a_recipient_is_replaced() -> None:
    """The target is added, and the recipient deleted as it was given."""
    dsn = Dsn(frozenset({"NEVER"}), "rfc822;bob@example.com")
    assert changes(replaced("bob", dsn=dsn), kept("ann")) == Changes(
        ((TARGET, "NOTIFY=NEVER ORCPT=rfc822;bob@example.com"),), ("<bob@example.com>",)
    )


def test_two_with_one_target_give_one_addition() -> None:
    """Build 3; the case of the target's domain makes no other target."""
    found = changes(replaced("bob"), replaced("rob", TARGET.upper()))
    assert len(found.add) == 1
    assert found.delete == ("<bob@example.com>", "<rob@example.com>")


def test_a_recipient_given_twice_is_replaced_once() -> None:
    """Build 3: a recipient changed twice leaves nothing behind."""
    assert changes(replaced("bob"), replaced("bob")) == changes(replaced("bob"))


def test_each_spelling_is_deleted() -> None:
    """The MTA compares byte for byte."""
    other = Taken("<BOB@example.com>", "bob@example.com", TARGET, Dsn())
    assert changes(replaced("bob"), other).delete == ("<bob@example.com>", "<BOB@example.com>")


def test_a_target_that_is_a_recipient_anyway_is_not_added() -> None:
    """One target, one delivery."""
    found = changes(replaced("bob", "ann@example.com"), kept("ann"))
    assert found == Changes((), ("<bob@example.com>",))


def test_a_target_that_is_to_be_deleted_stays() -> None:
    """Whatever the order of additions and deletions, no mail is lost."""
    found = changes(replaced("bob", "eve@example.com"), replaced("eve"))
    assert found == Changes(((TARGET, ""),), ("<bob@example.com>",))


def test_a_recipient_that_is_its_own_target_stays() -> None:
    """Nothing to add, nothing to delete."""
    assert changes(replaced("bob", "bob@EXAMPLE.com")) == Changes()


def test_a_thousand_recipients_are_a_thousand_changes() -> None:
    """Build 3: a message of 1,000 recipients."""
    found = changes(*(replaced(f"u{n}", f"t{n}@unix.example.net") for n in range(1000)))
    assert len(found.add) == len(found.delete) == 1000


def test_nothing_changes_where_nobody_is_replaced() -> None:
    """Build 3: recipients without a target stay as they were given."""
    assert changes(kept("ann"), kept("bob")) == Changes((), ())
