"""The Debian package: built, looked over, installed, upgraded, used, removed and purged.

Needs root, as the installation of a package does.  What was installed is gone at the end,
also when a test fails.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain import __version__
from codomain_cli.private_postfix import PrivatePostfix
from support.packages import PACKAGING, alone, dependencies, once, run, script

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)  # a build is part of the first test

UNITS = ("codomain.service", "codomain-sync.service")
SOCKETS = ("codomain-policy.socket", "codomain-map.socket")
INI = Path("/etc/codomain/codomain.ini")

MAX_EXPOSURE = 1.5
"""What `systemd-analyze security` may give each service, of 10."""

PEOPLE = """\
dn: cn=Ann,dc=example,dc=com
objectClass: user
cn: Ann
mailNickname: ann
proxyAddresses: SMTP:ann@example.com
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package, and give its folder."""
    return once(tmp_path_factory, "deb", script("build-deb.sh"))


def built(folder: Path, suffix: str = "deb") -> Path:
    """Return the one file of a kind that was built."""
    (path,) = folder.glob(f"codomain_*.{suffix}")
    return path


def older(package: Path, folder: Path) -> Path:
    """Make a package of an older version with another INI, out of the one that was built."""
    tree = folder / "tree"
    run("dpkg-deb", "--raw-extract", built(package), tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 0.0.1", control.read_text()))
    with (tree / "etc/codomain/codomain.ini").open("a") as ini:
        ini.write("; the older version's\n")
    run("dpkg-deb", "--root-owner-group", "--build", tree, folder / "older.deb")
    return folder / "older.deb"


@contextmanager
def clean_machine() -> Iterator[None]:
    """Leave nothing of the package behind, nor of its user."""
    assert not INI.parent.exists(), f"{INI.parent} is there: this machine has a codomain"
    try:
        yield
    finally:
        run("dpkg", "--purge", "--force-all", "codomain", check=False)
        run("userdel", "codomain", check=False)
        run("groupdel", "codomain", check=False)
        shutil.rmtree(INI.parent, ignore_errors=True)


def exec_start(unit: str) -> list[str]:
    """Return the command line of an installed unit."""
    for folder in ("/lib/systemd/system", "/usr/lib/systemd/system"):
        path = Path(folder) / unit
        if path.exists():
            (command,) = re.findall(r"(?m)^ExecStart=(.*)$", path.read_text())
            return str(command).split()
    raise AssertionError(f"{unit} is not installed")


@contextmanager
def daemon(folder: Path) -> Iterator[None]:
    """Run the installed daemon as its unit says: its user, its groups, its command."""
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = folder / "notify"
    name.unlink(missing_ok=True)
    inbox.bind(os.fspath(name))
    name.chmod(0o777)
    inbox.settimeout(30.0)
    with inbox, (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            exec_start("codomain.service"),
            user="codomain",
            group="codomain",
            extra_groups=["postfix"],
            env={"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": os.fspath(name)},
            cwd="/",
            stderr=log,
        )
        try:
            try:
                assert inbox.recv(64) == b"READY=1"
            except TimeoutError:
                pytest.fail((folder / "daemon.log").read_text())
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(timeout=30.0)
    assert status == 0


@pytest.mark.parametrize("unit", UNITS)
def test_units_are_confined(unit: str) -> None:
    """Peers are exposed to 9.6 of 10; ours to 1.5 at most."""
    said = run(
        *("systemd-analyze", "security", "--offline=true", "--no-pager"),
        PACKAGING / "systemd" / unit,
        check=False,
    )
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert float(exposure) <= MAX_EXPOSURE, said


@pytest.mark.parametrize("unit", [*UNITS, *SOCKETS])
def test_units_hold_no_unknown_word(unit: str) -> None:
    """A misspelled key is ignored by systemd, with a line in a log that nobody reads."""
    said = run("systemd-analyze", "verify", PACKAGING / "systemd" / unit, check=False)
    assert "Unknown" not in said
    assert "Failed to parse" not in said


def test_units_start_where_there_is_no_postfix(tmp_path: Path) -> None:
    """Beside Sendmail nobody else makes the group that the units and the sockets name."""
    (tmp_path / "etc").mkdir()
    users = PACKAGING / "systemd/codomain.sysusers"
    run("systemd-sysusers", f"--root={tmp_path}", users)
    groups = {line.split(":")[0] for line in (tmp_path / "etc/group").read_text().splitlines()}
    named = {
        group
        for unit in (*UNITS, *SOCKETS)
        for group in re.findall(
            r"(?m)^(?:Supplementary|Socket)?Groups?=(\w+)$",
            (PACKAGING / "systemd" / unit).read_text(),
        )
    }
    assert named == {"codomain", "postfix"}
    assert named <= groups


def test_lintian_has_no_objection(package: Path) -> None:
    """Neither errors nor warnings; lintian fails the command on either."""
    run("lintian", "--profile", "debian", "--fail-on", "error,warning", built(package, "changes"))


def test_package_depends_on_debian_alone(package: Path) -> None:
    """Every Python package that pyproject.toml needs is one of Debian's, in the same range."""
    needs = run("dpkg-deb", "--field", built(package), "Depends")
    for name, floor, below in dependencies():
        assert f"python3-{name} (>= {floor})" in needs
        assert not below or f"python3-{name} (<< {below})" in needs


