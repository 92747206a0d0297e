"""KB 321721, method 2, played: sharing by contacts, with the seed's own csvde line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.postfix import STRANGER
from support.seedplay import GATEWAY, REMOTE, SECOND, Play, play
from support.site import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.seeddirectory import SeedDirectory

DOMAINS = """\
[codomain]
postmaster = mailbox@xo.local

[domain xo.one]
type = shared
deliver_to = exchange

[domain xo.local]
type = authoritative
deliver_to = exchange

[domain remote.domain]
type = {kind}

[domain second.domain]
type = {kind}

[connector exchange]
smart_hosts = [127.0.0.1]:{{exchange}}
peers = 192.168.1.20

[connector other]
smart_hosts = [127.0.0.1]:{{other}}
address_spaces = xo.one
allow_relay = yes
peers = 192.168.1.10

[policy default]
default = yes
address_spaces = xo.local, xo.one

[policy remote]
address_spaces = remote.domain, second.domain
"""
TOGETHER = """
[connector remote]
smart_hosts = [127.0.0.1]:{{remote}}
address_spaces = remote.domain, second.domain
allow_relay = yes
peers = 192.0.2.60
"""
"""One connector for both remote domains."""

APART = """
[connector remote]
smart_hosts = [127.0.0.1]:{{remote}}
address_spaces = remote.domain
allow_relay = yes
peers = 192.0.2.60

