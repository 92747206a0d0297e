"""What the units of systemd promise beside their confinement, and the file that rotates a log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.packages import PACKAGING, PROJECT, run

if TYPE_CHECKING:
    from pathlib import Path


def values(unit: str, key: str) -> list[str]:
    """Return what a unit says for a key, word by word, from all of its lines."""
    text = (PACKAGING / "systemd" / unit).read_text()
    return [word for line in re.findall(rf"(?m)^{key}=(.*)$", text) for word in line.split()]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("Type", "notify"),  # it is started when it answers, and Postfix after it
        ("WatchdogSec", "60"),  # fed by a look-up that works (codomain_cli.watchdog)
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "78"),  # a configuration that cannot be used
        ("Before", "postfix.service"),
        ("Before", "sendmail.service"),
        ("After", "codomain-policy.socket"),
        ("After", "codomain-map.socket"),
        ("ExecReload", "-HUP"),
        ("LoadCredential", "ldap.password:codomain.ldap.password"),
        ("CapabilityBoundingSet", ""),
    ],
)
def test_service_says(key: str, says: str) -> None:
    """Each is a promise of the manuals, and systemd would say nothing if it were gone."""
    words = values("codomain.service", key)
    assert says in words if says else not words
    assert re.search(rf"(?m)^{key}=", (PACKAGING / "systemd/codomain.service").read_text())


@pytest.mark.parametrize(("unit", "name"), [("policy", "policy"), ("map", "map")])
def test_sockets_are_handed_to_the_daemon(unit: str, name: str) -> None:
    """By the name that it looks for, at the place of the INI's default, with Postfix's group."""
    file = f"codomain-{unit}.socket"
    assert values(file, "FileDescriptorName") == [name]
    assert values(file, "Service") == ["codomain.service"]
    assert values(file, "SocketGroup") == ["postfix"]
    assert values(file, "SocketMode") == ["0660"]
    (path,) = values(file, "ListenStream")
    assert path == f"/var/spool/postfix/codomain/{name}"
    assert f"unix:{path}" in (PROJECT / "docs/man/codomain.ini.5.md").read_text()


def test_log_can_be_rotated(tmp_path: Path) -> None:
    """logrotate(8) takes the file as it stands, and would copy and empty a log."""
    log = tmp_path / "codomain.log"
    log.write_text("event=ready\n")
    text = (PROJECT / "contrib/logrotate/codomain").read_text()
    assert "\tsu codomain codomain\n" in text  # a user whom this machine need not have
    text = text.replace("su codomain codomain", "su root root")
    rules = tmp_path / "rules"
    rules.write_text(text.replace("/var/log/codomain/*.log", f"{tmp_path}/*.log"))
    rules.chmod(0o644)
    run("logrotate", "--force", "--state", tmp_path / "state", rules)
    assert log.read_text() == ""
    assert (tmp_path / "codomain.log.1").read_text() == "event=ready\n"
