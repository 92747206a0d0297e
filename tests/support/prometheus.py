"""A Prometheus of our own, in a folder of the test, that scrapes one gateway each second."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 30.0
"""The bound of every wait; Prometheus is ready within a second on an idle machine."""


def free_port() -> int:
    """Return a loopback port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


class Prometheus:
    """One server: configured when it is made, running inside its ``with``."""

    def __init__(self, folder: Path, target: int, rules: tuple[Path, ...] = ()) -> None:
        """Scrape 127.0.0.1 at the port ``target``, as job ``codomain``."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [
                {
                    "job_name": "codomain",
                    "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                }
            ],
        }
        # YAML is a superset of JSON.
        (folder / "prometheus.yml").write_text(json.dumps(config))

    def __enter__(self) -> Self:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stderr=log,
                stdout=log,
            )
        end = time.monotonic() + SECONDS
        while not self._is_ready():
            assert time.monotonic() < end, (self._folder / "log").read_text()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(SECONDS)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/-/ready", timeout=SECONDS
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def api(self, path: str, **parameters: str | float) -> Any:  # noqa: ANN401  # as the API has it
        """Ask the HTTP API, and return its data; an error of it fails the test."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        assert said["status"] == "success", said
        return said["data"]

    def query(self, promql: str, at: float | None = None) -> list[Any]:
        """Return the series of an instant query."""
        found: list[Any] = self.api("query", query=promql, **({} if at is None else {"time": at}))[
            "result"
        ]
        return found

    def query_range(self, promql: str, start: float, end: float, step: float) -> list[Any]:
        """Return the series of a query over a time, Unix seconds."""
        found: list[Any] = self.api("query_range", query=promql, start=start, end=end, step=step)[
            "result"
        ]
        return found

    def names(self) -> set[str]:
        """Return the name of every series that was scraped, or is declared and has none yet."""
        declared = set(self.api("metadata"))
        return set(self.api("label/__name__/values")) | {f"{name}_total" for name in declared}
