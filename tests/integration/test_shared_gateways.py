"""Two daemons on one redis-server, beside a real slapd: what one knows, the other answers."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.redis import RedisServer, Settings
from support.site import SECONDS, Site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.slapd import Slapd

NEW = "cn=New,dc=example,dc=com"
PERSON = {"objectClass": ["inetOrgPerson"], "cn": ["New"], "sn": ["New"]}
HIT = 'codomain_shared_cache_requests_total{result="hit"}'
FOUND = 'codomain_directory_requests_total{directory="people",result="found"}'
REDIRECTS = """
[domain unix.example.net]
type = relay
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = unix.example.net
allow_relay = yes
"""


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server of one's own."""
    with RedisServer(tmp_path_factory.mktemp("r"), Settings()) as server:
        yield server


@pytest.fixture
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Site]:
    """Give two gateways; socket paths must be short."""
    return Site(tmp_path_factory.mktemp("s")), Site(tmp_path_factory.mktemp("s"))


def up(site: Site, redis: RedisServer) -> bool:
    """Tell whether a gateway uses the second level."""
    return site.metric(f'codomain_shared_cache_up{{server="{redis.url}"}}') == 1


def answers(site: Site, recipient: str, reply: str) -> None:
    """Ask until the answer is there: on a busy machine a look-up may take more than its 50 ms.

    The directory is down meanwhile, so a look-up that failed is a 451, and nothing else.
    """
    end = time.monotonic() + SECONDS
    while not (answer := site.ask(recipient)).startswith(f"action={reply}"):
        assert answer.startswith("action=451 4.4.3 "), answer
        assert time.monotonic() < end, answer
        time.sleep(0.1)


def person(mail: str) -> dict[str, list[str]]:
    """Give the attributes of somebody new."""
    return PERSON | {"mail": [mail]}


def test_what_one_gateway_found_the_other_answers_without_asking(
    redis: RedisServer, sites: tuple[Site, Site], new_slapd: Callable[..., Slapd]
) -> None:
    """The directory is gone before the other one is asked: its answer is a hit, and right."""
    slapd = new_slapd()
    slapd.add(NEW, person("new@example.com"))
    one, other = sites
    for site in sites:
        site.write_ldap(slapd.ldap, f"shared = {redis.url}\nfailed_ttl = 1s")
    with one.serve(), other.serve():
        until(lambda: up(one, redis) and up(other, redis))
        assert one.ask("new@example.com") == "action=DUNNO"
        assert one.ask("nobody@example.com").startswith("action=550 5.1.1 ")
        slapd.stop()
        answers(other, "new@example.com", "DUNNO")
        answers(other, "nobody@example.com", "550 5.1.1 ")
        assert other.ask("never@example.com").startswith("action=451 4.4.3 ")
        assert other.metric(HIT) == 2
        assert other.metric(FOUND) == 0
        assert (one.metric(FOUND), one.metric(HIT)) == (1, 0)


def test_a_purge_on_one_gateway_is_seen_at_the_other_within_a_second(
    redis: RedisServer, sites: tuple[Site, Site], new_slapd: Callable[..., Slapd]
) -> None:
    """A mailbox made a second ago works at both after one command: verdicts go, too."""
    slapd = new_slapd()
    one, other = sites
    for site in sites:
        site.write_ldap(slapd.ldap, f"shared = {redis.url}\nnot_found_ttl = 1h")
    with one.serve(), other.serve():
        until(lambda: up(one, redis) and up(other, redis))
        for site in sites:
            assert site.ask("new@example.com").startswith("action=550 5.1.1 ")
        slapd.add(NEW, person("new@example.com"))
        for site in sites:
            assert site.ask("new@example.com").startswith("action=550 5.1.1 ")
        done = one.run("cache", "purge", "New@Example.COM")
        told = time.monotonic()
        assert done.returncode == 0, done.stderr
        assert one.ask("new@example.com") == "action=DUNNO"
        until(lambda: other.ask("new@example.com") == "action=DUNNO")
        assert time.monotonic() - told < 1
        slapd.delete(NEW)
        assert one.run("cache", "flush").returncode == 0
        told = time.monotonic()
        for site in sites:
            until(lambda: site.ask("new@example.com").startswith("action=550 5.1.1 "))  # noqa: B023
        assert time.monotonic() - told < 1


