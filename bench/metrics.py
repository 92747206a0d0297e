"""Measure what the metrics cost: their share of a cached answer's CPU, and a scrape of them.

``count``: two servers of bench/serve.py on the same core, one as it is, one whose doors have
the lines that count taken out of their source.  Rounds of the same load go to one and then
to the other, and the median of the ratios between neighbours is what counts.  ``scrape``: a
real daemon with a hundred domains, each of which has had every verdict that it can have at
both doors, and the time of GET /metrics over a kept connection, as Prometheus asks.

Prints PASS or MISS for each target, and exits 1 where one is missed.

    bench/metrics.py [count|scrape] [--rounds 40] [--requests 20000] [--scrapes 60]
"""

from __future__ import annotations

import argparse
import http.client
import inspect
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
ROOTS = [str(HERE.parent / part) for part in ("resolver", "policyd", "milter", "cli")]
sys.path[:0] = [str(HERE), *ROOTS]

from codomain_policyd import map_door, policy_door  # noqa: E402 - found by the line above
from run import Bench, Load, Server  # noqa: E402 - likewise

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE = 0.10
"""The most of a cached answer's CPU that counting it may take."""

SCRAPE_SECONDS = 0.010
"""The most that a scrape with a hundred domains may take, from request to last octet."""

COUNTING = ("tally.count += 1", "self._hits.count += 1")
"""The lines of the hot path that count."""

WARM_SECONDS = 20.0
"""After so long the answers are made anew, which live for a minute."""

DOMAINS = 100

COMMAND = "from codomain_cli.main import main; main()"

INI = """\
[codomain]
postfix = off
hostname = gateway.example.com
log_level = error
control_socket =
state_directory = {folder}
[policyd]
listen = unix:{folder}/policy
socketmap_listen = unix:{folder}/map
socket_group =
[http]
listen = inet:127.0.0.1:{port}
[connector exchange]
smart_hosts = [192.0.2.20]
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = {spaces}
allow_relay = yes
peers = 192.0.2.10
[directory people]
type = files
path = {folder}/people.ldif
"""

REQUEST = """\
request=smtpd_access_policy
protocol_state=RCPT
protocol_name=ESMTP
client_address={client}
sender=a@elsewhere.test
recipient={recipient}
instance={instance}

"""


def uncount() -> None:
    """Take the counting out of the hot path of both doors."""
    for module, name in ((policy_door, "PolicyConnection"), (map_door, "MapConnection")):
        kind = getattr(module, name)
        source = textwrap.dedent(inspect.getsource(kind.data_received))
        kept = [line for line in source.split("\n") if line.strip() not in COUNTING]
        if len(kept) != source.count("\n") + 1 - len(COUNTING):
            sys.exit(f"{name} does not count as COUNTING says")
        made: dict[str, object] = {}
        exec("\n".join(kept), vars(module), made)  # noqa: S102 - the module's own source
        kind.data_received = made["data_received"]


