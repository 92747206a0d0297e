"""Messages a second through a real Postfix: with codomain's milter, and with one that does nothing.

Both are asked by the same Postfix over unix sockets, in turns: the other milter of each
round stays idle.  The one that does nothing is C (null_milter.c), negotiates the same
callbacks and always continues.  Postfix discards what it takes, so that delivery costs the
same for both.  The delay of DATA is measured over inet sockets, too, where a milter that
does not reply to it makes each message wait for 40 ms.  It needs root, because master(8) does.

Must reach: 0.95 of the C milter with one recipient, 0.90 with ten; DATA within 5 ms of what
it takes with the C milter; 100,000 messages leave resident memory where it was after the
first 1,000, within 5 MB.  Prints PASS or MISS for each, and exits 1 where one is missed.
"""

from __future__ import annotations

import argparse
import shutil
import smtplib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from codomain_cli.background import Background
from codomain_cli.private_postfix import PrivatePostfix, free_ports
from figures import Limits, memory, used
from support.mta import Mta

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
CLIENTS = 4
WARM = 400
"""Messages before the first round: what every gateway has been asked for within a minute."""

DELAY_ROUNDS = 6
DELAY_LIMIT = 5.0
LEAST = {1: 0.95, 10: 0.90}
MEMORY_LIMIT = 5.0
MESSAGE = (
    "Received: from a by b\r\nFrom: a@b.test\r\nSubject: x\r\nMessage-ID: <1@b.test>\r\n\r\nx\r\n"
)

INI = """\
[codomain]
postfix = off
hostname = gateway.test
state_directory = {folder}
control_socket = {folder}/control
[policyd]
listen =
socketmap_listen =
socket_mode = 0666
[http]
listen =
[milter]
listen = {listen}
[domain example.com]
type = authoritative
deliver_to = exchange
[connector exchange]
smart_hosts = [192.0.2.20]
[directory people]
type = files
path = {folder}/people.csv
"""


