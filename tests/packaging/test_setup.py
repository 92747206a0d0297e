"""What `make setup` promises, tried on a machine made of fakes.

Each test runs the real scripts with a PATH that holds nothing but a few harmless tools and
stand-ins for the commands that look at or change a system. Every stand-in writes its call down,
so that "nothing was done" is seen and not assumed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).resolve().parents[2]
SETUP = PROJECT / "packaging" / "setup"
TOOLS = (
    *("awk", "bash", "cat", "chmod", "cp", "cut", "dirname", "env", "flock", "grep", "mkdir"),
    *("rm", "sh", "sha256sum"),
)
ALL_PACKAGES = ("postfix", "slapd", "openssl", "gcc", "libc6-dev", "libmilter-dev")
TEST_SERVERS = (
    *("samba", "samba-ad-dc", "samba-ad-provision", "samba-dsdb-modules", "python3-samba"),
    *("ldb-tools", "redis-server", "prometheus", "iproute2", "debhelper", "lintian", "mandoc"),
    *("chromium", "rpm", "cpio", "python3-yaml", "ansible-core", "logrotate"),
)
PACKAGES_BUT_SERVERS = ("openssl", "gcc", "libc6-dev", "libmilter-dev")
DENYING = "#!/bin/sh\nexit 101\n"
PERMITTING = "#!/bin/sh\nexit 0\n"
BOUND = 30  # seconds for one run of a script: no fake takes longer than a moment

DPKG_QUERY = """\
if [ "$#" -eq 4 ]; then
  grep -q "^$4|" "$STATE/installed" && printf 'ii '
else
  while IFS='|' read -r name provides; do
    printf 'ii |%s|%s\\n' "$name" "$provides"
  done <"$STATE/installed"
fi
"""
# A real apt-get asks policy-rc.d before each start; so does this one, and notes the answer.
APT_GET = """\
note apt-get "$@"
case "$*" in
*"-s "*) [ ! -e "$STATE/stale-lists" ]; exit ;;
*update*) rm -f "$STATE/stale-lists"; exit 0 ;;
esac
answer=0
"$CODOMAIN_SETUP_ROOT/usr/sbin/policy-rc.d" postfix start || answer=$?
note policy-rc.d "$answer"
if [ -e "$STATE/terminate" ]; then kill -TERM "$PPID"; exit 0; fi
if [ -e "$STATE/broken" ]; then exit 100; fi
for word in "$@"; do
  case "$word" in -* | install | DPkg*) ;; *) echo "$word|" >>"$STATE/installed" ;; esac
done
"""
SUDO = """\
note sudo "$@"
[ "$1" = -n ] && shift
"$@"
"""
PYTHON = """\
case "$*" in
*Python.h*) [ ! -e "$STATE/no-headers" ]; exit ;;
-c*) [ ! -e "$STATE/no-python" ]; exit ;;
-V) echo "Python 3.11.2"; exit ;;
"-m venv"*)
  note python "$@"
  for folder in "$@"; do :; done
  rm -rf "$folder"
  mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
  exit ;;
