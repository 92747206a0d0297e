"""Each misconfiguration that KB 321721 and KB 823158 name: what check says, and what mail hears."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.postfix import STRANGER
from support.seedplay import EXCHANGE, OTHER, Play, play
from support.site import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from support.seeddirectory import SeedDirectory

INI = """\
[codomain]
postmaster = mailbox@xo.local

[domain xo.one]
type = shared
deliver_to = exchange

[domain xo.local]
type = authoritative
deliver_to = exchange

[connector exchange]
smart_hosts = [127.0.0.1]:{exchange}
peers = 192.168.1.20

[connector other]
smart_hosts = [127.0.0.1]:{other}
address_spaces = xo.one
allow_relay = yes
peers = 192.168.1.10
"""
CONNECTOR = INI[INI.index("[connector other]") :]

NORA = "nora@xo.one"
"""Somebody on the other system."""


class Wrong(NamedTuple):
    """One misconfiguration."""

    name: str
    """What is wrong, and where the articles say so."""

    old: str
    """What the right configuration says."""

    new: str
    """What the wrong one says in its place."""

    found: tuple[str, str, str]
    """What check finds: severity, section and key."""

    mail: tuple[tuple[str, str, str], ...] = ()
    """What a client hears about a recipient, where the daemon takes it."""


USABLE = [
    Wrong(
        "no connector covers the shared domain (KB 321721: it counts as relaying)",
        CONNECTOR,
        "",
        ("warning", "domain xo.one", ""),
        ((STRANGER, NORA, "554 5.7.1"), (EXCHANGE, NORA, "550 5.4.4")),
    ),
    Wrong(
        "the connector does not allow relaying (KB 321721: off until it is set)",
        "allow_relay = yes\n",
        "",
        ("warning", "domain xo.one", ""),
        ((STRANGER, NORA, "554 5.7.1"), (EXCHANGE, NORA, "250 2.1.5")),
    ),
    Wrong(
        "the connector covers another domain",
        "address_spaces = xo.one\n",
        "address_spaces = xo.two\n",
        ("warning", "domain xo.one", ""),
        ((STRANGER, NORA, "554 5.7.1"), (STRANGER, "nora@xo.two", "554 5.7.1")),
    ),
    Wrong(
        "the connector's domain is not accepted (KB 823158: no recipient policy names it)",
        "address_spaces = xo.one\n",
        "address_spaces = xo.one, remote.domain\n",
        ("warning", "connector other", "address_spaces"),
        ((STRANGER, "internetuser@remote.domain", "554 5.7.1"), (STRANGER, NORA, "250 2.1.5")),
    ),
    Wrong(
        "a catch-all in the shared domain: nothing reaches the other system",
        "type = shared\n",
        "type = shared\ncatch_all = mailbox@xo.local\n",
        ("warning", "domain xo.one", "catch_all"),
        ((STRANGER, NORA, "250 2.1.5"),),
    ),
    Wrong(
        "the organisation's own space is not authoritative (KB 823158)",
        "type = authoritative\n",
        "type = shared\n",
        ("advice", "codomain", ""),
        ((STRANGER, "nora@xo.local", "554 5.7.1"),),
    ),
    Wrong(
        "the remote domain's policy has a filter: people here are stamped with it (KB 321721)",
        "[connector other]\n",
        "[domain remote.domain]\ntype = relay\n[connector remote]\nallow_relay = yes\n"
        "smart_hosts = [127.0.0.1]:{remote}\naddress_spaces = remote.domain\n"
        "[policy default]\ndefault = yes\naddress_spaces = xo.local, xo.one\n"
        "[policy remote]\npriority = 1\nfilter = (mailNickname=*)\n"
        "address_spaces = remote.domain\n[connector other]\n",
        ("warning", "policy remote", "address_spaces"),
        # whatever address they get there leads to the other system
        ((STRANGER, "mailbox@remote.domain", "250 2.1.5"),),
    ),
    Wrong(
        "the smart host is the gateway itself: the mail would loop",
        "[127.0.0.1]:{other}",
        "[127.0.0.1]:{gateway}",
        ("error", "connector other", "smart_hosts"),
    ),
]
"""With these the daemon runs."""

UNUSABLE = [
    Wrong(
        "the shared domain is authoritative here (KB 321721: it cannot be shared)",
        "[domain xo.one]\ntype = shared",
        "[domain xo.one]\ntype = authoritative",
        ("error", "connector other", "address_spaces"),
    ),
    Wrong(
        "the connector is for everything, and relays: an open relay",
        "address_spaces = xo.one",
        "address_spaces = *",
        ("error", "connector other", "address_spaces"),
    ),
    Wrong(
        "the address space is written with @",
        "address_spaces = xo.one",
        "address_spaces = @xo.one",
        ("error", "connector other", "address_spaces"),
    ),
    Wrong(
        "the smart host is an address without brackets",
        "[127.0.0.1]:{other}",
        "192.168.1.10",
        ("error", "connector other", "smart_hosts"),
    ),
    Wrong(
        "the remote domain is authoritative, and a connector leads there",
        "[connector other]\n",
        "[domain remote.domain]\ntype = authoritative\n[connector remote]\nallow_relay = yes\n"
        "smart_hosts = [192.0.2.60]\naddress_spaces = remote.domain\n[connector other]\n",
        ("error", "connector remote", "address_spaces"),
    ),
    Wrong(
        "a policy says that the shared domain is authoritative (KB 823158: the flags differ)",
        "[connector other]\n",
        "[policy default]\ndefault = yes\naddress_spaces = xo.local, xo.one\n"
        "authoritative = xo.local, xo.one\n[connector other]\n",
        ("error", "policy default", "authoritative"),
    ),
    Wrong(
        "the default policy's primary domain is the shared one",
        "[connector other]\n",
        "[policy default]\ndefault = yes\naddress_spaces = xo.one, xo.local\n[connector other]\n",
        ("error", "policy default", "primary"),
    ),
]
"""With these it does not start, and keeps what it has at a reload."""


@pytest.fixture(scope="module")
def seed(directory: SeedDirectory) -> Iterator[Play]:
    """Give the gateway."""
    with play(INI, directory.keys) as running:
        running.ports["gateway"] = running.lab.gateway.postfix.port
        yield running


def check(play: Play) -> tuple[int, set[tuple[str, str, str]]]:
    """Run ``codomain check``; return its status, and severity, section and key of all it found."""
    done = run("check", "--json", "--config", play.lab.gateway.ini)
    found = json.loads(done.stdout)["findings"]
    return done.returncode, {(one["severity"], one["section"], one["key"]) for one in found}


def told(play: Play, client: str, recipient: str) -> str:
    """Return code and enhanced code for a recipient."""
    return play.lab.reply(client, recipient)[:9]


@pytest.mark.parametrize("wrong", USABLE, ids=[wrong.name[:40] for wrong in USABLE])
def test_what_can_be_used_is_found_and_said(seed: Play, wrong: Wrong) -> None:
    """Check names section and key, and mail is refused in the words that the seed has for it."""
    assert wrong.old in INI
    seed.configure(INI.replace(wrong.old, wrong.new, 1))
    status, found = check(seed)
    assert wrong.found in found
    assert status == {"error": 78, "warning": 1, "advice": status}[wrong.found[0]]
    for client, recipient, reply in wrong.mail:
        assert told(seed, client, recipient) == reply, recipient


@pytest.mark.parametrize("wrong", UNUSABLE, ids=[wrong.name[:40] for wrong in UNUSABLE])
def test_what_cannot_be_used_changes_nothing(seed: Play, wrong: Wrong) -> None:
    """The start is refused with a line; at a reload the configuration in force stays."""
    assert wrong.old in INI
    seed.configure(INI)
    assert wrong.found not in check(seed)[1]
    seed.write(INI.replace(wrong.old, wrong.new, 1))
    status, found = check(seed)
    assert (status, wrong.found in found) == (78, True), found
    seed.reload('"reload failed"')
    assert told(seed, STRANGER, NORA) == "250 2.1.5"
    assert told(seed, STRANGER, "nora@xo.local") == "550 5.1.1"
    done = run("serve", "--config", seed.lab.gateway.ini)
    assert done.returncode == 78


def test_only_one_system_may_be_authoritative(seed: Play) -> None:
    """KB 823158: marked authoritative here, all mail of the other system's people is refused."""
    wrong = INI.replace("[domain xo.one]\ntype = shared", "[domain xo.one]\ntype = authoritative")
    seed.configure(wrong.replace("address_spaces = xo.one\n", ""))
    assert told(seed, STRANGER, NORA) == "550 5.1.1"
    assert told(seed, EXCHANGE, NORA) == "550 5.1.1"
    assert told(seed, STRANGER, "mailbox@xo.one") == "250 2.1.5"


