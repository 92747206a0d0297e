"""Three gateways of one's own whose connectors point at each other: pairs and rings.

Each is a private Postfix with a daemon of its own.  A Postfix sends from an address of its
own (``smtp_bind_address``), by which the others know it as a peer, or do not.  The domains
are the topologies: in ``pair.test`` ``a`` and ``b`` know each other, in ``nat.test`` nobody
knows anybody, and so on (:data:`WAYS`).
"""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codomain_cli.private_gateway import PrivateGateway
from codomain_cli.sinks import Sinks
from support.postfix import SECONDS, STRANGER, message, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codomain_cli.private_postfix import PrivatePostfix
    from codomain_cli.sinks import Arrival

NAMES = ("a", "b", "c")
HOSTS = {"a": "127.0.0.11", "b": "127.0.0.12", "c": "127.0.0.13"}
"""Where each sends from."""

ELSEWHERE = "192.0.2.99"
"""An address that none of them has: a peer behind address translation is not recognised."""

SENDER = "author@elsewhere.test"

HOPS = 8
"""hopcount_limit of Postfix, and max_hops of the milter, in these tests; 50 by default."""

WAYS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "pair.test": {"a": ("b", "b"), "b": ("a", "a")},
    "half.test": {"a": ("b", "b"), "b": ("a", "")},
    "nat.test": {"a": ("b", ""), "b": ("a", "")},
    "ring.test": {"a": ("b", "bc"), "b": ("c", "ca"), "c": ("a", "ab")},
    "entry.test": {"a": ("b", "bc"), "b": ("c", "c"), "c": ("a", "a")},
    "next.test": {"a": ("b", "b"), "b": ("c", "c"), "c": ("a", "a")},
}
"""For each shared domain, and each gateway that has it: to whom its connector leads, and whose
addresses are its ``peers``."""

_INI = """\
[trust]
trusted_networks = 10.0.0.0/8

[directory people]
type = files
path = {folder}/people.csv

[domain corp-{name}.test]
type = authoritative
"""

_MILTER = f"""
[milter]
max_hops = {HOPS}
"""

_PEOPLE = """\
DN,objectClass,mailNickname,proxyAddresses,targetAddress
cn=ann,user,ann,SMTP:ann@pair.test,
cn=x,contact,x,SMTP:x@at-{name}.test,SMTP:x@at-{other}.test
"""

_OWN = {"a": "b", "b": "a", "c": "a"}
"""Where the contact ``x`` of each gateway leads; of ``a`` and ``b`` it is a ring."""


class Gateways:
    """The gateways that run, and the rest of the world."""

    def __init__(self, gateways: dict[str, PrivateGateway], sinks: Sinks) -> None:
        self.gateways = gateways
        self.sinks = sinks

    def send(self, recipient: str, client: str = STRANGER, sender: str = SENDER) -> tuple[str, str]:
        """Send one message to gateway ``a``; return its token and the last reply."""
        token = uuid.uuid4().hex
        with self.gateways["a"].postfix.connect(client) as session:
            session.docmd("MAIL", f"FROM:<{sender}>")
            code, text = session.docmd("RCPT", f"TO:<{recipient}>")
            if code == 250:
                code, text = session.data(message(token))
        return token, f"{code} {text.decode(errors='replace')}"

    def bounce(self, token: str) -> Arrival:
        """Wait for the report that tells the sender what became of a message."""

        def reports(arrivals: list[Arrival]) -> list[Arrival]:
            return [a for a in arrivals if not a.sender and token.encode() in a.content]

        found = reports(self.sinks.wait_for(lambda every: bool(reports(every)), SECONDS))
        assert found, self.logs()
        return found[0]

    def taken(self, recipient: str) -> dict[str, int]:
        """Count how often each gateway took a message for a recipient, by its log."""
        mark = re.compile(r"qmgr\[\d+\]: (\w+): from=")
        counts = {}
        for name, gateway in self.gateways.items():
            lines = gateway.postfix.logged().splitlines()
            ids = {m[1] for line in lines if (m := mark.search(line))}
            to = f"to=<{recipient}>"
            counts[name] = len({i for i in ids if any(f" {i}: {to}" in one for one in lines)})
        return counts

    def settled(self) -> None:
        """Wait until no Postfix has anything more to deliver."""
        for _ in range(2):  # what one has sent may have come to one that was looked at before
            for gateway in self.gateways.values():
                wait_until(partial(_is_empty, gateway.postfix))

    def logs(self) -> str:
        """Return what all of them have logged, for whoever reads of a failure."""
        return "\n".join(g.postfix.logged()[-4000:] for g in self.gateways.values())


