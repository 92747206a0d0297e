"""The form's answer: from what is known now, without a search, a call-out or a trace."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from codomain.callout.answer import Outcome
from codomain.callout.session import Said
from codomain.config import parse
from codomain.directory.base import Kind, Recipient
from codomain.finding import Inquiry
from codomain.metrics import Metrics
from codomain.runtime import Runtime
from codomain_cli.page.explaining import ADDRESS_CHARACTERS, explain
from codomain_cli.page.masks import DOTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from codomain_cli.page.explaining import Explained

INI = """\
[codomain]
postfix = off
postmaster = hostmaster@corp.example
[http]
show_addresses = {show}
[domain example.com]
type = shared
directory = people, ad
[domain corp.example]
type = authoritative
directory = people
[domain shadow.example]
type = authoritative
directory = people
mode = shadow
[policyd]
socketmap_listen =
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com, unix.example.net
allow_relay = yes
verify = callout
verify_control = root@unix.example.net
peers = 192.0.2.10
[directory people]
type = files
path = {people}
[directory ad]
type = ldap
servers = ldap://127.0.0.1:1
base = dc=corp
"""

PEOPLE = """\
dn: cn=Ann Smith,dc=example
objectClass: user
mailNickname: ann
proxyAddresses: SMTP:ann.smith@corp.example
proxyAddresses: smtp:ann@example.com

