"""Rules of filters (RFC 4515), each checked against ldap3's own parser and encoder."""

from __future__ import annotations

import pytest

from codomain.directory.filters import MAX_DEPTH, encode_filter
from support.ldap3codec import filter_octets

FILTERS = (
    "(cn=Babs Jensen)",
    "(!(cn=Tim Howes))",
    "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
    "(o=univ*of*mich*)",
    "(seeAlso=)",
    "(cn=*)",
    "(cn=*x)",
    "(cn=x*)",
    "(cn=*x*)",
    r"(o=Parens R Us \28for all your parenthetical needs\29)",
    r"(cn=*\2A*)",
    r"(filename=C:\5cMyFile)",
    r"(bin=\00\00\00\04)",
    r"(sn=Lu\c4\8di\c4\87)",
    "(sn=Lučić)",
    "(uSNChanged>=17)",
    "(uSNChanged<=17)",
    "(displayName~=jensen)",
    "(proxyAddresses=smtp:ann@example.com)",
    "(proxyAddresses=smtp:*)",
    "(userAccountControl:1.2.840.113556.1.4.803:=2)",
    "(cn:caseExactMatch:=Fred Flintstone)",
    "(sn:dn:2.4.6.8.10:=Barney Rubble)",
    "(o:dn:=Ace Industry)",
    "(:1.2.3:=Wilma Flintstone)",
    "(:DN:2.4.6.8.10:=Dino)".replace("DN", "dn"),
    "(1.3.6.1.4.1.1466.0=x)",
    "(mail;lang-de=x)",
    "(|(proxyAddresses=*)(mail=*))",
)


@pytest.mark.parametrize("text", FILTERS)
def test_filters_are_written_as_ldap3_writes_them(text: str) -> None:
    """RFC 4515 section 4, and our own: the octets are another implementation's."""
    assert encode_filter(text) == filter_octets(text)


def test_blanks_between_filters_are_no_part_of_them() -> None:
    """An INI breaks a long filter over lines; RFC 4515 has no blanks there."""
    assert encode_filter(" (& (a=b)\n  (!(c=d) ) ) ") == encode_filter("(&(a=b)(!(c=d)))")


def test_blanks_of_a_value_are_part_of_it() -> None:
    """RFC 4515 section 3: a value reaches to the parenthesis."""
    assert encode_filter("(cn= a )") == encode_filter(r"(cn=\20a\20)")


def test_empty_sets_are_true_and_false() -> None:
    """RFC 4526: (&) is always true, (|) never."""
    assert encode_filter("(&)") == b"\xa0\x00"
    assert encode_filter("(|)") == b"\xa1\x00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail=x",
        "(mail=x",
        "(mail=x))",
        "(mail=x)(cn=y)",
        "(mail)",
        "(=x)",
        "(1=x)",
        "(ma il=x)",
        "(!(a=b)(c=d))",
        "(!)",
        "(&(a=b)",
        "(mail=a(b)",
        r"(mail=\zz)",
        r"(mail=\4)",
        "(mail=x\\)",
        "(a:b:c:=x)",
        "(:=x)",
        "()",
    ],
)
def test_what_is_no_filter_is_an_error(text: str) -> None:
    """A server might take it for a filter that finds nobody."""
    with pytest.raises(ValueError, match=r"\S"):
        encode_filter(text)


def test_depth_is_bounded() -> None:
    """Filters within filters end with an error and not with Python's stack."""
    assert encode_filter("(!" * MAX_DEPTH + "(a=b)" + ")" * MAX_DEPTH)
    with pytest.raises(ValueError, match="within one another"):
        encode_filter("(!" * (MAX_DEPTH + 1) + "(a=b)" + ")" * (MAX_DEPTH + 1))
    with pytest.raises(ValueError, match="within one another"):
        encode_filter("(&" * 100_000)