def test_without_a_connector_the_mx_is_tried_where_that_is_told(seed: Play) -> None:
    """KB 823158: where neither is there nobody can deliver it, so it must be meant."""
    without = INI.replace(CONNECTOR, "")
    seed.configure(without)
    assert told(seed, STRANGER, NORA) == "554 5.7.1"
    told_so = without.replace("type = shared", "type = shared\nfallback = mx", 1)
    seed.configure(told_so)
    assert told(seed, STRANGER, NORA) == told(seed, EXCHANGE, NORA) == "250 2.1.5"
    assert told(seed, STRANGER, "nora@xo.local") == "550 5.1.1"
    # Where there is a connector it is the way, and the MX is not asked.
    seed.configure(told_so + CONNECTOR)
    sent = seed.lab.send(STRANGER, NORA)
    assert seed.lab.arrivals(sent.token, 1) == [("other", NORA)]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("luser_relay", "catch@xo.local"),
        ("fallback_transport", "smtp:[192.168.1.10]"),
        ("mailbox_transport", "smtp:[192.168.1.10]"),
    ],
)
def test_another_way_of_forwarding_the_unresolved_is_found(
    seed: Play, parameter: str, value: str
) -> None:
    """KB 321721: "forward all mail with unresolved recipients to host" must be removed."""
    seed.configure(INI)
    with parameters(seed, {parameter: value}):
        status, found = check(seed)
        assert ("warning", "", parameter) in found
        assert status == 1
        # It is for the accounts of this host: our domains are none of local(8)'s.
        sent = seed.lab.send(STRANGER, NORA)
        assert seed.lab.arrivals(sent.token, 1) == [("other", NORA)]


