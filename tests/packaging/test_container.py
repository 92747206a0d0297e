"""The containers: no engine builds them here, so what they are made of is tried without one.

The files are read as an engine would read them; the directory is loaded into a real slapd, and
the gateway's configuration is asked about recipients.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codomain.config import load
from support.packages import PACKAGING, PROJECT, run

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = PACKAGING / "container"
CONTAINERFILE = FOLDER / "Containerfile"
SECONDS = 30.0
"""The bound of slapd's start, which takes a moment."""

_PARSE = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Read compose.yaml with the machine's PyYAML (python3-yaml)."""
    text = (FOLDER / "compose.yaml").read_text()
    done = subprocess.run(
        ["/usr/bin/python3", "-c", _PARSE],
        input=text,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def instructions(name: str) -> list[tuple[str, str]]:
    """Return the stage and the arguments of each instruction of a kind, with its lines joined."""
    stage = ""
    found = []
    text = re.sub(r"(?m)^#.*\n", "", CONTAINERFILE.read_text()).replace("\\\n", " ")
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.rpartition(" AS ")[2]
        if word == name:
            found.append((stage, rest.strip()))
    return found


def address(compose: dict[str, Any], service: str) -> str:
    """Return the address of a service."""
    return str(compose["services"][service]["networks"]["mail"]["ipv4_address"])


@pytest.mark.parametrize("name", ["Containerfile", "compose.yaml"])
def test_it_says_that_nobody_has_built_it(name: str) -> None:
    """Who takes it is told at the top."""
    head = "\n".join((FOLDER / name).read_text().splitlines()[:5])
    assert re.search(r"NOT (BUILT|RUN) BY ANYBODY YET", head)


def test_every_file_that_is_copied_is_there() -> None:
    """A path of the sources, from their root; or one that an earlier stage has made."""
    stages = {rest.rpartition(" AS ")[2] for _, rest in instructions("FROM")}
    copied = [rest.split() for _, rest in instructions("COPY")]
    assert len(copied) > 10
    for words in copied:
        options = dict(w[2:].split("=", 1) for w in words if w.startswith("--"))
        paths = [word for word in words if not word.startswith("--")]
        if "from" in options:
            assert options["from"] in stages
            continue
        for path in paths[:-1]:
            assert (PROJECT / path).exists(), path


def test_commands_can_be_read_by_sh() -> None:
    """Each RUN, and the script of the gateway."""
    for _, command in instructions("RUN"):
        run("sh", "-n", "-c", command)
    run("sh", "-n", FOLDER / "gateway.sh")
    assert (FOLDER / "gateway.sh").stat().st_mode & 0o111


def test_every_service_is_built_from_a_stage(compose: dict[str, Any]) -> None:
    """A gateway, which is Postfix and codomain, a directory and two systems."""
    stages = {rest.rpartition(" AS ")[2] for _, rest in instructions("FROM")}
    assert set(compose["services"]) == {"codomain", "postfix", "directory", "exchange", "unix"}
    for name, service in compose["services"].items():
        assert service["build"]["target"] in stages, name
        assert (FOLDER / service["build"]["context"]).resolve() == PROJECT
        assert PROJECT / service["build"]["dockerfile"] == CONTAINERFILE
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in compose["volumes"]


def test_addresses_are_those_of_the_configuration(compose: dict[str, Any]) -> None:
    """Each service has one of its own, and the INI names the systems and the directory."""
    (pool,) = compose["networks"]["mail"]["ipam"]["config"]
    network = ipaddress.ip_network(pool["subnet"])
    addresses = [address(compose, name) for name in compose["services"]]
    assert len(set(addresses)) == len(addresses)
    assert all(ipaddress.ip_address(one) in network for one in addresses)
    ini = (FOLDER / "codomain.ini").read_text()
    for connector in ("exchange", "unix"):
        (host, port) = re.findall(rf"\[connector {connector}\]\nsmart_hosts = \[(.+)\]:(\d+)", ini)[
            0
        ]
        assert host == address(compose, connector)
        assert ("system", port) in instructions("EXPOSE")
    assert f"servers = ldap://{address(compose, 'directory')}\n" in ini
    (published,) = compose["services"]["postfix"]["ports"]
    assert ("gateway", published.rpartition(":")[2]) in instructions("EXPOSE")


def test_the_sockets_meet_in_a_volume(compose: dict[str, Any]) -> None:
    """Postfix asks where codomain listens: both have the folder of the sockets."""
    config = load([FOLDER / "codomain.ini"], postfix={})
    listening = [*config.policyd.listen, *config.policyd.socketmap_listen]
    for service in ("codomain", "postfix"):
        (mounted,) = compose["services"][service]["volumes"]
        folder = mounted.split(":")[1]
        assert all(f"{one}".startswith(f"unix:{folder}/") for one in listening)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[str]:
    """Load the directory of the containers into a slapd here, and give its address."""
    data = tmp_path / "data"
    data.mkdir()
    text = (FOLDER / "slapd.conf").read_text().replace("/var/lib/ldap", f"{data}")
    conf = tmp_path / "slapd.conf"
    conf.write_text(f"pidfile {tmp_path}/slapd.pid\nargsfile {tmp_path}/args\n{text}")
    run("slapadd", "-f", conf, "-l", FOLDER / "people.ldif")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = shutil.which("slapd", path="/usr/sbin:/usr/bin")
    assert program, "slapd is missing"
    command = [program, "-d", "0", "-f", f"{conf}", "-h", f"ldap://127.0.0.1:{port}"]
    process = subprocess.Popen(command)
    try:
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends and process.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"ldap://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)


def test_the_gateway_answers_as_it_is_configured(directory: str, tmp_path: Path) -> None:
    """Its main.cf takes the lines, check has no objection, and recipients go where they should."""
    codomain = Path(sys.executable).with_name("codomain")
    etc = tmp_path / "postfix"
    etc.mkdir()
    (etc / "main.cf").write_text(
        (FOLDER / "main.cf").read_text().replace("/dev/stdout", f"{tmp_path}/mail.log")
        + f"maillog_file_prefixes = {tmp_path}\n"
    )
    shutil.copy("/usr/share/postfix/master.cf.dist", etc / "master.cf")
    (tmp_path / "here.ini").write_text(
        f"[codomain]\npostfix = {etc}\n[directory people]\nservers = {directory}\n"
    )
    config = ("--config", FOLDER / "codomain.ini", "--config", tmp_path / "here.ini")
    run(codomain, "postfix", "--apply", *config)
    report = json.loads(run(codomain, "check", "--json", *config, check=False))
    grave = [one for one in report["findings"] if one["severity"] in {"error", "warning"}]
    assert grave == []
    for recipient, told in (
        ("ann@example.com", "smtp:[192.0.2.20]:2525"),
        ("bob@example.com", "bob@unix.example.net"),
        ("nobody@example.com", "smtp:[192.0.2.10]:2525"),
        ("nobody@corp.example", "550 5.1.1"),
        ("someone@elsewhere.test", "554 5.7.1"),
    ):
        asked = ("explain", recipient, "--client", "198.51.100.7")
        # Status 1: it would be refused.
        assert told in run(codomain, *asked, *config, check=False)
