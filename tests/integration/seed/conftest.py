"""The seed's directory, in slapd with its own names and in a domain controller."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import samba as ad
from support import slapd as openldap
from support.seeddirectory import SeedDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.authority import Authority

SEED = Path(__file__).parents[2] / "data" / "seed.csv"
"""The seed's csvde file: its first line, and the line of its contact."""

XO = "dc=xo,dc=one"
UNIT = f"""\
dn: {XO}
objectClass: dcObject
objectClass: organization
o: xo
dc: xo
"""


@pytest.fixture(scope="module")
def slapd(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[openldap.Slapd]:
    """Give a slapd whose suffix is the seed's."""
    certificate = authority.sign("xo", "DNS:localhost,IP:127.0.0.1")
    settings = openldap.Settings(certificate=certificate, base=XO)
    with openldap.Slapd(tmp_path_factory.mktemp("xo") / "d", UNIT, settings) as server:
        yield server


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ad.Samba]:
    """Give a domain controller."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    template = ad.provisioned(folder / "active-directory")
    certificate = authority.sign("dc1", ad.NAMES)
    with ad.Samba(template, tmp_path_factory.mktemp("dc") / "d", certificate) as controller:
        yield controller


@pytest.fixture(scope="module", params=["slapd", "samba"])
def directory(
    request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> SeedDirectory:
    """Give the directory with the mailbox of method 1."""
    kind: str = request.param
    server = request.getfixturevalue(kind)
    folder = tmp_path_factory.mktemp("seed")
    csv, secret = folder / "seed.csv", folder / "password"
    base = XO if kind == "slapd" else server.unit("xo")
    # The controller has a domain of its own; nothing but the end of the DN is another.
    csv.write_text(SEED.read_text().replace(XO, base))
    secret.touch(0o600)
    secret.write_text(openldap.PASSWORD if kind == "slapd" else ad.PASSWORD)
    admin = f"cn=admin,{XO}" if kind == "slapd" else ad.ADMIN
    keys = (
        "\n[directory ad]\nschema = active-directory\n"
        f"servers = {server.ldaps}\nbase = {base}\nca_file = {authority.file}\n"
        f"bind_dn = {admin}\nbind_password_file = {secret}\n"
        "[cache]\nfound_ttl = 0s\nnot_found_ttl = 0s\n"
    )
    found = SeedDirectory(kind, base, keys, csv, server)
    found.add(
        "Mailbox User",
        mail="mailbox@xo.local",
        mailNickname="mailbox",
        proxyAddresses=["SMTP:mailbox@xo.local", "smtp:mailbox@xo.one"],
    )
    return found
