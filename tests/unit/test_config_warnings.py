"""The warnings of a configuration: what starts, and is hardly meant (config.md, not marked !)."""

from __future__ import annotations

import pytest

from codomain.config import parse

GOOD = """\
[codomain]
postmaster = postmaster@corp.local
[domain corp.local]
type = authoritative
[domain example.com]
type = shared
[connector unix]
smart_hosts = [192.0.2.10]
address_spaces = example.com
allow_relay = yes
verify = callout
verify_control = known@example.com
[directory people]
type = files
path = /people.ldif
"""


def warnings(*lines: str, without: str = "") -> list[str]:
    """Return what is said about the good configuration with some lines more or less."""
    text = GOOD
    for line in without.splitlines():
        assert f"{line}\n" in text
        text = text.replace(f"{line}\n", "\n")
    return list(parse(text + "".join(f"{line}\n" for line in lines)).warnings)


def test_a_good_configuration_has_none() -> None:
    """Every warning below comes from the one thing that is changed."""
    assert warnings() == []


@pytest.mark.parametrize(
    ("without", "lines", "warning"),
    [
        (
            "type = authoritative",
            ["[connector more]", "smart_hosts = [192.0.2.1]", "address_spaces = corp.local",
             "allow_relay = yes", "verify = callout", "verify_control = known@corp.local"],
            ("codomain.ini:1: [codomain]: no domain is authoritative; write a [domain] with"
            " type = authoritative"),
        ),
        (
            "postmaster = postmaster@corp.local",
            [],
            ("codomain.ini:1: [codomain] postmaster: nobody takes postmaster's mail where the"
            " directory has no entry; write an address"),
        ),
        (
            "allow_relay = yes",
            [],
            ("codomain.ini:5: [domain example.com]: no connector with allow_relay = yes covers it,"
            " and what is unknown here is refused to strangers; write a [connector]"),
        ),
        (
            "verify = callout\nverify_control = known@example.com",
            [],
            ("codomain.ini:7: [connector unix] verify: a shared domain goes through it, and what"
            " nobody has comes back to forged senders; write verify = callout"),
        ),
        (
            "verify_control = known@example.com",
            [],
            ("codomain.ini:11: [connector unix] verify: without an address that it surely takes"
            " none of its refusals is believed; write verify_control"),
        ),
        (
            "",
            ["[connector more]", "smart_hosts = [192.0.2.1]", "tls = verify"],
            ("codomain.ini:18: [connector more] tls: means nothing with verify = none; remove it,"
            " or write verify = callout"),
        ),
        (
            "",
            ["[domain example.net]", "type = relay"],
            ("codomain.ini:16: [domain example.net]: no connector covers it, and all its mail is"
            " refused; write a [connector]"),
        ),
        (
            "",
            ["[domain example.net]", "type = shared", "fallback = mx", "catch_all = a@corp.local"],
            ("codomain.ini:19: [domain example.net] catch_all: it takes all that is unknown, and"
            " nothing reaches the other system; remove it"),
        ),
        (
            "",
            ["[connector more]", "smart_hosts = [192.0.2.1]",
             "address_spaces = *.example.net", "allow_relay = yes"],
            ('codomain.ini:18: [connector more] address_spaces: no [domain] lies in'
             ' "*.example.net",'
            " and a connector accepts nothing by itself; write one"),
        ),
        (
            "",
            ["[trust]", "peers_may_relay = yes", "[connector more]",
             "smart_hosts = [mx.example.net]:25"],
            ("codomain.ini:19: [connector more] smart_hosts: peers by name may relay, and who"
            " answers for the name decides; write addresses"),
        ),
        (
            "type = authoritative",
            ["[domain corp.example]", "type = authoritative", "directory = people",
             "[directory other]", "type = files", "path = /x", "[domain example.org]",
             "type = authoritative", "directory = people"],
            None,
        ),
        (
            "",
            ["[policyd]", "socketmap_listen ="],
            ("codomain.ini:17: [policyd] socketmap_listen: without maps a contact's mail is"
            " taken, and nothing leads it to the target; write a socket, or redirect = filter"),
        ),
        (
            "",
            ["encoding = latin-1", "canary = ann@example.com"],
            ("codomain.ini:17: [directory people] canary: means nothing with type = files;"
            " remove it"),
        ),
    ],
)  # fmt: skip
def test_each_warning_has_its_cause(without: str, lines: list[str], warning: str | None) -> None:
    """config.md, groups domains, connectors, directories and trust."""
    said = warnings(*lines, without=without)
    if warning is None:
        assert not any("corp.example" in line for line in said)
    else:
        assert said == [warning]


def test_a_directory_that_no_domain_uses_is_said() -> None:
    """config.md, directories: one that no domain uses; a relay domain asks none."""
    said = parse(
        "[directory ad]\ntype = files\npath = /x\n[domain example.com]\ntype = relay\n"
    ).warnings
    assert [line for line in said if "[directory" in line] == [
        "codomain.ini:1: [directory ad]: no domain uses it; name it, or remove it"
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ("redirect = filter",),
        ("listen =",),
        ("[milter]", "listen = unix:/run/codomain/milter"),
    ],
)
def test_a_policy_server_without_maps_is_enough_for_some(lines: tuple[str, ...]) -> None:
    """FILTER and REDIRECT, or a milter, lead mail elsewhere; or nobody is asked at all."""
    assert warnings("[policyd]", "socketmap_listen =", *lines) == []


def test_shadow_mode_needs_no_maps() -> None:
    """Nothing is led elsewhere there: the site's own routing stays."""
    text = GOOD.replace("[codomain]\n", "[codomain]\nmode = shadow\n")
    assert not parse(text + "[policyd]\nsocketmap_listen =\n").warnings


def test_spaces_of_domains_below_are_ours() -> None:
    """A domain with subdomains, or one below the space, is what the connector carries."""
    said = warnings(
        "[domain example.net]",
        "type = relay",
        "subdomains = yes",
        "[domain a.example.org]",
        "type = relay",
        "[connector more]",
        "smart_hosts = [192.0.2.1]",
        "address_spaces = example.net, *.example.net, b.example.net, *.example.org",
        "allow_relay = yes",
    )
    assert said == []
