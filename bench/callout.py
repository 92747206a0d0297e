"""Measures how many recipients a second a call-out asks of one next system.

A server in a process of its own answers RCPT after 50 ms, knows every other recipient, and
counts its connections.  The resolver is asked for recipients that nobody has asked for, at
a steady rate; then as fast as it answers; then for the same ones again, from memory.  The
goal is 200 recipients a second with at most 20 connections.

    bench/callout.py [--rate 200] [--seconds 10] [--wait 0.05]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import statistics
import sys
import time
from typing import TYPE_CHECKING

from codomain.address import parse_recipient
from codomain.config import parse
from codomain.metrics import Metrics
from codomain.question import Question
from codomain.runtime import Runtime

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

GOAL = 200
"""Recipients a second."""

CONNECTIONS = 20
"""The most connections."""

INI = """
[codomain]
postfix = off
hostname = gateway.example.com

[domain example.com]
type = shared

[connector unix]
smart_hosts = [127.0.0.1]:{port}
address_spaces = example.com
allow_relay = yes
verify = callout
verify_control = known@example.com
tls = none
"""


class Server:
    """The next system."""

    def __init__(self, wait: float) -> None:
        self.wait = wait
        self.open = 0
        self.most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.open += 1
        self.most = max(self.most, self.open)
        writer.write(b"220 mx\r\n")
        try:
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"QUIT":
                    break
                if verb == b"RCPT":
                    await asyncio.sleep(self.wait)
                    known = b"<known" in line or b"<y" in line
                    writer.write(b"250 2.1.5 Ok\r\n" if known else b"550 5.1.1 Unknown\r\n")
                else:
                    writer.write(b"250-mx\r\n250 SIZE\r\n" if verb == b"EHLO" else b"250 Ok\r\n")
        finally:
            self.open -= 1
            writer.close()


def run_server(pipe: Connection, wait: float) -> None:
    """Serve until the pipe is closed; say the port, and then the most connections on demand."""

    async def main() -> None:
        server = Server(wait)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        pipe.send(listening.sockets[0].getsockname()[1])
        while (await asyncio.to_thread(pipe.recv)) == "most":
            pipe.send(server.most)

    with contextlib.suppress(EOFError):
        asyncio.run(main())


def question(number: int) -> Question:
    """Make a question of that number; every other recipient is known."""
    name = f"{'y' if number % 2 else 'n'}{number}"
    return Question(parse_recipient(f"{name}@example.com".encode()))


async def steady(runtime: Runtime, rate: float, count: int) -> list[float]:
    """Ask at a steady rate; return the seconds that each took."""

    async def one(number: int) -> float:
        began = time.monotonic()
        await runtime.resolver.resolve(question(number), began + 4)
        return time.monotonic() - began

    start = time.monotonic()
    tasks = []
    for number in range(count):
        await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(one(number)))
    return await asyncio.gather(*tasks)


async def measure(port: int, rate: float, seconds: float) -> float:
    """Measure, print, and return the most recipients a second."""
    runtime = Runtime(parse(INI.format(port=port)), Metrics("bench"))
    count = int(rate * seconds)
    cpu = time.process_time()
    took = sorted(await steady(runtime, rate, count))
    cpu = time.process_time() - cpu
    print(
        f"at {rate:.0f}/s: median {statistics.median(took) * 1e3:.0f} ms, "
        f"p99 {took[len(took) * 99 // 100] * 1e3:.0f} ms, "
        f"{cpu / count * 1e6:.0f} us of CPU for each"
    )
    began = time.monotonic()
    fresh = range(count, 2 * count)
    answers = await asyncio.gather(
        *(runtime.resolver.resolve(question(n), began + 600) for n in fresh)
    )
    most = count / (time.monotonic() - began)
    names = [type(answer.verdict).__name__ for answer in answers]
    relayed, refused = names.count("Relay"), names.count("Refuse")
    print(f"at most: {most:.0f}/s ({relayed} relayed, {refused} refused)")
    began = time.monotonic()
    for number in range(count):
        answer = runtime.resolver.peek(question(number))
        assert answer is not None
    print(f"from memory: {(time.monotonic() - began) / count * 1e6:.0f} us for each")
    runtime.close()
    return most


def main() -> None:
    """Run it, and end with 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=GOAL)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--wait", type=float, default=0.05)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=run_server, args=(theirs, options.wait))
    server.start()
    theirs.close()
    try:
        most = asyncio.run(measure(ours.recv(), options.rate, options.seconds))
        ours.send("most")
        connections = ours.recv()
    finally:
        server.terminate()
        server.join()
    print(f"connections: {connections}")
    sys.exit(0 if most >= options.rate and connections <= CONNECTIONS else 1)


if __name__ == "__main__":
    main()
