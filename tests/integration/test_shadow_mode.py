"""Shadow mode on a real Postfix: all mail passes as before, and what would have been is counted."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codomain_cli.private_gateway import PrivateGateway
from codomain_cli.sinks import Sinks
from support.postfix import SECONDS, SENDER, STRANGER, UNIX, message
from support.site import Site, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain_cli.sinks import Arrival

INI = """\
[codomain]
mode = {mode}

[policyd]
socketmap_listen =

[domain example.com]
type = shared

[domain corp.local]
type = authoritative
mode = {corp}

[connector unix]
smart_hosts = [127.0.0.1]:{port}
address_spaces = example.com
allow_relay = yes
peers = 192.0.2.10

[directory people]
type = files
path = {people}

[redirect]
allowed_targets = partner.test
"""

PEOPLE = """\
DN,objectClass,mailNickname,proxyAddresses,targetAddress
"cn=ann",user,ann,SMTP:ann@example.com,
"cn=bob",contact,bob,SMTP:bob@example.com,SMTP:bob@partner.test
"cn=eve",contact,eve,SMTP:eve@example.com,SMTP:eve@evil.test
"""


class Lab:
    """A site that routes its mail itself, with codomain beside it in shadow mode."""

    def __init__(self, gateway: PrivateGateway, sinks: Sinks) -> None:
        self.gateway = gateway
        self.sinks = sinks

    def send(self, client: str, *recipients: str) -> tuple[list[str], list[str]]:
        """Send a message; return the replies, and to whom it arrived, sorted."""
        token = uuid.uuid4().hex
        with self.gateway.postfix.connect(client) as session:
            session.docmd("MAIL", f"FROM:<{SENDER}>")
            answers = [session.docmd("RCPT", f"TO:<{to}>") for to in recipients]
            taken = sum(code < 300 for code, _ in answers)
            if taken:
                code, answer = session.data(message(token))
                assert code == 250, answer

        def there(arrivals: list[Arrival]) -> bool:
            return sum(arrival.token == token for arrival in arrivals) >= taken

        assert self.sinks.wait_for(there, SECONDS), self.gateway.postfix.logged()[-4000:]
        arrived = sorted(arrival.recipient for arrival in self.sinks.arrived(token))
        return [f"{code} {answer.decode()}"[:9] for code, answer in answers], arrived

    def report(self, *options: str) -> str:
        """Return what ``codomain shadow report`` prints."""
        done = run("shadow", "report", *options, "--config", self.gateway.ini)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def lab(*, milter: bool, mode: str = "shadow", corp: str = "") -> Iterator[Lab]:
    """Run a gateway."""
    folder = Path(tempfile.mkdtemp(prefix="sh-", dir="/tmp"))
    folder.chmod(0o755)  # smtpd runs as another user
    try:
        with Sinks() as sinks:
            port = sinks.smtp("site")
            people = folder / "people.csv"
            people.write_text(PEOPLE)
            gateway = PrivateGateway(
                folder,
                [INI.format(mode=mode, corp=corp, port=port, people=people)],
                {
                    "mynetworks": "127.0.0.0/8",
                    "myorigin": "corp.local",
                    # What the site does by itself, and goes on doing.
                    "relay_domains": "example.com, corp.local",
                    "relay_recipient_maps": "",
                    "relay_transport": f"smtp:[127.0.0.1]:{port}",
                    "default_transport": f"smtp:[127.0.0.1]:{port}",
                },
                milter=milter,
            )
            with gateway:
                yield Lab(gateway, sinks)
    finally:
        shutil.rmtree(folder)


ALL = (
    "ann@example.com",  # would be delivered
    "bob@example.com",  # would be redirected
    "eve@example.com",  # would be refused: a target that is not allowed
    "nobody@corp.local",  # would be refused: unknown
    "other@example.com",  # would be relayed
)
COUNTS = {
    ("redirect", "example.com", "bob@example.com"): 3,
    ("relaying", "example.com", "eve@example.com"): 3,
    ("unknown", "corp.local", "nobody@corp.local"): 3,
    ("loop", "example.com", "other@example.com"): 1,
}


def counted(report: dict[str, Any]) -> dict[tuple[str, str, str], int]:
    """Return a report's counts by reason, domain and recipient."""
    return {
        (one["reason"], one["domain"], one["recipient"]): one["count"]
        for one in report["recipients"]
    }