esac
note python "$@"
case "$*" in *"-m pip"*) [ ! -e "$STATE/pip-fails" ] ;; esac
"""


class Machine:
    """A system of fakes: its commands, its files under `root`, and what was called on it."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.state = folder / "state"
        self.root = folder / "root"
        self.policy = self.root / "usr/sbin/policy-rc.d"
        for path in (self.bin, self.state, self.policy.parent):
            path.mkdir(parents=True)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, f"{tool} is needed by the tests"
            (self.bin / tool).symlink_to(found)
        self.command("dpkg-query", DPKG_QUERY)
        self.command("apt-get", APT_GET)
        self.command("debconf-set-selections", 'note debconf "$(cat)"\n')
        self.command("python3", PYTHON)
        self.user(0)
        self.installed(*ALL_PACKAGES)

    def command(self, name: str, body: str) -> None:
        """Put a command on the PATH; `note` in its body writes a call down."""
        script = self.bin / name
        note = 'note() { echo "$*" >>"$STATE/calls"; }\n'
        script.write_text(f"#!/bin/sh\n{note}{body}")
        script.chmod(0o755)

    def user(self, number: int) -> None:
        """Let the scripts run as the user of this number."""
        self.command("id", f"echo {number}\n")

    def installed(self, *packages: str) -> None:
        """Say which packages are installed, as `name` or `name|what it provides`."""
        lines = (name if "|" in name else f"{name}|" for name in packages)
        (self.state / "installed").write_text("".join(f"{line}\n" for line in lines))

    def flag(self, name: str) -> None:
        """Switch on one of the fakes' misbehaviours."""
        (self.state / name).touch()

    def existing_policy(self, text: str) -> None:
        """Let the machine have a policy-rc.d of its own."""
        self.policy.write_text(text)
        self.policy.chmod(0o755)

    def run(
        self, script: Path = SETUP / "system.sh", *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a setup script on this machine."""
        environment = {
            "PATH": str(self.bin),
            "STATE": str(self.state),
            "CODOMAIN_SETUP_ROOT": str(self.root),
        }
        return subprocess.run(
            [str(script), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=BOUND,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        """The calls so far that look at apt or change anything, one a line."""
        path = self.state / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def calls_with(self, word: str) -> list[str]:
        """The calls that contain a word."""
        return [call for call in self.calls if word in call]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a Debian machine on which root has installed all that is needed."""
    return Machine(tmp_path)


def test_nothing_is_done_where_all_is_there(machine: Machine) -> None:
    """A second `make setup` asks for no privilege and calls neither apt nor sudo."""
    machine.user(1000)
    machine.command("sudo", SUDO)
    done = machine.run()
    assert (done.returncode, machine.calls) == (0, [])
    assert done.stdout == "setup: system packages: all there\n"


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    """Root gets the missing packages, without recommended ones and without a removal."""
    machine.installed(*PACKAGES_BUT_SERVERS, "slapd")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    (call,) = machine.calls_with("apt-get -y")
    assert call.endswith(" install --no-install-recommends --no-remove postfix")


def test_servers_of_the_tests_come_only_for_the_tests(machine: Machine) -> None:
    """A domain controller is installed by `make test`, and never by `make demo`."""
    assert machine.run().returncode == 0
    assert machine.calls_with(" install") == []
    assert machine.run(SETUP / "system.sh", "tests").returncode == 0
    installation = machine.calls_with(" install")[-1]
    assert all(f" {package}" in installation for package in TEST_SERVERS)
    assert not any(f" {package}" in installation for package in ALL_PACKAGES)


def test_services_are_forbidden_during_the_installation_alone(machine: Machine) -> None:
    """policy-rc.d answers 101 while apt works, and is gone afterwards."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    assert machine.run().returncode == 0
    assert machine.calls_with("policy-rc.d") == ["policy-rc.d 101"]
    assert not machine.policy.exists()


def test_policy_is_removed_when_apt_fails(machine: Machine) -> None:
    """A failed installation leaves no policy-rc.d behind that would forbid services for ever."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.flag("broken")
    done = machine.run()
    assert done.returncode != 0
    assert machine.calls_with("policy-rc.d") == ["policy-rc.d 101"] * 2
    assert not machine.policy.exists()


def test_policy_is_removed_on_a_signal(machine: Machine) -> None:
    """A setup that is stopped in the middle takes its policy-rc.d along."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.flag("terminate")
    done = machine.run()
    assert done.returncode == 128 + 15
    assert machine.calls_with("policy-rc.d") == ["policy-rc.d 101"]
    assert not machine.policy.exists()


def test_existing_policy_that_forbids_is_left(machine: Machine) -> None:
    """A machine's own policy-rc.d that answers 101 is used and kept byte for byte."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.existing_policy(DENYING)
    assert machine.run().returncode == 0
    assert machine.policy.read_text() == DENYING


def test_existing_policy_that_permits_stops_the_setup(machine: Machine) -> None:
    """Where a policy-rc.d would let services start, nothing is installed and the file is kept."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.existing_policy(PERMITTING)
    done = machine.run()
    assert done.returncode == 1
    assert "would let postfix start" in done.stderr
    assert machine.calls == []
    assert machine.policy.read_text() == PERMITTING


def test_no_question_is_asked(machine: Machine) -> None:
    """Postfix and slapd are told beforehand to come without a configuration."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.run()
    assert machine.calls_with("debconf") == [
        "debconf postfix postfix/main_mailer_type select No configuration"
    ]
    assert "slapd slapd/no_configuration boolean true" in machine.calls


def test_answers_are_given_for_missing_packages_only(machine: Machine) -> None:
    """The answers of a Postfix that is installed already are its administrator's."""
    machine.installed("postfix", *PACKAGES_BUT_SERVERS)
    machine.run()
    assert machine.calls_with("debconf") == ["debconf slapd slapd/no_configuration boolean true"]
    assert machine.calls_with("main_mailer_type") == []


def test_lists_are_updated_only_when_needed(machine: Machine) -> None:
    """Where apt knows the packages, no time is spent on an update."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.run()
    assert machine.calls_with("update") == []


def test_stale_lists_are_updated(machine: Machine) -> None:
    """Where apt does not know the packages, the lists are updated before the installation."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.flag("stale-lists")
    assert machine.run().returncode == 0
    steps = [call.split()[5] for call in machine.calls_with("apt-get -y")]
    assert steps == ["update", "install"]


def test_without_root_the_exact_line_is_given(machine: Machine) -> None:
    """Neither root nor sudo: it stops with the line to run, and has called nothing."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.user(1000)
    done = machine.run()
    assert done.returncode == 1
    assert (
        "setup:   apt-get install --no-install-recommends --no-remove postfix slapd\n"
        in done.stderr
    )
    assert machine.calls == []


def test_sudo_that_would_ask_counts_as_none(machine: Machine) -> None:
    """Without a terminal a sudo that wants a password is no way to become root."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.user(1000)
    machine.command("sudo", 'note sudo "$@"\nexit 1\n')
    done = machine.run()
    assert done.returncode == 1
    assert "Run as root:" in done.stderr
    assert machine.calls == ["sudo -n true"]


def test_sudo_carries_every_change(machine: Machine) -> None:
    """An ordinary user with sudo gets the packages; apt and debconf run through sudo."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    machine.user(1000)
    machine.command("sudo", SUDO)
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert len(machine.calls_with("sudo env DEBIAN_FRONTEND=noninteractive apt-get")) == 1
    assert machine.calls_with("sudo debconf-set-selections")
    assert not machine.policy.exists()


@pytest.mark.parametrize(
    "other",
    [
        "exim4-daemon-light|mail-transport-agent, default-mta",
        "nullmailer|mail-transport-agent",
        "msmtp-mta|mail-transport-agent (= 1.8)",
    ],
)
def test_another_mta_is_never_replaced(machine: Machine, other: str) -> None:
    """Where another package is the mail transport agent, it is named and nothing is done."""
    machine.installed(*PACKAGES_BUT_SERVERS, other)
    done = machine.run()
    assert done.returncode == 1
    name = other.partition("|")[0]
    assert f"another mail transport agent is installed: {name}.\n" in done.stderr
    assert machine.calls == []


def test_sendmail_without_a_package_is_never_replaced(machine: Machine) -> None:
    """A /usr/sbin/sendmail that Postfix did not bring is named and nothing is done."""
    machine.installed(*PACKAGES_BUT_SERVERS)
    sendmail = machine.root / "usr/sbin/sendmail"
    sendmail.touch()
    done = machine.run()
    assert done.returncode == 1
    assert f"{sendmail} is not Postfix's." in done.stderr
    assert machine.calls == []


def test_postfix_and_its_sendmail_are_no_other_mta(machine: Machine) -> None:
    """Postfix provides mail-transport-agent and /usr/sbin/sendmail itself: that is welcome."""
    machine.installed("postfix|mail-transport-agent, default-mta", *PACKAGES_BUT_SERVERS)
    (machine.root / "usr/sbin/sendmail").touch()
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert [call.split()[-1] for call in machine.calls_with("apt-get -y")] == ["slapd"]


def test_python_without_venv_brings_the_package(machine: Machine) -> None:
    """Debian's Python can make no virtual environment without python3-venv: it is installed."""
    machine.flag("no-python")
    done = machine.run()
    (call,) = machine.calls_with("apt-get -y")
    assert call.split()[-2:] == ["python3-venv", "python3-dev"]
    assert done.returncode == 1
    assert "still missing after the installation: python3-venv" in done.stderr


def test_python_without_headers_brings_the_package(machine: Machine) -> None:
    """What pymilter is built with: Debian ships the headers of its Python apart."""
    machine.flag("no-headers")
    machine.run()
    assert [call.split()[-1] for call in machine.calls_with("apt-get -y")] == ["python3-dev"]


def test_a_python_of_its_own_brings_no_headers(machine: Machine) -> None:
    """A Python that was built on the machine has its headers: Debian's are not installed."""
    assert machine.run().returncode == 0
    assert machine.calls == []


def test_other_systems_are_told_the_commands(machine: Machine) -> None:
    """Without dpkg and apt the missing commands are named, one a line, and no others."""
    (machine.bin / "dpkg-query").unlink()
    for name in ("postfix", "openssl", "gcc"):
        machine.command(name, "")
    done = machine.run()
    assert done.returncode == 1
    assert done.stderr == (
        "setup: this is no Debian system: install these by your own means, then try again:\n"
        "setup:   slapd\nsetup:   slapadd\n"
        "setup:   libmilter's headers (libmilter/mfapi.h)\n"
    )


def test_other_systems_with_all_commands_are_left_alone(machine: Machine) -> None:
    """Without dpkg and apt, but with every command, there is nothing to do."""
    (machine.bin / "dpkg-query").unlink()
    for name in ("postfix", "slapd", "slapadd", "openssl", "gcc"):
        machine.command(name, "")
    header = machine.root / "usr/include/libmilter/mfapi.h"
    header.parent.mkdir(parents=True)
    header.touch()
    assert machine.run().returncode == 0
    assert machine.calls == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy what the virtual environment is made from into a project of its own."""
    project = tmp_path / "project"
    for name in (
        "packaging/setup/python.sh",
        "packaging/setup/venv.sh",
        "packaging/requirements/dev.txt",
        "pyproject.toml",
        "resolver/codomain/__init__.py",
    ):
        copy = project / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, copy)
    return project


@pytest.fixture
def build(machine: Machine, tree: Path) -> Callable[[], list[str]]:
    """Give a function that runs venv.sh and returns what it called, in one word each."""

    def run() -> list[str]:
        before = len(machine.calls)
        machine.run(tree / "packaging/setup/venv.sh")
        return [_kind(call) for call in machine.calls[before:]]

    return run


def _kind(call: str) -> str:
    if "-m venv --clear" in call:
        return "venv"
    if "--require-hashes" in call:
        # Without --no-deps pip resolves, and wants what came out after the lock was made.
        assert "--no-deps" in call
        if "--no-binary pymilter" in call:
            assert "--no-build-isolation" in call
            return "source"
        assert "--only-binary :all:" in call
        return "lock"
    return "project" if "--no-build-isolation --editable" in call else call


def test_environment_is_built_once(build: Callable[[], list[str]]) -> None:
    """From nothing: environment, wheels, pymilter, project; a second run calls nothing."""
    assert build() == ["venv", "lock", "source", "project"]
    assert build() == []


def test_changed_lock_builds_afresh(build: Callable[[], list[str]], tree: Path) -> None:
    """A package that left the lock file must leave the environment too: it is made anew."""
    build()
    with (tree / "packaging/requirements/dev.txt").open("a") as lock:
        lock.write("# changed\n")
    assert build() == ["venv", "lock", "source", "project"]


def test_changed_project_is_installed_alone(build: Callable[[], list[str]], tree: Path) -> None:
    """A change of pyproject.toml renews the editable install and keeps the packages."""
    build()
    with (tree / "pyproject.toml").open("a") as pyproject:
        pyproject.write("# changed\n")
    assert build() == ["project"]


def test_failed_installation_is_tried_again(
    build: Callable[[], list[str]], machine: Machine
) -> None:
    """An environment that was not finished is not taken for a ready one."""
    machine.flag("pip-fails")
    assert build() == ["venv", "lock"]
    (machine.state / "pip-fails").unlink()
    assert build() == ["venv", "lock", "source", "project"]


def test_moved_tree_builds_afresh(machine: Machine, tree: Path, tmp_path: Path) -> None:
    """An environment names its folder in every script: a copied tree makes its own."""
    machine.run(tree / "packaging/setup/venv.sh")
    before = len(machine.calls)
    shutil.copytree(tree, tmp_path / "copy")
    machine.run(tmp_path / "copy/packaging/setup/venv.sh")
    assert [_kind(call) for call in machine.calls[before:]] == ["venv", "lock", "source", "project"]


def test_missing_python_is_told(machine: Machine, tree: Path) -> None:
    """Without a Python that is new enough it says so and makes no environment."""
    machine.flag("no-python")
    done = machine.run(tree / "packaging/setup/venv.sh")
    assert (done.returncode, machine.calls) == (1, [])
    assert "no Python 3.11 or newer with venv was found" in done.stderr
