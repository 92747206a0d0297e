"""The language of the control socket: what is written is read back, and all else is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codomain.config import parse
from codomain.rules import rules_from
from codomain_cli.exits import RequestError
from codomain_cli.handlers import forms_of
from codomain_cli.wire import (
    KINDS,
    REQUEST_OCTETS,
    AnswerError,
    Request,
    read_answer,
    read_request,
    write_error,
    write_request,
    write_result,
)

if TYPE_CHECKING:
    from codomain.domains import Domains

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.text(), st.dictionaries(st.text(), _json, max_size=3))
def test_a_request_is_read_back(command: str, arguments: dict[str, object]) -> None:
    """One line of JSON, whatever stands in it."""
    line = write_request(Request(command, arguments))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    if len(line) <= REQUEST_OCTETS:
        assert read_request(line) == Request(command, arguments)


def test_the_form_of_a_request_is_the_documented_one() -> None:
    """The module's docstring: codomain, command, arguments; arguments may be left out."""
    line = b'{"codomain": 1, "command": "cache.purge", "arguments": {"addresses": ["a@x"]}}\n'
    assert read_request(line) == Request("cache.purge", {"addresses": ["a@x"]})
    assert read_request(b'{"codomain":1,"command":"version"}') == Request("version")


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b"\xff\n",
        b"[" * 50_000,
        b"GET / HTTP/1.1\r\n",
        b'{"codomain": 2, "command": "version"}\n',
        b'{"codomain": true, "command": "version"}\n',
        b'{"codomain": "1", "command": "version"}\n',
        b'{"command": "version"}\n',
        b'{"codomain": 1}\n',
        b'{"codomain": 1, "command": 7}\n',
        b'{"codomain": 1, "command": "version", "arguments": []}\n',
        b'{"codomain": 1, "command": "' + b"x" * REQUEST_OCTETS + b'"}\n',
    ],
)
def test_what_is_no_request_is_told(line: bytes) -> None:
    """A client of another version gets an answer that it can show."""
    with pytest.raises(RequestError) as caught:
        read_request(line)
    assert caught.value.kind == "request"
    assert "error" in json.loads(write_error(caught.value))


@given(st.binary(max_size=200))
def test_no_octets_break_the_reader(line: bytes) -> None:
    """Whoever may connect may write anything."""
    try:
        read_request(line)
    except RequestError:
        return


@given(_json)
def test_a_result_is_read_back(result: object) -> None:
    """Whatever a handler gives that JSON can hold."""
    line = write_result(result)
    assert line.count(b"\n") == 1
    assert read_answer(line) == result


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_read_back(kind: str) -> None:
    """Its kind and its text reach whoever asked."""
    with pytest.raises(RequestError, match="no such thing") as caught:
        read_answer(write_error(RequestError(kind, "no such thing")))
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b'{"codomain": 1, "result": 1}',  # cut off
        b'{"codomain": 2, "result": 1}\n',
        b'{"codomain": 1}\n',
        b'{"codomain": 1, "error": {"kind": "unheard of"}}\n',
        b"[]\n",
    ],
)
def test_what_is_no_answer_is_told(line: bytes) -> None:
    """A daemon of another version is not misread."""
    with pytest.raises(AnswerError):
        read_answer(line)


@pytest.fixture(scope="module")
def domains() -> Domains:
    """Give a domain with + as delimiter, one with - and +, and one without any."""
    ini = "[domain example.com]\n[domain xn--strae-oqa.example]\nrecipient_delimiter = -+\n"
    ini += "[domain plain.example]\nrecipient_delimiter =\n"
    return rules_from(parse(ini)).domains


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        ("ann@example.com", {"ann@example.com"}),
        ("Ann@EXAMPLE.com.", {"ann@example.com"}),
        ("<Ann@Example.com>", {"ann@example.com"}),
        ('"ann"@example.com', {"ann@example.com"}),
        ('"john doe"@example.com', {"john doe@example.com"}),
        ("john doe@example.com", {"john doe@example.com"}),
        ("@relay.test:ann@example.com", {"ann@example.com"}),
        ("ann+list@example.com", {"ann+list@example.com", "ann@example.com"}),
        ("ann+list+x@example.com", {"ann+list+x@example.com", "ann@example.com"}),
        ("ann-list@example.com", {"ann-list@example.com"}),
        (
            "ann-list@straße.example",
            {"ann-list@xn--strae-oqa.example", "ann@xn--strae-oqa.example"},
        ),
        ("ann+list@plain.example", {"ann+list@plain.example"}),
        ("ann+list@elsewhere.test", {"ann+list@elsewhere.test"}),
        ("J\u006f\u0308rg@example.com", {"j\u00f6rg@example.com"}),
    ],
)
def test_every_form_of_an_address_has_the_keys_that_it_is_kept_by(
    domains: Domains, address: str, keys: set[str]
) -> None:
    """decisions.md, steps 1 and 4: case, quotes, route, IDN, NFC, and the extension cut off."""
    assert set(forms_of(address, domains)) == keys


@pytest.mark.parametrize("address", ["", "ann", "@", "ann@", "@example.com", "a@b c", "a\n@x.test"])
def test_what_can_be_no_entry_is_told(domains: Domains, address: str) -> None:
    """A slip of the keyboard is not "was not known"."""
    with pytest.raises(RequestError) as caught:
        forms_of(address, domains)
    assert caught.value.kind == "arguments"


@given(st.text())
def test_no_text_breaks_the_forms(address: str) -> None:
    """Lone surrogates, controls, anything that JSON can carry."""
    domains = rules_from(parse("[domain example.com]\n")).domains
    try:
        forms_of(address, domains)
        forms_of(f"{address}@example.com", domains)
    except RequestError:
        return
