"""Reading Postfix's files: lists, times, lines, and where codomain is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.config import Endpoint, parse
from codomain_cli.checks.asked import asks_us, is_ours, maps_named, restrictions
from codomain_cli.checks.instance import Instance, items, seconds, text_of

if TYPE_CHECKING:
    from pathlib import Path

QUEUE = "/var/spool/postfix"
CONFIG = parse("[domain example.com]\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a, b c", ["a", "b", "c"]),
        ("", []),
        ("a { b, c = d } e", ["a", "{ b, c = d }", "e"]),
        ("check_policy_service { unix:p, { d=4 5 } }", ["check_policy_service",
                                                        "{ unix:p, { d=4 5 } }"]),
    ],
)  # fmt: skip
def test_a_list_parts_at_blanks_and_commas_outside_of_braces(text: str, found: list[str]) -> None:
    """postconf(5): braces hold an element with blanks together."""
    assert items(text) == found


@pytest.mark.parametrize(
    ("text", "found"), [("10s", 10), ("5", 5), ("2m", 120), ("1h", 3600), ("x", None), ("", None)]
)
def test_a_time_is_read_with_its_unit(text: str, found: float | None) -> None:
    """postconf(5): s, m, h, d, w; smtpd's time-outs are in seconds without one."""
    assert seconds(text) == found


def test_an_indented_line_goes_on_with_the_one_above(tmp_path: Path) -> None:
    """postconf(5): the logical line begins where it does not begin with white space."""
    path = tmp_path / "main.cf"
    path.write_text("# a = 0\na = 1\n\n  # no\n  2\nb = 3\na = 4\n")
    text = text_of(path)
    assert text.lines == ((2, "a = 1 2"), (6, "b = 3"), (7, "a = 4"))
    assert text.line_of(r"a\s*=") == 7
    assert text.line_of(r"c\s*=") == 0


def test_an_option_of_a_service_has_its_own_line(tmp_path: Path) -> None:
    """master(5): options stand on lines of their own; another service's is not meant."""
    path = tmp_path / "master.cf"
    path.write_text(
        "smtp inet n - y - - smtpd\n  -o a=1\nother inet n - y - - smtpd\n  -o b=1\n"
        "  -o { a = 2 }\n"
    )
    instance = Instance(
        overrides={"other/inet": {"a": "2"}, "smtp/inet": {"a": "1"}}, master=text_of(path)
    )
    assert instance.at("a", "other/inet") == (f"{path}", 5)
    assert instance.at("a", "smtp/inet") == (f"{path}", 2)
    assert instance.value("a", "other/inet") == "2"


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("unix:codomain/policy", True),
        ("unix:/var/spool/postfix/codomain/policy", True),
        ("unix:/codomain/policy", True),  # as a chrooted smtpd sees it
        ("unix:codomain/other", False),
        ("inet:127.0.0.1:9000", True),
        ("inet:[::1]:9000", True),
        ("inet:127.0.0.1:9001", False),
    ],
)
def test_a_socket_of_ours_is_known_however_it_is_written(written: str, ours: bool) -> None:  # noqa: FBT001
    """SMTPD_POLICY_README: a path is relative to the queue directory."""
    endpoints = (
        Endpoint("unix", path=f"{QUEUE}/codomain/policy"),
        Endpoint("inet", host="127.0.0.1", port=9000),
    )
    assert is_ours(endpoints, written, QUEUE) is ours


def test_a_class_is_opened_and_its_policy_server_found() -> None:
    """RESTRICTION_CLASS_README: a class stands for its list, in place."""
    instance = Instance(
        values={
            "queue_directory": QUEUE,
            "smtpd_restriction_classes": "codomain_check",
            "codomain_check": "check_policy_service { unix:codomain/policy, timeout=9s,"
            " { default_action=451 4.3.5 No } }",
            "smtpd_relay_restrictions": "permit_mynetworks, codomain_check, reject",
        }
    )
    found = restrictions(instance, "smtpd_relay_restrictions")
    assert [one.name for one in found] == ["permit_mynetworks", "check_policy_service", "reject"]
    assert found[1].options == {"timeout": "9s", "default_action": "451 4.3.5 No"}
    assert not found[1].bare
    assert [asks_us(CONFIG, instance, one) for one in found] == [False, True, False]


def test_an_action_without_braces_of_its_own_is_seen() -> None:
    """Facts of smtpd: it takes each word behind it for an option, and ends."""
    value = "check_policy_service { unix:p, default_action=451 4.3.5 No, timeout=5s }"
    instance = Instance(values={"smtpd_relay_restrictions": value})
    [found] = restrictions(instance, "smtpd_relay_restrictions")
    assert found.bare == {"default_action"}


def test_the_names_of_maps_are_read() -> None:
    """socketmap_table(5): socketmap:inet:host:port:name, socketmap:unix:path:name."""
    text = "hash:/etc/x, socketmap:unix:codomain/map:alias socketmap:inet:127.0.0.1:9:access"
    assert maps_named(text) == ["alias", "access"]