def test_version_is_that_of_the_sources(package: Path) -> None:
    """debian/changelog has to name it; it stands in resolver/codomain/__init__.py."""
    assert run("dpkg-deb", "--field", built(package), "Version").strip() == __version__


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may go into: smtpd and the daemon are not root."""
    with tempfile.TemporaryDirectory(prefix="codomain-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.timeout(600)  # another test may have its turn first
def test_package_lives_a_whole_life(
    package: Path, open_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Installed, configured, upgraded with the INI kept, answering Postfix, removed, purged."""
    with alone(tmp_path_factory), clean_machine():
        run("dpkg", "--install", older(package, open_folder))
        assert pwd.getpwnam("codomain").pw_dir == "/var/lib/codomain"
        assert "the older version's" in INI.read_text()
        run("/usr/bin/codomain", "check")

        postfix = PrivatePostfix(
            open_folder / "postfix",
            {
                "mynetworks": "127.0.0.2",
                "relay_domains": "example.com",
                "transport_maps": "static:discard:",
                "smtpd_relay_restrictions": "check_policy_service unix:codomain/policy, "
                "reject_unauth_destination",
            },
        )
        shutil.chown(postfix.queue / "codomain", "codomain")
        Path("/etc/codomain/recipients.d/people.ldif").write_text(PEOPLE)
        ini = (
            f"[codomain]\npostfix = {postfix.config}\ncontrol_socket =\n"
            f"[policyd]\nlisten = unix:{postfix.queue}/codomain/policy\nsocketmap_listen =\n"
            "[http]\nlisten =\n[trust]\ntrusted_networks = 127.0.0.2\n"
            "[domain example.com]\ntype = authoritative\n"
            "[directory people]\ntype = files\npath = /etc/codomain/recipients.d/*.ldif\n"
        )
        INI.write_text(ini)

        run("dpkg", "--install", "--force-confdef", "--force-confold", built(package))
        assert INI.read_text() == ini
        # This Postfix does less than a gateway should, and check says so.
        assert "the configuration can be used" in run("/usr/bin/codomain", "check", check=False)
        with daemon(open_folder), postfix:
            assert reply_to(postfix.port, "ann@example.com").startswith("250 ")
            assert reply_to(postfix.port, "nobody@example.com").startswith("550 5.1.1 ")
            assert reply_to(postfix.port, "x@elsewhere.test").startswith("554 5.7.1 ")
        assert Path("/usr/share/man/man1/codomain.1.gz").exists()

        run("dpkg", "--remove", "codomain")
        assert not Path("/usr/bin/codomain").exists()
        assert INI.read_text() == ini
        run("dpkg", "--purge", "codomain")
        assert not INI.exists()
        assert not Path("/var/lib/codomain").exists()
        assert not Path("/var/spool/postfix/codomain").exists()


def reply_to(port: int, recipient: str) -> str:
    """Ask smtpd about one recipient, and return its reply."""
    with socket.create_connection(("127.0.0.1", port), timeout=30.0) as client:
        lines = client.makefile("rw", newline="\r\n", encoding="ascii")
        said = [lines.readline()]
        for command in (
            "HELO client.test",
            "MAIL FROM:<a@elsewhere.test>",
            f"RCPT TO:<{recipient}>",
        ):
            lines.write(f"{command}\n")
            lines.flush()
            said.append(lines.readline())
        return said[-1]
