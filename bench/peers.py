"""Measure other servers of the same protocols: CPU of a request, as a multiple of the C server's.

Only the round trip is alike, and each line says what else a server does for it.  All run at
once, rounds of the same load (load.c, keys uniform, unix sockets) go from one to the next,
and the CPU is that of a server with its children.  The peers are installed only when they
are asked for (--install): Python's by pip into an environment of their own, Debian's
unpacked, both in the cache of the user.  One that is not there is left out, and said so.

    bench/peers.py [--install] [--rounds 5] [--requests 5000]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from figures import Family, end_by_term

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "codomain" / "peers"
PYTHON = CACHE / "venv" / "bin" / "python"
UNPACKED = CACHE / "debian"
PYPI = ("policyd-rate-limit", "postfix-mta-sts-resolver")
DEBIAN = ("postgrey", "libnet-server-perl", "libnet-dns-perl", "libio-multiplex-perl")
LINKED = ("libberkeleydb-perl", "libnetaddr-ip-perl")
"""Perl modules in C, which must fit the perl that is here."""

CONNECTIONS = 16
KEYS = 2000
READY_SECONDS = 20.0

RATE_LIMIT = """\
debug: False
user: root
group: root
pidfile: "{folder}/rate.pid"
sqlite_config: {{database: "{folder}/rate.sqlite3"}}
backend: 0
SOCKET: "{socket}"
socket_permission: 0666
limits: [[10, 60]]
limits_by_id: {{}}
sql_limits_by_id: ""
limit_by_sasl: True
limit_by_sender: False
limit_by_ip: False
limited_networks: []
success_action: "dunno"
fail_action: "defer_if_permit"
db_error_action: "dunno"
report: False
delay_to_close: 300
count_mode: 1
"""

MTA_STS = """\
import asyncio, sys, time
from postfix_mta_sts_resolver.base_cache import CacheEntry
from postfix_mta_sts_resolver.internal_cache import InternalLRUCache
from postfix_mta_sts_resolver.responder import STSSocketmapResponder
from postfix_mta_sts_resolver.utils import populate_cfg_defaults
async def main(path, keys):
    loop = asyncio.get_running_loop()
    cache = InternalLRUCache(keys)
    policy = {"max_age": 604800, "mode": "enforce", "mx": ["mail.example.com"]}
    for n in range(keys):
        entry = CacheEntry(time.time(), "1", policy)
        await cache.set("user%05d@example.com" % n, entry)
    config = populate_cfg_defaults({"path": path, "cache_grace": 86400})
    responder = STSSocketmapResponder(config, loop, cache)
    await responder.start()
    await asyncio.Event().wait()
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
"""Its responder, with every answer in its cache: by itself it would ask the DNS for each."""


@dataclass(frozen=True, eq=False)
class Peer:
    """A server."""

    name: str
    door: str
    """``policy`` or ``map``."""

    command: list[str]
    socket: Path
    does: str
    """What it does for a request."""

    share: float = 1.0
    """Of the requests of a round: fewer for the slow, more for the fast."""

    kept: bool = False
    """Whether its answers are kept for so short a time that each round must warm it up."""


def install() -> None:
    """Install the peers into the cache."""
    venv.create(CACHE / "venv", with_pip=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "-q", *PYPI], check=False)
    UNPACKED.mkdir(parents=True, exist_ok=True)
    options = ("-q", "-o", "APT::Sandbox::User=root")
    done = subprocess.run(
        ["apt-get", *options, "download", *DEBIAN, *LINKED], cwd=UNPACKED, check=False
    )
    if not done.returncode:
        for package in UNPACKED.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, UNPACKED], check=True)