class Bench:
    """One Postfix with two ports: each with its milter."""

    def __init__(self, folder: Path, *, inet: bool = False) -> None:
        queue = folder / "postfix" / "queue"
        self.other, ours, null = free_ports(3)
        self.milter = queue / "codomain" / "milter"
        listen = f"inet:127.0.0.1:{ours}" if inet else f"unix:{self.milter}"
        self.null = f"inet:{null}@127.0.0.1" if inet else f"unix:{queue}/codomain/null"
        self.postfix = PrivatePostfix(
            folder / "postfix",
            {
                "relay_domains": "example.com",
                "relay_transport": "discard:",
                "smtpd_milters": listen if inet else "unix:codomain/milter",
                "milter_default_action": "tempfail",
                "smtpd_recipient_limit": "2000",
            },
        )
        other = f"inet:127.0.0.1:{null}" if inet else "unix:codomain/null"
        self.postfix.add(
            "", f"127.0.0.1:{self.other} inet n - y - - smtpd\n  -o smtpd_milters={other}\n"
        )
        rows = "".join(f'"cn=u{n}",user,u{n},SMTP:u{n}@example.com\n' for n in range(1000))
        (folder / "people.csv").write_text(f"DN,objectClass,mailNickname,proxyAddresses\n{rows}")
        self.ini = folder / "codomain.ini"
        self.ini.write_text(INI.format(folder=folder, listen=listen))
        self.daemon = Background(self.ini, folder)
        self.pids: dict[int, int] = {}
        """The processes of the milters, by their ports."""
        self.binary = folder / "null"
        subprocess.run(
            ["cc", "-O2", "-o", self.binary, HERE / "null_milter.c", "-lmilter", "-lpthread"],
            check=True,
        )

    def send(self, port: int, count: int, recipients: int) -> None:
        """Send messages in one session."""
        with smtplib.SMTP("127.0.0.1", port, "bench.test") as session:
            session.ehlo()
            for number in range(count):
                session.mail("a@b.test")
                for to in range(recipients):
                    answer = session.rcpt(f"u{(number + to) % 1000}@example.com")
                    assert answer[0] == 250, answer
                code, text = session.data(MESSAGE)
                assert code == 250, text

    def rate(self, port: int, count: int, recipients: int) -> float:
        """Return messages a second of some sessions at once."""
        threads = [
            threading.Thread(target=self.send, args=(port, count // CLIENTS, recipients))
            for _ in range(CLIENTS)
        ]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return count / (time.perf_counter() - begun)

    def data_delays(self, port: int, count: int) -> list[float]:
        """Return the seconds from DATA to 354."""
        took = []
        with smtplib.SMTP("127.0.0.1", port, "bench.test") as session:
            session.ehlo()
            for number in range(count):
                session.mail("a@b.test")
                session.rcpt(f"u{number % 1000}@example.com")
                begun = time.perf_counter()
                assert session.docmd("DATA")[0] == 354
                took.append(time.perf_counter() - begun)
                session.send(f"{MESSAGE}.\r\n")
                assert session.getreply()[0] == 250
        return took

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run both milters, and Postfix."""
        null = subprocess.Popen([self.binary, self.null])
        try:
            with self.daemon, self.postfix:
                self.pids = {self.postfix.port: self.daemon.pid, self.other: null.pid}
                for port in (self.postfix.port, self.other):
                    self.rate(port, WARM, 1)
                yield
        finally:
            null.terminate()
            null.wait()


def growth(bench: Bench, messages: int) -> float:
    """Drive the milter without Postfix; megabytes from the first 1,000 messages to the end."""
    after = 0.0
    for done in range(0, messages, 100):
        with Mta(bench.milter) as mta:
            mta.connect()
            for number in range(100):
                mta.message(f"<u{(done + number) % 1000}@example.com>")
        if done + 100 == 1000:
            after = memory(bench.daemon.pid, "VmRSS")
    return memory(bench.daemon.pid, "VmRSS") - after


def compare(bench: Bench, limits: Limits, rounds: int, count: int) -> None:
    """Measure both in turns, and print the median of the rounds' ratios and each of them.

    The CPU time of the milters' own processes is less of a target than a help: it varies
    less than the rate where the machine has other work.
    """
    for recipients, least in LEAST.items():
        pairs = []
        begun = {port: used(pid) for port, pid in bench.pids.items()}
        for number in range(rounds):
            order = [bench.postfix.port, bench.other][:: 1 if number % 2 else -1]
            rates = {port: bench.rate(port, count, recipients) for port in order}
            pairs.append((rates[bench.postfix.port], rates[bench.other]))
        ratio = statistics.median(ours / null for ours, null in pairs)
        ours, null = (statistics.median(column) for column in zip(*pairs, strict=True))
        spent = [
            (used(bench.pids[port]) - begun[port]) / rounds / count / 1e3
            for port in (bench.postfix.port, bench.other)
        ]
        limits.least(f"messages of {recipients} recipients, of the C milter's", ratio, least)
        print(
            f"      {ours:.1f}/s, the C milter {null:.1f}/s; its process"
            f" {spent[0]:.0f} \u00b5s of CPU a message, the C milter's {spent[1]:.0f}; rounds",
            " ".join(f"{a / b:.2f}" for a, b in pairs),
        )


def delays(bench: Bench, limits: Limits, name: str) -> None:
    """Measure DATA with both in turns, and print how much longer it takes with ours."""
    took: dict[int, list[float]] = {bench.postfix.port: [], bench.other: []}
    for _ in range(DELAY_ROUNDS):
        for port, milliseconds in took.items():
            milliseconds.extend(seconds * 1e3 for seconds in bench.data_delays(port, 50))
    ours, null = (sorted(took[port]) for port in (bench.postfix.port, bench.other))
    for label, at in (("median", len(ours) // 2), ("p99", len(ours) * 99 // 100), ("max", -1)):
        more = ours[at] - null[at]
        limits.most(f"DATA over {name}, {label}, beyond the C milter", more, DELAY_LIMIT, "ms")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--messages", type=int, default=1000, help="in each round")
    parser.add_argument("--memory", type=int, default=100_000, help="messages; 0: leave it out")
    arguments = parser.parse_args()
    limits = Limits()
    folder = Path(tempfile.mkdtemp(prefix="mb-"))
    folder.chmod(0o755)
    try:
        for name in ("unix", "inet"):
            (folder / name).mkdir(mode=0o755)
            bench = Bench(folder / name, inet=name == "inet")
            with bench.running():
                if name == "unix":
                    compare(bench, limits, arguments.rounds, arguments.messages)
                delays(bench, limits, name)
                if arguments.memory and name == "unix":
                    more = growth(bench, arguments.memory)
                    limits.most("resident memory since 1,000 messages", more, MEMORY_LIMIT, "MB")
    finally:
        shutil.rmtree(folder)
    sys.exit(0 if limits.kept else 1)


if __name__ == "__main__":
    main()
