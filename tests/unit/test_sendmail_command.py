"""`codomain sendmail`: the text for the postmaster."""

from __future__ import annotations

from pathlib import Path

import pytest

from codomain.config import parse
from codomain.errors import ConfigError
from codomain_cli import sendmail
from codomain_cli.exits import Exit
from codomain_cli.main import run

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"

INI = """\
[codomain]
postfix = off
[policyd]
socketmap_listen = unix:/run/codomain/map
[milter]
listen = unix:/run/codomain/milter
[domain corp.local]
type = authoritative
deliver_to = exchange
[connector exchange]
smart_hosts = [192.0.2.20]
"""


def active(text: str) -> list[str]:
    """Return the lines that are no comments."""
    return [line for line in text.splitlines() if not line.startswith("dnl")]


def made(ini: str) -> list[str]:
    """Return the lines that an INI makes."""
    return active(sendmail.text(parse(ini)))


def test_the_milter_is_asked_with_tempfail() -> None:
    """F=T: nothing is accepted unchecked; S: and R: are at least twice the deadline."""
    (line,) = [line for line in made(INI) if line.startswith("INPUT_MAIL_FILTER")]
    assert line == (
        "INPUT_MAIL_FILTER(`codomain', `S=local:/run/codomain/milter, F=T,"
        " T=C:10s;S:10s;R:10s;E:60s')dnl"
    )
    slow = INI.replace(
        "listen = unix:/run/codomain/milter", "listen = inet:127.0.0.1:99\ndeadline = 9s"
    )
    (line,) = [line for line in made(slow) if line.startswith("INPUT_MAIL_FILTER")]
    assert "S=inet:99@127.0.0.1, F=T, T=C:10s;S:18s;R:18s;E:60s" in line


def test_the_lines_say_where_the_milter_stands_and_why_its_timeouts_are_so() -> None:
    """ADR 9: it is the last one; R: is told beside the deadline that it must fit."""
    slow = INI.replace("milter\n", "milter\ndeadline = 9s\n")
    text = " ".join(sendmail.text(parse(slow)).replace("\ndnl", "").split())
    assert "It has to be the last of your milters. A milter is not told when" in text
    assert (
        "Sendmail waits for 18 s at RCPT (R:), which is at least twice [milter] deadline, 9 s"
        in (text)
    )


@pytest.mark.parametrize(
    ("octets", "digest"),
    [(16, "md5"), (20, "sha1"), (32, "sha256"), (48, "sha384"), (64, "sha512")],
)
def test_fingerprints_are_made_as_they_are_written(octets: int, digest: str) -> None:
    """Sendmail makes MD5 unless it is told; the digest follows from its octets."""
    trust = f"[trust]\ntrust_certificates = {':'.join(['AB'] * octets)}\n"
    line = f"define(`confCERT_FINGERPRINT_ALGORITHM', `{digest}')dnl"
    assert line in made(INI + trust)
    assert not [line for line in made(INI) if "FINGERPRINT" in line]


def test_fingerprints_of_two_digests_are_a_fault() -> None:
    """Sendmail makes one for each certificate; the others would trust nobody."""
    trust = f"[trust]\ntrust_certificates = {'AB' * 16}, {'AB' * 32}\n"
    with pytest.raises(ConfigError) as caught:
        sendmail.text(parse(INI + trust))
    assert caught.value.faults[0].startswith("[trust] trust_certificates: ")


def test_nothing_opens_relaying_by_name() -> None:
    """Never class R or RELAY_DOMAIN, and no FEATURE: their sub-domains would relay, too."""
    lines = made(INI)
    assert not [line for line in lines if "RELAY_DOMAIN" in line or "FEATURE" in line]
    assert not [line for line in lines if line.startswith(("CR", "FR", "C{R}"))]
    assert "define(`_RELAY_MX_SERVED_', `1')dnl" in lines


