"""The second level of the cache on a real redis-server: lifetimes, purges, and every failure."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codomain.cache import Lifetimes, State
from codomain.shared import NOTHING
from codomain.sharedkeys import EPOCH, channel, value_key
from codomain.sharedlink import TIMEOUT
from codomain.sharedpool import COOL_DOWN
from codomain.sharedpurges import OwedError
from support.redis import USER, USER_RULES, RedisServer, Settings
from support.sharing import ANN, BOB, KEY, PRINTS, Gateway, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.authority import Authority

BOBS = "bob@example.com"
NAME = value_key(PRINTS["people"], KEY)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server that no test stops; each begins with it empty."""
    with RedisServer(tmp_path_factory.mktemp("r")) as server:
        yield server


@pytest.fixture(autouse=True)
def _empty(redis: RedisServer) -> None:
    redis.ask("FLUSHALL")


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Give a maker of servers of one's own, which stop with the test."""
    servers: list[RedisServer] = []

    def make(**settings: Any) -> RedisServer:  # noqa: ANN401 - the fields of Settings
        servers.append(RedisServer(tmp_path_factory.mktemp("r"), Settings(**settings)))
        return servers[-1].start()

    yield make
    for server in servers:
        server.stop()


def test_what_one_gateway_found_another_one_has(redis: RedisServer) -> None:
    """Found and not found: both are answers, with the lifetime that is left."""
    with Gateway(redis.url) as one, Gateway(redis.url) as other:
        one.find(KEY, ANN)
        one.find("nobody@example.com")
        seen = other.shared.get("people", KEY)
        assert seen.entries == (ANN,)
        assert 290 < seen.left <= 300  # found_ttl
        seen = other.shared.get("people", "nobody@example.com")
        assert seen.entries == ()
        assert 50 < seen.left <= 60  # not_found_ttl
        assert (one.count("miss"), other.count("hit")) == (2, 2)


def test_the_age_of_an_answer_travels_by_the_servers_clock(redis: RedisServer) -> None:
    """What was put four minutes ago by another gateway lives one minute more here."""
    with Gateway(redis.url) as one, Gateway(redis.url) as other:
        one.find(KEY, ANN)
        redis.ask("PEXPIRE", NAME, 60_000)
        assert 55 < other.shared.get("people", KEY).left <= 60
        other.take(KEY)
        known = other.cache.get(("people", KEY), time.monotonic())
        assert known is not None
        assert known.until - time.monotonic() <= 60
        assert known.refresh - time.monotonic() < 1  # it is past 0.8 of its five minutes


def test_a_gateway_with_shorter_lifetimes_keeps_to_its_own(redis: RedisServer) -> None:
    """An answer that is 50 s old is no answer where found_ttl is 40 s, and lives 10 s where 60."""
    with (
        Gateway(redis.url) as one,
        Gateway(redis.url, lifetimes=Lifetimes(found=40)) as strict,
        Gateway(redis.url, lifetimes=Lifetimes(found=60)) as other,
    ):
        one.find(KEY, ANN)
        redis.ask("PEXPIRE", NAME, 250_000)
        assert strict.shared.get("people", KEY).entries is None
        assert 5 < other.shared.get("people", KEY).left <= 10


def test_a_value_goes_when_its_lifetime_is_over(redis: RedisServer) -> None:
    """The server forgets it by itself: PX, with found_ttl."""
    with Gateway(redis.url, lifetimes=Lifetimes(found=0.05)) as one:
        one.find(KEY, ANN)
        until(lambda: not redis.names())
        assert one.shared.get("people", KEY).entries is None


def test_without_a_lifetime_nothing_is_put(redis: RedisServer) -> None:
    """found_ttl = 0s means that no entry is believed for any time, by anyone."""
    with Gateway(redis.url, lifetimes=Lifetimes(found=0.0, not_found=0.0)) as one:
        one.find(KEY, ANN)
        one.find(BOBS)
        assert redis.names() == []


