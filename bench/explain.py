"""Measures how long ``codomain explain`` takes from its start to its end, each time anew.

A files directory of RECIPIENTS entries, asked for one of them, for one that is not there, and
for a contact; beside it a Python that does nothing, whose start is part of each.  Exits 1
where the median is above the limit.

    bench/explain.py [--rounds 20] [--recipients 1000] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOTS = [str(HERE.parent / part) for part in ("resolver", "policyd", "milter", "cli")]

LIMIT_SECONDS = 0.3
"""What an administrator does not notice as waiting, start of the interpreter included."""

COMMAND = "from codomain_cli.main import main; main()"

INI = """\
[codomain]
postfix = off
hostname = gateway.example.com
[domain example.com]
type = authoritative
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = unix.example.net
allow_relay = yes
[directory people]
type = files
path = {path}
"""


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--recipients", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        people = Path(folder, "people.ldif")
        people.write_text("".join(map(_entry, range(chosen.recipients))))
        ini = Path(folder, "codomain.ini")
        ini.write_text(INI.format(path=people))
        cases = {
            "python alone": ["-c", "pass"],
            **{
                name: ["-c", COMMAND, "explain", f"{local}@example.com", "--config", str(ini)]
                for name, local in (("found", "u7"), ("contact", "u0"), ("unknown", "nobody"))
            },
        }
        slow = [name for name, words in cases.items() if _measured(name, words, chosen.rounds)]
    return int(bool(slow))


def _entry(number: int) -> str:
    kind = "contact" if number % 10 == 0 else "user"
    target = f"targetAddress: SMTP:u{number}@unix.example.net\n" if kind == "contact" else ""
    return (
        f"dn: cn=u{number},dc=example,dc=com\nobjectClass: {kind}\ncn: u{number}\n"
        f"mailNickname: u{number}\nproxyAddresses: SMTP:u{number}@example.com\n{target}\n"
    )


def _measured(name: str, words: list[str], rounds: int) -> bool:
    """Run a case so often; print its times, and tell whether it is too slow."""
    # As installed: what was compiled once is kept.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, *words],
            stdout=subprocess.DEVNULL,
            env=environment,
            check=False,
        )
        seconds.append(time.perf_counter() - began)
    del seconds[0]  # the first one may have to compile
    median = statistics.median(seconds)
    print(f"{name:<14} median {median * 1000:6.0f} ms   slowest {max(seconds) * 1000:6.0f} ms")
    return median > LIMIT_SECONDS


if __name__ == "__main__":
    sys.exit(main())