def peers(folder: Path) -> list[Peer]:
    """Return the servers that can be measured; say which cannot."""
    every = [
        *(
            Peer(
                f"floor ({door})",
                door,
                [f"{folder}/floor", door, "unix", f"{folder}/floor-{door}"],
                folder / f"floor-{door}",
                "C, always the same answer",
                share=8,
            )
            for door in ("policy", "map")
        ),
        Peer(
            "codomain",
            "policy",
            [sys.executable, f"{HERE}/serve.py", f"{folder}", f"{KEYS}", "--loop", "uvloop"],
            folder / "policy",
            "its whole decision, kept from an earlier request",
            share=8,
            kept=True,
        ),
        Peer("codomain", "map", [], folder / "map", "the same", share=8, kept=True),
    ]
    rate = folder / "rate.yaml"
    rate.write_text(RATE_LIMIT.format(folder=folder, socket=folder / "rate"))
    script = PYTHON.with_name("policyd-rate-limit")
    sts = folder / "sts.py"
    sts.write_text(MTA_STS)
    perl = ["-I", f"{UNPACKED}/usr/share/perl5"]
    for path in (UNPACKED / "usr/lib").glob("*/perl5/*"):
        perl += ["-I", f"{path}"]
    grey = UNPACKED / "usr/sbin/postgrey"
    (folder / "grey").mkdir()
    options = (f"--unix={folder}/postgrey", f"--dbdir={folder}/grey", "--user=root", "--group=root")
    wanted = [
        (
            script,
            Peer(
                "policyd-rate-limit",
                "policy",
                [f"{PYTHON}", f"{script}", "-f", f"{rate}"],
                folder / "rate",
                "Python, poll: no login, so no limit applies, and nothing is looked up",
            ),
        ),
        (
            PYTHON.with_name("mta-sts-daemon"),
            Peer(
                "postfix-mta-sts-resolver",
                "map",
                [f"{PYTHON}", f"{sts}", f"{folder}/sts", f"{KEYS}"],
                folder / "sts",
                "Python, asyncio streams: a policy from its cache, another question than ours",
            ),
        ),
        (
            grey,
            Peer(
                "postgrey",
                "policy",
                ["perl", "-T", *perl, f"{grey}", *options],
                folder / "postgrey",
                "Perl: looks a triplet up in Berkeley DB, and writes it, and a line to the log",
                share=0.4,
            ),
        ),
    ]
    for file, peer in wanted:
        if file.exists():
            every.append(peer)
        else:
            print(f"{peer.name} is left out: not installed (bench/peers.py --install)")
    print("postfwd, iRedAPD and CHAPPS are not compared: rules, SQL or LDAP make their answers")
    return every


def start(peer: Peer, folder: Path) -> subprocess.Popen[bytes] | None:
    """Start a server, and wait until its socket is there."""
    if not peer.command:
        return None
    with (folder / f"{peer.name}.log").open("wb") as log:
        process = subprocess.Popen(peer.command, stdout=log, stderr=log)
    end = time.monotonic() + READY_SECONDS
    while not peer.socket.exists():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            said = (folder / f"{peer.name}.log").read_text()[-500:]
            print(f"{peer.name} does not start: {said}")
            break
        time.sleep(0.05)
    return process


def drive(program: Path, peer: Peer, requests: int, keys: str = "uniform") -> None:
    """Put the load on a server."""
    where = (peer.door, "unix", peer.socket, CONNECTIONS, KEYS, keys, 2, requests)
    subprocess.run([program, *map(str, where)], stdout=subprocess.DEVNULL, check=True)


def answers(folder: Path, peer: Peer) -> bool:
    """Warm a server up; whether it answers every request."""
    try:
        drive(folder / "load", peer, KEYS, "each")
    except subprocess.CalledProcessError:
        said = (folder / f"{peer.name}.log").read_text(errors="replace")
        print(f"{peer.name} is left out: it does not answer\n{said[-1500:]}")
        return False
    return True


def measure(folder: Path, rounds: int, requests: int) -> None:
    """Measure, and print a line for each server."""
    for name in ("floor", "load"):
        subprocess.run(
            ["gcc", "-O2", "-o", folder / name, HERE / f"{name}.c", "-lm"],
            check=True,
        )
    every = peers(folder)
    running: list[subprocess.Popen[bytes]] = []
    owner: dict[Path, Family] = {}
    try:
        for peer in every:
            process = start(peer, folder)
            if process is not None:
                running.append(process)
            if running[-1].poll() is None:
                owner[peer.socket] = Family(running[-1].pid)
        every = [peer for peer in every if peer.socket in owner and answers(folder, peer)]
        spent: dict[Peer, list[float]] = {}
        for _ in range(rounds):
            for peer in every:
                if peer.kept:
                    drive(folder / "load", peer, KEYS, "each")
                family = owner[peer.socket]
                family.begin()
                count = round(requests * peer.share)
                drive(folder / "load", peer, count)
                spent.setdefault(peer, []).append(family.spent() / count / 1000)
    finally:
        for process in running:
            process.terminate()
            process.wait()
    print(f"\n{'':26}{'door':8}{'µs of CPU':>10}{'ratio':>8}  what it does for a request")
    floors = {peer.door: costs for peer, costs in spent.items() if peer.name.startswith("floor")}
    for peer, costs in spent.items():
        ratio = statistics.median(a / b for a, b in zip(costs, floors[peer.door], strict=True))
        middle = statistics.median(costs)
        print(f"{peer.name:26}{peer.door:8}{middle:10.1f}{ratio:8.1f}  {peer.does}")


def main() -> None:
    """Run it."""
    end_by_term()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true", help="install the peers, and end")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=5000, help="of one round")
    options = parser.parse_args()
    if options.install:
        install()
        return
    folder = Path(tempfile.mkdtemp(prefix="eb-"))
    try:
        measure(folder, options.rounds, options.requests)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
