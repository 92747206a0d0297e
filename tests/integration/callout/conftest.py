"""A gateway, and a real Postfix behind it that behaves in many ways."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.nextpostfix import SERVICES, NextPostfix
from support.postfix import Lab, lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.authority import Authority

BASE = """\
[codomain]
postmaster = ann@corp.local

[domain corp.local]
type = authoritative
deliver_to = exchange

[domain chain.example]
type = shared

[connector exchange]
smart_hosts = [127.0.0.1]:{exchange}
peers = 192.0.2.20

[directory people]
type = files
path = PEOPLE
"""
"""What the lab fills its ports into."""

CONNECTOR = """
[domain {name}.example]
type = shared

[connector {name}]
smart_hosts = [127.0.0.1]:{port}
address_spaces = {name}.example
allow_relay = yes
peers = 192.0.2.10
verify = callout
verify_control = known@{name}.example
"""

CHAIN = """
[connector {name}]
smart_hosts = [127.0.0.1]:{port}
address_spaces = chain.example
allow_relay = yes
cost = {cost}
peers = 192.0.2.{cost}
verify = callout
verify_control = known@chain.example
"""

PEOPLE = """\
dn: cn=ann,dc=corp,dc=local
objectClass: user
proxyAddresses: SMTP:ann@corp.local

dn: cn=bob,dc=corp,dc=local
objectClass: contact
proxyAddresses: SMTP:bob@corp.local
targetAddress: SMTP:ann@plain.example

dn: cn=lost,dc=corp,dc=local
objectClass: contact
proxyAddresses: SMTP:lost@corp.local
targetAddress: SMTP:nobody@plain.example
"""


def site(ports: dict[str, int]) -> str:
    """Write the connectors of all services."""
    chain = ("first", "second", "third")
    text = "".join(
        CONNECTOR.format(name=name, port=ports[name]) for name in SERVICES if name not in chain
    )
    for cost, name in enumerate(chain, 30):
        text += CHAIN.format(name=name, port=ports[name], cost=cost)
    return text


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Give a folder into which every user may go."""
    path = Path(tempfile.mkdtemp(prefix="next-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def people(folder: Path) -> Path:
    """Give the people of the directory."""
    path = folder / "people.ldif"
    path.write_text(PEOPLE)
    return path


@pytest.fixture(scope="session")
def behind(folder: Path, authority: Authority) -> Iterator[NextPostfix]:
    """Give the systems behind the gateway, which run."""
    next_postfix = NextPostfix(folder, authority.sign("next", "DNS:mx.example.net"))
    with next_postfix.postfix:
        yield next_postfix


@pytest.fixture(scope="session")
def base(people: Path) -> str:
    """Give the INI that is the same for all."""
    return BASE.replace("PEOPLE", f"{people}")


@pytest.fixture(scope="module")
def gateway(behind: NextPostfix, base: str) -> Iterator[Lab]:
    """Give a gateway to all of them that accepts what it cannot find out."""
    with lab(site(behind.ports), base=base) as running:
        yield running


@pytest.fixture(scope="module")
def deferring(behind: NextPostfix, base: str) -> Iterator[Lab]:
    """Give one that defers what it cannot find out, and verifies certificates."""
    more = "[callout]\non_failure = defer\n[connector badtls]\ntls = verify\n"
    with lab(site(behind.ports), more, base=base) as running:
        yield running
