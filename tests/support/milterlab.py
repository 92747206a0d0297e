"""A Postfix whose milter is codomain's, for tests of what clients are told and what arrives."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from codomain_cli.background import Background
from codomain_cli.private_postfix import PrivatePostfix, free_ports
from support.dsnsink import DsnSink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STRANGER = "198.51.100.7"
SECONDS = 20.0

INI = """\
[codomain]
postfix = off
hostname = gateway.test
state_directory = {folder}
control_socket = {folder}/control

[policyd]
listen =
socketmap_listen = unix:{queue}/codomain/map

[milter]
listen = {listen}

[http]
listen =

[trust]
trusted_networks = 127.0.0.0/8, 10.0.0.0/8

[domain example.com]
type = shared
deliver_to = exchange

[domain corp.local]
type = authoritative
deliver_to = exchange

[domain unix.example.net]
type = relay

[connector exchange]
smart_hosts = [127.0.0.1]:{exchange}
peers = 192.0.2.20

[connector unix]
smart_hosts = [127.0.0.1]:{unix}
address_spaces = example.com, unix.example.net
allow_relay = yes
peers = 192.0.2.10

[directory people]
type = files
path = {folder}/people.csv
"""

PEOPLE = """\
DN,objectClass,mailNickname,proxyAddresses,targetAddress
"cn=ann",user,ann,SMTP:ann@example.com,
"cn=bob",contact,bob,SMTP:bob@example.com,SMTP:bob@unix.example.net
"cn=rob",contact,rob,SMTP:rob@example.com,SMTP:bob@unix.example.net
"cn=eve",contact,eve,SMTP:eve@example.com,SMTP:eve@evil.test
"""


class MilterLab:
    """A Postfix with the milter, and the two systems behind it."""

    def __init__(
        self,
        folder: Path,
        exchange: DsnSink,
        unix: DsnSink,
        *,
        inet: bool,
        main: Mapping[str, str],
        more: str,
    ) -> None:
        self.exchange = exchange
        self.unix = unix
        queue = folder / "postfix" / "queue"
        (port,) = free_ports(1)
        listen = f"inet:127.0.0.1:{port}" if inet else f"unix:{queue}/codomain/milter"
        self.listen = listen if inet else "unix:codomain/milter"
        self.milter = None if inet else Path(f"{queue}/codomain/milter")
        maps = "socketmap:unix:codomain/map"
        self.postfix = PrivatePostfix(
            folder / "postfix",
            {
                "mynetworks": "127.0.0.0/8, 10.0.0.0/8",
                "myorigin": "corp.local",
                "relay_domains": f"{maps}:domain",
                "transport_maps": f"{maps}:transport",
                "relay_recipient_maps": "",
                "virtual_alias_domains": "",
                "enable_original_recipient": "no",
                "smtpd_milters": self.listen,
                "non_smtpd_milters": self.listen,
                "milter_default_action": "tempfail",
                "smtpd_recipient_limit": "2000",
                "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
                # The transport map's error: is for what smtpd lets through.
                "smtpd_reject_unlisted_recipient": "no",
                **main,
            },
        )
        people = folder / "people.csv"
        people.write_text(PEOPLE)
        ini = folder / "codomain.ini"
        ini.write_text(
            INI.format(
                folder=folder, queue=queue, listen=listen, exchange=exchange.port, unix=unix.port
            )
            + more
        )
        self.daemon = Background(ini, folder)

    def send(
        self,
        *recipients: str,
        client: str = STRANGER,
        content: str = "",
        options: str = "",
        mail: str = "",
    ) -> tuple[str, list[str], str]:
        """Send a message; return its token, the reply to each recipient, and the last reply."""
        token = uuid.uuid4().hex
        with self.postfix.connect(client) as session:
            session.docmd("MAIL", f"FROM:<author@elsewhere.test>{mail}")
            replies = [_text(session.docmd("RCPT", f"TO:<{r}>{options}")) for r in recipients]
            last = ""
            if any(reply.startswith("250") for reply in replies):
                text = content or "Subject: A message\r\n\r\n{token}\r\n"
                last = _text(session.data(text.replace("{token}", token)))
        return token, replies, last


def _text(answer: tuple[int, bytes]) -> str:
    return f"{answer[0]} {answer[1].decode(errors='replace')}"


@contextmanager
def milter_lab(
    *, inet: bool = False, main: Mapping[str, str] | None = None, more: str = ""
) -> Iterator[MilterLab]:
    """Run a Postfix with the milter.

    ``main`` are more parameters of main.cf, ``more`` lines of the INI.
    """
    folder = Path(tempfile.mkdtemp(prefix="ml-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        with ExitStack() as stack:
            sinks = [stack.enter_context(DsnSink()) for _ in range(2)]
            made = MilterLab(folder, *sinks, inet=inet, main=main or {}, more=more)
            stack.enter_context(made.daemon)
            stack.enter_context(made.postfix)
            yield made
    finally:
        shutil.rmtree(folder)