def _is_empty(postfix: PrivatePostfix) -> bool:
    """Tell whether a Postfix has nothing to deliver."""
    return "is empty" in postfix.run("postqueue", "-c", f"{postfix.config}", "-p")


@contextmanager
def gateways(*, milter: bool) -> Iterator[Gateways]:
    """Run three gateways; ``milter``: which judges then, and not the policy server."""
    folder = Path(tempfile.mkdtemp(prefix="lp-", dir="/tmp"))
    try:
        folder.chmod(0o755)  # smtpd runs as another user
        with Sinks() as sinks, ExitStack() as stack:
            made = _made(folder, sinks, milter=milter)
            for gateway in made.values():
                stack.enter_context(gateway)
            yield Gateways(made, sinks)
    finally:
        shutil.rmtree(folder)


def _made(folder: Path, sinks: Sinks, *, milter: bool) -> dict[str, PrivateGateway]:
    internet = sinks.smtp("internet")
    made = {}
    nowhere = dict.fromkeys(NAMES, 25)
    for name in NAMES:
        own = folder / name
        own.mkdir(mode=0o755)
        (own / "people.csv").write_text(_PEOPLE.format(name=name, other=_OWN[name]))
        main = {
            "myhostname": f"{name}.gateway.test",
            "mynetworks": "10.0.0.0/8",
            "myorigin": f"corp-{name}.test",
            "smtp_bind_address": HOSTS[name],
            "hopcount_limit": f"{HOPS}" if not milter else "50",
            "default_transport": f"smtp:[127.0.0.1]:{internet}",
            "smtpd_reject_unlisted_sender": "yes",
            "smtpd_sender_restrictions": "permit_mynetworks, "
            f"check_client_access inline:{{{{{HOSTS['b']} = OK}}}}, "
            "check_sender_access inline:{{pair.test = 550 5.7.1 Not from there}}",
        }
        ini = _ini(name, own, nowhere, milter=milter)
        made[name] = PrivateGateway(own, [ini], main, milter=milter)
    ports = {name: gateway.postfix.port for name, gateway in made.items()}
    for name, gateway in made.items():
        gateway.configure(_ini(name, folder / name, ports, milter=milter))
    return made


def _ini(name: str, folder: Path, ports: Mapping[str, int], *, milter: bool) -> str:
    """Write a gateway's part in every topology."""
    parts = [_INI.format(folder=folder, name=name), _MILTER * milter]
    for domain, ways in WAYS.items():
        if name in ways:
            to, peers = ways[name]
            parts += [f"[domain {domain}]\ntype = shared\n", _way(domain, domain, to, peers, ports)]
    if name in "ab":
        other = _OWN[name]
        parts += [
            f"[domain at-{name}.test]\ntype = authoritative\n",
            f"[domain at-{other}.test]\ntype = relay\n",
            _way("contacts", f"at-{other}.test", other, other, ports),
            "[domain post.test]\ntype = authoritative\ndeliver_to = post\n",
            _way("post", "", other, other, ports),
        ]
    return "\n".join(parts)


def _way(name: str, space: str, to: str, peers: str, ports: Mapping[str, int]) -> str:
    """Write a connector; who has no known peers has one that never comes."""
    known = ", ".join(HOSTS[peer] for peer in peers) or ELSEWHERE
    spaces = f"address_spaces = {space}\nallow_relay = yes\n" if space else ""
    return f"[connector {name}]\nsmart_hosts = [127.0.0.1]:{ports[to]}\n{spaces}peers = {known}\n"
