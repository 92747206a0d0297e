"""Sockets that systemd passes on: which are taken, and for which endpoint."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from codomain.config import Endpoint
from codomain_policyd import activation
from codomain_policyd.activation import VARIABLES, Activation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let one unix listener stand where the first passed descriptor is."""
    path = tmp_path / "policy"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        # The numbers of sd_listen_fds(3) are the test runner's own; ours begin elsewhere.
        monkeypatch.setattr(activation, "FIRST", os.dup(listener.fileno()))
        yield path


def said(count: str = "1", pid: int | None = None) -> dict[str, str]:
    """Return what systemd puts into the environment."""
    of = os.getpid() if pid is None else pid
    return {"LISTEN_PID": str(of), "LISTEN_FDS": count, "LISTEN_FDNAMES": "policy"}


def test_socket_is_taken_for_its_path_once(passed: Path) -> None:
    """The endpoint that the INI names gets the open socket; nobody gets it twice."""
    given = Activation.of_process(said())
    assert given.take(Endpoint("unix", path=str(passed) + "2")) == []
    (sock,) = given.take(Endpoint("unix", path=str(passed)))
    with sock:
        assert sock.getsockname() == str(passed)
        assert not sock.getblocking()
        assert not sock.get_inheritable()
    assert given.take(Endpoint("unix", path=str(passed))) == []


def test_path_by_another_name_is_the_same(passed: Path, tmp_path: Path) -> None:
    """/var/run is /run: the unit and the INI may write it differently."""
    (tmp_path / "other").symlink_to(tmp_path, target_is_directory=True)
    given = Activation.of_process(said())
    (sock,) = given.take(Endpoint("unix", path=str(tmp_path / "other" / passed.name)))
    sock.close()


@pytest.mark.parametrize("said_by", [said(pid=1), said(count="many"), said(count="0"), {}])
@pytest.mark.usefixtures("passed")
def test_nothing_is_taken_that_is_not_for_us(said_by: dict[str, str]) -> None:
    """sd_listen_fds(3): only where LISTEN_PID is this process."""
    assert Activation.of_process(said_by).left() == []


@pytest.mark.usefixtures("passed")
def test_children_do_not_see_the_variables() -> None:
    """sd_listen_fds(3), unset_environment: a child would take them for its own."""
    environment = said() | {"HOME": "/"}
    for sock in Activation.of_process(environment)._passed:
        sock.close()
    assert environment == {"HOME": "/"}
    assert len(VARIABLES) == 3


def test_what_no_endpoint_takes_is_named(passed: Path) -> None:
    """A unit that listens elsewhere than the INI says is a mistake to be told."""
    given = Activation.of_process(said())
    assert given.left() == [str(passed)]
    for sock in given.take(Endpoint("unix", path=str(passed))):
        sock.close()
    assert given.left() == []


def test_what_does_not_listen_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe or a connected socket among the descriptors is nobody's door, and stays open."""
    one, other = socket.socketpair()
    with one, other:
        monkeypatch.setattr(activation, "FIRST", one.fileno())
        assert Activation.of_process(said()).left() == []
        one.sendall(b"open")
        assert other.recv(4) == b"open"


def test_inet_socket_is_taken_for_its_address_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """ListenStream=127.0.0.1:PORT serves inet:127.0.0.1:PORT, and no other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(activation, "FIRST", os.dup(listener.fileno()))
        given = Activation.of_process(said())
        assert given.take(Endpoint("unix", path="/run/policy")) == []
        assert given.take(Endpoint("inet", host="127.0.0.2", port=port)) == []
        (sock,) = given.take(Endpoint("inet", host="127.0.0.1", port=port))
        sock.close()
