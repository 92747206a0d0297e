"""A connector as Sendmail's mailers and hosts."""

from __future__ import annotations

import pytest

from codomain.connectors import Connector
from codomain_policyd.mailer import Way, way_to


@pytest.mark.parametrize(
    ("hop", "value"),
    [
        ("smtp:[192.0.2.10]", "esmtp:[192.0.2.10]"),
        ("smtp:[192.0.2.10]:25, [relay2.example.net]", "esmtp:[192.0.2.10]:[relay2.example.net]"),
        ("relay:[mx.example.net]", "relay:[mx.example.net]"),
        (
            "smtp:[192.0.2.10]:2525, [192.0.2.11]:2525",
            "codomain-smtp-2525:[192.0.2.10]:[192.0.2.11]",
        ),
        ("relay:[192.0.2.10]:26", "codomain-relay-26:[192.0.2.10]"),
        ("lmtp:[192.0.2.10]", "codomain-lmtp-24:[192.0.2.10]"),
        ("lmtp:unix:/run/dovecot/lmtp", "codomain-unix-c:localhost"),
        # Sendmail wants the tag, transport(5) takes both
        ("smtp:[2001:db8::1]", "esmtp:[IPv6:2001:db8::1]"),
        ("smtp:[ipv6:2001:db8::1]", "esmtp:[IPv6:2001:db8::1]"),
    ],
)
def test_ways(hop: str, value: str) -> None:
    """Port 25 has Sendmail's own mailers, every other port and socket one of ours."""
    way = way_to(Connector("c", hop))
    assert way is not None
    assert way.value == value


@pytest.mark.parametrize(
    "hop",
    [
        # one mailer, one port
        "smtp:[192.0.2.10]:25, [192.0.2.11]:2525",
        "smtp:[192.0.2.10], [192.0.2.11]:2525",
        # relative to Postfix's queue
        "lmtp:unix:private/dovecot-lmtp",
        "lmtp:unix:/run/a, [192.0.2.10]",
        # a delivery agent of Postfix's own
        "slow:[192.0.2.10]",
        "smtp:192.0.2.10",
    ],
)
def test_no_way(hop: str) -> None:
    """What Sendmail cannot express is nothing, and never half of it."""
    assert way_to(Connector("c", hop)) is None


@pytest.mark.parametrize(
    ("hop", "argument"),
    [
        ("smtp:[192.0.2.10]", ""),
        ("smtp:[192.0.2.10]:2525", "TCP $h 2525"),
        ("lmtp:[192.0.2.10]:2003", "TCP $h 2003"),
        ("lmtp:unix:/run/dovecot/lmtp", "FILE /run/dovecot/lmtp"),
    ],
)
def test_the_argument_of_a_mailer(hop: str, argument: str) -> None:
    """A= is TCP with host and port, or FILE with a path; empty for Sendmail's own mailers."""
    way = way_to(Connector("c", hop))
    assert isinstance(way, Way)
    assert way.argument == argument