class Counted(Bench):
    """Two servers of ours, side by side."""

    @contextmanager
    def side(self, words: list[str]) -> Iterator[tuple[Server, Path]]:
        """Run a server in a folder of its own."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        arguments = [str(folder), str(self.options.keys), "--loop", self.options.loop]
        server = Server([sys.executable, *words, *arguments], self.server_core)
        try:
            yield server, folder
        finally:
            server.close()

    def run(self) -> bool:
        """Measure both doors; say whether the target is reached."""
        without = [str(Path(__file__).resolve()), "--uncounted"]
        with self.side([str(HERE / "serve.py")]) as ours, self.side(without) as bare:
            return min([self.share(door, ours, bare) for door in ("policy", "map")])

    def share(self, door: str, ours: tuple[Server, Path], bare: tuple[Server, Path]) -> bool:
        """Measure one door."""
        pairs: list[tuple[float, float]] = []
        began, warmed = time.monotonic(), 0.0
        for turn in range(self.options.rounds):
            if time.monotonic() - began > self.options.seconds:
                break
            if not warmed or time.monotonic() - warmed > WARM_SECONDS:
                warmed = time.monotonic()
                for side in (ours, bare):
                    self.warm(door, *side)
            order = (ours, bare) if turn % 2 else (bare, ours)
            spent = {folder: self.hits(door, server, folder) for server, folder in order}
            both = spent[ours[1]], spent[bare[1]]
            if both[0] is not None and both[1] is not None:
                pairs.append((both[0], both[1]))
        if not pairs:
            return verdict(False, f"{door}: no round was answered from memory alone")  # noqa: FBT003
        shares = [1 - least / counted for counted, least in pairs]
        share = statistics.median(shares)
        counted, least = (statistics.median(column) for column in zip(*pairs, strict=True))
        said = f"{counted:.2f} us an answer, {least:.2f} without counting: {share:.1%} of the CPU"
        spread = f"{len(pairs)} rounds, {min(shares):.1%} to {max(shares):.1%}"
        return verdict(share <= SHARE, f"{door}: {said} ({spread}; at most {SHARE:.0%})")

    def warm(self, door: str, server: Server, folder: Path) -> None:
        """Have every answer kept anew."""
        server.process.send_signal(signal.SIGHUP)
        each = Load(door, "unix", "each")
        self.drive(server, each, str(folder / door), self.options.keys)

    def hits(self, door: str, server: Server, folder: Path) -> float | None:
        """Return the microseconds of CPU of a kept answer; None: not all of them were kept."""
        load, requests = Load(door, "unix", "uniform"), self.options.requests
        decided = self.decided(server)
        spent = self.drive(server, load, str(folder / door), requests)["cpu"]
        return spent if self.decided(server) - decided <= requests / 1000 else None

    def decided(self, server: Server) -> int:
        """Return how many answers did not come from memory; both sides count those."""
        requests, hits = self.tell(server)
        return requests - hits


def verdict(reached: object, text: str) -> bool:
    """Print one line."""
    print(f"{'PASS' if reached else 'MISS'}  {text}", flush=True)
    return bool(reached)


def scrape(options: argparse.Namespace) -> bool:
    """Measure a scrape of a real daemon."""
    with tempfile.TemporaryDirectory(prefix="codomain-bench-") as name:
        folder, port = Path(name), _free_port()
        ini = _site(folder, port)
        server = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", "--config", str(ini)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)},
        )
        try:
            _await(port)
            _ask_all(folder)
            _go_before(server.pid)
            before = _cpu(server.pid)
            seconds, page = _scraped(port, options.scrapes)
            spent = (_cpu(server.pid) - before) / len(seconds)
        finally:
            server.terminate()
            server.wait()
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    named = {line.split('domain="')[1].split('"')[0] for line in lines if 'domain="' in line}
    if len(named) <= DOMAINS:
        sys.exit(f"{len(named)} domains on the page, and not {DOMAINS} and other")
    median, slow = statistics.median(seconds), sorted(seconds)[int(len(seconds) * 0.95)]
    said = f"{len(named)} domains, {len(lines)} lines, {len(page)} octets"
    times = f"median {median * 1000:.1f} ms, 95 of 100 within {slow * 1000:.1f} ms"
    times += f", {spent * 1000:.1f} ms of the daemon's CPU"
    return verdict(
        median <= SCRAPE_SECONDS, f"scrape: {said}: {times} (at most {SCRAPE_SECONDS * 1000:g} ms)"
    )


def _site(folder: Path, port: int) -> Path:
    names = [f"d{number:02}.example.com" for number in range(DOMAINS)]
    shared = names[::2]
    text = INI.format(folder=folder, port=port, spaces=", ".join([*shared, "unix.example.net"]))
    for name in names:
        kind = "shared" if name in shared else "authoritative"
        text += f"[domain {name}]\ntype = {kind}\ndeliver_to = exchange\n"
    people = "".join(
        f"dn: cn={local}{n},dc=example,dc=com\nobjectClass: {kind}\nmailNickname: {local}{n}\n"
        f"proxyAddresses: SMTP:{local}@{name}\n{more}\n"
        for n, name in enumerate(names)
        for local, kind, more in (
            ("ann", "user", ""),
            ("bob", "contact", "targetAddress: SMTP:bob@unix.example.net\n"),
            ("eve", "contact", "targetAddress: SMTP:eve@evil.test\n"),
            ("may", "user", "msExchRequireAuthToSendTo: TRUE\n"),
        )
    )
    (folder / "people.ldif").write_text(people)
    ini = folder / "codomain.ini"
    ini.write_text(text)
    return ini


def _ask_all(folder: Path) -> None:
    """Have every kind of answer given for every domain."""
    with socket.socket(socket.AF_UNIX) as policy, socket.socket(socket.AF_UNIX) as tables:
        for sock, door in ((policy, "policy"), (tables, "map")):
            sock.settimeout(10)
            sock.connect(str(folder / door))
        for number in range(DOMAINS):
            for local in ("ann", "bob", "eve", "may", "nobody", "x%y.test"):
                recipient = f"{local}@d{number:02}.example.com"
                for client in ("198.51.100.7", "127.0.0.1", "192.0.2.10"):
                    instance = f"{number}.{local}.{client}"
                    asked = REQUEST.format(client=client, recipient=recipient, instance=instance)
                    _exchange(policy, asked, b"\n\n")
                for table in ("recipient", "transport", "alias", "access"):
                    key = f"{table} {recipient}"
                    _exchange(tables, f"{len(key)}:{key},", b",")
        _exchange(policy, REQUEST.format(client="198.51.100.7", recipient="a@b.test", instance="o"))


def _exchange(sock: socket.socket, text: str, end: bytes = b"\n\n") -> None:
    sock.sendall(text.encode())
    got = b""
    while not got.endswith(end):
        more = sock.recv(4096)
        if not more:
            sys.exit(f"no answer to {text!r}")
        got += more


def _scraped(port: int, count: int) -> tuple[list[float], str]:
    """Return the seconds of each scrape, and the page."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    seconds, page = [], ""
    for turn in range(count + 1):
        began = time.perf_counter()
        client.request("GET", "/metrics", headers=headers)
        page = client.getresponse().read().decode()
        if turn:  # the first one opens the connection
            seconds.append(time.perf_counter() - began)
        time.sleep(0.02)  # Prometheus does not ask without a pause either
    client.close()
    return seconds, page


def _go_before(process: int) -> None:
    """Let the daemon and us go before what else the machine does, where we may."""
    with suppress(PermissionError):
        for one in (process, os.getpid()):
            os.setpriority(os.PRIO_PROCESS, one, -15)


def _cpu(process: int) -> float:
    """Return the seconds of CPU that a process has used so far."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _await(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("the daemon does not start")


def main() -> None:
    """Parse the options and run."""
    if sys.argv[1:2] == ["--uncounted"]:
        import serve  # noqa: PLC0415 - the server's own process

        del sys.argv[1]
        uncount()
        serve.main()
        return
    parser = argparse.ArgumentParser(description="Measure what the metrics cost.")
    parser.add_argument("part", nargs="?", choices=("count", "scrape"))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=40.0, help="after so long no new round")
    parser.add_argument("--requests", type=int, default=20_000, help="of one round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--keys", type=int, default=5_000, help="recipients")
    parser.add_argument("--recipients", type=int, default=2, help="of one message")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--scrapes", type=int, default=60)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    reached = True
    if options.part != "scrape":
        with tempfile.TemporaryDirectory(prefix="codomain-bench-") as folder:
            reached = Counted(options, Path(folder)).run()
    if options.part != "count":
        reached = scrape(options) and reached
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