[connector second]
smart_hosts = [127.0.0.1]:{{second}}
address_spaces = second.domain
allow_relay = yes
peers = 192.0.2.61
"""
"""A connector for each."""

CONTACT = "cn=Internet User,ou=internet users"


def ini(kind: str = "relay", *, connectors: str = TOGETHER) -> str:
    """Return a configuration; the ports are put in later."""
    return (DOMAINS + connectors).format(kind=kind)


@pytest.fixture(scope="module")
def seed(directory: SeedDirectory) -> Iterator[Play]:
    """Give the gateway, with the seed's line imported as it stands and a second contact."""
    directory.add(
        "Second User",
        "contact",
        mailNickname="second",
        mail="second@second.domain",
        targetAddress="SMTP:second@second.domain",
        proxyAddresses=["SMTP:second@second.domain", "smtp:second@xo.one"],
    )
    # As shared: main.cf then has the lines of both classes, whatever is in force later.
    with play(ini("shared"), directory.keys) as running:
        # OpenLDAP's contact has no attribute "name"; Active Directory makes it itself.
        done = run(
            "contacts", "import", directory.csv, "--apply", "--create-ou", "--leave-out", "name",
            "--config", running.lab.gateway.ini,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        yield running


def arrives(play: Play, recipient: str, *, client: str = STRANGER) -> list[tuple[str, str]]:
    """Send to one recipient; return where it arrived."""
    sent = play.lab.send(client, recipient)
    assert sent.replies[0].startswith("250"), sent.replies
    return play.lab.arrivals(sent.token, 1)


def told(play: Play, client: str, recipient: str) -> str:
    """Return code and enhanced code for a recipient."""
    return play.lab.reply(client, recipient)[:9]


def test_the_seeds_line_is_imported_as_it_stands(seed: Play, directory: SeedDirectory) -> None:
    """5: values in one cell are joined by ; with a blank; a second import has nothing to do."""
    assert directory.addresses(f"{CONTACT},{directory.base}") == [
        "SMTP:internetUser@remote.domain",
        "smtp:internetuser@xo.one",
    ]
    again = run(
        "contacts", "import", directory.csv, "--leave-out", "name",
        "--config", seed.lab.gateway.ini,
    )  # fmt: skip
    assert again.returncode == 0
    assert "nothing was changed" not in again.stdout


@pytest.mark.parametrize("kind", ["relay", "shared"])
def test_a_contact_is_led_to_its_target(seed: Play, kind: str) -> None:
    """1 and 3: rewritten to targetAddress and routed by its domain; relay or shared, the same."""
    seed.configure(ini(kind))
    target = [("remote", "internetUser@remote.domain")]
    assert arrives(seed, "internetuser@xo.one") == target
    assert arrives(seed, "InternetUser@XO.one") == target
    # its own address there, and one that no contact has: accepted, and not authoritative
    assert [(s, r.lower()) for s, r in arrives(seed, "internetuser@remote.domain")] == [
        ("remote", "internetuser@remote.domain")
    ]
    assert arrives(seed, "nobody@remote.domain") == [("remote", "nobody@remote.domain")]
    assert told(seed, STRANGER, "someone@elsewhere.test") == "554 5.7.1"


@pytest.mark.parametrize("kind", ["relay", "shared"])
def test_the_four_steps_of_the_reply(seed: Play, kind: str) -> None:
    """4: out from the remote user, in to the shared address, to the contact, to the target."""
    seed.configure(ini(kind))
    # 1 and 2: the remote user writes to the Internet, by his own system or by the gateway; his
    # sender is the primary address there, in the shared domain, and is never rewritten.
    sent = seed.lab.send(REMOTE, "mailbox@xo.one", sender="internetuser@xo.one")
    assert seed.lab.arrivals(sent.token, 1) == [("exchange", "mailbox@xo.one")]
    (arrival,) = seed.lab.sinks.arrived(sent.token)
    assert arrival.sender == "internetuser@xo.one"
    # 3: the answer from outside comes to the gateway, which is the shared domain's MX;
    # 4: it resolves to the contact, and goes to the target, his secondary address there.
    answer = seed.lab.send(STRANGER, arrival.sender, sender="mailbox@elsewhere.test")
    assert seed.lab.arrivals(answer.token, 1) == [("remote", "internetUser@remote.domain")]
    # A mailbox of ours answers the same way.
    inside = seed.lab.send("192.168.1.20", arrival.sender, sender="mailbox@xo.one")
    assert seed.lab.arrivals(inside.token, 1) == [("remote", "internetUser@remote.domain")]


def test_a_second_remote_domain_on_the_same_connector(seed: Play) -> None:
    """2: one connector for all."""
    seed.configure(ini())
    assert arrives(seed, "second@xo.one") == [("remote", "second@second.domain")]
    assert arrives(seed, "internetuser@xo.one") == [("remote", "internetUser@remote.domain")]


def test_a_second_remote_domain_on_its_own(seed: Play) -> None:
    """2: or one connector for each remote domain; one message goes two ways."""
    seed.configure(ini(connectors=APART))
    sent = seed.lab.send(STRANGER, "second@xo.one", "internetuser@xo.one", "nora@xo.one")
    assert seed.lab.arrivals(sent.token, 3) == [
        ("other", "nora@xo.one"),
        ("remote", "internetUser@remote.domain"),
        ("second", "second@second.domain"),
    ]
    # Each is the peer of its own connector alone.
    assert told(seed, SECOND, "nobody@second.domain") == "554 5.4.6"
    assert arrives(seed, "nobody@remote.domain", client=SECOND) == [
        ("remote", "nobody@remote.domain")
    ]


@pytest.mark.parametrize("kind", ["relay", "shared"])
def test_the_gateway_authoritative_and_last(seed: Play, kind: str) -> None:
    """4: with contacts it may be authoritative for the shared domain; it refuses the unknown."""
    text = ini(kind).replace("[domain xo.one]\ntype = shared", "[domain xo.one]\ntype ="
                             " authoritative").replace("address_spaces = xo.one\nallow_relay = yes",
                                                       "address_spaces = xo.two")  # fmt: skip
    seed.configure(text)
    assert told(seed, STRANGER, "nora@xo.one") == "550 5.1.1"
    assert told(seed, REMOTE, "nora@xo.one") == "550 5.1.1"
    assert arrives(seed, "internetuser@xo.one") == [("remote", "internetUser@remote.domain")]
    assert arrives(seed, "mailbox@xo.one") == [("exchange", "mailbox@xo.one")]
    # what it does not know in the remote domain is that system's to refuse
    assert arrives(seed, "nobody@remote.domain") == [("remote", "nobody@remote.domain")]


@pytest.mark.parametrize("kind", ["relay", "shared"])
def test_the_remote_system_gives_its_unknown_back(seed: Play, kind: str) -> None:
    """It must refuse them; what comes back hears 5.4.6, also by the contact's own target."""
    seed.configure(ini(kind))
    seed.behave({"remote": set()}, {"remote": GATEWAY})
    sent = seed.lab.send(STRANGER, "nobody@remote.domain", "internetuser@xo.one")
    handed = seed.wait_handed(2)
    assert {h.reply[:9] for h in handed} == {"554 5.4.6"}
    seed.lab.wait_until_empty()
    assert len(seed.lab.arrivals(sent.token, 2)) == 2


@pytest.mark.parametrize("kind", ["relay", "shared"])
def test_the_null_filter_stamps_nobody(seed: Play, directory: SeedDirectory, kind: str) -> None:
    """3: the remote domain's policy matches no object; contacts stay as they were imported."""
    seed.configure(ini(kind))
    contact = f"{CONTACT},{directory.base}"
    before = directory.addresses(contact)
    done = run("policies", "apply", "--config", seed.lab.gateway.ini)
    assert done.returncode == 0, done.stderr
    assert directory.addresses(contact) == before
    assert directory.addresses(f"cn=Mailbox User,{directory.base}") == [
        "SMTP:mailbox@xo.local",
        "smtp:mailbox@xo.one",
    ]


def test_a_policy_stamps_a_new_mailbox_and_its_mail_arrives(
    seed: Play, directory: SeedDirectory
) -> None:
    """Recipient policies: an address exists when the policy is applied, and not before."""
    seed.configure(ini())
    new = directory.add("New User", mailNickname="newuser")
    try:
        assert arrives(seed, "newuser@xo.one") == [("other", "newuser@xo.one")]
        assert told(seed, STRANGER, "newuser@xo.local") == "550 5.1.1"
        done = run("policies", "apply", "--config", seed.lab.gateway.ini)
        assert done.returncode == 0, done.stderr
        # qmgr(8) keeps the way of the last address for half a minute: another one first.
        assert arrives(seed, "newuser@xo.local") == [("exchange", "newuser@xo.local")]
        assert arrives(seed, "newuser@xo.one") == [("exchange", "newuser@xo.one")]
    finally:
        directory.delete(new)
