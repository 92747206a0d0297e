"""Who we are to a server, and who it must be: binds, passwords and certificates."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain.directory import servers
from codomain.errors import DirectoryError
from support.authority import Authority
from support.fakeldap import BIND, EXTENDED, EXTENDED_RESPONSE, listening, requests, result
from support.slapd import BASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.directory.ldap import LdapDirectory
    from support.fakeldap import Request
    from support.slapd import Slapd

    Maker = Callable[..., LdapDirectory]

TIME = 10.0
USER = f"cn=codomain,ou=services,{BASE}"
PASSWORD = "pässword"
ONLY_THE_USER = (
    "to attrs=userPassword by anonymous auth by * none",
    f'to * by dn.exact="{USER}" read by * none',
)


def password_file(tmp_path: Path, text: str) -> str:
    """Write a password file, and return its path."""
    path = tmp_path / "password"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_simple_bind_gives_the_users_rights(
    new_slapd: Callable[..., Slapd], new_directory: Maker, tmp_path: Path, ending: str
) -> None:
    """A password is the file's bytes without one line feed; UTF-8 needs no more (RFC 4513)."""
    server = new_slapd(access=ONLY_THE_USER)
    path = password_file(tmp_path, PASSWORD + ending)
    directory = new_directory(server.ldap, bind_dn=USER, bind_password_file=path)
    assert len(directory.find("ann@example.com", TIME)) == 1


def test_external_bind_gives_the_rights_of_our_user_on_this_host(
    new_slapd: Callable[..., Slapd], new_directory: Maker
) -> None:
    """Over ldapi without bind_dn the server knows us by our socket (SASL EXTERNAL)."""
    identity = f"gidNumber={os.getgid()}+uidNumber={os.getuid()},cn=peercred,cn=external,cn=auth"
    server = new_slapd(access=(f'to * by dn.exact="{identity}" read by * none',))
    assert len(new_directory(server.ldapi).find("ann@example.com", TIME)) == 1
    with pytest.raises(DirectoryError):
        new_directory(server.ldap).find("ann@example.com", TIME)  # anonymous: no such object


def test_wrong_password_is_no_answer(slapd: Slapd, new_directory: Maker, tmp_path: Path) -> None:
    """A wrong password defers mail, and is not tried again soon: it would lock the account."""
    path = password_file(tmp_path, "wrong")
    directory = new_directory(slapd.ldap, bind_dn=USER, bind_password_file=path)
    with pytest.raises(DirectoryError, match=r"invalidCredentials \(49\)"):
        directory.find("nobody@example.com", TIME)
    with pytest.raises(DirectoryError, match="no server is up"):
        directory.find("nobody@example.com", TIME)
    assert directory._servers.next_try() > servers.LOCKOUT_WAIT / 2


