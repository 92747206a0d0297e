"""``on_outage = deliver`` on a real Postfix: the domain that chose it, and the one that did not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.postfix import STRANGER, TRUSTED, UNIX, lab, wait_until
from support.slapd import Slapd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postfix import Lab

PEOPLE = Path(__file__).parents[1] / "postfix" / "people.ldif"

INI = """\
[domain example.com]
on_outage = deliver

[directory ad]
type = ldap
servers = {server}
base = dc=example,dc=com

[cache]
failed_ttl = 200ms
"""


@pytest.fixture(scope="module", params=[False, True], ids=["policy", "milter"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Lab, Slapd]]:
    """Give a gateway whose directory can be stopped, with either door as the judge."""
    with (
        Slapd(tmp_path_factory.mktemp("d") / "d", PEOPLE.read_text()) as server,
        lab(INI.format(server=server.ldap), milter=request.param) as running,
    ):
        yield running, server


def test_while_the_directory_is_down_everything_goes_to_deliver_to(
    gateway: tuple[Lab, Slapd],
) -> None:
    """config.md, on_outage: to deliver_to, unchecked; the default is 451; and it ends by itself.

    What it costs shows here: the unknown goes there, and so does a contact nobody has asked
    for, whose mail belongs to another system.
    """
    postfix, server = gateway
    everybody = ("ann@example.com", "nobody@example.com", "bob@example.com")
    server.stop()
    try:
        during = postfix.send(STRANGER, *everybody, "ann@corp.local", "nobody@corp.local")
        arrived = postfix.arrivals(during.token, 3)
        back = postfix.reply(UNIX, "ann@example.com")
        # exchange sent it itself: to give it back there would be a loop.
        from_exchange = postfix.reply("192.0.2.20", "ann@example.com")
        hidden = postfix.reply(STRANGER, "someone%elsewhere.test@example.com")
    finally:
        server.start()
    assert [reply[:9] for reply in during.replies] == ["250 2.1.5"] * 3 + ["451 4.4.3"] * 2
    assert arrived == sorted(("exchange", recipient) for recipient in everybody)
    assert back.startswith("250 2.1.5")
    assert from_exchange.startswith("451 4.4.3")
    # Where the milter judges, smtpd comes first, and refuses it by itself.
    assert hidden[:9] in {"451 4.4.3", "554 5.7.1"}
    wait_until(lambda: postfix.reply(TRUSTED, "ann@corp.local").startswith("250"))
    after = postfix.send(STRANGER, "ann@example.com", "bob@example.com")
    assert [reply[:9] for reply in after.replies] == ["250 2.1.5"] * 2
    assert postfix.arrivals(after.token, 2) == [
        ("exchange", "ann@example.com"),
        ("unix", "bob@unix.example.net"),
    ]
    assert postfix.reply(STRANGER, "nobody@corp.local").startswith("550 5.1.1")
