"""Traffic under faults chosen at random, from a seed, and a model that judges every answer.

The model knows three kinds of addresses: u… are always there, x… never are, and c… come and
go.  Whatever happens to the servers, the daemon and its cache, an answer must be the right
one or temporary; what "right" is for those who come and go, follows from the lifetimes: who
is refused as unknown must have been away at some moment within ``not_found_ttl``.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.faults import CANARY, KNOWN, Servers
from support.faultsite import PAUSE, SECONDS, Asker, FaultSite, directory_keys
from support.proxy import Door, Fault, Proxy
from support.redis import RedisServer
from support.slapd import BASE
from support.tamper import end_searches_with, garble_searches, halve_searches, swallow_searches

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.faultsite import Said
    from support.slapd import Slapd

COMING = 12
ASKERS = 4
FOUND_TTL = 2.0
NOT_FOUND_TTL = 1.0
TIMEOUT = 1.0

SLACK = 1.0
"""Seconds by which an answer may be older than its lifetime: the time it was under way."""

CALM_SECONDS = 8.0
"""After the last fault everything must be right within this: cool-down, failed_ttl, slack."""

CACHE = (
    "shared = unix://{redis}\n"
    f"found_ttl = {FOUND_TTL:.0f}s\nnot_found_ttl = {NOT_FOUND_TTL:.0f}s\nfailed_ttl = 300ms\n"
    "size = {size}\n"
)

FAULTS = {
    "refused": Fault(door=Door.REFUSED),
    "unreachable": Fault(door=Door.DROPPED),
    "silent": Fault(silent=True),
    "silent after bind": Fault(tamper=swallow_searches),
    "cut": Fault(tamper=halve_searches, cut=True),
    "garbage": Fault(tamper=garble_searches),
    "operations error": Fault(tamper=end_searches_with(1)),
    "size limit": Fault(tamper=end_searches_with(4, entries=True)),
    "referral": Fault(tamper=end_searches_with(10, "ldap://192.0.2.1/")),
    "no such object": Fault(tamper=end_searches_with(32)),
    "insufficient rights": Fault(tamper=end_searches_with(50)),
    "busy": Fault(tamper=end_searches_with(51)),
    "unavailable": Fault(tamper=end_searches_with(52)),
    "slow": Fault(pause=0.3),
    "one octet at a time": Fault(trickle=0.05),
    "empty replica": Fault(),
}


@dataclass
class Report:
    """What came of it."""

    seed: int
    """By which it can be played again."""

    done: Counter[str] = field(default_factory=Counter)
    """How often each fault, reload, purge and kill took place."""

    answers: Counter[str] = field(default_factory=Counter)
    """How many answers were right, and how many temporary."""

    wrong: list[str] = field(default_factory=list)
    """The answers that were neither."""

    after: Counter[str] = field(default_factory=Counter)
    """The same when all was well again."""

    slowest: float = 0.0
    """The seconds that the slowest answer took."""

    threads: tuple[int, int] = (0, 0)
    """The daemon's threads, before and after."""

    descriptors: tuple[int, int] = (0, 0)
    """The daemon's open files, before and after."""

    memory: tuple[int, int] = (0, 0)
    """The daemon's resident memory in kB, before and after."""