def test_gateways_whose_directories_differ_share_nothing(redis: RedisServer) -> None:
    """The fingerprint of the directory's section is a part of the key."""
    with (
        Gateway(redis.url) as one,
        Gateway(redis.url, prints={"people": "fedcba9876543210"}) as other,
    ):
        one.find(KEY, ANN)
        assert other.shared.get("people", KEY).entries is None


def test_another_database_is_another_cache(redis: RedisServer) -> None:
    """Values and purges of database 1 are none of database 0."""
    with Gateway(redis.url) as one, Gateway(f"{redis.url}/1") as other:
        one.find(KEY, ANN)
        other.find(KEY, ANN)
        other.shared.purges.purge([KEY])
        other.find(BOBS, BOB)  # the purge has been heard by whoever hears it
        assert one.shared.get("people", KEY).entries == (ANN,)
        assert one.heard == []


def test_it_works_over_a_socket_of_the_host(redis: RedisServer) -> None:
    """unix:///PATH, with a database."""
    with Gateway(f"unix://{redis.path}?db=0") as one, Gateway(redis.url) as other:
        one.find(KEY, ANN)
        assert other.shared.get("people", KEY).entries == (ANN,)


def test_a_purge_reaches_every_gateway_within_a_second(redis: RedisServer) -> None:
    """The value is gone, and so is what each gateway keeps: what was found by itself, too."""
    with Gateway(redis.url) as one, Gateway(redis.url) as other, Gateway(redis.url) as third:
        one.find(KEY, ANN)
        other.take(KEY)
        third.find(KEY, ANN)
        other.find(BOBS, BOB)
        began = time.monotonic()
        assert one.shared.purges.purge([KEY]) == 1
        until(lambda: other.knows() is None and third.knows() is None)
        assert time.monotonic() - began < 1
        assert other.knows(BOBS) is State.FRESH
        assert not other.serves()
        assert other.shared.get("people", KEY).entries is None
        until(lambda: other.heard)
        assert [purge.keys for purge in other.heard if purge] == [(KEY,)]
        assert one.heard == []  # whoever purges sees to itself


def test_a_flush_reaches_every_gateway_within_a_second(redis: RedisServer) -> None:
    """Everything: all values are worthless at once, however many there are."""
    with Gateway(redis.url) as one, Gateway(redis.url) as other:
        one.find(KEY, ANN)
        other.take(KEY)
        other.find(BOBS, BOB)
        began = time.monotonic()
        one.shared.purges.flush()
        until(lambda: other.knows() is None and other.knows(BOBS) is None)
        assert time.monotonic() - began < 1
        assert one.shared.get("people", KEY).entries is None
        assert other.shared.get("people", BOBS).entries is None
        one.find(KEY, ANN)
        assert other.shared.get("people", KEY).entries == (ANN,)


@pytest.mark.parametrize("how", ["purge", "flush"])
def test_a_search_that_a_purge_overtook_puts_nothing(redis: RedisServer, how: str) -> None:
    """What was asked before the purge is outdated, at whichever gateway it was asked."""
    with Gateway(redis.url) as one, Gateway(redis.url) as other:
        seen = other.shared.get("people", KEY)
        if how == "purge":
            one.shared.purges.purge([KEY])
        else:
            one.shared.purges.flush()
        other.shared.put("people", KEY, (ANN,), seen)
        assert redis.names() == []
        other.find(KEY, ANN)
        assert redis.names() == [NAME.encode()]


def test_a_purge_reaches_gateways_whose_directories_differ(redis: RedisServer) -> None:
    """While the configurations change one by one, a purge still clears what each of them has."""
    prints = {"people": "fedcba9876543210"}
    with Gateway(redis.url) as one, Gateway(redis.url, prints=prints) as other:
        other.find(KEY, ANN)
        one.shared.purges.purge([KEY])
        until(lambda: other.knows() is None)
        assert redis.names() == []


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b'{"v": 2}', b"[" * 5_000])
def test_a_message_that_is_not_understood_makes_it_doubt(redis: RedisServer, raw: bytes) -> None:
    """Somebody wants something forgotten, and nobody knows what: nothing is believed."""
    with Gateway(redis.url) as one:
        one.find(KEY, ANN)
        redis.ask("PUBLISH", channel(0), raw)
        until(lambda: one.knows() is None)
        assert one.serves()  # while the directory is down


