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

from codomain_cli.private_postfix import PrivatePostfix

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[2]
PACKAGING = PROJECT / "packaging"
UNITS = ("codomain.service", "codomain-sync.service")
SOCKETS = ("codomain-policy.socket", "codomain-map.socket")
INI = Path("/etc/codomain/codomain.ini")

MAX_EXPOSURE = 1.5
"""What `systemd-analyze security` may give each service, of 10."""

SECONDS = 300.0
"""The bound of a command; a build takes a quarter of a minute."""

PEOPLE = """\
dn: cn=Ann,dc=example,dc=com
objectClass: user
cn: Ann
mailNickname: ann
proxyAddresses: SMTP:ann@example.com
"""


def run(*command: str | Path, check: bool = True) -> str:
    """Run a command, and return all that it says; it fails the test if it fails."""
    done = subprocess.run(
        [os.fspath(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
        # The machine's own tools, with its own Python: not those of a virtual environment.
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"},
    )
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package, and give its folder."""
    folder = tmp_path_factory.mktemp("deb")
    run(PACKAGING / "build-deb.sh", folder)
    return folder


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


def test_lintian_has_no_objection(package: Path) -> None:
    """Neither errors nor warnings; lintian fails the command on either."""
    run("lintian", "--profile", "debian", "--fail-on", "error,warning", built(package, "changes"))


def test_package_depends_on_debian_alone(package: Path) -> None:
    """Every Python package that pyproject.toml needs is a package that Debian has."""
    needs = run("dpkg-deb", "--field", built(package), "Depends")
    for name in ("aiohttp", "cachetools", "click", "idna", "ldap3", "prometheus-client", "rich"):
        assert f"python3-{name}" in needs


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may go into: smtpd and the daemon are not root."""
    with tempfile.TemporaryDirectory(prefix="codomain-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_package_lives_a_whole_life(package: Path, open_folder: Path) -> None:
    """Installed, configured, upgraded with the INI kept, answering Postfix, removed, purged."""
    with clean_machine():
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
