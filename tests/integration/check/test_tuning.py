"""Tuning from main.cf, and policy_context, with a real Postfix."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codomain.settings.provenance import provenance
from codomain_cli import postfix as command
from codomain_cli.check import checked
from codomain_cli.maincf import SBIN
from support.postfix import STRANGER, TRUSTED, Lab, lab, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PEOPLE = Path(__file__).with_name("people.ldif")
INI = f"""\
[connector spare]
smart_hosts = [192.0.2.77]
cost = 5
[trust]
trusted_networks = 127.0.0.0/8
[context submission]
trusted = yes
[directory people]
type = files
path = {PEOPLE}
"""
TUNED = {
    "codomain_policyd_deadline": "3s",
    "codomain_connector_spare_cost": "30",
    "codomain_domain_example_com_keep_extension": "no",
}
SETTINGS = "".join(f"${{{name}?}}" for name in TUNED)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Lab]:
    """Give a gateway."""
    with lab(INI) as running:
        yield running


@pytest.fixture
def tuned(gateway: Lab) -> Iterator[Lab]:
    """Give the gateway, and take back what a test writes into its main.cf and master.cf."""
    etc = gateway.gateway.postfix.config
    texts = {path: path.read_text() for path in (etc / "main.cf", etc / "master.cf")}
    yield gateway
    for path, text in texts.items():
        path.write_text(text)
    gateway.gateway.postfix.settle()


def written(running: Lab, **parameters: str) -> None:
    """Write parameters into main.cf."""
    postfix = running.gateway.postfix
    pairs = [f"{name}={value}" for name, value in parameters.items()]
    postfix.run("postconf", "-c", f"{postfix.config}", "-e", *pairs)
    postfix.settle()


def loaded(running: Lab) -> float:
    """Return when the configuration in force was loaded."""
    name = "codomain_config_last_reload_success_timestamp_seconds"
    pages = running.gateway.page("metrics").splitlines()
    return next(float(line.split()[1]) for line in pages if line.startswith(f"{name} "))


def objections(running: Lab) -> str:
    """Return what postconf -n and postfix check say against main.cf."""
    etc = f"{running.gateway.postfix.config}"
    said = ""
    for words in (["postconf", "-c", etc, "-n"], ["postfix", "-c", etc, "check"]):
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            env={"PATH": f"{SBIN[0]}:/usr/bin:/bin"},
        )
        said += done.stderr
    return said


def test_postfix_does_not_warn_and_the_values_hold(tuned: Lab) -> None:
    """Issue 8: without an "unused parameter" warning, precedence INI < main.cf, at a reload."""
    check = "codomain_check" + SETTINGS
    written(tuned, **TUNED, smtpd_restriction_classes=check)
    assert objections(tuned) == ""
    config = tuned.gateway.load()
    assert config.policyd.deadline == 3.0
    assert next(c.cost for c in config.connectors if c.name == "spare") == 30
    assert not next(d for d in config.domains if d.name == "example.com").keep_extension
    sources = {one.source for one in provenance(config)}
    assert {f"main.cf: {name}" for name in TUNED} <= sources
    before = loaded(tuned)
    tuned.gateway.daemon.reload()
    wait_until(lambda: loaded(tuned) > before)
    assert tuned.reply(STRANGER, "nobody@corp.local").startswith("550 5.1.1")
    findings, _ = checked([tuned.gateway.ini])
    assert not [one for one in findings if one.id.startswith("postfix.parameter")]


def test_what_the_command_prints_tunes_and_an_apply_keeps_it(
    tuned: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commented lines of `codomain postfix` are understood by Postfix as they stand."""
    etc = f"{tuned.gateway.postfix.config}"
    before = tuned.gateway.load()
    text = command.main_text(before, command.read(etc))
    printed = dict(re.findall(r"(?m)^#(codomain_\w+|smtpd_restriction_classes) = (.*)$", text))
    name = f"codomain_connector_{before.connectors[0].name}_cost"
    assert set(printed) == {"codomain_cache_size", name, "smtpd_restriction_classes"}
    written(tuned, **printed)
    assert objections(tuned) == ""
    assert tuned.gateway.load() == before
    written(tuned, **printed | {name: "31", "codomain_cache_size": "5000"})
    command.write(etc, tuned.gateway.load(), command.read(etc))
    assert "smtpd_restriction_classes" not in capsys.readouterr().out
    assert objections(tuned) == ""
    config = tuned.gateway.load()
    assert (config.connectors[0].cost, config.cache.size) == (31, 5000)


def test_a_bad_value_stops_no_running_daemon(tuned: Lab) -> None:
    """It is a fault with the parameter's name and line; the configuration in force stays."""
    classes = f"codomain_check{SETTINGS}"
    written(tuned, codomain_policyd_deadline="soon", smtpd_restriction_classes=classes)
    findings, status = checked([tuned.gateway.ini])
    [found] = [one for one in findings if one.key == "codomain_policyd_deadline"]
    line = (tuned.gateway.postfix.config / "main.cf").read_text().split("\n")[found.line - 1]
    assert (status, line) == (78, "codomain_policyd_deadline = soon")
    tuned.gateway.daemon.reload()
    wait_until(lambda: '"reload failed"' in tuned.gateway.daemon.log.read_text())
    assert tuned.reply(STRANGER, "nobody@corp.local").startswith("550 5.1.1")


def test_policy_context_chooses_the_context(tuned: Lab) -> None:
    """Issue 8: whom Postfix lets relay is trusted by us on the submission service alone."""
    postfix = tuned.gateway.postfix
    policy = postfix.run("postconf", "-c", f"{postfix.config}", "-h", "codomain_policy").strip()
    inner = policy.removeprefix("{").strip()
    where, rest = inner.split(",", 1)
    postfix.stop()
    written(
        tuned,
        codomain_submission=f"check_policy_service {{ {where}, policy_context=submission,{rest}",
        smtpd_restriction_classes=f"codomain_check, codomain_submission{SETTINGS}",
    )
    path = postfix.config / "master.cf"
    path.write_text(
        re.sub(
            r"smtpd_relay_restrictions=codomain_check,\S+",
            "smtpd_relay_restrictions=codomain_submission,permit_mynetworks,reject",
            path.read_text(),
        )
    )
    postfix.settle()
    postfix.start()
    foreign = "someone@elsewhere.test"
    assert tuned.send(TRUSTED, foreign).replies[0].startswith("554 5.7.1")
    sent = tuned.send(TRUSTED, foreign, port=postfix.submission)
    assert sent.replies[0].startswith("250")
    assert tuned.arrivals(sent.token, 1) == [("internet", foreign)]