def test_a_purge_that_was_missed_makes_it_doubt(redis: RedisServer) -> None:
    """The epoch is another one after the connection was lost: what is kept may be outdated."""
    with Gateway(redis.url) as one, Gateway(redis.url) as other:
        other.find(KEY, ANN)
        redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        one.shared.purges.purge([BOBS])
        until(lambda: other.knows() is None)


def test_a_lost_connection_ends_belief_in_what_came_shared_alone(redis: RedisServer) -> None:
    """Nobody could take it back meanwhile; what it was answered itself stays, and all serves."""
    with Gateway(redis.url) as one, Gateway(redis.url) as other:
        one.find(KEY, ANN)
        other.take(KEY)
        other.find(BOBS, BOB)
        redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        until(lambda: other.heard)
        assert other.knows() is None
        assert other.serves()
        assert other.knows(BOBS) is State.FRESH
        until(lambda: other.shared.up)
        assert other.shared.get("people", KEY).entries == (ANN,)


def test_connections_that_are_lost_are_opened_again(redis: RedisServer) -> None:
    """Each costs an error at most; look-ups go on within the cool-down."""
    with Gateway(redis.url) as one:
        one.find(KEY, ANN)
        redis.ask("CLIENT", "KILL", "TYPE", "normal")
        until(lambda: one.shared.get("people", KEY).entries == (ANN,))
        assert one.count("error") <= 8


def test_values_that_are_flushed_by_hand_are_asked_for_again(redis: RedisServer) -> None:
    """FLUSHALL is no failure: misses, and nothing is kept from being put."""
    with Gateway(redis.url) as one, Gateway(redis.url) as other:
        one.find(KEY, ANN)
        redis.ask("FLUSHALL")
        assert other.shared.get("people", KEY).entries is None
        assert one.knows() is State.FRESH
        other.find(KEY, ANN)
        assert one.shared.get("people", KEY).entries == (ANN,)


def test_a_server_that_was_killed_holds_nobody_up(own: Callable[..., RedisServer]) -> None:
    """Look-ups end at once, and begin again by themselves when it is back; logged once each."""
    redis = own()
    with Gateway(redis.url) as one:
        one.shared.purges.purge([BOBS])
        one.find(KEY, ANN)
        assert one.gauge() == 1
        redis.kill()
        until(lambda: one.gauge() == 0)
        assert not one.shared.up
        began = time.monotonic()
        for _ in range(1000):
            assert one.shared.get("people", KEY) is NOTHING
        assert time.monotonic() - began < 0.5
        assert one.knows() is State.FRESH
        redis.start()
        until(lambda: one.shared.up)
        one.find(BOBS, BOB)
        assert one.shared.get("people", BOBS).entries == (BOB,)
        # It lost the epoch with everything else, and nobody has purged since.
        assert one.knows() is State.FRESH


def test_a_silent_server_costs_one_time_out_and_not_one_for_each(
    own: Callable[..., RedisServer],
) -> None:
    """SIGSTOP: connections stay open and nothing answers; 50 ms once, then a cool-down."""
    redis = own()
    with Gateway(redis.url, timeout=TIMEOUT) as one:
        one.find(KEY, ANN)
        now = time.monotonic()
        one.shared.links.clock = lambda: now
        redis.pause()
        began = time.monotonic()
        assert one.shared.get("people", KEY).entries is None
        assert TIMEOUT <= time.monotonic() - began < TIMEOUT + 0.25  # room for a busy machine
        for _ in range(200):
            one.shared.get("people", KEY)
        assert one.count("error") == 1
        one.shared.links.clock = lambda: now + COOL_DOWN
        for _ in range(200):
            one.shared.get("people", KEY)
        assert one.count("error") <= 2  # one look-up tried, unless the watch knew before
        until(lambda: one.gauge() == 0)
        assert not one.shared.up
        redis.resume()
        until(lambda: one.shared.up)
        assert one.shared.get("people", KEY).entries == (ANN,)