def test_maps_mark_what_is_temporary() -> None:
    """Without -T a map that is down is "not found"; the tags are those that the rules look for."""
    maps = [line for line in made(INI) if line.startswith("K")]
    assert maps == [
        "Kmxserved socket -T<TEMP> `local:/run/codomain/map'",
        "Kroute socket -T<TMPF> `local:/run/codomain/map'",
    ]


def test_rules_have_a_tab_between_their_sides() -> None:
    """Sendmail parts the sides of a rule by tabs, and takes a rule without one for broken."""
    rules = [line for line in made(INI) if line.startswith("R")]
    assert len(rules) == 14
    assert all(rule.count("\t") == 1 for rule in rules)


def test_each_port_has_its_mailer_once() -> None:
    """Two connectors on one port share a mailer; port 25 needs none."""
    more = (
        "[connector a]\nsmart_hosts = [192.0.2.1]:2525\n"
        "[connector b]\nsmart_hosts = [192.0.2.2]:2525\n"
        "[connector l]\ntransport = lmtp\nsmart_hosts = unix:/run/lmtp\n"
    )
    lines = made(INI + more)
    assert [line.partition(",")[0] for line in lines if line.startswith("M`")] == [
        "M`codomain-smtp-2525'",
        "M`codomain-unix-l'",
    ]
    assert "C{CodomainMailer} `esmtp' `relay' `codomain-smtp-2525' `codomain-unix-l'" in lines
    assert "MAILER_DEFINITIONS" not in made(INI)


def test_in_shadow_nothing_is_routed() -> None:
    """Without the maps the milter alone is asked."""
    text = INI.replace("unix:/run/codomain/map", "")
    assert [line for line in made(text) if line.startswith(("K", "R", "LOCAL", "C{"))] == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("listen = unix:/run/codomain/milter", "listen =", "[milter] listen: it is empty"),
        ("unix:/run/codomain/milter", "inet:127.0.0.1:0", "[milter] listen: any free port"),
        ("unix:/run/codomain/milter", "unix:/run/a'b", '[milter] listen: "local:/run/a\'b"'),
        ("unix:/run/codomain/map", "inet:127.0.0.1:0", "[policyd] socketmap_listen: any free"),
        ("[192.0.2.20]", "[192.0.2.20]:26, [192.0.2.21]", "[connector exchange] smart_hosts: a"),
    ],
)
def test_what_cannot_be_written_is_named(old: str, new: str, fault: str) -> None:
    """One line for each fault, with section and key; nothing half is printed."""
    with pytest.raises(ConfigError) as caught:
        sendmail.text(parse(INI.replace(old, new)))
    assert caught.value.faults[0].startswith(fault)


def test_domains_of_this_host_are_named() -> None:
    """What this host delivers belongs in class w, and nothing else does."""
    text = sendmail.text(parse(INI.replace("deliver_to = exchange\n", "")))
    text = " ".join(text.replace("\ndnl", "").split())
    assert "no other domain of codomain does: corp.local." in text


def test_the_command_ends_with_78_on_a_bad_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """EX_CONFIG, and no line that could be pasted."""
    path = tmp_path / "codomain.ini"
    path.write_text(INI.replace("listen = unix:/run/codomain/milter", "listen ="))
    assert run(["sendmail", "--config", str(path)]) == Exit.CONFIG
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("sendmail/codomain.mc", ["sendmail"]),
        ("postfix/main.cf", ["postfix", "--main-cf"]),
        ("postfix/master.cf", ["postfix", "--master-cf"]),
        ("postfix/milter.main.cf", ["postfix", "--milter", "--main-cf"]),
        ("postfix/milter.master.cf", ["postfix", "--milter", "--master-cf"]),
    ],
)
def test_contrib_has_not_drifted(
    name: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file is what the command prints for codomain.ini beside it (codomain … > FILE)."""
    path = CONTRIB / name
    assert run([*command, "--config", str(path.with_name("codomain.ini"))]) == 0
    assert path.read_text() == capsys.readouterr().out
