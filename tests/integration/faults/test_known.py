"""Who is known does not wait: refreshed beforehand, served past its lifetime, failed but once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from codomain.flights import OVERDUE
from support.faults import KNOWN, LOGIN, LOGIN_PASSWORD, Stage
from support.faultsite import FaultSite, Regular, directory_keys, wait_until
from support.lag import Lag
from support.proxy import Door, Fault
from support.tamper import end_searches_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from support.authority import Authority
    from support.faultsite import Said

    Maker = Callable[..., Stage]

AT_ONCE = 0.1
"""Seconds within which an answer comes that waits for nothing: a search takes four times that."""

CACHED = 0.005
"""Seconds within which a cached answer is given, whatever the directory does (issue 5)."""

TIME_LIMIT = Fault(tamper=end_searches_with(3))
"""A fault of one search, which says nothing of the server: it is asked again each time."""


def at_once(said: list[Said], lag: Lag) -> bool:
    """Tell whether all answers came at once, but for those that the machine itself held up."""
    times = sorted(one.seconds for one in said)
    return lag.allows(times[len(times) // 2], CACHED) and lag.allows(times[-1], AT_ONCE)


def site(folder: Path, stage: Stage, cache: str) -> FaultSite:
    """Make a daemon that asks through the first proxy."""
    return FaultSite(folder, directory_keys({"servers": stage.first.uri()}), cache=cache)


def test_whoever_is_asked_for_often_never_waits_for_a_slow_directory(
    new_stage: Maker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """[cache] refresh_ahead: it is fetched anew before its lifetime ends, behind an answer."""
    stage = new_stage()
    cache = "found_ttl = 2s\nrefresh_ahead = 0.5"
    with site(tmp_path_factory.mktemp("s"), stage, cache) as daemon:
        assert daemon.ask("u1@example.com").right
        stage.mark()
        stage.first.fail(Fault(pause=0.2))
        with Lag() as lag, Regular(daemon.policy, "u1@example.com") as regular:
            assert wait_until(lambda: stage.grown("tampered") >= 6)  # three searches, of two each
        stage.first.heal()
        assert regular.wrong() == []
        assert lag.allows(regular.quantile(1.0), AT_ONCE), regular.quantile(1.0)


def test_who_was_known_is_answered_at_once_for_as_long_as_it_lasts(
    new_stage: Maker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """[cache] stale_ttl: all who are known, each for the first time since their lifetime ended."""
    stage = new_stage()
    cache = "found_ttl = 500ms\nfailed_ttl = 100ms"
    everybody = [f"u{number}@example.com" for number in range(KNOWN)]
    with site(tmp_path_factory.mktemp("s"), stage, cache) as daemon:
        assert all(said.right for said in daemon.ask_all(everybody))
        stage.first.fail(Fault(silent=True))
        assert daemon.ask("x@example.com").down  # the fault is noticed
        time.sleep(0.5)  # by now all are past their lifetime
        with Lag() as lag:
            said = [daemon.ask(name) for name in everybody]
        assert [one for one in said if not one.right] == []
        assert at_once(said, lag)


def test_the_first_who_was_known_waits_briefly_and_nobody_after_them(
    new_stage: Maker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Issue 5: no cached answer is late, also before any search has failed."""
    stage = new_stage()
    everybody = [f"u{number}@example.com" for number in range(KNOWN)]
    with site(tmp_path_factory.mktemp("s"), stage, "found_ttl = 100ms") as daemon:
        assert all(said.right for said in daemon.ask_all(everybody))
        stage.mark()
        stage.first.fail(Fault(silent=True))
        time.sleep(0.1)  # all are past their lifetime, and nobody has met the fault
        with Lag() as lag:
            first = daemon.ask(everybody[0])
            said = [daemon.ask(name) for name in everybody[1:]]
        assert stage.grown("up") > 0
        assert stage.grown("down") == 0
        assert first.right
        assert lag.allows(first.seconds, OVERDUE + CACHED), first
        assert [one for one in said if not one.right] == []
        assert at_once(said, lag)


def test_past_stale_ttl_nobody_is_known(
    new_stage: Maker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """[cache] stale_ttl = 0: what is past its lifetime serves no more, and is no 550 either."""
    stage = new_stage()
    cache = "found_ttl = 300ms\nstale_ttl = 0s"
    with site(tmp_path_factory.mktemp("s"), stage, cache) as daemon:
        assert daemon.ask("u1@example.com").right
        stage.first.fail(Fault(door=Door.REFUSED))
        assert wait_until(lambda: daemon.ask("u1@example.com").down)


def test_a_failed_search_is_not_made_again_within_failed_ttl(
    new_stage: Maker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """[cache] failed_ttl: a client that comes again and again does not ask the directory."""
    stage = new_stage()
    with site(tmp_path_factory.mktemp("s"), stage, "failed_ttl = 2s") as daemon:
        assert daemon.ask("x1@example.com").right
        stage.first.fail(TIME_LIMIT)
        assert daemon.ask("x2@example.com").down
        failed = time.monotonic()
        stage.mark()
        assert daemon.ask("x2@example.com").down
        asked_again = stage.grown("up")
        # Unless this machine slept, and the two seconds are over.
        assert asked_again == 0 or time.monotonic() - failed > 2.0
        assert daemon.ask("x3@example.com").down
        assert stage.grown("up") > 0
        stage.first.heal()
        assert wait_until(lambda: daemon.ask("x2@example.com").right)
        assert time.monotonic() - failed > 1.5


def test_a_login_that_a_reload_takes_away_makes_nobody_unknown(
    new_stage: Maker, tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> None:
    """An anonymous bind succeeds, and shows nobody: with a canary that is an outage."""
    stage = new_stage(tls=True)
    folder = tmp_path_factory.mktemp("s")
    secret = folder / "password"
    secret.touch(0o600)
    secret.write_text(LOGIN_PASSWORD)
    login = {"bind_dn": LOGIN, "bind_password_file": str(secret)}
    keys = {
        "servers": stage.first.uri("ldaps"),
        "ca_file": str(authority.file),
        "base": "ou=staff,dc=example,dc=com",
        "canary": "u-secret@example.com",
    }
    with FaultSite(folder, directory_keys(keys | login)) as daemon:
        assert daemon.ask("u-secret@example.com").right
        assert daemon.ask("x1@example.com").right
        good = daemon.ini.read_text()
        anonymous = "\n".join(line for line in good.splitlines() if not line.startswith("bind_"))
        daemon.ini.write_text(anonymous)
        daemon.daemon.reload()
        daemon.daemon.wait_for_log("configuration in force", times=2)
        stage.mark()
        assert daemon.ask("x2@example.com").down
        assert stage.grown("connections") > 0
        assert "canary" in daemon.daemon.logged()
        daemon.ini.write_text(good)
        daemon.daemon.reload()
        daemon.daemon.wait_for_log("configuration in force", times=3)
        assert daemon.ask("x3@example.com").right
        assert daemon.ask("u-secret@example.com").right
