"""Any bytes as an address: nothing raises, and what is written out names the same mailbox."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codomain.address import (
    Address,
    fold_domain,
    fold_local,
    hides_foreign,
    parse_mailbox,
    parse_path,
    parse_recipient,
)

PIECES = (
    *("@", '"', "\\", ".", "+", "-", "%", "!", ":", ",", "<", ">", "[", "]", " ", "\t", "\0", "\n"),
    *(
        "a",
        "Z",
        "ann",
        "ü",
        "u\u0308",
        "ß",
        "\u212a",
        "\u037e",
        "\u200b",
        "％",
        "＠",
        "。",
        "\ud800",
    ),
    *("example.com", "xn--mller-kva", "[192.0.2.1]", "[IPv6:2001:db8::1]", "@a.test:", "xn--"),
)

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)
raws = st.binary(max_size=80) | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
locals_ = st.text(min_size=1, max_size=20) | texts.filter(bool)
domains = st.sampled_from(["example.com", "müller.example", "[192.0.2.1]", "[IPv6:::1]", "a.b.c"])


@pytest.mark.parametrize("parse", [parse_recipient, parse_path])
@given(raw=raws)
@settings(max_examples=400, deadline=None)
def test_nothing_raises_on_any_bytes(parse: object, raw: bytes) -> None:
    """An address that makes no sense is one that matches nothing."""
    assert callable(parse)
    address = parse(raw)
    assert isinstance(address, Address)
    if address.key:
        assert address.domain
        assert address.written
        assert address.key == f"{fold_local(address.local)}@{address.domain}"
    text = address.text()
    str(address)
    address.extension("+-")
    hides_foreign(address.local)
    if text is not None:
        again = parse_mailbox(text)
        assert again is not None
        assert (again.local, again.domain, again.key) == (
            address.local,
            address.domain,
            address.key,
        )


@given(text=texts)
@settings(max_examples=400, deadline=None)
def test_a_mailbox_that_is_read_is_written_and_read_again(text: str) -> None:
    """Text of a directory: one mailbox, or None."""
    address = parse_mailbox(text)
    if address is not None:
        assert address.domain
        assert not address.broken
        written = address.text()
        assert written is not None
        again = parse_mailbox(written)
        assert again is not None
        assert (again.local, again.domain, again.key) == (
            address.local,
            address.domain,
            address.key,
        )


@given(local=locals_, domain=domains)
@settings(max_examples=400, deadline=None)
def test_what_is_written_out_names_the_same_mailbox_in_every_form(local: str, domain: str) -> None:
    """Quoted for SMTP, quoted for a map and unquoted for the policy server: one mailbox."""
    folded = fold_domain(domain)
    address = Address(local, folded, folded)
    text = address.text()
    if text is None:
        return
    for again in (
        parse_mailbox(text),
        parse_path(f"<{text}>".encode()),
        parse_recipient(text.encode()),
    ):
        assert again is not None
        assert (again.local, again.domain, again.broken) == (local, folded, False)


@given(domain=texts)
@settings(max_examples=400, deadline=None)
def test_folding_a_domain_twice_changes_nothing(domain: str) -> None:
    """The one form is ASCII, and stays as it is."""
    folded = fold_domain(domain)
    assert folded.isascii()
    assert fold_domain(folded) == folded


@given(local=locals_)
@settings(max_examples=400, deadline=None)
def test_folding_a_local_part_twice_changes_nothing(local: str) -> None:
    """A key that a directory gives back is the key that was asked for."""
    folded = fold_local(local)
    assert fold_local(folded) == folded
