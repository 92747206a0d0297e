"""A gateway with all that can be watched in it: LDAP, an index, a shared cache, a call-out.

It is put under a load with an outage of its directory in it, while a Prometheus scrapes it.
"""

from __future__ import annotations

import os
import random
import socket
import time
from typing import TYPE_CHECKING, Self

from support.doors import policy_request
from support.prometheus import Prometheus, free_port
from support.redis import RedisServer
from support.site import Site, run
from support.slapd import Settings, Slapd

if TYPE_CHECKING:
    from pathlib import Path

    from codomain_cli.background import Background

BASE = "dc=example,dc=com"

INI = """\
[codomain]
hostname = mx.example.com
postfix = off
state_directory = {folder}
control_socket = {folder}/control
[policyd]
listen = unix:{folder}/policy
socketmap_listen = unix:{folder}/map
socket_group =
[http]
listen = inet:127.0.0.1:{http}
[trust]
trusted_networks = 10.0.0.0/8
[cache]
found_ttl = 3s
not_found_ttl = 2s
failed_ttl = 1s
shared = {shared}
[callout]
timeout = 1s
on_failure = accept
[domain example.com]
type = authoritative
directory = live
[domain corp.example]
type = authoritative
directory = copy
[domain shared.example]
type = shared
directory = live
[connector unix]
smart_hosts = [127.0.0.1]:{nowhere}
address_spaces = shared.example
allow_relay = yes
verify = callout
verify_control = postmaster@shared.example
[directory live]
type = ldap
servers = {server}
schema = inetorgperson
base = {base}
timeout = 1s
connect_timeout = 1s
[directory copy]
type = ldap
servers = {server}
schema = inetorgperson
base = {base}
mode = sync
on_miss = none
"""


def people(count: int) -> str:
    """Return an LDIF of people with an address in each of the two domains."""
    head = f"dn: {BASE}\nobjectClass: domain\ndc: example\n\n"
    return head + "".join(
        f"dn: cn=p{number},{BASE}\nobjectClass: inetOrgPerson\ncn: p{number}\nsn: p{number}\n"
        f"mail: p{number}@example.com\nmail: p{number}@corp.example\n\n"
        for number in range(count)
    )


class Watched:
    """The gateway, its directory, its shared cache and its Prometheus, inside a ``with``."""

    def __init__(self, folder: Path, rules: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.slapd = Slapd(folder / "s", people(200), Settings())
        self.redis = RedisServer(folder / "r")
        self.http = free_port()
        self.prometheus = Prometheus(folder / "p", self.http, rules)
        self.site = Site(folder / "g")
        self.daemon: Background = self.site.serve()
        self.began = 0.0

    def __enter__(self) -> Self:
        self.slapd.start()
        self.redis.start()
        self.site.ini.write_text(
            INI.format(
                folder=self.site.folder,
                http=self.http,
                nowhere=free_port(),
                server=self.slapd.ldap,
                shared=self.redis.url,
                base=BASE,
            )
        )
        done = run("sync", "--once", "--config", self.site.ini)
        assert done.returncode == 0, done.stderr
        self.daemon.start()
        self.prometheus.__enter__()
        self.began = time.time()
        return self

    def __exit__(self, *_: object) -> None:
        self.prometheus.__exit__()
        self.daemon.stop()
        self.redis.stop()
        self.slapd.stop()

    def load(self, seconds: float, per_second: float, seed: int = 1) -> None:
        """Ask at a rate for so long: known, unknown, foreign, by both doors."""
        draw = random.Random(seed)
        end = time.monotonic() + seconds
        with self._connected("policy") as policy, self._connected("map") as maps:
            while time.monotonic() < end:
                recipient = _recipient(draw)
                policy.sendall(policy_request(recipient=recipient, client_address="198.51.100.7"))
                assert policy.recv(4096).startswith(b"action=")
                request = f"transport {recipient}".encode()
                maps.sendall(b"%d:%s," % (len(request), request))
                assert maps.recv(4096)
                time.sleep(draw.expovariate(per_second))

    def break_a_request(self) -> None:
        """Send what no Postfix sends."""
        with self._connected("map") as maps:
            maps.sendall(b"no netstring at all,")
            maps.recv(16)

    def outage(self, seconds: float, per_second: float) -> None:
        """Take the directory away under load, and bring it back."""
        self.slapd.stop()
        self.load(seconds, per_second, seed=2)
        self.slapd.start()

    def _connected(self, name: str) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20.0)
        client.connect(os.fspath(self.site.folder / name))
        return client


def _recipient(draw: random.Random) -> str:
    """Draw a recipient by the shape of real traffic: few of them get most of the mail."""
    kind = draw.random()
    number = min(int(draw.paretovariate(0.7)), 199)
    if kind < 0.6:
        return f"p{number}@example.com"
    if kind < 0.8:
        return f"p{number}@corp.example"
    if kind < 0.9:
        return f"guess{draw.randrange(500)}@example.com"
    if kind < 0.97:
        return f"other{number}@shared.example"
    return f"x{number}@elsewhere.test"
