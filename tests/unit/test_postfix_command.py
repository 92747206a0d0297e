"""`codomain postfix`: the text for the postmaster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.config import parse
from codomain_cli import postfix
from codomain_cli.main import run
from codomain_cli.masterlines import parse as parse_master

if TYPE_CHECKING:
    from pathlib import Path

INI = """\
[codomain]
postfix = off
[domain corp.local]
type = authoritative
deliver_to = exchange
[connector exchange]
smart_hosts = [192.0.2.20]
"""


@pytest.fixture
def ini(tmp_path: Path) -> str:
    """Give a file with a small configuration that has nothing to do with this host's Postfix."""
    path = tmp_path / "codomain.ini"
    path.write_text(INI)
    return str(path)


def active(text: str) -> list[str]:
    """Return the lines that are no comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_line_is_one_of_main_cf(ini: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is pasted is comments and name = value, nothing else."""
    assert run(["postfix", "--main-cf", "--config", ini]) == 0
    lines = active(capsys.readouterr().out)
    assert "transport_maps = ${codomain_map}:transport" in lines
    assert "virtual_alias_domains =" in lines
    assert all(line.partition(" =")[0].replace("_", "").isalnum() for line in lines)


def test_every_line_is_one_of_master_cf(ini: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Entries, their options indented below them; Debian's smtp where no Postfix is read."""
    assert run(["postfix", "--master-cf", "--config", ini]) == 0
    lines = active(capsys.readouterr().out)
    joined = "\n".join(lines).replace("\n  ", " ").splitlines()
    assert [service.key for service in parse_master(joined)] == [
        "codomain-rewrite/unix",
        "smtp/inet",
    ]


def test_both_parts_are_printed_together(ini: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an option the whole is shown."""
    whole = []
    for part in ([], ["--main-cf"], ["--master-cf"]):
        assert run(["postfix", *part, "--config", ini]) == 0
        whole.append(capsys.readouterr().out)
    assert whole[0] == f"{whole[1]}\n{whole[2]}"


def test_submission_is_explained_where_there_is_none() -> None:
    """The stock entry is commented out; whoever needs it reads what to add."""
    text = postfix.master_text(parse(INI), postfix.Host())
    assert "#  -o smtpd_relay_restrictions=codomain_check,permit_sasl_authenticated,reject" in text
    there = parse_master(["submission inet n - y - - smtpd"])
    assert "add to the entry" not in postfix.master_text(parse(INI), postfix.Host(services=there))


def test_what_a_line_replaces_is_shown() -> None:
    """A value of the site's own is not lost unseen; one that says the same is no news."""
    host = postfix.Host(
        written={"transport_maps": "hash:/etc/postfix/transport", "disable_vrfy_command": "yes"}
    )
    text = postfix.main_text(parse(INI), host)
    assert "# In main.cf now: transport_maps = hash:/etc/postfix/transport\n" in text
    assert "In main.cf now: disable_vrfy_command" not in text


def test_a_socket_outside_the_queue_directory_is_warned_of() -> None:
    """A chrooted smtpd cannot reach it (mta.md)."""
    inside = postfix.main_text(parse(INI), postfix.Host())
    assert "cannot reach it" not in inside
    outside = postfix.main_text(parse(INI), postfix.Host(queue_directory="/srv/queue"))
    assert "cannot reach it" in outside.replace("\n# ", " ")


def test_myorigin_is_proposed_and_not_set() -> None:
    """Bare postmaster goes to postmaster@$myorigin (mta.md); the host's own mail does, too."""
    text = postfix.main_text(parse(INI), postfix.Host())
    assert "#myorigin = corp.local\n" in text
    assert "\nmyorigin" not in text


@pytest.mark.parametrize(("milter", "classes"), [(False, "codomain_check"), (True, "")])
def test_tuning_from_main_cf_is_shown_and_not_set(milter: bool, classes: str) -> None:  # noqa: FBT001
    """The values in force, as comments, and the list that refers to both (postconf(5))."""
    config = parse(INI + "[milter]\nlisten = unix:/run/codomain/milter\n")
    text = postfix.main_text(config, postfix.Host(), milter=milter)
    assert text.endswith(
        "#codomain_cache_size = 100000\n"
        "#codomain_connector_exchange_cost = 10\n"
        f"#smtpd_restriction_classes = {classes}"
        "${codomain_cache_size?}${codomain_connector_exchange_cost?}\n"
    )


def test_what_is_tuned_stays_named() -> None:
    """Else --apply would end it; a name that is no key of ours, and other classes, are replaced."""
    now = "mine, codomain_check${codomain_http_listen?}${codomain_cache_sise?}"
    host = postfix.Host(written={"smtpd_restriction_classes": now})
    text = postfix.main_text(parse(INI), host)
    assert f"# In main.cf now: smtpd_restriction_classes = {now}\n" in text
    assert "\nsmtpd_restriction_classes = codomain_check${codomain_http_listen?}\n" in text


def test_nothing_is_written_where_no_postfix_is_named(
    ini: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`postfix = off` and --apply contradict each other: said, and nothing is done."""
    assert run(["postfix", "--apply", "--config", ini]) == 78
    assert "postfix is off" in capsys.readouterr().err
