"""Rules of the policy delegation codec (SMTPD_POLICY_README)."""

from __future__ import annotations

import random

import pytest

from codomain_policyd import policy
from codomain_policyd.errors import ProtocolError
from codomain_policyd.policy import (
    ATTRIBUTES,
    READ,
    REQUEST_OCTETS,
    PolicyDecoder,
    PolicyRequest,
    parse_request,
    quick,
)
from support.doors import POSTFIX_ORDER, policy_request


def _all(data: bytes, *, step: int | None = None) -> list[PolicyRequest]:
    decoder = PolicyDecoder()
    found = []
    for start in range(0, len(data), step or len(data)):
        decoder.feed(data[start : start + (step or len(data))])
        while (request := decoder.next()) is not None:
            found.append(request)
    return found


def _fault(data: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        _all(data)
    return caught.value.kind


def test_postfix_request_is_read() -> None:
    """All that a verdict needs is found in the request that Postfix 3.7 really sends."""
    (request,) = _all(
        policy_request(sasl_username="bob", ccert_fingerprint="AA:BB", recipient="a b@example.com")
    )
    assert request.state == b"RCPT"
    assert request.client == b"198.51.100.7"
    assert request.sender == b"someone@elsewhere.test"
    assert request.recipient == b"a b@example.com"
    assert request.instance == b"5e3a.65d0c1d2.8f0a1.0"
    assert request.username == b"bob"
    assert request.fingerprint == b"AA:BB"
    assert request.context == b"inbound"


def test_what_postfix_sends_is_read_without_looking_at_each_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request in Postfix's own order takes half of the time of any other."""
    monkeypatch.setattr(policy, "line_by_line", None)
    request = parse_request(policy_request(sasl_username="bob", ccert_fingerprint="AA:BB"))
    assert (request.username, request.fingerprint) == (b"bob", b"AA:BB")
    assert (request.size, request.queue_id, request.context) == (b"1234", b"", b"inbound")
    with pytest.raises(TypeError):
        parse_request(policy_request(sorted(POSTFIX_ORDER)))


@pytest.mark.parametrize("name", sorted(READ))
def test_what_is_read_stands_once_also_in_postfix_order(name: str) -> None:
    """A line of a real request that becomes another line of what is read is a second one."""
    for at, other in enumerate(POSTFIX_ORDER):
        if other in READ:
            continue
        order = [*POSTFIX_ORDER[:at], name, *POSTFIX_ORDER[at + 1 :]]
        with pytest.raises(ProtocolError) as caught:
            parse_request(policy_request(order))
        assert caught.value.kind == "duplicate", other


def test_any_order_is_read() -> None:
    """The order of attributes is Postfix's, but the protocol does not promise it."""
    order = POSTFIX_ORDER.copy()
    random.Random(5).shuffle(order)
    shuffled = parse_request(policy_request(order, sasl_username="bob"))
    in_order = parse_request(policy_request(sasl_username="bob"))
    fields = [name for name in PolicyRequest.__dataclass_fields__ if name != "block"]
    assert {name: getattr(shuffled, name) for name in fields} == {
        name: getattr(in_order, name) for name in fields
    }


@pytest.mark.parametrize("step", [1, 2, 7, 64])
def test_splits_make_no_difference(step: int) -> None:
    """Bytes may arrive split anywhere, two requests in one chunk too."""
    data = policy_request(recipient="one@example.com") + policy_request(recipient="two@example.com")
    assert [r.recipient for r in _all(data, step=step)] == [b"one@example.com", b"two@example.com"]


@pytest.mark.parametrize("name", sorted(READ))
def test_an_attribute_that_is_read_stands_once(name: str) -> None:
    """A second recipient= (or any other that is read) is a protocol error, wherever it stands."""
    data = policy_request()
    assert _fault(data[:-1] + f"{name}=x\n\n".encode()) == "duplicate"
    assert _fault(f"{name}=x\n".encode() + data) == "duplicate"


def test_names_are_anchored_at_the_line_start() -> None:
    """What looks like an attribute within a value is part of the value."""
    (request,) = _all(policy_request(helo_name="x recipient=evil@example.com client_address=::1"))
    assert request.recipient == b"ann@example.com"
    assert request.client == b"198.51.100.7"


def test_names_are_whole() -> None:
    """recipient_count is not recipient, and xrecipient is neither."""
    (request,) = _all(policy_request()[:-1] + b"xrecipient=evil@example.com\nrecipientx=y\n\n")
    assert request.recipient == b"ann@example.com"


def test_values_are_bytes() -> None:
    """NUL, CR and bytes that are no UTF-8 are data; so is an equals sign in a value."""
    data = policy_request().replace(b"ann@example.com", b"a\0\r\xff=n@example.com")
    assert _all(data)[0].recipient == b"a\0\r\xff=n@example.com"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\n", "syntax"),
        (b"no attribute\n\n", "syntax"),
        (b"=value\n\n", "syntax"),
        (policy_request(request="other"), "request"),
        (policy_request([n for n in POSTFIX_ORDER if n != "request"]), "request"),
        (policy_request([n for n in POSTFIX_ORDER if n != "protocol_state"]), "state"),
        (policy_request([n for n in POSTFIX_ORDER if n != "recipient"]), "recipient"),
        (b"a=b\n" * (ATTRIBUTES + 1) + b"\n", "attributes"),
        (b"a=" + b"x" * REQUEST_OCTETS, "size"),
        (policy_request(helo_name="x" * REQUEST_OCTETS), "size"),
    ],
)
def test_what_is_no_request_is_a_protocol_error(data: bytes, kind: str) -> None:
    """Each breach has its own word, for the metric."""
    assert _fault(data) == kind