class Coming:
    """Addresses that come and go, and when each was away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away: dict[str, list[tuple[float, float]]] = {}
        self._ever: set[str] = set()
        self.there: set[str] = set()

    def leaving(self, name: str) -> None:
        """Note that an address is about to be deleted: from now on it may be unknown."""
        with self._lock:
            self.there.discard(name)
            self._away.setdefault(name, [(0.0, time.monotonic())]).append(
                (time.monotonic(), float("inf"))
            )

    def arriving(self, name: str) -> None:
        """Note that it is about to be added: from now on it may be known."""
        with self._lock:
            self._ever.add(name)

    def arrived(self, name: str) -> None:
        """Note that every server has it: from now on it is unknown to nobody."""
        with self._lock:
            self.there.add(name)
            spans = self._away.setdefault(name, [(0.0, float("inf"))])
            spans[-1] = (spans[-1][0], time.monotonic())

    def may_be_unknown(self, name: str, since: float, until: float) -> bool:
        """Tell whether it was away at any moment of that time."""
        with self._lock:
            spans = self._away.get(name, [(0.0, float("inf"))])
            return any(begin <= until and end >= since for begin, end in spans)

    def may_be_known(self, name: str) -> bool:
        """Tell whether it was ever there: an outage serves what it knows for a day."""
        with self._lock:
            return name in self._ever


class Storm:
    """One run."""

    def __init__(self, folder: Path, servers: Servers, second: Slapd, seed: int) -> None:
        """Take the servers: ``good`` and ``second`` have the same people."""
        self.report = Report(seed)
        self._rng = random.Random(seed)
        self._folder = folder
        self._servers = servers
        self._slapds = (servers.good, second)
        self._proxies: list[Proxy] = []
        self._coming = Coming()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._counts = self.report.answers
        self._site: FaultSite
        self._redis: RedisServer

    def run(self, seconds: float) -> Report:
        """Blow for so long, then wait for calm, and return what came of it."""
        with ExitStack() as stack:
            self._proxies = [stack.enter_context(Proxy(server.ldap)) for server in self._slapds]
            self._redis = stack.enter_context(RedisServer(self._folder / "redis"))
            cache = CACHE.format(size=1000, redis=self._redis.path)
            self._site = FaultSite(self._folder, self._directory(), cache=cache, timeout=TIMEOUT)
            self._good = self._site.ini.read_text()
            stack.enter_context(self._site)
            self._warm()
            before = self._size()
            askers = [threading.Thread(target=self._ask, args=(n,)) for n in range(ASKERS)]
            for asker in askers:
                asker.start()
            try:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    self._trouble()
                self._calm()
            finally:
                self._over.set()
                for asker in askers:
                    asker.join()
            after = self._size()
        report = self.report
        report.threads, report.descriptors, report.memory = zip(before, after, strict=True)
        return report

    def _directory(self) -> str:
        servers = ", ".join(proxy.uri() for proxy in self._proxies)
        return directory_keys({"servers": servers, "canary": CANARY})

    def _size(self) -> tuple[int, int, int]:
        connections = sum(proxy.open() for proxy in self._proxies)
        site = self._site
        return site.threads(), site.descriptors() - connections, site.memory()

    def _warm(self) -> None:
        said = self._site.ask_all(f"{kind}{n}@example.com" for kind in "ux" for n in range(20))
        wrong = [one for one in said if not one.right]
        if wrong:
            raise RuntimeError(f"before the storm: {wrong}")

    # --- traffic

    def _ask(self, number: int) -> None:
        rng = random.Random(self.report.seed * 1000 + number)
        with Asker(self._site.policy) as asker:
            while not self._over.wait(rng.random() * PAUSE):
                kind = rng.choices("uxc", (6, 2, 2))[0]
                most = {"u": KNOWN, "x": 10_000, "c": COMING}[kind]
                name = f"{kind}{int(most * rng.random() ** 2)}@example.com"
                began = time.monotonic()
                self._judge(asker.ask(name), began)

    def _judge(self, said: Said, began: float) -> None:
        verdict = "temporary" if said.down else "right" if self._right(said, began) else "wrong"
        with self._lock:
            self._counts[verdict] += 1
            self.report.slowest = max(self.report.slowest, said.seconds)
            if verdict == "wrong":
                self.report.wrong.append(f"{said.recipient}: {said.reply}")

    def _right(self, said: Said, began: float) -> bool:
        if said.recipient[0] != "c":
            return said.right
        name = said.recipient
        if said.reply == "DUNNO":
            return self._coming.may_be_known(name)
        since = began - NOT_FOUND_TTL - SLACK
        unknown = self._coming.may_be_unknown(name, since, began + said.seconds)
        return said.reply == "550 5.1.1" and unknown

    # --- trouble

    def _trouble(self) -> None:
        """Do one thing, of those that happen to servers and gateways."""
        deeds: dict[Callable[[], str], int] = {
            self._fault: 10,
            self._kill: 2,
            self._kill_redis: 1,
            self._reload: 2,
            self._purge: 3,
            self._come_or_go: 6,
        }
        deed = self._rng.choices(list(deeds), list(deeds.values()))[0]
        self.report.done[deed()] += 1
        self._over.wait(self._rng.random() * 0.5)

    def _fault(self) -> str:
        name = self._rng.choice(sorted(FAULTS))
        which = self._rng.choice(((0,), (1,), (0, 1)))
        for number in which:
            if name == "empty replica":
                self._proxies[number].lead_to(self._servers.empty.ldap)
            else:
                self._proxies[number].fail(FAULTS[name])
        self._over.wait(self._rng.uniform(0.2, 2.5))
        for number in which:
            if name == "empty replica":
                self._proxies[number].lead_to(self._slapds[number].ldap)
            else:
                self._proxies[number].heal()
        return name

    def _kill(self) -> str:
        server = self._rng.choice(self._slapds)
        server.kill()
        self._over.wait(self._rng.uniform(0.2, 1.5))
        server.start()
        return "kill -9 of slapd"

    def _kill_redis(self) -> str:
        self._redis.kill()
        self._over.wait(self._rng.uniform(0.2, 1.0))
        self._redis.start()
        return "kill -9 of redis"

    def _reload(self) -> str:
        kind = self._rng.choice(("reload", "reload with a new cache", "reload of a bad INI"))
        text = self._good
        if kind == "reload with a new cache":
            text = text.replace("size = 1000", f"size = {self._rng.randint(500, 2000)}")
        elif kind == "reload of a bad INI":
            text += "[nonsense]\n"
        self._site.ini.write_text(text)
        self._site.daemon.reload()
        self._over.wait(0.3)
        return kind

    def _purge(self) -> str:
        """Purge an address, or everything, by the administrator's command."""
        address = f"u{self._rng.randrange(KNOWN)}@example.com"
        what = self._rng.choice((["purge", address], ["flush"]))
        return f"cache {what[0]}" if self._command("cache", *what) else "cache command failed"

    def _command(self, *arguments: str) -> bool:
        code = "from codomain_cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, "--config", str(self._site.ini)],
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        # 1: nobody knew the address; 75: the second level is down, and hears of it later.
        return done.returncode in {0, 1, 75}

    def _come_or_go(self) -> str:
        """Add or delete somebody on both servers, which both run now."""
        number = self._rng.randrange(COMING)
        name, dn = f"c{number}@example.com", f"cn=C{number},ou=people,{BASE}"
        if name in self._coming.there:
            self._coming.leaving(name)
            for server in self._slapds:
                server.delete(dn)
            return "somebody went"
        self._coming.arriving(name)
        attributes = {"objectClass": ["user"], "sn": ["C"], "proxyAddresses": [f"SMTP:{name}"]}
        for server in self._slapds:
            server.add(dn, attributes)
        self._coming.arrived(name)
        return "somebody came"

    def _calm(self) -> None:
        """Wait until what the storm left has passed, and judge what is said then."""
        self._site.ini.write_text(self._good)
        time.sleep(CALM_SECONDS)
        with self._lock:
            self._counts = self.report.after
        time.sleep(3.0)
        for name in sorted(self._coming.there):
            self._slapds[0].delete(f"cn=C{name[1:].partition('@')[0]},ou=people,{BASE}")
