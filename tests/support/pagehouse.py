"""A daemon whose status page is worth looking at: traffic, refusals, a directory that is down."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from codomain_cli.background import Background
from codomain_cli.private_postfix import free_ports
from support.doors import policy_request
from support.site import SECONDS

if TYPE_CHECKING:
    from pathlib import Path

PEOPLE = """\
dn: cn=Ann Smith,ou=people,dc=example,dc=com
objectClass: user
mailNickname: ann
proxyAddresses: SMTP:ann@example.com
proxyAddresses: smtp:a.smith@example.com

dn: cn=Bob,ou=people,dc=example,dc=com
objectClass: contact
mailNickname: bob
proxyAddresses: smtp:bob@example.com
targetAddress: SMTP:robert@unix.example.net
"""

INI = """\
[codomain]
hostname = mx.example.com
postmaster = hostmaster@corp.example
postfix = off
state_directory = {folder}
control_socket = {folder}/control
[policyd]
listen = unix:{folder}/policy
socketmap_listen = unix:{folder}/map
socket_group =
[http]
listen = inet:127.0.0.1:{port}
[domain example.com]
type = shared
deliver_to = exchange
directory = people
[domain corp.example]
type = authoritative
deliver_to = exchange
directory = people, ad
[connector exchange]
smart_hosts = [192.0.2.20]
[connector unix]
smart_hosts = [192.0.2.10]:25, relay2.unix.example.net
address_spaces = example.com, unix.example.net
allow_relay = yes
[directory people]
type = files
path = {folder}/people.ldif
[directory ad]
type = ldap
servers = ldaps://127.0.0.1:{nobody}, ldaps://dc2.a-rather-long-name.corp.example
base = dc=corp,dc=example
bind_dn = cn=codomain,ou=services,dc=corp,dc=example
bind_password_file = {folder}/password
connect_timeout = 200ms
timeout = 300ms
{more}
"""

SECRET = "correct-horse-battery-staple"
"""The password of the directory."""

HOSTILE = '"><img src=x onerror=alert(1)>'
"""What a client may send as a local part."""


class House:
    """One daemon with its page on a loopback port."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.port, nobody = free_ports(2)
        (folder / "people.ldif").write_text(PEOPLE)
        password = folder / "password"
        password.write_text(f"{SECRET}\n")
        password.chmod(0o600)
        ini = folder / "codomain.ini"
        ini.write_text(INI.format(folder=folder, port=self.port, nobody=nobody, more=more))
        self.daemon = Background(ini, folder)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, recipient: str, client: str = "198.51.100.7", **more: str) -> str:
        """Ask the policy server about a recipient."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(SECONDS)
            asking.connect(os.fspath(self.folder / "policy"))
            asking.sendall(policy_request(recipient=recipient, client_address=client, **more))
            return asking.recv(4096).decode().strip()

    def work(self) -> None:
        """Have some recipients answered and refused."""
        for _ in range(30):
            self.ask("ann@example.com")
        for _ in range(12):
            self.ask("nobody@example.com")
        self.ask("bob@example.com")
        self.ask("someone@elsewhere.test")
        self.ask("a-very-long-local-part-that-somebody-made-up-to-be-annoying@corp.example")
        self.ask(f"{HOSTILE}@example.com", client="192.0.2.10")
        self.ask("nobody@corp.example", client="2001:db8:1:2::7")

    def get(
        self, path: str, *, method: str = "GET", host: str | None = None, more: str = ""
    ) -> tuple[int, dict[str, str], str]:
        """Send a request as it is; return the status, the fields and the body."""
        named = f"127.0.0.1:{self.port}" if host is None else host
        line = f"Host: {named}\r\n" if named else ""
        request = f"{method} {path} HTTP/1.1\r\n{line}{more}Connection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), SECONDS) as client:
            client.sendall(request.encode())
            answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        head, _, body = answer.partition("\r\n\r\n")
        first, *fields = head.split("\r\n")
        pairs = (field.partition(": ") for field in fields)
        return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, body