def test_a_catch_all_of_postfix_takes_the_other_systems_mail(seed: Play) -> None:
    """The same forwarding by virtual_alias_maps: it goes past the decision, and check says so."""
    seed.configure(INI)
    table = seed.lab.gateway.folder / "virtual"
    table.write_text("@xo.one mailbox@xo.local\n")
    value = f"${{codomain_map}}:alias, texthash:{table}"
    with parameters(seed, {"virtual_alias_maps": value}):
        status, found = check(seed)
        assert ("warning", "", "@xo.one") in found
        assert status == 1
        sent = seed.lab.send(STRANGER, NORA)
        assert seed.lab.arrivals(sent.token, 1) == [("exchange", "mailbox@xo.local")]


class parameters:  # noqa: N801 - used as a function is
    """Parameters of main.cf, for the time of a block."""

    def __init__(self, play: Play, changed: dict[str, str]) -> None:
        self._postfix = play.lab.gateway.postfix
        self._main = self._postfix.config / "main.cf"
        self._before = self._main.read_text()
        self._changed = changed

    def __enter__(self) -> None:
        for name, value in self._changed.items():
            self._postfix.run("postconf", "-c", f"{self._postfix.config}", "-e", f"{name}={value}")
        self._reload()

    def __exit__(self, *_: object) -> None:
        self._main.write_text(self._before)
        self._reload()

    def _reload(self) -> None:
        self._postfix.settle()
        self._postfix.command("reload")


@pytest.fixture
def contact(directory: SeedDirectory) -> Iterator[SeedDirectory]:
    """Give the directory, and take what a test put there away again."""
    added: list[str] = []
    add = directory.server.add

    def remember(dn: str, attributes: dict[str, Sequence[str]]) -> None:
        add(dn, attributes)
        added.append(dn)

    directory.server.add = remember
    yield directory
    directory.server.add = add
    for dn in added:
        directory.delete(dn)


def test_a_contact_without_a_target_is_deferred(seed: Play, contact: SeedDirectory) -> None:
    """KB 321721, method 2: its mail would lead nowhere; somebody must mend it first."""
    seed.configure(INI)
    contact.add("No target", "contact", mailNickname="nt", proxyAddresses=["smtp:nt@xo.one"])
    assert told(seed, STRANGER, "nt@xo.one") == "451 4.3.5"


def test_an_address_of_two_contacts_is_deferred(seed: Play, contact: SeedDirectory) -> None:
    """Never guess: two claim it."""
    seed.configure(INI)
    for name in ("Twin", "Other twin"):
        contact.add(
            name, "contact", mailNickname=name.split()[-1],
            targetAddress=f"SMTP:{name.split()[0]}@remote.domain",
            proxyAddresses=["smtp:twin@xo.one"],
        )  # fmt: skip
    assert told(seed, STRANGER, "twin@xo.one") == "451 4.3.5"


