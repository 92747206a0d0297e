"""Writes contrib/grafana/codomain.json, or tells that it has drifted (status 1)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codomain_cli.dashboard.grafana import text

PROJECT = Path(__file__).resolve().parents[3]
FILE = Path("contrib/grafana/codomain.json")


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or compare it; return the exit status."""
    parser = argparse.ArgumentParser(prog="codomain_cli.dashboard", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the file")
    parser.add_argument("--project", type=Path, default=PROJECT, help="the source tree")
    chosen = parser.parse_args(arguments)
    target = chosen.project / FILE
    if target.is_file() and target.read_text(encoding="utf-8") == text():
        return 0
    if not chosen.write:
        sys.stdout.write(f"{FILE}: differs from the code; run with --write\n")
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE}: written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
