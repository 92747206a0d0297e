"""The two directories that policies are tried on: OpenLDAP's slapd and a domain controller."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ldap3
import pytest

from support import samba as ad
from support import slapd as openldap
from support.stamped import Directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.authority import Authority

UNIT = """\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=writers,dc=example,dc=com
objectClass: organizationalUnit
ou: writers

dn: cn=stamps,ou=writers,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: stamps
userPassword: Stamp.It-1
"""


@pytest.fixture(scope="module")
def slapd(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[openldap.Slapd]:
    """Give a slapd in which one account may write, and everybody read."""
    certificate = authority.sign("stamped", "DNS:localhost,IP:127.0.0.1")
    access = (
        "to attrs=userPassword by * auth",
        'to * by dn.exact="cn=stamps,ou=writers,dc=example,dc=com" write by * read',
    )
    settings = openldap.Settings(certificate=certificate, access=access)
    with openldap.Slapd(tmp_path_factory.mktemp("s") / "d", UNIT, settings) as server:
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


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the password files of both administrators, and of the one who stamps."""
    folder = tmp_path_factory.mktemp("secrets")
    found = {}
    for name, text in (
        ("slapd", openldap.PASSWORD), ("samba", ad.PASSWORD), ("stamps", "Stamp.It-1"),
    ):  # fmt: skip
        found[name] = folder / name
        found[name].touch(0o600)
        found[name].write_text(text)
    return found


@pytest.fixture(params=["slapd", "samba"])
def directory(
    request: pytest.FixtureRequest, authority: Authority, secrets: dict[str, Path]
) -> Directory:
    """Give a unit of the test's own, in each of the servers."""
    kind: str = request.param
    server = request.getfixturevalue(kind)
    base, admin, password = (
        (openldap.BASE, openldap.ADMIN, openldap.PASSWORD)
        if kind == "slapd"
        else (ad.BASE, ad.ADMIN, ad.PASSWORD)
    )

    @contextmanager
    def connect() -> Iterator[ldap3.Connection]:
        host = ldap3.Server(server.ldap, get_info=ldap3.NONE)
        start = ldap3.AUTO_BIND_TLS_BEFORE_BIND
        connection = ldap3.Connection(
            host, admin, password, auto_bind=start, check_names=False, raise_exceptions=True
        )
        try:
            yield connection
        finally:
            connection.unbind()

    name = "".join(filter(str.isalnum, request.node.name))[:50]
    unit = f"ou={name},{base}"
    with connect() as connection:
        connection.add(unit, attributes={"objectClass": ["organizationalUnit"]})
    keys = (
        f"servers = {server.ldaps}\nbase = {unit}\nca_file = {authority.file}\n"
        f"bind_dn = {admin}\nbind_password_file = {secrets[kind]}\n"
    )
    modify = _slapmodify if kind == "slapd" else _ldbmodify
    return Directory(kind, unit, keys, connect, lambda ldif: modify(server, ldif))


def _slapmodify(server: openldap.Slapd, ldif: str) -> None:
    """slapmodify(8), which wants the server stopped."""
    server.stop()
    command = ["/usr/sbin/slapmodify", "-F", f"{server._folder}/config", "-n1"]
    done = subprocess.run(command, input=ldif, capture_output=True, text=True, check=False)
    server.start()
    assert done.returncode == 0, done.stderr


def _ldbmodify(server: ad.Samba, ldif: str) -> None:
    """ldbmodify(1), on the controller itself."""
    ad._ldb(server._folder, "ldbmodify", ldif)
