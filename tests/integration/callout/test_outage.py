"""A next system that stops, and two gateways that ask each other."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from codomain_cli.private_gateway import PrivateGateway
from codomain_cli.private_postfix import PrivatePostfix
from support.nextpostfix import MAIN
from support.postfix import Lab, lab, wait_until
from support.smtpscript import Script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.nextpostfix import NextPostfix

STRANGER = "198.51.100.7"

PRIMARY = """
[domain plain.example]
type = shared

[connector primary]
smart_hosts = [127.0.0.1]:{port}
address_spaces = plain.example
allow_relay = yes
peers = 192.0.2.10
verify = callout
verify_control = known@plain.example

[callout]
found_ttl = 0s
not_found_ttl = 0s
on_failure = defer
"""


def test_with_the_primary_down_the_gateway_accepts_what_it_knows(folder: Path, base: str) -> None:
    """Results are kept while the system is down; what is not known is deferred, and heals."""
    primary = PrivatePostfix(folder / "primary", {k: v for k, v in MAIN.items() if "turn" not in k})
    with lab(PRIMARY.format(port=primary.port), base=base) as gateway:
        with primary:
            assert gateway.reply(STRANGER, "ann@plain.example").startswith("250 ")
            assert gateway.reply(STRANGER, "nobody@plain.example").startswith("550 5.1.1")
        # known from before, and its lifetime is over
        assert gateway.reply(STRANGER, "ann@plain.example").startswith("250 ")
        assert gateway.reply(STRANGER, "nobody@plain.example").startswith("451 4.4.1")
        for number in range(5):
            reply = gateway.reply(STRANGER, f"n{number}@plain.example")
            assert reply.startswith("451 4.4.1")
        assert _logged(gateway, "next system does not answer") == 1
        assert gateway.reply(STRANGER, "ann@plain.example").startswith("250 ")
        # shown, and no reason to take the gateway out of service
        assert (
            gateway.gateway.page("readyz")
            == "ready\ndirectory people up\nnext system primary down\n"
        )
        shown = _status(gateway)
        assert "next system primary is suspended after " in shown
        assert "Connection refused" in shown
        with primary:
            wait_until(
                lambda: gateway.reply(STRANGER, "nobody@plain.example").startswith("550 5.1.1"),
                60.0,
            )
            assert _logged(gateway, "next system answers again") == 1
            assert "next system primary up\n" in gateway.gateway.page("readyz")
            assert "next system primary is up\n" in _status(gateway)


def _status(gateway: Lab) -> str:
    return _run(gateway, "status")


def _run(gateway: Lab, *arguments: str) -> str:
    command = [sys.executable, "-c", "from codomain_cli.main import main; main()", *arguments]
    done = subprocess.run(
        [*command, "--config", str(gateway.gateway.ini)], capture_output=True, text=True, check=True
    )
    return done.stdout


CHAIN = """
[domain chain.example]
type = shared

[connector {name}]
smart_hosts = [127.0.0.1]:{port}
address_spaces = chain.example
allow_relay = yes
cost = {cost}
verify = callout
verify_control = known@chain.example
tls = none

[callout]
not_found_ttl = 0s
on_failure = defer
"""


def test_with_the_first_of_a_chain_down_the_others_get_what_is_theirs(
    base: str, behind: NextPostfix
) -> None:
    """As they did before: the first did not know it; who is new is deferred, never refused."""
    with Script() as first:
        first.taken = {"known@chain.example", "one@chain.example"}
        ports = {"first": first.port, "second": behind.ports["second"]}
        chain = [
            CHAIN.format(name=name, port=port, cost=cost)
            for cost, (name, port) in enumerate(ports.items(), 30)
        ]
        with lab(*chain, base=base) as gateway:
            assert gateway.reply(STRANGER, "one@chain.example").startswith("250 ")
            assert gateway.reply(STRANGER, "two@chain.example").startswith("250 ")
            assert gateway.reply(STRANGER, "nobody@chain.example").startswith("550 5.1.1")
            first.down()
            for _ in range(3):
                assert gateway.reply(STRANGER, "one@chain.example").startswith("250 ")
                assert gateway.reply(STRANGER, "two@chain.example").startswith("250 ")
                assert gateway.reply(STRANGER, "nobody@chain.example").startswith("451 4.4.1")
                assert gateway.reply(STRANGER, "new@chain.example").startswith("451 4.4.1")
            explained = _run(gateway, "explain", "two@chain.example", "--live")
            assert f"OK smtp:[127.0.0.1]:{ports['second']} " in explained


def _logged(gateway: Lab, text: str) -> int:
    return gateway.gateway.daemon.log.read_text().count(text)


CIRCLE = """\
[codomain]
postmaster = ann@corp.local

[trust]
trusted_networks = 10.0.0.0/8

[domain both.example]
type = shared

[domain corp.local]
type = authoritative

[connector other]
smart_hosts = [127.0.0.1]:{port}
address_spaces = both.example
allow_relay = yes
peers = 127.0.0.1
verify = callout
verify_control = known@both.example
tls = none

[directory people]
type = files
path = {people}

[callout]
on_failure = defer
"""

ENTRY = "dn: cn={0}\nobjectClass: user\nproxyAddresses: SMTP:{0}@both.example\n\n"


@contextmanager
def pair(*, milter: bool) -> Iterator[tuple[PrivateGateway, PrivateGateway]]:
    """Run two gateways that share a domain, each the other's next system and peer."""
    with tempfile.TemporaryDirectory(prefix="pair-", dir="/tmp") as name:
        made = []
        for side, person in (("a", "ann"), ("b", "bea")):
            folder = Path(name) / side
            folder.mkdir()
            for path in (folder, folder.parent):
                path.chmod(0o755)
            people = folder / "people.ldif"
            people.write_text(ENTRY.format(person) + ENTRY.format("known"))
            ini = CIRCLE.format(port=1, people=people)
            main = {"mynetworks": "10.0.0.0/8", "myorigin": "corp.local"}
            made.append(PrivateGateway(folder, [ini], main, milter=milter))
        for one, other in (made, made[::-1]):
            ini = CIRCLE.format(port=other.postfix.port, people=one.folder / "people.ldif")
            one.configure(ini)
        with made[0], made[1]:
            yield made[0], made[1]


def _circle(*, milter: bool) -> None:
    with pair(milter=milter) as (a, b):
        assert _reply(a, "bea@both.example").startswith("250 ")
        assert _reply(a, "nobody@both.example").startswith("550 5.1.1")
        assert _reply(b, "ann@both.example").startswith("250 ")
        # a has asked b for three (bea, a random name, nobody) and the control address
        assert 'codomain_callout_requests_total{connector="other",result="unsure"}' not in (
            a.page("metrics") + b.page("metrics")
        )
        assert 'result="unknown"} 1.0' in a.page("metrics")
        assert 'result="unknown"}' not in b.page("metrics")


def test_two_gateways_do_not_probe_each_other_in_circles() -> None:
    """A probe from a peer is answered from the directory: unknown here is said as such."""
    _circle(milter=False)


def test_two_milters_do_not_either() -> None:
    """The sign is seen there as well."""
    _circle(milter=True)


def _reply(gateway: PrivateGateway, recipient: str) -> str:
    with gateway.postfix.connect(STRANGER) as session:
        session.docmd("MAIL", "FROM:<author@elsewhere.test>")
        code, text = session.docmd("RCPT", f"TO:<{recipient}>")
        return f"{code} {text.decode()}"
