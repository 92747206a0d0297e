"""Rules of domains: whose a recipient's domain is, and what its section makes of it."""

from __future__ import annotations

import pytest

from codomain.address import fold_domain
from codomain.domains import Domain, Domains
from support.decisions import rules_of

NESTED = Domains(
    [
        Domain("example.com", subdomains=True),
        Domain("sub.example.com"),
        Domain("deep.sub.example.com", subdomains=True),
        Domain("alone.test"),
        Domain("[192.0.2.1]", subdomains=True),
    ]
)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("example.com", "example.com"),
        ("x.example.com", "example.com"),
        ("y.x.example.com", "example.com"),
        ("sub.example.com", "sub.example.com"),
        ("x.sub.example.com", "example.com"),
        ("deep.sub.example.com", "deep.sub.example.com"),
        ("x.deep.sub.example.com", "deep.sub.example.com"),
        ("alone.test", "alone.test"),
        ("[192.0.2.1]", "[192.0.2.1]"),
    ],
)
def test_the_longest_match_wins(name: str, match: str) -> None:
    """Step 2: the longest match among the configured domains; subdomains = yes matches below."""
    found = NESTED.match(name)
    assert found is not None
    assert found.name == match


@pytest.mark.parametrize("name", ["", "com", "test", "xexample.com", "x.alone.test", "[192.0.2.2]"])
def test_nothing_else_is_ours(name: str) -> None:
    """Step 2: not ours; a literal only if it is listed."""
    assert NESTED.match(name) is None


def test_a_postmaster_without_a_domain_is_that_of_the_first_authoritative_one() -> None:
    """Step 2: as postmaster of the first authoritative domain."""
    domains = Domains(
        [
            Domain("a.test"),
            Domain("b.test", authoritative=True),
            Domain("c.test", authoritative=True),
        ]
    )
    found = domains.postmasters()
    assert found is not None
    assert found.name == "b.test"


def test_a_postmaster_without_a_domain_is_taken_where_none_is_authoritative() -> None:
    """replies: postmaster of one of our domains, or of none, is never refused."""
    found = Domains([Domain("a.test"), Domain("b.test", relay=True)]).postmasters()
    assert found is not None
    assert found.name == "a.test"
    assert Domains([]).postmasters() is None


def test_a_section_becomes_a_domain() -> None:
    """config.md: every key of a domain section that a decision reads."""
    rules = rules_of(
        "[domain Müller.example]\ntype = authoritative\nsubdomains = yes\ndirectory = b\n"
        "deliver_to = exchange\ndeliver_as = primary\nrecipient_delimiter = -\n"
        "keep_extension = no\ncatch_all = All@Müller.example\nfallback = mx\n"
        "on_outage = deliver\nmode = enforce\n"
        "[connector exchange]\nsmart_hosts = [192.0.2.20]\n"
        "[directory a]\ntype = files\npath = /a.ldif\n[directory b]\ntype = files\npath = /b.ldif\n"
    )
    domain = rules.domains.match(fold_domain("MÜLLER.example"))
    assert domain is not None
    assert domain.authoritative
    assert not domain.relay
    assert domain.subdomains
    assert domain.directories == ("b",)
    assert domain.deliver_to is rules.connectors.by_name["exchange"]
    assert domain.primary
    assert domain.delimiters == "-"
    assert not domain.keep_extension
    assert str(domain.catch_all) == "All@xn--mller-kva.example"
    assert domain.fallback_mx
    assert domain.outage_deliver
    assert domain.mode == "enforce"


def test_a_domain_asks_every_directory_in_order_unless_it_names_some() -> None:
    """config.md: default: every directory, in order; type relay asks none."""
    rules = rules_of(
        "[domain a.test]\n[domain b.test]\ntype = relay\n[domain c.test]\ndirectory = y, x\n"
        "[directory x]\ntype = files\npath = /x.ldif\n[directory y]\ntype = files\npath = /y.ldif\n"
    )
    by_name = rules.domains.by_name
    assert by_name["a.test"].directories == ("x", "y")
    assert by_name["b.test"].directories == ()
    assert by_name["b.test"].relay
    assert by_name["c.test"].directories == ("y", "x")