def test_threads_that_wait_for_a_silent_server_wait_once(own: Callable[..., RedisServer]) -> None:
    """All look-ups of that moment end within the time-out, whatever their number."""
    redis = own()
    with Gateway(redis.url, timeout=TIMEOUT) as one:
        redis.pause()
        threads = [
            threading.Thread(target=lambda: [one.shared.get("people", KEY) for _ in range(50)])
            for _ in range(8)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began < 50 * TIMEOUT / 2
        assert one.count("error") <= 8 + 1
        redis.resume()


def test_restarts_under_traffic_never_give_a_wrong_answer(own: Callable[..., RedisServer]) -> None:
    """Look-ups and puts go on from several threads while it is killed, paused and flushed."""
    redis = own()
    wrong: list[object] = []
    stop = threading.Event()

    def work(gateway: Gateway) -> None:
        while not stop.is_set():
            for key, entry in ((KEY, ANN), (BOBS, BOB)):
                seen = gateway.shared.get("people", key)
                if seen.entries not in {None, (entry,)}:
                    wrong.append(seen)
                gateway.shared.put("people", key, (entry,), seen)

    with Gateway(redis.url, timeout=TIMEOUT) as one, Gateway(redis.url, timeout=TIMEOUT) as other:
        threads = [threading.Thread(target=work, args=(g,)) for g in (one, other) for _ in "ab"]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                redis.restart()
                until(lambda: one.shared.up and other.shared.up)
                redis.ask("FLUSHALL")
                redis.pause()
                until(lambda: not one.shared.up)
                redis.resume()
                until(lambda: one.shared.up and other.shared.up)
        finally:
            redis.resume()
            stop.set()
            for thread in threads:
                thread.join()
        hits = one.count("hit")
        one.find(KEY, ANN)
        assert one.count("hit") + one.count("miss") > hits
    assert wrong == []


def test_a_purge_that_does_not_reach_it_is_owed(own: Callable[..., RedisServer]) -> None:
    """The administrator is told, nothing is looked up, and the others hear of it afterwards."""
    redis = own()
    with Gateway(redis.url) as one, Gateway(redis.url) as other:
        one.find(KEY, ANN)
        other.find(KEY, ANN)
        redis.pause()
        began = time.monotonic()
        with pytest.raises(OwedError):
            one.shared.purges.purge([KEY])
        assert time.monotonic() - began < 5
        redis.resume()
        until(lambda: other.knows() is None)
        until(lambda: one.shared.up)
        assert one.shared.get("people", KEY).entries is None


def test_while_a_purge_is_owed_nothing_is_looked_up(own: Callable[..., RedisServer]) -> None:
    """A replica that is read-only would give the old answer for ever."""
    redis = own()
    with Gateway(redis.url) as one:
        one.find(KEY, ANN)
        redis.ask("REPLICAOF", "127.0.0.1", 9)
        with pytest.raises(OwedError, match=r"(?i)readonly|read only"):
            one.shared.purges.purge([KEY])
        assert one.shared.get("people", KEY) is NOTHING
        redis.ask("REPLICAOF", "NO", "ONE")
        until(lambda: one.shared.up)
        assert one.shared.get("people", KEY).entries is None
        assert redis.names() == []


def test_a_replica_is_read_and_takes_nothing(
    own: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Reads are hits; that nothing can be put is logged once, and costs nobody an answer."""
    redis = own()
    with Gateway(redis.url) as one, caplog.at_level(logging.WARNING, "codomain.shared"):
        one.find(KEY, ANN)
        redis.ask("REPLICAOF", "127.0.0.1", 9)
        for _ in range(5):
            one.find(BOBS, BOB)
        assert one.shared.get("people", KEY).entries == (ANN,)
        assert one.count("error") == 5
    lines = [record.getMessage() for record in caplog.records]
    assert lines.count("shared cache takes no values") == 1


def test_a_full_server_is_read_and_purged(own: Callable[..., RedisServer]) -> None:
    """OOM refuses values, and nothing else: a purge must go through, or it would be worthless."""
    redis = own()
    with Gateway(redis.url) as one, Gateway(redis.url) as other:
        one.find(KEY, ANN)
        redis.ask("CONFIG", "SET", "maxmemory", 1)
        one.find(BOBS, BOB)
        assert one.count("error") == 1
        other.take(KEY)
        assert one.shared.purges.purge([KEY]) == 1
        until(lambda: other.knows() is None)
        one.shared.purges.flush()
        redis.ask("CONFIG", "SET", "maxmemory", 0)
        one.find(BOBS, BOB)
        assert other.shared.get("people", BOBS).entries == (BOB,)


def test_a_wrong_password_is_a_failure_and_no_answer(
    own: Callable[..., RedisServer],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is looked up; the log says why and never the password; a right one mends it."""
    redis = own(password="right-one")
    file = tmp_path / "password"
    file.write_text("wrong-one\n")
    gateway = Gateway(redis.url, password_file=str(file))
    with caplog.at_level(logging.WARNING, "codomain.shared"):
        gateway.watch.start(gateway.heard.append)
        try:
            until(lambda: "password" in gateway.shared.detail.lower())
            assert gateway.shared.get("people", KEY) is NOTHING
            file.write_text("right-one\n")
            until(lambda: gateway.shared.up)
        finally:
            gateway.watch.close()
            gateway.watch.join(20)
    assert "wrong-one" not in caplog.text
    assert "shared cache down" in caplog.text


def test_a_user_who_may_do_little_is_enough(
    own: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """docs/howto/several-gateways.md: the ACL that it prints, and no more."""
    redis = own(password="admin", user_password="pw")
    file = tmp_path / "password"
    file.write_text("pw")
    url = redis.url.replace("//", f"//{USER}@")
    with (
        Gateway(f"{url}/3", password_file=str(file)) as one,
        Gateway(f"{url}/3", password_file=str(file)) as other,
    ):
        one.find(KEY, ANN)
        other.take(KEY)
        assert one.shared.purges.purge([KEY]) == 1
        until(lambda: other.knows() is None)
        one.shared.purges.flush()
        assert one.count("error") == 0


def test_the_how_to_names_that_user() -> None:
    """Its ACL is the one that the test before works with."""
    howto = Path(__file__).parents[2] / "docs" / "howto" / "several-gateways.md"
    (line,) = [li for li in howto.read_text().splitlines() if li.startswith("ACL SETUSER")]
    assert tuple(line.split()[5:]) == USER_RULES


def test_over_tls_the_server_must_prove_who_it_is(
    own: Callable[..., RedisServer],
    authority: Authority,
) -> None:
    """rediss://: by an authority that shared_ca_file names, for the host that the INI names."""
    certificate = authority.sign("redis", "IP:127.0.0.1")
    redis = own(certificate=certificate)
    with Gateway(redis.url, ca_file=str(certificate.authority)) as one:
        one.find(KEY, ANN)
        assert one.shared.get("people", KEY).entries == (ANN,)
    for url, ca_file in (
        (redis.url, ""),  # the system's authorities know it not
        (redis.url.replace("127.0.0.1", "localhost"), str(certificate.authority)),
    ):
        stranger = Gateway(url, ca_file=ca_file)
        stranger.watch.start(stranger.heard.append)
        until(lambda: "certificate" in stranger.shared.detail.lower(), stranger.shared.detail)  # noqa: B023
        assert not stranger.shared.up
        stranger.watch.close()
        stranger.watch.join(20)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-2],
        lambda raw: raw.replace(b"ann@example.com", b"bob@example.com"),
        lambda raw: raw.replace(b'"v":1', b'"v":2'),
        lambda _raw: b"x" * 5_000_000,
        lambda _raw: b"\x80\x04K\x01.",
    ],
)
def test_a_spoilt_value_is_not_there_and_is_written_over(
    redis: RedisServer, spoil: Callable[[bytes], bytes]
) -> None:
    """Whoever may write to the server cannot make us believe what is no value of this key."""
    with Gateway(redis.url) as one:
        one.find(KEY, ANN)
        raw = redis.ask("GET", NAME)
        redis.ask("SET", NAME, spoil(raw), "PX", 100_000)
        assert one.shared.get("people", KEY).entries is None
        assert one.count("invalid") == 1
        one.find(KEY, ANN)
        assert one.shared.get("people", KEY).entries == (ANN,)


