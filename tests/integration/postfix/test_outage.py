"""The directory goes away under traffic, and comes back: slapd stopped and started, StartTLS."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest

from support.postfix import STRANGER, Lab, lab, wait_until
from support.slapd import Settings, Slapd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.authority import Authority

COUNT = 12
"""Mailboxes that are asked for once each while the directory is down."""

TIMES = "[cache]\nfound_ttl = 1s\nnot_found_ttl = 1s\nfailed_ttl = 200ms\n"
"""Lifetimes so short that what is cached is stale before the test is over."""


class Outage:
    """A gateway whose directory can go away."""

    def __init__(self, gateway: Lab, server: Slapd) -> None:
        self.gateway = gateway
        self.server = server

    def code(self, recipient: str) -> str:
        """Return code and enhanced code of the reply to a stranger."""
        return self.gateway.reply(STRANGER, recipient)[:9]

    def stale_answers(self) -> float:
        """Return how many answers were given past their lifetime."""
        page = self.gateway.gateway.page("metrics")
        found = re.search(
            r'^codomain_cache_lookups_total{result="stale"} (\S+)$', page, re.MULTILINE
        )
        return float(found[1]) if found else 0.0

    def ready(self) -> int:
        """Return the status of /readyz."""
        try:
            self.gateway.gateway.page("readyz")
        except HTTPError as error:
            with error:
                return error.code
        return 200


@pytest.fixture(scope="module")
def outage(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, people: str, bound: str
) -> Iterator[Outage]:
    """Give a gateway over StartTLS, with mailboxes that nobody has asked for."""
    more = "".join(
        f"\ndn: cn=M{n},dc=example,dc=com\nobjectClass: user\ncn: M{n}\nsn: M\n"
        f"proxyAddresses: SMTP:m{n}@corp.local\n"
        for n in range(COUNT)
    )
    certificate = authority.sign("outage", "DNS:localhost,IP:127.0.0.1")
    folder = tmp_path_factory.mktemp("o") / "d"
    with Slapd(folder, people + more, Settings(certificate=certificate)) as server:
        directory = (
            f"[directory ad]\ntype = ldap\nservers = {server.ldap}\nstarttls = yes\n"
            f"base = dc=example,dc=com\n{bound}"
        )
        with lab(directory, TIMES) as running:
            yield Outage(running, server)


def test_an_outage_refuses_nobody_and_heals_by_itself(outage: Outage) -> None:
    """Directory down is never "unknown": cached recipients pass, others get 451 4.4.3."""
    gateway = outage.gateway
    assert outage.code("ann@corp.local") == "250 2.1.5"
    seen: list[str] = []
    over = threading.Event()

    def traffic() -> None:
        while not over.is_set():
            seen.append(outage.code("ann@corp.local"))

    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        outage.server.stop()
        asked = [outage.code(f"m{n}@corp.local") for n in range(COUNT)]
        unknown = outage.code("nobody@corp.local")
        # What is cached for a second is past its lifetime now, and goes on serving.
        wait_until(outage.stale_answers)
        sent = gateway.send(STRANGER, "ann@corp.local", "m0@corp.local")
        ready = outage.ready()
        outage.server.start()
        wait_until(lambda: outage.code("m0@corp.local") == "250 2.1.5")
        healed = [outage.code(f"m{n}@corp.local") for n in range(COUNT)]
    finally:
        over.set()
        thread.join()
        outage.server.stop()
        outage.server.start()
    assert set(asked) == {"451 4.4.3"}
    assert unknown == "451 4.4.3"
    assert [reply[:9] for reply in sent.replies] == ["250 2.1.5", "451 4.4.3"]
    assert gateway.arrivals(sent.token, 1) == [("exchange", "ann@corp.local")]
    assert set(seen) == {"250 2.1.5"}
    assert ready == 503
    wait_until(lambda: outage.ready() == 200)
    assert set(healed) == {"250 2.1.5"}
    assert outage.code("nobody@corp.local") == "550 5.1.1"
