"""HTML: no text can become markup, and nothing of a person is shown that is not to be."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codomain_cli.page.html import Html, join, printable, tag, text
from codomain_cli.page.masks import mask_address, mask_client, mask_text

ANY_TEXT = st.text(st.characters(), max_size=60) | st.text(
    st.sampled_from(list("<>&\"'`/=!-abcsript\n\0\x7f\u202e\ud800\u2028")), max_size=40
)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@given(ANY_TEXT, ANY_TEXT)
def test_no_text_becomes_markup(inner: str, value: str) -> None:
    """A reader finds the two elements, the attribute and the text, and nothing else."""
    written = tag("p", inner, tag("br"), class_=value)
    reader = _Reader()
    reader.feed(written)
    reader.close()
    assert reader.tags == [("p", {"class": printable(value)}), ("br", {})]
    assert "".join(reader.texts) == printable(inner)
    assert written.isprintable()
    written.encode()


def test_markup_is_taken_as_it_is_and_attributes_may_be_left_out() -> None:
    """True writes the name alone, False and None nothing; `_` is `-`."""
    inner = Html("<b>x</b>")
    assert tag("p", inner, None, 3, hidden=True, title=None, id=False, aria_label="a") == (
        '<p hidden aria-label="a"><b>x</b>3</p>'
    )
    assert join([inner, "<"]) == "<b>x</b>&lt;"
    assert text(None) == ""


def test_what_turns_the_writing_is_shown_as_an_escape() -> None:
    """U+202E would write moc.elpmaxe@ann for what is another address."""
    assert text("a\u202eb\x1b") == "a\\u202eb\\x1b"
    assert text("müller@straße.example") == "müller@straße.example"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("nobody@example.com", "n•••@example.com"),
        ("ann@example.com", "•••@example.com"),
        ("a@b@example.com", "•••@example.com"),
        ('"two words"@example.com', "•••@example.com"),
        ("no-address", "•••"),
        ("@example.com", "•••@example.com"),
        ("", ""),
    ],
)
def test_of_an_address_the_domain_is_shown(address: str, shown: str) -> None:
    """And the first letter, where it tells little."""
    assert mask_address(address) == shown


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        ("198.51.100.7", "198.51.100.0/24"),
        ("2001:db8:1:2::7", "2001:db8:1::/48"),
        ("unknown", "unknown"),
        ("anything", "•••"),
    ],
)
def test_of_a_client_the_network_is_shown(client: str, shown: str) -> None:
    """Who was refused stays unnamed, where from is needed."""
    assert mask_client(client) == shown


def test_texts_lose_addresses_and_entries() -> None:
    """All but the address that was asked for; a longer name goes before one within it."""
    found = mask_text(
        "Bob@example.com in people: cn=Bob,dc=x,dc=com; to <robert@unix.test>, SMTP:rob@x.test"
        ' "b c"@y.test; cn=Bob,dc=x',
        ["cn=Bob,dc=x", "cn=Bob,dc=x,dc=com", ""],
        keep="bob@example.com",
    )
    assert found == (
        "Bob@example.com in people: •••; to <r•••@unix.test>, SMTP:•••@x.test •••@y.test; •••"
    )
