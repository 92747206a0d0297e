"""The admin door over HTTP: what it answers, to whom, and what it never does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.site import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.pagehouse import House

PATHS = ("/", "/live", "/explain?address=ann%40example.com", "/metrics", "/healthz", "/readyz")
FILES = ("/page.css", "/page.js", "/icon.svg")


@pytest.mark.parametrize("path", [*PATHS, *FILES, "/nowhere", "/explain", "/../etc/passwd", "/%00"])
def test_every_answer_is_hardened(house: House, path: str) -> None:
    """Also those that aiohttp makes itself: no sniffing, no frame, no store, no foreign load."""
    status, fields, _ = house.get(path)
    assert status in {200, 404, 503}
    assert fields["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "frame-ancestors 'none'" in fields["content-security-policy"]
    assert "unsafe" not in fields["content-security-policy"]
    assert fields["x-content-type-options"] == "nosniff"
    assert fields["cache-control"] == "no-store"
    assert fields["referrer-policy"] == "no-referrer"
    assert fields["server"] == "codomain"
    assert "access-control-allow-origin" not in fields


@pytest.mark.parametrize("path", [*PATHS, "/page.js", "/nowhere"])
def test_other_names_are_misdirected(house: House, path: str) -> None:
    """A site whose name leads to 127.0.0.1 reads nothing (DNS rebinding): 421."""
    for host in ("evil.test", f"evil.test:{house.port}", f"localhost.evil.test:{house.port}"):
        status, fields, body = house.get(path, host=host)
        assert (status, body) == (
            421,
            "not under that name: [http] hosts names those that are ours\n",
        )
        assert fields["x-content-type-options"] == "nosniff"
    for host in (f"localhost:{house.port}", "mx.example.com", ""):
        assert house.get("/healthz", host=host)[0] == (200 if host else 400)


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
)
def test_nothing_but_reading(house: House, method: str) -> None:
    """405, with what is allowed (RFC 9110 section 15.5.6)."""
    for path in ("/", "/explain", "/metrics", "/nowhere"):
        status, fields, _ = house.get(path, method=method)
        assert (status, fields["allow"]) == (405, "GET, HEAD")


def test_head_has_no_body(house: House) -> None:
    """RFC 9110 section 9.3.2."""
    status, _, body = house.get("/", method="HEAD")
    assert (status, body) == (200, "")


def test_the_page_asks_no_directory_and_nobody(house: House) -> None:
    """Whatever is read or explained: no search, no verdict, no entry in the cache."""

    def counted() -> list[str]:
        wanted = ("codomain_requests_total", "codomain_cache", "codomain_callout")
        lines = house.get("/metrics")[2].splitlines()
        # Who is down is asked by the health check, whoever looks.
        return sorted(line for line in lines if line.startswith(wanted))

    before = counted()
    for address in ("somebody@corp.example", "ann@example.com", "x@elsewhere.test", "%00", "%ff"):
        assert house.get(f"/explain?address={address}&client=192.0.2.10")[0] == 200
    for path in PATHS:
        house.get(path)
    assert counted() == before
    _, _, body = house.get("/explain?address=other%40corp.example")
    assert "Not in memory: directory ad would be asked." in body


def test_what_clients_sent_is_text(house: House) -> None:
    """A recipient with markup is escaped in the list, and an address in the form."""
    _, _, page = house.get("/explain?address=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert 'value="&quot;&gt;&lt;img' in page
    assert "<img" not in house.get("/")[2]


def test_no_secret_and_no_person_is_on_the_page(house: House) -> None:
    """Passwords never; addresses, entries, clients and details only with `show_addresses`."""
    for path in ("/", "/live", "/explain?address=bob%40example.com"):
        page = house.get(path)[2]
        for hidden in ("correct-horse", "hostmaster@", "198.51.100.7", "2001:db8:1:2", "robert@"):
            assert hidden not in page
        for hidden in ("annoying@", "someone@", "cn=Bob", "Connection refused"):
            assert hidden not in page
    page = house.get("/")[2]
    for shown in ("198.51.100.0/24", "2001:db8:1::/48", "s•••@elsewhere.test", "h•••@corp.example"):
        assert shown in page


def test_the_page_is_complete(house: House) -> None:
    """Version, verdicts, refusals, directories, servers, connectors, cache, configuration."""
    version = run("--version").stdout.split()[-1]
    page = house.get("/")[2]
    for part in (
        f"codomain {version}",
        "Verdicts",
        "Last refusals",
        "No answer from directory ad",
        "ldaps://dc2.a-rather-long-name.corp.example",
        "relay2.unix.example.net",
        "Look-ups answered from memory",
        "[directory ad]",
        "codomain.ini:2",
        "554 5.7.1 Relay access denied",
    ):
        assert part in page
    live = house.get("/live")[2]
    for name in ("overview", "verdicts", "refusals", "directories", "connectors", "cache"):
        assert f'id="{name}"' in page
        assert f'id="{name}"' in live


def test_show_addresses_shows_them_after_a_reload(make_house: Callable[[str], House]) -> None:
    """The keys of `[http]` but for `listen` take effect at once."""
    house = make_house("")
    with house.daemon:
        house.work()
        assert "annoying@" not in house.get("/")[2]
        ini = house.folder / "codomain.ini"
        ini.write_text(
            ini.read_text().replace("[http]", "[http]\nshow_addresses = yes\nhosts = a.test")
        )
        assert house.get("/healthz", host="a.test")[0] == 421
        house.daemon.reload()
        house.daemon.wait_for_log("configuration in force", 2)
        page = house.get("/")[2]
        for shown in ("annoying@", "198.51.100.7", "hostmaster@corp.example", "Connection refused"):
            assert shown in page
        assert "correct-horse" not in page
        assert "robert@unix.example.net" in house.get("/explain?address=bob%40example.com")[2]
        assert house.get("/healthz", host="a.test")[0] == 200


def test_beyond_loopback_networks_must_be_named(make_house: Callable[[str], House]) -> None:
    """Exit 78 without `allow`; with it, who is not in it is turned away from all of it."""
    house = make_house("")
    ini = house.folder / "codomain.ini"
    text = ini.read_text().replace("inet:127.0.0.1:", "inet:0.0.0.0:")
    ini.write_text(text)
    done = run("serve", "--config", ini)
    assert done.returncode == 78
    assert "[http] listen:" in done.stderr
    assert "is reached from other hosts" in done.stderr
    ini.write_text(text.replace("[http]", "[http]\nallow = 203.0.113.0/24"))
    with house.daemon:
        assert house.get("/healthz")[0] == 200


def test_refusals_have_a_line_each_and_repeats_are_counted(house: House) -> None:
    """The log's lines and its counts add up to what the metrics say."""
    for _ in range(5):
        house.ask("someone-else@elsewhere.test")
    house.daemon.wait_for_log('event="refused from memory"', seconds=20.0)
    lines = [line for line in house.daemon.logged().splitlines() if "someone-else" in line]
    assert len(lines) == 1
    assert "instance=5e3a.65d0c1d2.8f0a1.0" in lines[0]
    again = [line for line in house.daemon.logged().splitlines() if "from memory" in line]
    assert sum(int(line.split("count=")[1].split()[0]) for line in again) >= 4


def test_json_lines_are_whole_whatever_a_client_sends(make_house: Callable[[str], House]) -> None:
    """Every line of the log is one object, with the recipient as it was sent."""
    house = make_house("")
    (house.folder / "conf.d").mkdir()
    log = "[codomain]\nlog_format = json\nlog_level = debug\n"
    (house.folder / "conf.d" / "log.ini").write_text(log)
    with house.daemon:
        for recipient in (
            'a b="c"@example.com',
            "x\u2028y@elsewhere.test",
            "\x1b[31m@elsewhere.test",
        ):
            house.ask(recipient)
        house.ask("ann@example.com")
    lines = [json.loads(line) for line in house.daemon.logged().splitlines()]
    events = {line["event"] for line in lines}
    assert {"refused", "accepted", "ready", "stopped"} <= events
    refused = [line for line in lines if line["event"] == "refused"]
    assert any("\u2028" in line["recipient"] for line in refused)
    accepted = [line for line in lines if line["event"] == "accepted"]
    assert [line["verdict"] for line in accepted if "ann" in line["recipient"]] == ["deliver"]
