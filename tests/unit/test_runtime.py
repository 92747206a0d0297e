"""Rules of the runtime: what a reload keeps, what it drops, and what shadow mode is asked for."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from typing import TYPE_CHECKING

import pytest

from codomain.config import parse
from codomain.errors import RecordError
from codomain.metrics import Metrics
from codomain.runtime import InForce, Runtime
from support.decisions import entry, no_lookup, question, told
from support.searching import BOUND, INI, Searched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = ("people", "ann@corp.local")
ANN = entry("ann@corp.local")
OTHER_DIRECTORY = INI.replace("base = dc=corp", "base = dc=other,dc=corp")

FILES = """
[domain corp.local]
type = authoritative
[directory people]
type = files
path = {people}
"""


@pytest.fixture
def make() -> Iterator[Callable[..., Runtime]]:
    """Build runtimes, and close them at the end."""
    made: list[Runtime] = []

    def build(ini: str = INI, before: Runtime | None = None) -> Runtime:
        runtime = Runtime(parse(ini), Metrics("0"), before=before, lookup=no_lookup)
        made.append(runtime)
        return runtime

    yield build
    for runtime in made:
        runtime.close()


def test_every_runtime_has_a_generation_of_its_own(make: Callable[..., Runtime]) -> None:
    """Configuration, resolver and a generation number are one object."""
    assert len({make().generation for _ in range(3)}) == 3


def test_a_directory_that_is_down_at_start_is_no_error(make: Callable[..., Runtime]) -> None:
    """It is asked when it is needed, and heals by itself."""
    runtime = make(INI.replace("ldaps://dc1.corp.local", "ldap://127.0.0.1:1"))
    assert list(runtime.directories) == ["people"]


def test_a_reload_keeps_the_cache_where_no_directory_changed(make: Callable[..., Runtime]) -> None:
    """The cache is kept unless a directory changed."""
    old = make()
    old.cache.put(KEY, (ANN,), time.monotonic(), old.cache.epoch)
    new = make(INI.replace("type = authoritative", "type = authoritative\nsubdomains = yes"), old)
    assert new.cache is old.cache
    assert new.cache.get(KEY, time.monotonic()) is not None


def test_a_reload_keeps_that_a_directory_is_down(make: Callable[..., Runtime]) -> None:
    """Who is known does not wait for it anew; of another directory nothing is known yet."""
    old = make()
    old.flights.unanswered("people")
    assert make(INI, old).flights.is_down("people")
    assert not make(OTHER_DIRECTORY, old).flights.is_down("people")


@pytest.mark.parametrize("ini", [OTHER_DIRECTORY, INI + "[cache]\nfound_ttl = 1m\n"])
def test_a_reload_drops_the_cache_where_a_directory_or_a_lifetime_changed(
    make: Callable[..., Runtime], ini: str
) -> None:
    """What another directory said is worth nothing."""
    old = make()
    old.cache.put(KEY, (ANN,), time.monotonic(), old.cache.epoch)
    new = make(ini, old)
    assert new.cache is not old.cache
    assert new.cache.get(KEY, time.monotonic()) is None


@pytest.mark.parametrize("ini", [INI, OTHER_DIRECTORY])
def test_a_flight_that_a_reload_overtook_stores_nothing(
    make: Callable[..., Runtime], ini: str
) -> None:
    """A flight stores only into the runtime in which it began."""

    async def test() -> None:
        old = make()
        directory = Searched(ANN)
        old.flights._directories = {"people": directory}
        directory.gate.clear()
        flight = old.flights.fly(KEY)
        assert await asyncio.to_thread(directory.arrived.acquire, timeout=BOUND)
        new = make(ini, old)
        directory.gate.set()
        assert await flight == (ANN,)
        assert new.cache.get(KEY, time.monotonic()) is None

    asyncio.run(asyncio.wait_for(test(), BOUND))


def test_a_replaced_runtime_goes_without_a_full_collection(tmp_path: Path) -> None:
    """A reload collects only what is young, as requests go on: what it replaces has no cycle."""
    people = tmp_path / "people.ldif"
    people.write_text("dn: cn=ann\nobjectClass: user\nmail: ann@corp.local\n")
    metrics, ini = Metrics("0"), FILES.format(people=people)
    gc.disable()
    try:
        before = Runtime(parse(ini), metrics, lookup=no_lookup)
        gone: list[weakref.ref[object]] = [
            weakref.ref(before),
            weakref.ref(before.directories["people"]),
        ]
        after = Runtime(parse(f"{ini}skip_bad_records = yes\n"), metrics, before=before)
        before.close()
        del before
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()
    after.close()


def test_a_bad_file_makes_no_runtime_and_leaves_the_old_one(
    make: Callable[..., Runtime], tmp_path: Path
) -> None:
    """The whole configuration is read and checked first; if it is bad, the old one stays."""
    people = tmp_path / "people.ldif"
    ini = FILES.format(people=people)
    people.write_text("dn: cn=ann\nmail: ann@corp.local\n")
    old = make(ini)
    people.write_text("dn: cn=ann\nmail: nobody\n")
    with pytest.raises(RecordError, match=r"people\.ldif:1"):
        make(ini, old)
    answer = old.resolver.peek(question("ann@corp.local"))
    assert answer is not None
    assert told(answer.verdict) == "Deliver ann@corp.local"


def test_a_reload_reads_the_files_again(make: Callable[..., Runtime], tmp_path: Path) -> None:
    """A new runtime knows the new people, the old one the old ones."""
    people = tmp_path / "people.ldif"
    ini = FILES.format(people=people)
    people.write_text("dn: cn=ann\nmail: ann@corp.local\n")
    old = make(ini)
    people.write_text("dn: cn=bea\nmail: bea@corp.local\n")
    new = make(ini, old)
    verdicts = []
    for runtime in (old, new):
        for name in ("ann", "bea"):
            answer = runtime.resolver.peek(question(f"{name}@corp.local"))
            assert answer is not None
            verdicts.append(told(answer.verdict))
    assert verdicts == [
        *("Deliver ann@corp.local", "Refuse unknown", "Refuse unknown", "Deliver bea@corp.local")
    ]


def test_a_purge_forgets_an_address_in_every_directory(make: Callable[..., Runtime]) -> None:
    """What `cache purge ADDRESS` does."""
    more = "[directory more]\ntype = ldap\nservers = ldaps://dc2.corp.local\nbase = dc=x\n"
    runtime = make(INI + more)
    for directory in ("people", "more"):
        runtime.cache.put((directory, KEY[1]), (ANN,), time.monotonic(), runtime.cache.epoch)
    assert runtime.purge(KEY[1]) == 2
    assert runtime.purge(KEY[1]) == 0


def test_labels_are_configured_domains_only(make: Callable[..., Runtime]) -> None:
    """Metrics: domain labels are configured domains, the rest `other`."""
    runtime = make(INI + "[domain wide.test]\nsubdomains = yes\n")
    assert runtime.label("corp.local") == "corp.local"
    assert runtime.label("a.b.wide.test") == "wide.test"
    assert runtime.label("a.corp.local") == "other"
    assert runtime.label("") == "other"


def test_every_domain_of_ours_is_in_one_of_the_two_domain_maps(
    make: Callable[..., Runtime],
) -> None:
    """Maps: `domain` (relay, or with a deliver_to), `mailbox-domain` (all others); never both."""
    runtime = make(
        INI + "[domain relay.test]\ntype = relay\n[domain wide.test]\nsubdomains = yes\n"
    )
    kinds = {
        "example.com": "relay",
        "relay.test": "relay",
        "corp.local": "mailbox",
        "wide.test": "mailbox",
        "a.wide.test": "mailbox",
        "elsewhere.test": None,
        "": None,
    }
    assert {domain: runtime.domain_kind(domain) for domain in kinds} == kinds


SHADOW = """
[codomain]
mode = {mode}
[policyd]
socketmap_listen =
[domain quiet.test]
mode = shadow
[domain loud.test]
mode = enforce
[domain plain.test]
[context quiet]
mode = shadow
[context loud]
mode = enforce
[context plain]
"""


@pytest.mark.parametrize(
    ("mode", "domain", "context", "shadow"),
    [
        ("enforce", "plain.test", "", False),
        ("shadow", "plain.test", "", True),
        ("enforce", "quiet.test", "", True),
        ("shadow", "loud.test", "", False),
        ("enforce", "plain.test", "quiet", True),
        ("shadow", "plain.test", "loud", False),
        ("shadow", "plain.test", "plain", True),
        ("enforce", "plain.test", "unknown", False),
        ("enforce", "elsewhere.test", "", False),
        ("shadow", "elsewhere.test", "", True),
    ],
)
def test_the_mode_is_that_of_the_context_the_domain_or_the_whole(
    make: Callable[..., Runtime], mode: str, domain: str, context: str, *, shadow: bool
) -> None:
    """config.md, mode: of a domain and of a context; default: [codomain] mode."""
    runtime = make(SHADOW.format(mode=mode))
    assert runtime.shadow(question(f"ann@{domain}", context=context)) is shadow


def test_closing_lets_go_of_the_directories(make: Callable[..., Runtime]) -> None:
    """Connections and threads of a configuration end with it."""
    runtime = make()
    directory = Searched()
    runtime.directories = {"people": directory}
    runtime.close()
    assert directory.closed


def test_a_swap_is_one_assignment(make: Callable[..., Runtime]) -> None:
    """A request reads it once and finishes with it."""
    old, new = make(), make()
    in_force = InForce(old)
    read = in_force.runtime
    in_force.runtime = new
    assert (read, in_force.runtime) == (old, new)