@pytest.mark.parametrize("milter", [False, True], ids=["policy", "milter"])
def test_all_mail_passes_and_what_would_have_been_is_counted(*, milter: bool) -> None:
    """Build 4: replies and ways of the site itself; the report, the metrics and the log agree."""
    with lab(milter=milter) as running:
        for client in (STRANGER, STRANGER, UNIX):  # the second time some are in memory
            replies, arrived = running.send(client, *ALL)
            assert (replies, arrived) == (["250 2.1.5"] * 5, sorted(ALL))
        report = json.loads(running.report("--json"))
        assert counted(report) == COUNTS
        assert (report["total"], report["forgotten"]) == (10, 0)
        metrics = running.gateway.page("metrics")
        for domain, reason, count in (
            ("corp.local", "unknown", 3),
            ("example.com", "relaying", 3),
            ("example.com", "redirect", 3),
            ("example.com", "loop", 1),
        ):
            sample = f'codomain_shadow_refusals_total{{domain="{domain}",reason="{reason}"}}'
            assert f"{sample} {count}.0\n" in metrics
        # Across restarts the log says the same.
        log = str(running.gateway.daemon.log)
        read = json.loads(running.report("--json", "--from-log", log))
        assert counted(read) == COUNTS
        rows = list(csv.DictReader(io.StringIO(running.report("--csv"))))
        cells = {
            (row["reason"], row["domain"], row["recipient"]): int(row["count"]) for row in rows
        }
        assert cells == COUNTS
        assert "nobody@corp.local" in running.report()


@pytest.mark.parametrize("milter", [False, True], ids=["policy", "milter"])
def test_one_domain_alone_may_be_in_shadow(*, milter: bool) -> None:
    """``mode = shadow`` of a domain: the others are enforced."""
    with lab(milter=milter, mode="enforce", corp="shadow") as running:
        replies, arrived = running.send(STRANGER, "nobody@corp.local", "eve@example.com")
        assert replies == ["250 2.1.5", "554 5.7.1"]
        assert arrived == ["nobody@corp.local"]
        report = json.loads(running.report("--json"))
        assert counted(report) == {("unknown", "corp.local", "nobody@corp.local"): 1}


def test_a_main_cf_that_asks_our_maps_is_refused(tmp_path: Path) -> None:
    """78 and one line: closed maps would make all mail wait."""
    folder = tmp_path / "postfix"
    folder.mkdir()
    (folder / "main.cf").write_text(
        "compatibility_level = 3.6\ntransport_maps = socketmap:unix:codomain/map:transport\n"
    )
    (folder / "master.cf").write_text("smtp inet n - y - - smtpd\n")
    people = tmp_path / "people.csv"
    people.write_text(PEOPLE)
    site = Site(tmp_path / "site")
    site.write(f"type = files\npath = {people}", codomain="mode = shadow")
    text = site.ini.read_text().replace("postfix = off", f"postfix = {folder}")
    site.ini.write_text(text)
    done = run("serve", "--config", site.ini)
    assert done.returncode == 78
    assert done.stderr == (
        "main.cf: transport_maps: asks our maps, which are closed in shadow mode, and all mail "
        "would wait; remove them from there, or write mode = enforce\n"
    )
    site.ini.write_text(text.replace("mode = shadow", "mode = enforce"))
    assert run("explain", "ann@example.com", "--config", site.ini).returncode == 0


def test_nothing_in_shadow_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    """1: nothing would have been refused; 75 where no daemon is."""
    site = Site(tmp_path_factory.mktemp("s"))
    people = site.folder / "people.csv"
    people.write_text(PEOPLE)
    site.write(f"type = files\npath = {people}", codomain="mode = shadow")
    with site.serve():
        assert site.ask("ann@example.com") == "action=DUNNO"
        done = site.run("shadow", "report", "--json")
        assert (done.returncode, json.loads(done.stdout)["total"]) == (1, 0)
    assert site.run("shadow", "report").returncode == 75
