"""One daemon, three sockets: every question of the golden files gets one verdict through all.

Each story of tests/scenarios is served by a ``codomain serve`` of its own.  Each row that
the maps can be asked goes to the policy socket, to the map socket, and by the milter
protocol to the milter; what they answer is the golden file's, letter for letter.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from codomain.address import parse_path, parse_recipient
from codomain_cli.background import Background
from support.doors import map_request, policy_request
from support.mta import SECONDS, Mta

if TYPE_CHECKING:
    from collections.abc import Iterator

SCENARIOS = Path(__file__).parents[1] / "scenarios"
MAPS = ("recipient", "alias", "transport", "access")
CLIENTS = {"stranger": "198.51.100.7", "trusted": "127.0.0.1", "unknown": ""}
PREFIX = "Recipient address rejected: "
LOOP = f"554 5.4.6 {PREFIX}Unknown here and where it came from, or a routing loop"
ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4}))")
LDAP = re.compile(r"^\[directory (\w+)\]\ntype = ldap\n(?:\w.*\n)*", re.MULTILINE)

BASE = """\
[codomain]
postfix = off
state_directory = {folder}
control_socket = {folder}/control

[policyd]
listen = unix:{folder}/policy
socketmap_listen = unix:{folder}/map
socket_group =

[http]
listen =

[milter]
listen = unix:{folder}/milter
"""

LEFT_OUT = {
    "filter": "redirect = filter is for sites without maps",
    "outage": "what serves is what a cache kept of a directory that is down",
    "contacts": "its entries that cannot be used are refused in a file, at the start",
    "routing": "its entries that cannot be used are refused in a file, at the start",
    "callout": "next systems have to answer",
    "callout-defer": "next systems have to answer",
}
"""Stories that no daemon of this test can serve, and why."""


class Row(NamedTuple):
    """One row of a golden file."""

    place: str
    client: str
    flags: dict[str, str]
    recipient: bytes
    action: str
    maps: tuple[str, ...]


STORIES = sorted(
    path.parent.name
    for path in SCENARIOS.glob("*/requests.tsv")
    if path.parent.name not in LEFT_OUT
)


def rows(story: str) -> Iterator[Row]:
    """Give the rows whose recipients the maps are asked for."""
    lines = (SCENARIOS / story / "requests.tsv").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[1:], 2):
        if not line or line.startswith("#"):
            continue
        client, flags, recipient, _verdict, action, *maps, _rule = line.split("\t")
        words = dict(flag.partition("=")[::2] for flag in flags.split())
        if maps != ["-"] * len(MAPS) and "smtp" not in words:
            place = f"{story}:{number}"
            address = CLIENTS.get(client, client)
            yield Row(place, address, words, unescaped(recipient), action, tuple(maps))


def unescaped(text: str) -> bytes:
    r"""Turn ``\x..`` into that byte and ``\u....`` into that character."""

    def one(match: re.Match[bytes]) -> bytes:
        return bytes.fromhex(match[1].decode()) if match[1] else chr(int(match[2], 16)).encode()

    return ESCAPE.sub(one, text.encode())


def path_of(recipient: bytes) -> bytes:
    """Write a recipient as SMTP does: quoted where it must be."""
    plain, wanted = b"<" + recipient + b">", parse_recipient(recipient)
    parsed = parse_path(plain)
    if (parsed.local, parsed.domain) == (wanted.local, wanted.domain):
        return plain
    local = re.sub(r'(["\\])', r"\\\1", wanted.local)
    return f'<"{local}"@{wanted.written}>'.encode("utf-8", "surrogateescape")


def exchange(place: Path, request: bytes, end: bytes) -> bytes:
    """Send one request, and return its answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(f"{place}")
        client.sendall(request)
        answer = b""
        while not answer.endswith(end):
            more = client.recv(65536)
            assert more, answer
            answer += more
        return answer