@pytest.mark.parametrize(
    ("extra", "reply"),
    [
        # nobody accepts the domain, and no connector leads there
        ("", "554 5.7.1"),
        # a connector, but relaying is not allowed
        (("\n[connector remote]\nsmart_hosts = [127.0.0.1]:{remote}\n"
         "address_spaces = remote.domain\n"), "554 5.7.1"),
        # the domain is accepted, and no connector covers it
        ("\n[domain remote.domain]\ntype = relay\n", "554 5.7.1"),
        # as it should be
        (("\n[domain remote.domain]\ntype = relay\n\n[connector remote]\n"
         "smart_hosts = [127.0.0.1]:{remote}\naddress_spaces = remote.domain\n"
         "allow_relay = yes\n"), "250 2.1.5"),
    ],
    ids=["neither", "no relaying", "no connector", "both"],
)  # fmt: skip
def test_a_contacts_domain_needs_its_connector(
    seed: Play, contact: SeedDirectory, extra: str, reply: str
) -> None:
    """KB 321721, method 2: the remote domain is accepted, and a connector leads there."""
    contact.add(
        "Con", "contact", mailNickname="con", targetAddress="SMTP:con@remote.domain",
        proxyAddresses=["SMTP:con@remote.domain", "smtp:con@xo.one"],
    )  # fmt: skip
    seed.configure(INI + extra)
    assert told(seed, STRANGER, "con@xo.one") == reply


def test_a_csv_that_makes_no_contact_is_refused(
    seed: Play, directory: SeedDirectory, tmp_path: Path
) -> None:
    """KB 321721 on the seed's own line: each fault is named with its line, and nothing is made."""
    seed.configure(INI)
    head, line, *_ = directory.csv.read_text().splitlines()
    primary, target = "SMTP:internetUser@remote.domain;", ",SMTP:internetUser@remote.domain,"
    faults = [
        (line.removesuffix("internetuser"), "no mailNickname"),
        (line.replace(target, ",,"), "no targetAddress"),
        (line.replace(primary, primary.lower()), "one primary address"),
        (line.replace("smtp:internetuser@", "SMTP:internetuser@"), "one primary address"),
        (line.replace("contact,", "user,", 1), "only contacts are written"),
        (line, "the target internetUser@remote.domain is not allowed"),
    ]
    bad = tmp_path / "bad.csv"
    lines = [
        text.replace("Internet User", f"User {number}") for number, (text, _) in enumerate(faults)
    ]
    bad.write_text("\n".join([head, *lines, ""]))
    done = run("contacts", "check", bad, "--create-ou", "--config", seed.lab.gateway.ini)
    assert done.returncode == 1, done
    refused = [said for said in done.stdout.splitlines() if said.startswith("refused")]
    assert len(refused) == len(faults)
    for number, ((_, why), said) in enumerate(zip(faults, refused, strict=True)):
        assert f"{bad}:{number + 2}: cn=User {number}," in said
        assert why in said


def test_a_contact_whose_target_is_the_shared_domain_itself_goes_round_nowhere(
    seed: Play, contact: SeedDirectory
) -> None:
    """KB 321721: the target lies in a domain of that one system; else it leads out, or nowhere."""
    seed.configure(INI)
    contact.add(
        "Self", "contact", mailNickname="self", targetAddress="SMTP:self@xo.one",
        proxyAddresses=["SMTP:self@xo.one"],
    )  # fmt: skip
    contact.add(
        "Private", "contact", mailNickname="private", targetAddress="SMTP:nobody@xo.local",
        proxyAddresses=["SMTP:nobody2@remote.domain", "smtp:private@xo.one"],
    )  # fmt: skip
    sent = seed.lab.send(STRANGER, "self@xo.one")
    assert seed.lab.arrivals(sent.token, 1) == [("other", "self@xo.one")]
    assert told(seed, OTHER, "self@xo.one") == "554 5.4.6"
    assert told(seed, STRANGER, "private@xo.one") == "550 5.1.1"


def test_the_other_system_is_no_stranger_but_no_trusted_client_either(seed: Play) -> None:
    """A peer sends to the shared domains, and not to the world."""
    seed.configure(INI)
    assert told(seed, OTHER, "mailbox@xo.one") == "250 2.1.5"
    assert told(seed, OTHER, "someone@elsewhere.test") == "554 5.7.1"