dn: cn=Bob,dc=example
objectClass: contact
mailNickname: bob
proxyAddresses: smtp:bob@example.com
targetAddress: SMTP:robert@unix.example.net
"""


def _never(*_: object, **__: object) -> NoReturn:
    raise AssertionError("something was asked")


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Runtime]]:
    """Give a maker of runtimes that must ask nobody."""
    people = tmp_path / "people.ldif"
    people.write_text(PEOPLE)
    made: list[Runtime] = []

    def build(show: str = "no") -> Runtime:
        config = parse(INI.format(people=people, show=show))
        runtime = Runtime(config, Metrics("0"), lookup=lambda _host: ())
        assert runtime.callouts is not None
        monkeypatch.setattr(runtime.flights, "fly", _never)
        monkeypatch.setattr(runtime.callouts, "fly", _never)
        for directory in runtime.directories.values():
            monkeypatch.setattr(directory, "find", _never)
        made.append(runtime)
        return runtime

    yield build
    for runtime in made:
        runtime.close()


def _of(
    runtime: Runtime, address: str, client: str = "", *, authenticated: bool = False
) -> Explained:
    before = runtime.metrics.answers(), dict(runtime.metrics.cache_sizes())
    lookups = [runtime.metrics.lookups(kind).count for kind in ("hit", "miss", "negative_hit")]
    found = explain(runtime, address, client, authenticated=authenticated)
    assert (runtime.metrics.answers(), dict(runtime.metrics.cache_sizes())) == before
    after = [runtime.metrics.lookups(kind).count for kind in ("hit", "miss", "negative_hit")]
    assert after == lookups
    return found


def test_files_are_known(make: Callable[[str], Runtime]) -> None:
    """A mailbox in a file: every step, and what each door says."""
    found = _of(make("yes"), "Ann@example.com", "198.51.100.7")
    assert (found.summary, found.tone) == ("Delivered on this host.", "good")
    assert found.standing == "a stranger"
    assert ("domain", "example.com: shared") in found.steps
    assert ("entry", "ann@example.com in people: cn=Ann Smith,dc=example") in found.steps
    assert ("policy server", "action=DUNNO") in found.doors
    assert [name for name, _ in found.doors][1:] == [
        "map recipient",
        "map alias",
        "map transport",
        "map access",
    ]


def test_what_a_directory_would_be_asked_stays_unknown(make: Callable[[str], Runtime]) -> None:
    """LDAP is not searched for a page; the cache is looked at."""
    runtime = make("no")
    found = _of(runtime, "nobody@example.com")
    assert found.summary == "Not in memory: directory ad would be asked."
    assert (found.tone, found.doors) == ("warn", [])
    now = time.monotonic()
    entry = Recipient("cn=New,dc=corp", Kind.MAILBOX, ("new@example.com",))
    runtime.cache.put(("ad", "nobody@example.com"), (entry,), now, runtime.cache.epoch)
    assert _of(runtime, "nobody@example.com").summary == "Delivered on this host."


def test_what_a_next_system_would_be_asked_stays_unknown(make: Callable[[str], Runtime]) -> None:
    """No call-out either; what it said lately is looked at."""
    runtime = make("no")
    key = "nobody@example.com"
    runtime.cache.put(("ad", key), (), time.monotonic(), runtime.cache.epoch)
    assert _of(runtime, key).summary == "Not in memory: the system behind unix would be asked."
    callouts = runtime.callouts
    assert callouts is not None
    said = Said(Outcome.UNKNOWN, "550 5.1.1")
    inquiry = Inquiry("unix", key, key)
    callouts.results.put(inquiry, said, time.monotonic(), callouts.results.epoch)
    found = _of(runtime, key)
    assert (found.summary.startswith("Refused: unknown"), found.tone) == (True, "bad")
    assert found.doors[0][1].startswith("action=550 5.1.1 ")


def test_an_entry_due_for_refresh_is_not_refreshed(make: Callable[[str], Runtime]) -> None:
    """`refresh_ahead` is for mail; :func:`_never` would be called."""
    runtime = make("no")
    entry = Recipient("cn=New,dc=corp", Kind.MAILBOX, ("new@example.com",))
    long_ago = time.monotonic() - runtime.config.cache.found_ttl * 0.85
    runtime.cache.put(("ad", "new@example.com"), (entry,), long_ago, runtime.cache.epoch)
    assert _of(runtime, "new@example.com").tone == "good"


@pytest.mark.parametrize("show", ["no", "yes"])
def test_people_are_named_only_where_that_is_set(make: Callable[[str], Runtime], show: str) -> None:
    """`show_addresses`: entry and target of whoever is asked for."""
    found = _of(make(show), "bob@example.com")
    whole = f"{found.summary} {found.steps} {found.doors}"
    assert ("cn=Bob" in whole) is (show == "yes")
    assert ("robert@" in whole) is (show == "yes")
    assert ("bob@example.com" in whole) is True
    assert (DOTS in whole) is (show == "no")


def test_the_client_decides_as_it_does_for_mail(make: Callable[[str], Runtime]) -> None:
    """A stranger, a trusted client, one that logged in, and a peer."""
    runtime = make("no")
    assert _of(runtime, "x@elsewhere.test", "198.51.100.7").summary == "Refused: relaying."
    assert _of(runtime, "x@elsewhere.test", "127.0.0.1").tone == "good"
    assert _of(runtime, "x@elsewhere.test", "::ffff:127.0.0.1").standing == "trusted"
    assert _of(runtime, "x@elsewhere.test", authenticated=True).standing == "trusted"
    assert _of(runtime, "x@corp.example", "192.0.2.10").standing == "peer of unix"


def test_shadow_mode_is_said(make: Callable[[str], Runtime]) -> None:
    """The verdict stands, and the mail passes."""
    found = _of(make("no"), "nobody@shadow.example")
    assert found.summary == (
        "Refused: unknown. In shadow mode this is only counted, and the mail passes."
    )


@pytest.mark.parametrize(
    "address", ["", "@", "a@", "\udcff@example.com", "<script>", "a\0b@x.test"]
)
def test_any_text_is_answered(make: Callable[[str], Runtime], address: str) -> None:
    """What is no address gets a verdict, too, as it does from a client."""
    assert _of(make("no"), address).summary


def test_nonsense_in_the_form_is_said(make: Callable[[str], Runtime]) -> None:
    """A client that is no address; a text longer than any."""
    runtime = make("no")
    assert "no IP address" in _of(runtime, "ann@example.com", "somewhere").fault
    assert "longer" in _of(runtime, "x" * (ADDRESS_CHARACTERS + 1)).fault


def test_a_local_index_gives_no_search_away(
    make: Callable[[str], Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ``peek`` takes one of the few searches that a lagging index may make; ``shown`` not."""
    runtime = make("no")
    directory = runtime.directories["ad"]
    monkeypatch.setattr(directory, "peek", _never)
    monkeypatch.setattr(directory, "shown", lambda _key: None, raising=False)
    assert _of(runtime, "x@example.com").summary == "Not in memory: directory ad would be asked."
    monkeypatch.setattr(directory, "shown", lambda _key: (), raising=False)
    assert "unix" in _of(runtime, "x@example.com").summary