def by_policy(folder: Path, row: Row) -> str:
    """Ask the policy server."""
    request = policy_request(
        client_address=row.client or "unknown",
        recipient=row.recipient.decode("utf-8", "surrogateescape"),
        instance=row.place,  # each row is a message of its own
        sasl_username=(row.flags["sasl"] or "somebody") if "sasl" in row.flags else "",
        ccert_fingerprint=row.flags.get("cert", ""),
        policy_context=row.flags.get("context", ""),
        size="1" if "probe" in row.flags else "0",
    )
    answer = exchange(folder / "policy", request, b"\n\n").decode("utf-8", "surrogateescape")
    return answer.removeprefix("action=").strip("\n")


def by_maps(folder: Path, row: Row) -> tuple[str, ...]:
    """Ask every map."""
    key = row.recipient.decode("utf-8", "surrogateescape")
    answers = [exchange(folder / "map", map_request(name, key), b",") for name in MAPS]
    return tuple(
        answer.partition(b":")[2].removesuffix(b",").decode("utf-8", "surrogateescape").rstrip()
        for answer in answers
    )


def by_milter(folder: Path, row: Row) -> str:
    """Ask the milter; CONTINUE is DUNNO, and what smtpd says before our text is taken away."""
    macros = {"sasl": "auth_authen", "cert": "cert_fp", "context": "daemon_name"}
    told = {name: row.flags[f] or "somebody" for f, name in macros.items() if f in row.flags}
    parameters = [] if row.flags.get("smtputf8") == "no" else ["SMTPUTF8"]
    parameters += ["SIZE=1"] if "probe" in row.flags else []
    with Mta(folder / "milter") as mta:
        mta.connect(row.client)
        mta.mail("<author@elsewhere.test>", *parameters, **told)
        return mta.rcpt_raw(path_of(row.recipient) + b"\0")


def in_milter(action: str) -> str:
    """Return what the milter answers where the policy server says this (decisions.md)."""
    if action.startswith("FILTER"):
        return LOOP  # another way out, to which a milter cannot lead
    if action == "DUNNO":
        return "c"
    code, enhanced, text = action.split(" ", 2)
    return f"{code} {enhanced} {PREFIX}{text}"


def ini_of(story: str) -> str:
    """Return a story's INI; its LDAP directories are files here, or down."""
    folder = SCENARIOS / story
    text = (folder / "codomain.ini").read_text(encoding="utf-8")
    text = text.replace("/scenario", f"{folder}")

    def files(match: re.Match[str]) -> str:
        path = folder / f"{match[1]}.ldif"
        if path.exists():
            return f"[directory {match[1]}]\ntype = files\npath = {path}\n"
        return match[0].replace(
            next(line for line in match[0].splitlines() if line.startswith("servers")),
            "servers = ldap://127.0.0.1:9",
        )

    return LDAP.sub(files, text)


def wrong(folder: Path, story: str) -> list[str]:
    """Ask every row of every door, and return what is not as the golden file says."""
    found = []
    for row in rows(story):
        if "smtputf8" not in row.flags and (got := by_policy(folder, row)) != row.action:
            found.append(f"{row.place}: policy {got!r} is not {row.action!r}")
        if (maps := by_maps(folder, row)) != row.maps:
            found.append(f"{row.place}: maps {maps} are not {row.maps}")
        # A NUL ends an argument of the milter protocol: that recipient cannot be asked there.
        if b"\0" not in row.recipient and (got := by_milter(folder, row)) != in_milter(row.action):
            found.append(f"{row.place}: milter {got!r} is not {in_milter(row.action)!r}")
    return found


@pytest.mark.parametrize("story", STORIES)
def test_three_sockets_have_one_verdict(
    story: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Policy, maps and milter of one daemon answer each row as its golden file says."""
    folder = tmp_path_factory.mktemp("p")
    ini = folder / "codomain.ini"
    ini.write_text(BASE.format(folder=folder))
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "story.ini").write_text(ini_of(story), encoding="utf-8")
    with Background(ini, folder):
        assert wrong(folder, story) == []


def test_most_rows_are_asked() -> None:
    """A filter that lets nothing through would prove nothing."""
    assert sum(len(list(rows(story))) for story in STORIES) >= 250


def test_what_is_left_out_is_there() -> None:
    """A story that was renamed would be left out without a reason."""
    assert {path.parent.name for path in SCENARIOS.glob("*/requests.tsv")} >= set(LEFT_OUT)
