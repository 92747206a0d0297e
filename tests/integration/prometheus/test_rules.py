"""Prometheus' own tool judges the rules, the alerts and what the daemon says of itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

from prometheus_client import generate_latest

from codomain.metrics import Metrics

RULES = Path(__file__).resolve().parents[3] / "contrib/prometheus"
BOUND = 60  # seconds: the longest case covers 26 hours of a minute each


def promtool(*arguments: str, text: bytes = b"") -> str:
    """Run promtool, and return what it says if it objects; a missing one fails the test."""
    done = subprocess.run(
        ["promtool", *arguments], input=text, capture_output=True, timeout=BOUND, check=False
    )
    return "" if done.returncode == 0 else (done.stdout + done.stderr).decode()


def test_rules_and_alerts_are_valid() -> None:
    """Prometheus would refuse to start with a rule that it cannot read."""
    assert promtool("check", "rules", str(RULES / "rules.yml"), str(RULES / "alerts.yml")) == ""


def test_alerts_fire_and_stay_quiet_as_their_cases_say() -> None:
    """Each alert once where it must fire and once where it must not."""
    assert promtool("test", "rules", str(RULES / "tests/alerts.yml")) == ""


def test_a_wrong_alert_is_noticed(tmp_path: Path) -> None:
    """The cases can fail: with other thresholds they do."""
    for name in ("rules.yml", "alerts.yml"):
        text = (RULES / name).read_text(encoding="utf-8").replace("> 0.05", "> 0.5")
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/alerts.yml").write_bytes((RULES / "tests/alerts.yml").read_bytes())
    assert "CodomainTempfail" in promtool("test", "rules", str(tmp_path / "tests/alerts.yml"))


def test_metrics_obey_the_naming_rules() -> None:
    """`promtool check metrics` has no objection to names, types and help texts."""
    metrics = Metrics("1.2.3")
    metrics.requests("policy", "refuse", "unknown", "example.com").count += 1
    metrics.durations("policy").observe(0.003)
    metrics.in_flight("policy").count += 1
    metrics.connections("map").count += 1
    metrics.protocol_error("map", "netstring")
    metrics.directory_request("ad", "found", 0.02)
    metrics.directory_up("ad", "ldaps://dc1", up=True)
    metrics.shadow("unknown", "example.com").count += 1
    metrics.cache_sizes = lambda: {"found": 8}
    assert promtool("check", "metrics", text=generate_latest(metrics.registry)) == ""