def test_changed_password_is_read_at_the_next_connection(
    slapd: Slapd, new_directory: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that was rotated needs no restart."""
    monkeypatch.setattr(servers, "LOCKOUT_WAIT", 0.0)
    monkeypatch.setattr(servers, "COOL_DOWN", 0.0)
    path = password_file(tmp_path, "wrong")
    directory = new_directory(slapd.ldap, bind_dn=USER, bind_password_file=path)
    with pytest.raises(DirectoryError):
        directory.find("ann@example.com", TIME)
    Path(path).write_text(PASSWORD)
    assert len(directory.find("ann@example.com", TIME)) == 1


@pytest.mark.parametrize("text", ["", "\n", "\r\n"])
def test_empty_password_is_refused(
    slapd: Slapd, new_directory: Maker, tmp_path: Path, text: str
) -> None:
    """An empty password would be an anonymous bind, which succeeds (RFC 4513, 5.1.2)."""
    path = password_file(tmp_path, text)
    directory = new_directory(slapd.ldap, bind_dn=USER, bind_password_file=path)
    with pytest.raises(DirectoryError, match="it is empty"):
        directory.find("ann@example.com", TIME)


def test_password_that_cannot_be_read_is_our_fault_and_heals(
    slapd: Slapd, new_directory: Maker, tmp_path: Path
) -> None:
    """A missing file blames no server: when it is there, the next search works."""
    path = tmp_path / "password"
    directory = new_directory(slapd.ldap, bind_dn=USER, bind_password_file=str(path))
    with pytest.raises(DirectoryError, match="No such file"):
        directory.find("ann@example.com", TIME)
    path.write_text(PASSWORD)
    assert len(directory.find("ann@example.com", TIME)) == 1


@pytest.mark.parametrize(
    ("names", "days", "reason"),
    [
        ("DNS:localhost,IP:127.0.0.1", -1, "certificate has expired"),
        ("DNS:other.example,IP:127.0.0.2", 30, "IP address mismatch"),
        ("DNS:localhost", 30, "IP address mismatch"),
    ],
)
def test_certificate_of_another_or_of_the_past_is_refused(
    new_slapd: Callable[..., Slapd],
    new_directory: Maker,
    tmp_path: Path,
    *,
    names: str,
    days: int,
    reason: str,
) -> None:
    """A server must prove that it is the one that was asked for, now (RFC 4513, 3.1.3)."""
    authority = Authority(tmp_path / "ca")
    server = new_slapd(certificate=authority.sign("server", names, days=days))
    for uri, starttls in ((server.ldaps, False), (server.ldap, True)):
        directory = new_directory(uri, starttls=starttls, ca_file=str(authority.file))
        with pytest.raises(DirectoryError, match=reason):
            directory.find("ann@example.com", TIME)


def test_host_name_is_compared_too(
    slapd: Slapd, new_directory: Maker, authority: Authority
) -> None:
    """A DNS name of the certificate serves as well as an address."""
    uri = slapd.ldaps.replace("127.0.0.1", "localhost")
    directory = new_directory(uri, ca_file=str(authority.file))
    assert len(directory.find("ann@example.com", TIME)) == 1


def test_unknown_authority_is_refused(slapd: Slapd, new_directory: Maker, tmp_path: Path) -> None:
    """Neither the system's authorities nor another one vouch for our test server."""
    other = Authority(tmp_path / "other")
    for keys in ({}, {"ca_file": str(other.file)}):
        for uri, starttls in ((slapd.ldaps, False), (slapd.ldap, True)):
            with pytest.raises(DirectoryError, match="CERTIFICATE_VERIFY_FAILED"):
                new_directory(uri, starttls=starttls, **keys).find("ann@example.com", TIME)


def test_missing_ca_file_is_our_fault_and_heals(
    slapd: Slapd, new_directory: Maker, authority: Authority, tmp_path: Path
) -> None:
    """It blames no server, and a restart is not needed when it is there."""
    path = tmp_path / "ca.pem"
    directory = new_directory(slapd.ldaps, ca_file=str(path))
    with pytest.raises(DirectoryError, match="ca_file"):
        directory.find("ann@example.com", TIME)
    path.write_bytes(authority.file.read_bytes())
    assert len(directory.find("ann@example.com", TIME)) == 1


def test_no_password_is_sent_without_tls(new_directory: Maker, tmp_path: Path) -> None:
    """Where StartTLS is asked for and refused, nothing more is said to the server."""
    seen: list[int] = []

    def refuse_tls(client: socket.socket) -> None:
        for request in requests(client):
            seen.append(request.operation)
            client.sendall(request.answer(EXTENDED_RESPONSE, result(2)))  # protocolError

    path = password_file(tmp_path, PASSWORD)
    with listening(refuse_tls) as uri:
        directory = new_directory(uri, starttls=True, bind_dn=USER, bind_password_file=path)
        with pytest.raises(DirectoryError, match="startTLS failed"):
            directory.find("ann@example.com", TIME)
    assert seen == [EXTENDED]


def test_nothing_said_before_tls_counts(new_directory: Maker, tmp_path: Path) -> None:
    """An answer that was slipped in behind StartTLS's, in clear text, ends the connection."""
    seen: list[int] = []

    def slip_in(client: socket.socket) -> None:
        for request in requests(client):
            seen.append(request.operation)
            forged = following(request, BIND)
            client.sendall(request.answer(EXTENDED_RESPONSE, result(0)) + forged.done())

    path = password_file(tmp_path, PASSWORD)
    with listening(slip_in) as uri:
        directory = new_directory(uri, starttls=True, bind_dn=USER, bind_password_file=path)
        with pytest.raises(DirectoryError):
            directory.find("ann@example.com", TIME)
    assert BIND not in seen


def following(request: Request, operation: int) -> Request:
    """Return the request that a client would send next."""
    return type(request)(request.message_id + 1, operation, b"")


def test_name_look_up_does_not_hold_a_thread(
    slapd: Slapd, new_directory: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's resolver knows no deadline; ours is kept all the same."""
    go_on = threading.Event()

    def never(*_: object, **__: object) -> list[object]:
        go_on.wait(TIME)
        return []

    directory = new_directory(slapd.ldap.replace("127.0.0.1", "localhost"), timeout=0.2)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    with pytest.raises(DirectoryError, match="timed out"):
        directory.find("ann@example.com", TIME)
    go_on.set()
