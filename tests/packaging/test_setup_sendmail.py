"""What packaging/setup/sendmail.sh promises, with a fake apt-get and small real packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "packaging" / "setup" / "sendmail.sh"
SENDMAIL = "usr/libexec/sendmail/sendmail"
BOUND = 30

APT_GET = """\
#!/bin/sh
echo "apt-get $*" >>"$STATE/calls"
case "$*" in
*update*) rm -f "$STATE/stale"; exit ;;
esac
[ ! -e "$STATE/stale" ] && [ ! -e "$STATE/offline" ] || exit 100
for word in "$@"; do
  case "$word" in -* | APT* | download) ;; *) cp "$STATE/debs/$word"_* . || exit 100 ;; esac
done
"""
DPKG_QUERY = """\
#!/bin/sh
for name; do :; done
[ "$name" = libhere ] && printf 'ii '
"""


def package(debs: Path, name: str, path: str, depends: str = "") -> None:
    """Build a package that holds one program."""
    tree = debs / f"{name}-tree"
    (tree / "DEBIAN").mkdir(parents=True)
    wants = f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\n"
        f"{wants}Description: x\n"
    )
    program = tree / path
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", tree, debs / f"{name}_1_all.deb"],
        check=True,
        capture_output=True,
        timeout=BOUND,
    )


class Machine:
    """A cache, an archive and an apt-get."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.bin = folder / "bin"
        self.cache = folder / "cache"
        debs = self.state / "debs"
        debs.mkdir(parents=True)
        self.bin.mkdir()
        root = "#!/bin/sh\necho 0\n"
        for name, text in (("apt-get", APT_GET), ("dpkg-query", DPKG_QUERY), ("id", root)):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        package(debs, "sendmail-bin", SENDMAIL, "m4, libhere (>= 1), liblacking (>= 2)")
        package(debs, "sendmail-cf", "usr/share/sendmail/cf/m4/cf.m4")
        package(debs, "m4", "usr/bin/m4")
        package(debs, "liblacking", "usr/lib/x-linux-gnu/liblacking.so")

    @property
    def root(self) -> Path:
        """Where Sendmail is unpacked."""
        return self.cache / "codomain" / "sendmail"

    @property
    def calls(self) -> list[str]:
        """What apt-get was asked for, as its last words."""
        path = self.state / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [
            line[line.index("download") :] if "download" in line else "update" for line in lines
        ]

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "STATE": f"{self.state}",
            "XDG_CACHE_HOME": f"{self.cache}",
            "HOME": "/nowhere",
        }
        return subprocess.run(
            [SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=BOUND,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a machine that has libhere and lacks liblacking."""
    return Machine(tmp_path)


def test_it_is_unpacked_once_with_the_libraries_that_lack(machine: Machine) -> None:
    """Sendmail, m4 and what is not installed; a second run asks for nothing."""
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.calls == ["download sendmail-bin sendmail-cf m4", "download liblacking"]
    for path in (SENDMAIL, "usr/bin/m4", "usr/lib/x-linux-gnu/liblacking.so"):
        assert (machine.root / path).exists()
    assert [path.name for path in machine.root.parent.iterdir()] == ["sendmail"]
    assert machine.run().returncode == 0
    assert len(machine.calls) == 2


def test_missing_lists_are_fetched(machine: Machine) -> None:
    """A fresh machine has no package lists yet."""
    (machine.state / "stale").touch()
    assert machine.run().returncode == 0
    assert machine.calls[:3] == [
        "download sendmail-bin sendmail-cf m4",
        "update",
        "download sendmail-bin sendmail-cf m4",
    ]
    assert (machine.root / SENDMAIL).exists()


def test_without_the_archive_the_setup_goes_on(machine: Machine) -> None:
    """The demo needs no Sendmail: status 0, a line that says so, and nothing half unpacked."""
    (machine.state / "offline").touch()
    done = machine.run()
    assert done.returncode == 0
    assert "could not be downloaded; its tests will fail" in done.stderr
    assert not machine.root.exists()
    assert list(machine.root.parent.iterdir()) == []
