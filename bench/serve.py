"""The daemon under the bench: the real doors, resolver and directory, without the admin door.

It is configured by an INI that it writes itself: one domain, one connector, and a files
directory of as many mailboxes as the load asks for.  On SIGUSR1 it prints one line of JSON:
how many requests were answered, and how many of them from the verdict cache.  On SIGHUP it
drops what it has kept, as after a reload.  With ``--server`` it asks that LDAP server, which
is filled by others, and on SIGHUP it forgets the answers too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from codomain import config
from codomain.metrics import Metrics
from codomain.runtime import InForce, Runtime
from codomain_policyd.server import Doors

INI = """
[codomain]
hostname = gateway.example.com
postfix = off
postmaster = user00000@example.com
[policyd]
listen = {policy}
socketmap_listen = {map}
socket_group =
[domain example.com]
type = authoritative
deliver_to = exchange
[connector exchange]
smart_hosts = [192.0.2.20]
address_spaces = exchange.example.com
[domain exchange.example.com]
type = relay
[directory people]
"""

FILES = "type = files\npath = {path}\n"
LIVE = "type = ldap\nservers = {server}\nbase = dc=example,dc=com\nschema = {schema}\n"


def write_people(path: Path, count: int) -> None:
    """Write an LDIF of so many mailboxes, as the load generator names them."""
    with path.open("w", encoding="ascii") as file:
        for number in range(count):
            file.write(
                f"dn: cn=user{number:05},ou=people,dc=example,dc=com\nobjectClass: user\n"
                f"cn: user{number:05}\nsn: user\nmail: user{number:05}@example.com\n"
                f"proxyAddresses: SMTP:user{number:05}@example.com\n\n"
            )


async def serve(folder: Path, people: str) -> None:
    """Serve both doors over both transports until SIGTERM; say the inet ports when ready."""
    text = INI.format(
        policy=f"unix:{folder}/policy, inet:127.0.0.1:0",
        map=f"unix:{folder}/map, inet:127.0.0.1:0",
    )
    metrics = Metrics("bench")
    in_force = InForce(Runtime(config.parse(text + people), metrics))
    doors = Doors(in_force)
    await doors.open()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def tell() -> None:
        requests = sum(tally.count for tally in list(metrics._requests.values()))
        hits = sum(durations.hits.count for durations in metrics._durations.values())
        print(json.dumps({"requests": requests, "hits": hits}), flush=True)

    def forget() -> None:
        if "type = ldap" in people:
            in_force.runtime.flush()
        doors.refresh()

    loop.add_signal_handler(signal.SIGUSR1, tell)
    loop.add_signal_handler(signal.SIGHUP, forget)
    ports = {
        door: next(place[1] for place in places if isinstance(place, tuple))
        for door, places in doors.sockets.items()
    }
    print(json.dumps(ports), flush=True)
    await stop.wait()
    await doors.stop(2)


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("keys", type=int)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), required=True)
    parser.add_argument("--server", help="URI of an LDAP server in place of files")
    parser.add_argument("--schema", default="active-directory")
    options = parser.parse_args()
    file = options.folder / "people.ldif"
    if options.server:
        people = LIVE.format(server=options.server, schema=options.schema)
    else:
        people = FILES.format(path=file)
        if not file.exists():
            write_people(file, options.keys)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    if options.loop == "uvloop":
        import uvloop  # noqa: PLC0415  # the asyncio run works where it is not installed

        uvloop.run(serve(options.folder, people))
    else:
        asyncio.run(serve(options.folder, people))


if __name__ == "__main__":
    main()
