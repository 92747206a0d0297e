"""Rules of what stays of an entry when a record changes it."""

from __future__ import annotations

import pytest

from codomain_cli.bulk.merging import differences, proxies, wanted

HELD = (b"SMTP:old@remote.test", b"smtp:a@xo.test", b"X400:c=us;s=A;", b"x500:/o=xo/cn=a")


def test_what_the_record_does_not_name_stays() -> None:
    """The former primary address becomes a secondary one: mail to it still arrives."""
    assert proxies((b"SMTP:new@remote.test",), HELD, remove=False) == (
        b"SMTP:new@remote.test",
        b"smtp:old@remote.test",
        b"smtp:a@xo.test",
        b"X400:c=us;s=A;",
        b"x500:/o=xo/cn=a",
    )


def test_only_kinds_that_the_record_names_are_removed_where_that_is_told() -> None:
    """Exchange stamps X400 and x500 itself, and replies need them."""
    assert proxies((b"SMTP:new@remote.test",), HELD, remove=True) == (
        b"SMTP:new@remote.test",
        b"X400:c=us;s=A;",
        b"x500:/o=xo/cn=a",
    )
    written = (b"SMTP:new@remote.test", b"X400:c=us;s=B;")
    assert proxies(written, HELD, remove=True) == (*written, b"x500:/o=xo/cn=a")


@pytest.mark.parametrize("written", [b"SMTP:A@xo.test", b"smtp:A@XO.test", b"SMTP:a@xo.test"])
def test_an_address_in_another_spelling_is_the_same_one(written: bytes) -> None:
    """The record's spelling counts: no server takes both, and the target's case is passed on."""
    assert proxies((written,), (b"smtp:a@xo.test",), remove=False) == (written,)


def test_a_name_of_an_entry_in_another_spelling_is_the_same_one() -> None:
    """Servers write names anew (RFC 4514): the file's blanks and capitals are no change."""
    here = {"manager": (b"CN=Ann\\2C B,OU=People,DC=xo,DC=one",)}
    there = {"manager": (b"cn=ann\\, b, ou=people, dc=xo,dc=one",)}
    assert wanted(there, here, remove=False, naming=frozenset({"manager"})) == {}
    assert wanted(there, here, remove=False) == there
    other = {"manager": (b"cn=bob,ou=people,dc=xo,dc=one",)}
    assert wanted(other, here, remove=False, naming=frozenset({"manager"})) == other


def test_an_attribute_without_a_value_in_the_record_says_nothing() -> None:
    """An empty cell takes nothing away; what is equal in another order is no change."""
    held = {"sn": (b"A",), "mail": (b"a@xo.test",), "proxyaddresses": HELD}
    assert wanted({"sn": (b"A",)}, held, remove=True) == {}
    assert wanted({"proxyaddresses": HELD[::-1]}, held, remove=True) == {}
    assert wanted({"sn": (b"B",), "title": (b"Dr",)}, held, remove=False) == {
        "sn": (b"B",),
        "title": (b"Dr",),
    }


def test_the_same_twice_is_no_change() -> None:
    """Idempotent: what came of the first run is what the second one wants."""
    first = proxies((b"SMTP:new@remote.test", b"smtp:A@xo.test"), HELD, remove=False)
    assert (
        wanted(
            {"proxyaddresses": (b"smtp:A@xo.test", b"SMTP:new@remote.test")},
            {"proxyaddresses": first},
            remove=False,
        )
        == {}
    )


def test_differences_are_shown_as_text_in_order() -> None:
    """Values that are no UTF-8 are shown with escapes, not dropped."""
    assert differences((b"b", b"a", b"\xff"), (b"b", b"c")) == (["\\xff", "a"], ["c"])
