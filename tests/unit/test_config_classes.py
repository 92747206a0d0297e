"""Address classes of Postfix: a domain of ours in another one stops the start."""

from __future__ import annotations

import pytest

from codomain.config import parse
from codomain.errors import ConfigError

INI = """\
[domain example.com]
deliver_to = exchange
[domain here.example.org]
type = authoritative
[connector exchange]
smart_hosts = [192.0.2.20]
"""
MAP = "socketmap:unix:codomain/map:x"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("mydestination", "localhost, Example.COM"),
        ("mydestination", "here.example.org"),
        ("virtual_alias_domains", "example.com"),
    ],
)
def test_a_class_that_knows_nothing_of_our_people_is_a_fault(parameter: str, value: str) -> None:
    """ADDRESS_CLASS_README: Postfix refuses who is no account, or no alias."""
    with pytest.raises(ConfigError, match=rf"main\.cf: {parameter}: .* is a domain of ours"):
        parse(INI, postfix={parameter: value})


@pytest.mark.parametrize(
    "postfix",
    [
        {"virtual_mailbox_domains": "example.com", "relay_domains": MAP},
        {"virtual_mailbox_domains": "example.com", "relay_domains": "example.com"},
        {"relay_domains": "here.example.org", "virtual_mailbox_domains": MAP},
    ],
)
def test_a_domain_in_two_classes_is_a_fault(postfix: dict[str, str]) -> None:
    """trivial-rewrite(8) warns, and takes the class that it finds first."""
    with pytest.raises(ConfigError, match="in two classes"):
        parse(INI, postfix=postfix)


@pytest.mark.parametrize(
    "postfix",
    [
        {"relay_domains": "example.com", "virtual_mailbox_domains": "here.example.org"},
        {"relay_domains": MAP, "virtual_mailbox_domains": MAP, "mydestination": "localhost"},
        {"relay_domains": "here.example.org"},
        {},
    ],
)
def test_the_right_class_is_none(postfix: dict[str, str]) -> None:
    """A static list of the right class is what `redirect = filter` needs."""
    parse(INI, postfix=postfix)


def test_where_nothing_is_routed_the_classes_are_the_site_s() -> None:
    """In shadow mode the site's own routing stays, and its domains may be local."""
    ini = INI + "[policyd]\nsocketmap_listen =\n"
    parse(ini, postfix={"mydestination": "example.com, here.example.org"})