def test_limits_are_reached_before_they_are_passed() -> None:
    """A request of exactly the permitted size and number of attributes is read."""
    data = policy_request()
    padded = policy_request(
        helo_name="x" * (REQUEST_OCTETS - len(data) + len("client.example.org"))
    )
    assert len(padded) == REQUEST_OCTETS
    assert len(_all(padded)) == 1
    many = data[:-1] + b"a=b\n" * (ATTRIBUTES - len(POSTFIX_ORDER)) + b"\n"
    assert len(_all(many)) == 1


def test_no_recipient_is_needed_but_at_rcpt() -> None:
    """At DATA and END-OF-MESSAGE the recipient may be missing (SMTPD_POLICY_README)."""
    order = [name for name in POSTFIX_ORDER if name != "recipient"]
    assert _all(policy_request(order, protocol_state="DATA"))[0].recipient == b""


def test_quick_reads_what_the_careful_reader_reads() -> None:
    """The hot path's pattern gives client, recipient and rest of Postfix's own request."""
    data = policy_request()
    match = quick(data)
    assert match is not None
    request = parse_request(data)
    assert match[1] == request.client
    assert match[2] == request.recipient
    assert data.endswith(b"sasl_method=" + match[3])


@pytest.mark.parametrize("name", sorted(READ))
@pytest.mark.parametrize("place", range(len(POSTFIX_ORDER) - 11))
def test_quick_takes_no_attribute_twice_before_the_rest(name: str, place: int) -> None:
    """A line more, or another in the place of one, is not matched by the hot path's pattern."""
    lines = policy_request().splitlines(keepends=True)
    more = [*lines[:place], f"{name}=x\n".encode(), *lines[place:]]
    assert quick(b"".join(more)) is None
    other = [*lines[:place], f"{name}=x\n".encode(), *lines[place + 1 :]]
    assert quick(b"".join(other)) is None or POSTFIX_ORDER[place] == name


@pytest.mark.parametrize("state", ["DATA", "VRFY", "END-OF-MESSAGE", "RCPT "])
def test_quick_is_for_rcpt_only(state: str) -> None:
    """Other protocol states have no verdict, and must not find one."""
    assert quick(policy_request(protocol_state=state)) is None