def test_a_value_of_another_key_is_not_there(redis: RedisServer) -> None:
    """A whole and correct value, copied to where somebody else's is looked for."""
    with Gateway(redis.url) as one:
        one.find(BOBS, BOB)
        redis.ask("COPY", value_key(PRINTS["people"], BOBS), NAME)
        assert one.shared.get("people", KEY).entries is None


@pytest.mark.parametrize("command", ["PERSIST", "PEXPIRE"])
def test_a_value_that_outlives_its_lifetime_is_not_there(redis: RedisServer, command: str) -> None:
    """Without an end, or with one beyond its ttl, it would be believed for ever."""
    with Gateway(redis.url) as one:
        one.find(KEY, ANN)
        redis.ask(command, NAME, *([400_000] if command == "PEXPIRE" else []))
        assert one.shared.get("people", KEY).entries is None


def test_a_value_that_claims_a_long_lifetime_lives_no_longer_than_our_own(
    redis: RedisServer,
) -> None:
    """found_ttl is the administrator's word, and not the server's."""
    with Gateway(redis.url) as one:
        one.find(KEY, ANN)
        read = json.loads(redis.ask("GET", NAME)) | {"ttl": 9e9}
        redis.ask("SET", NAME, json.dumps(read), "PX", 8_999_999_999_999)
        assert one.shared.get("people", KEY).left <= 300