def poison(redis: RedisServer, key: str, spoil: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Put a value of our own in the place of one that a gateway put."""
    (name,) = [name for name in redis.names() if name.endswith(b":" + key.encode())]
    value = spoil(json.loads(redis.ask("GET", name)))
    redis.ask("SET", name, json.dumps(value), "KEEPTTL")


def contact(target: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Make an entry a contact, in a value that is correct in every way."""

    def spoil(value: dict[str, Any]) -> dict[str, Any]:
        entry = value["entries"][0] | {"kind": "contact", "target": target}
        return value | {"entries": [entry]}

    return spoil


def test_a_poisoned_value_cannot_open_the_relay(
    redis: RedisServer, sites: tuple[Site, Site], new_slapd: Callable[..., Slapd]
) -> None:
    """Where a target may lead is decided as for every entry: never to a foreign domain.

    The last one shows that the poison is taken at all: its target is ours, and allowed.
    """
    slapd = new_slapd()
    names = ["pia", "pam", "pat", "peg", "pip"]
    for name in names:
        slapd.add(f"cn={name},dc=example,dc=com", person(f"{name}@example.com") | {"cn": [name]})
    one, other = sites
    for site in sites:
        site.write_ldap(slapd.ldap, f"shared = {redis.url}\nfailed_ttl = 1s", more=REDIRECTS)
    with one.serve(), other.serve():
        until(lambda: up(one, redis) and up(other, redis))
        for name in names:
            assert one.ask(f"{name}@example.com") == "action=DUNNO"
        poison(redis, "pia@example.com", contact("pia@evil.test"))
        poison(redis, "pam@example.com", contact("pam%evil.test@unix.example.net"))
        poison(redis, "pat@example.com", contact("@unix.example.net:pat@evil.test"))
        poison(redis, "peg@example.com", lambda value: value | {"key": "pia@example.com"})
        poison(redis, "pip@example.com", contact("pip@unix.example.net"))
        slapd.stop()
        answers(other, "pia@example.com", "554 5.7.1 ")
        # adr 8: an entry that cannot be used
        answers(other, "pam@example.com", "451 4.3.5 ")
        # No values at all: the directory is asked, and it is not there.
        answers(other, "pat@example.com", "451 4.4.3 ")
        answers(other, "peg@example.com", "451 4.4.3 ")
        answers(other, "pip@example.com", "DUNNO")
        assert other.metric(HIT) == 3
        invalid = 'codomain_shared_cache_requests_total{result="invalid"}'
        assert other.metric(invalid) == 2


def test_a_dead_server_and_a_dead_directory_leave_what_is_known(
    redis: RedisServer, sites: tuple[Site, Site], new_slapd: Callable[..., Slapd]
) -> None:
    """Stale answers of this process serve when directory and server are both down."""
    slapd = new_slapd()
    slapd.add(NEW, person("new@example.com"))
    one, other = sites
    for site in sites:
        site.write_ldap(slapd.ldap, f"shared = {redis.url}\nfailed_ttl = 1s", keys="timeout = 1s")
    with one.serve(), other.serve() as daemon:
        until(lambda: up(one, redis) and up(other, redis))
        assert one.ask("new@example.com") == "action=DUNNO"
        assert other.ask("new@example.com") == "action=DUNNO"
        assert other.metric(HIT) == 1
        redis.pause()
        slapd.stop()
        daemon.wait_for_log("shared cache down")
        # It came shared, so it is not believed any more; and nobody can be asked.
        assert other.ask("new@example.com") == "action=DUNNO"
        assert one.ask("new@example.com") == "action=DUNNO"
        assert other.get("/healthz")[0] == 200
        redis.kill()
        slapd.start()
        until(lambda: other.ask("nobody@example.com").startswith("action=550 5.1.1 "))
        redis.start()
        until(lambda: up(other, redis))
        assert daemon.logged().count("shared cache down") == 1


def test_a_dead_server_makes_no_gateway_unready(
    redis: RedisServer, sites: tuple[Site, Site], new_slapd: Callable[..., Slapd]
) -> None:
    """It answers from its directory: /readyz stays 200, and status says what is down."""
    slapd = new_slapd()
    site = sites[0]
    site.write_ldap(slapd.ldap, f"shared = {redis.url}")
    with site.serve() as daemon:
        until(lambda: up(site, redis))
        until(lambda: site.get("/readyz")[0] == 200)
        redis.kill()
        daemon.wait_for_log("shared cache down")
        assert site.get("/readyz")[0] == 200
        assert site.ask("nobody@example.com").startswith("action=550 5.1.1 ")
        shared = site.tell("status")["shared"]
        assert (shared["server"], shared["up"]) == (redis.url, False)
        assert shared["detail"]
        done = site.run("cache", "purge", "nobody@example.com")
        assert done.returncode == 75
        assert "the other gateways hear of it" in done.stderr


def test_a_reload_keeps_the_second_level_or_brings_another(
    redis: RedisServer, sites: tuple[Site, Site], new_slapd: Callable[..., Slapd]
) -> None:
    """The same directories: the same connections; other ones: other keys, and new connections."""
    slapd = new_slapd()
    slapd.add(NEW, person("new@example.com"))
    site = sites[0]
    site.write_ldap(slapd.ldap, f"shared = {redis.url}")
    with site.serve() as daemon:
        until(lambda: up(site, redis))
        assert site.ask("new@example.com") == "action=DUNNO"
        mine = redis.ask("CLIENT", "LIST", "TYPE", "pubsub")
        daemon.reload()
        daemon.wait_for_log("configuration in force", 2)
        until(lambda: site.tell("status")["shared"]["up"])
        assert len(redis.ask("CLIENT", "LIST", "TYPE", "pubsub").splitlines()) == 1
        assert redis.ask("CLIENT", "LIST", "TYPE", "pubsub").split()[0] == mine.split()[0]
        site.write_ldap(slapd.ldap, f"shared = {redis.url}", keys="scope = onelevel")
        daemon.reload()
        daemon.wait_for_log("configuration in force", 3)
        until(lambda: len(redis.ask("CLIENT", "LIST", "TYPE", "pubsub").splitlines()) == 2)
        until(lambda: site.tell("status")["shared"]["up"])
        assert site.ask("new@example.com") == "action=DUNNO"
        assert len([name for name in redis.names() if name.endswith(b":new@example.com")]) == 2
        until(lambda: len(redis.ask("CLIENT", "LIST", "TYPE", "pubsub").splitlines()) == 1)
