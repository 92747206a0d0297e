"""``codomain explain --live``: a decision of the running daemon, with its cache as it is."""

from __future__ import annotations

import json
import re
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from codomain.directory.base import Kind, Recipient
from codomain.directory.index import IndexWriter, index_path, source_of
from codomain_cli.private_postfix import free_ports
from support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from codomain.directory.section import Section
    from support.slapd import Slapd

STRANGER = ("--client", "198.51.100.7")


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give a site without a directory yet; socket paths must be short."""
    return Site(tmp_path_factory.mktemp("s"))


def live(site: Site, address: str, *options: str, status: int = 0) -> dict[str, Any]:
    """Return the daemon's explanation."""
    done = site.run("explain", address, *STRANGER, "--live", "--json", *options)
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def searches(site: Site) -> float:
    """Return how often the directory was searched."""
    return sum(
        site.metric(f'codomain_directory_requests_total{{directory="people",result="{result}"}}')
        for result in ("found", "not_found")
    )


def test_it_shows_the_cache_as_it_is_and_searches_only_if_told_to(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """Not in the cache: nothing is known, 75; --ask searches, and the cache has it from then on."""
    site.write_ldap(new_slapd().ldap)
    with site.serve():
        found = live(site, "ann@example.com", status=75)
        assert found["verdict"]["kind"] == "unknown"
        assert found["doors"]["policy"]["answer"] is None
        (lookup,) = found["lookups"]
        assert (lookup["source"], lookup["state"]) == ("none", "unknown")
        before = searches(site)
        done = site.run("explain", "ann@example.com", "--live")
        assert "not in the cache; --ask searches now" in done.stdout
        live(site, "ann@example.com", "--callout", status=75)  # next systems alone
        assert searches(site) == before
        found = live(site, "ann@example.com", "--ask")
        assert found["verdict"]["kind"] == "deliver"
        (lookup,) = found["lookups"]
        assert (lookup["source"], lookup["state"]) == ("search", "found")
        assert lookup["entries"][0]["dn"].startswith("cn=Ann Smith,")
        assert "(mail=ann@example.com)" in lookup["filter"]
        assert lookup["base"] == "dc=example,dc=com"
        assert searches(site) == before + 1
        found = live(site, "ann@example.com")
        (lookup,) = found["lookups"]
        assert (lookup["source"], lookup["cache"]) == ("cache", "fresh")
        assert 0 <= lookup["age"] < 60
        assert 200 < lookup["left"] <= 300
        assert found["doors"]["policy"]["answer"] == "action=DUNNO"
        assert searches(site) == before + 1


def test_it_shows_what_a_client_was_told(site: Site, new_slapd: Callable[..., Slapd]) -> None:
    """The answer of the door and the explanation are the same, to the letter."""
    site.write_ldap(new_slapd().ldap)
    with site.serve():
        for address, status in (("nobody@example.com", 1), ("ann@example.com", 0)):
            answer = site.ask(address)
            assert live(site, address, status=status)["doors"]["policy"]["answer"] == answer
        (lookup,) = live(site, "nobody@example.com", status=1)["lookups"]
        assert (lookup["source"], lookup["cache"], lookup["state"]) == ("cache", "absent", "absent")


def test_it_shows_the_answer_that_serves_through_an_outage(
    site: Site, new_slapd: Callable[..., Slapd]
) -> None:
    """Past its lifetime an entry serves while the directory is down, and is shown as stale."""
    slapd = new_slapd()
    site.write_ldap(slapd.ldap, "found_ttl = 1s\nfailed_ttl = 1m")
    with site.serve():
        assert site.ask("ann@example.com") == "action=DUNNO"
        slapd.stop()
        # Known for good that it is down: a name that nobody has asked for yet.
        assert site.ask("other@example.com").startswith("action=451 4.4.3")
        (lookup,) = live(site, "other@example.com", status=75)["lookups"]
        assert (lookup["state"], lookup["cache"]) == ("down", "failed")
        assert lookup["detail"]
        found = live(site, "ann@example.com")
        (lookup,) = found["lookups"]
        assert lookup["cache"] in {"fresh", "stale"}
        assert found["doors"]["policy"]["answer"] == "action=DUNNO"


def test_it_shows_the_local_index(site: Site) -> None:
    """``mode = sync``: the index answers, with its age, whether the directory is there or not."""
    (port,) = free_ports(1)
    site.write_ldap(f"ldap://127.0.0.1:{port}", keys="mode = sync\non_miss = none")
    text = site.ini.read_text().replace("[policyd]", f"state_directory = {site.folder}\n[policyd]")
    site.ini.write_text(text)
    section = SimpleNamespace(
        base="dc=example,dc=com", scope="subtree", filter="", schema="inetorgperson"
    )
    writer = IndexWriter(index_path(site.folder, "people"), source_of(cast("Section", section)))
    try:
        with writer.load() as load:
            load.put(b"ann", Recipient("cn=Ann", Kind.MAILBOX, ("ann@example.com",)))
            synced = time.time() - 120
            load.commit(cookie=b"", synced=synced, max_shrink=None)
    finally:
        writer.close()
    with site.serve():
        for options in (("--live",), ()):
            done = site.run("explain", "ann@example.com", *STRANGER, "--json", *options)
            assert done.returncode == 0, done.stderr
            found = json.loads(done.stdout)
            (lookup,) = found["lookups"]
            assert (lookup["source"], lookup["state"]) == ("index", "found")
            (index,) = found["indexes"]
            assert (index["directory"], index["usable"], index["entries"]) == ("people", True, 1)
            assert 120 <= index["age"] <= time.time() - synced
        shown = site.run("explain", "ann@example.com").stdout
        assert re.search(r"people: 1 entries, in step 1[2-9]\d s ago", shown)


def test_without_the_daemon_the_server_is_asked_and_named(site: Site, slapd: Slapd) -> None:
    """The filter as it is sent, the server that answered, the entry and the time."""
    site.write_ldap(slapd.ldap)
    done = site.run("explain", "a(n)*@example.com", *STRANGER, "--json")
    assert done.returncode == 1, done.stderr
    (lookup,) = json.loads(done.stdout)["lookups"]
    assert (lookup["source"], lookup["server"]) == ("search", slapd.ldap)
    # RFC 4515 section 3: parentheses and asterisks are escaped.
    assert "(mail=a\\28n\\29\\2a@example.com)" in lookup["filter"]
    assert lookup["seconds"] > 0


def test_it_shows_a_client_under_the_harvest_brake(site: Site) -> None:
    """Whoever guesses is told 450, and so says the explanation."""
    people = site.folder / "people.csv"
    people.write_text(
        "DN,objectClass,mailNickname,proxyAddresses\ncn=ann,user,ann,SMTP:ann@x.test\n"
    )
    site.write(f"type = files\npath = {people}", more="[harvest]\nlimit = 1")
    with site.serve():
        for number in range(3):
            site.ask(f"guess{number}@example.com")
        found = live(site, "ann@example.com", status=75)
        assert found["client"]["braked"] is True
        assert found["doors"]["policy"]["answer"] == site.ask("ann@example.com")
        assert found["doors"]["policy"]["answer"].startswith("action=450 4.7.1")


def test_what_makes_no_sense_is_said(site: Site) -> None:
    """64 for a client that is none; 75 where no daemon is."""
    people = site.folder / "people.csv"
    people.write_text(
        "DN,objectClass,mailNickname,proxyAddresses\ncn=ann,user,ann,SMTP:ann@x.test\n"
    )
    site.write(f"type = files\npath = {people}")
    with site.serve():
        assert site.run("explain", "a@example.com", "--live", "--client", "x").returncode == 64
        assert site.run("explain", "a@example.com", "--ask").returncode == 64
        assert site.run("explain").returncode == 64
    assert site.run("explain", "a@example.com", "--live").returncode == 75


def test_a_line_of_the_log_takes_the_place_of_an_address(site: Site) -> None:
    """Recipient, client and sender come from it; a queue id gives every recipient."""
    people = site.folder / "people.csv"
    people.write_text(
        "DN,objectClass,mailNickname,proxyAddresses\ncn=ann,user,ann,SMTP:ann@example.com\n"
    )
    site.write(f"type = files\npath = {people}")
    line = (
        "NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 550 5.1.1 <nobody@example.com>: No; "
        "from=<c@d.test> to=<nobody@example.com> proto=ESMTP helo=<x>"
    )
    done = site.run("explain", "--log", line, "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["recipient"] == "nobody@example.com"
    assert found["client"]["address"] == "198.51.100.7"
    assert found["client"]["sender"] == "c@d.test"
    assert found["log"]["reply"] == "550 5.1.1 <nobody@example.com>: No"
    log = site.folder / "mail.log"
    log.write_text(
        "x postfix/smtpd[1]: 4bQ1cx2Zz1zB: client=unknown[198.51.100.7]\n"
        "x postfix/smtp[1]: 4bQ1cx2Zz1zB: to=<ann@example.com>, relay=none, status=sent (ok)\n"
        "x postfix/smtp[1]: 4bQ1cx2Zz1zB: to=<no@example.com>, relay=none, status=bounced (no)\n"
    )
    done = site.run("explain", "--log", "4bQ1cx2Zz1zB", "--mail-log", str(log), "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    kinds = [(one["recipient"], one["verdict"]["kind"]) for one in found["explanations"]]
    assert kinds == [("ann@example.com", "deliver"), ("no@example.com", "refuse")]
    assert site.run("explain", "--log", "nonsense").returncode == 64


def test_the_origin_of_each_value_is_shown(site: Site) -> None:
    """``--config`` without a file is ``--settings``."""
    people = site.folder / "people.csv"
    people.write_text(
        "DN,objectClass,mailNickname,proxyAddresses\ncn=ann,user,ann,SMTP:ann@x.test\n"
    )
    site.write(f"type = files\npath = {people}")
    done = site.run("explain", "--config", "--json")
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)["settings"]
    (hostname,) = [one for one in settings if one["key"] == "hostname"]
    assert hostname == {
        "section": "codomain",
        "key": "hostname",
        "value": "mx.example.com",
        "source": f"{site.ini}:2",
    }
