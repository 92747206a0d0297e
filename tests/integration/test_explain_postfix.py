"""``codomain explain`` beside a real Postfix: its own log lines, and the doors' own answers."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from support.doors import map_request, policy_request
from support.postfix import SECONDS, STRANGER, UNIX, Lab, lab, wait_until
from support.site import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEOPLE = """\
DN,objectClass,mailNickname,proxyAddresses,targetAddress
"cn=ann",user,ann,SMTP:ann@example.com;smtp:ann@corp.local,
"cn=bob",contact,bob,SMTP:bob@example.com,SMTP:bob@unix.example.net
"cn=eve",contact,eve,SMTP:eve@example.com,SMTP:eve@evil.test
"cn=john",user,john,"SMTP:john@corp.local;smtp:""john doe""@corp.local",
"""

RECIPIENTS = (
    "ann@example.com",
    "Ann+list@corp.local",
    "bob@example.com",
    "eve@example.com",
    "nobody@example.com",
    "nobody@corp.local",
    '"john doe"@corp.local',
    "x@unix.example.net",
    "someone@elsewhere.test",
    "someone%elsewhere.test@example.com",
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give a gateway that tests leave as it is."""
    people = tmp_path_factory.mktemp("p") / "people.csv"
    people.write_text(PEOPLE)
    with lab(f"[directory people]\ntype = files\npath = {people}\n") as running:
        yield running


def explained(gateway: Lab, *arguments: str, client: str = STRANGER) -> dict[str, Any]:
    """Return an explanation."""
    words = ("--client", client) if client else ()
    done = run("explain", *arguments, *words, "--json", "--config", gateway.gateway.ini)
    assert done.returncode in {0, 1}, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def asked(path: Path, request: bytes) -> bytes:
    """Ask one of the daemon's sockets."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(f"{path}")
        client.sendall(request)
        return client.recv(65536)


@pytest.mark.parametrize("client", [STRANGER, UNIX])
@pytest.mark.parametrize("recipient", RECIPIENTS)
def test_each_door_answers_what_was_explained(gateway: Lab, recipient: str, client: str) -> None:
    """Letter for letter: the policy server, and each map with each of its keys."""
    folder = gateway.gateway.postfix.queue / "codomain"
    found = explained(gateway, recipient, client=client)
    bare = recipient.replace('"', "")  # smtpd gives the unquoted form
    request = policy_request(recipient=bare, client_address=client, instance="")
    answer = asked(folder / "policy", request)
    assert answer.decode().strip() == found["doors"]["policy"]["answer"]
    for one in found["doors"]["maps"]["answers"]:
        answer = asked(folder / "map", map_request(one["map"], one["key"]))
        told = re.fullmatch(r"\d+:(.*),", answer.decode())
        assert told is not None
        assert told[1].strip() == one["answer"], one


def test_the_lines_that_postfix_writes_are_understood(gateway: Lab) -> None:
    """The reject of smtpd as it stands; the queue id of a message that was led on by an alias."""
    gateway.send(STRANGER, "nobody@corp.local")
    log = gateway.gateway.postfix.logged
    wait_until(lambda: "reject: RCPT" in log() and "to=<nobody@corp.local>" in log())
    (line, *_) = [line for line in log().splitlines() if "to=<nobody@corp.local>" in line]
    found = explained(gateway, "--log", line, client="")
    assert found["recipient"] == "nobody@corp.local"
    assert found["client"]["address"] == STRANGER
    assert found["client"]["sender"] == "author@elsewhere.test"
    assert found["log"]["reply"].startswith("550 5.1.1 <nobody@corp.local>")
    assert found["doors"]["policy"]["answer"] == "action=550 5.1.1 User unknown"
    gateway.send(STRANGER, "bob@example.com", "ann@corp.local")
    pattern = re.compile(r": (\w+): to=<bob@unix\.example\.net>, orig_to=<bob@example\.com>")
    wait_until(lambda: pattern.search(log()) and "to=<ann@corp.local>" in log())
    match = pattern.search(log())
    assert match is not None
    log_file = str(gateway.gateway.postfix.log)
    whole = explained(gateway, "--log", match[1], "--mail-log", log_file, client="")
    verdicts = {one["recipient"]: one["verdict"]["kind"] for one in whole["explanations"]}
    assert verdicts == {"bob@example.com": "redirect", "ann@corp.local": "deliver"}
    assert {one["client"]["address"] for one in whole["explanations"]} == {STRANGER}
    assert {one["client"]["sender"] for one in whole["explanations"]} == {"author@elsewhere.test"}