@pytest.mark.parametrize("key", [NAME, EPOCH])
def test_a_key_of_another_kind_is_an_error_and_no_answer(redis: RedisServer, key: str) -> None:
    """WRONGTYPE: the directory is asked, and the value is written over; a flush mends a mark."""
    with Gateway(redis.url) as one:
        one.find(KEY, ANN)
        redis.ask("DEL", key)
        redis.ask("LPUSH", key, "x")
        assert one.shared.get("people", KEY).entries is None
        assert one.count("invalid") == 1
        if key == EPOCH:
            one.shared.purges.flush()
        until(lambda: one.shared.up)
        one.find(KEY, ANN)
        until(lambda: one.shared.get("people", KEY).entries == (ANN,))


def test_what_is_owed_grows_to_a_flush_and_no_further(own: Callable[..., RedisServer]) -> None:
    """More than a thousand addresses are owed as one flush: memory is bounded."""
    redis = own()
    with Gateway(redis.url) as one:
        one.find(KEY, ANN)
        redis.kill()
        with pytest.raises(OwedError):
            one.shared.purges.purge([f"a{n}@example.com" for n in range(1001)])
        redis.start()
        until(lambda: one.shared.up)
        assert redis.ask("EXISTS", "codomain:1:flush") == 1
        assert not one.shared.purges.owes


def test_the_fields_that_are_no_answers_do_not_keep_gateways_apart() -> None:
    """Name, time-outs, pool and order of the servers may differ; base and filter may not."""
    from codomain.config import DirectorySection  # noqa: PLC0415
    from codomain.sharedkeys import fingerprint  # noqa: PLC0415

    one = DirectorySection(name="ad", servers=("ldaps://a", "ldaps://b"), base="dc=x")
    same = replace(one, name="corp", servers=("ldaps://b", "ldaps://a"), timeout=1.0, pool_size=2)
    assert fingerprint(same) == fingerprint(one)
    for changes in ({"base": "dc=y"}, {"filter": "(mail=%s)"}, {"servers": ("ldaps://c",)}):
        assert fingerprint(replace(one, **changes)) != fingerprint(one)
