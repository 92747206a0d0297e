"""Findings: read from the lines of faults and warnings, ordered, and printed."""

from __future__ import annotations

import pytest

from codomain_cli.checks.findings import Finding, Severity, from_line, named, ordered


@pytest.mark.parametrize(
    ("line", "file", "at", "section", "key", "what", "remedy"),
    [
        (
            "/etc/codomain.ini:7: [connector unix] smart_hosts: no smart host; write one",
            "/etc/codomain.ini", 7, "connector unix", "smart_hosts", "no smart host", "write one",
        ),
        (
            "a.ini:3: [domain [192.0.2.1]]: no connector; goes nowhere; write a [connector]",
            "a.ini", 3, "domain [192.0.2.1]", "", "no connector; goes nowhere",
            "write a [connector]",
        ),
        ('main.cf: mynetworks: "!x" cannot be read; write it', "main.cf", 0, "", "mynetworks",
         '"!x" cannot be read', "write it"),
        ("people.ldif:12: no address", "people.ldif", 12, "", "", "no address", ""),
        ("a.ini: cannot be read: No such file; name one", "a.ini", 0, "", "",
         "cannot be read: No such file", "name one"),
        ('r.ini:9: [replies] unknown.code: "250" is none; write 550', "r.ini", 9, "replies",
         "unknown.code", '"250" is none', "write 550"),
    ],
)  # fmt: skip
def test_a_line_of_a_fault_is_read(  # noqa: PLR0917 - the parts of a line
    line: str, file: str, at: int, section: str, key: str, what: str, remedy: str
) -> None:
    """codomain.ini(5): FILE:LINE: [section] key: what is wrong; what to write instead."""
    found = from_line(line, Severity.ERROR)
    assert (found.file, found.line, found.section, found.key) == (file, at, section, key)
    assert (found.what, found.remedy) == (what, remedy)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("a.ini:1: [domain x.test] catch_all: it takes all", "domain.catch_all"),
        ("a.ini:1: [directory x]: no domain uses it", "directory"),
        ("a.ini:1: [replies] unknown.code: is wrong", "replies.unknown.code"),
        ("nothing of the form", "configuration"),
    ],
)
def test_the_id_is_the_section_and_the_key(line: str, kind: str) -> None:
    """docs/howto/check.md: names of sections are left out, so that ids are few and stable."""
    assert from_line(line, Severity.ADVICE).id == kind


@pytest.mark.parametrize(
    ("found", "where"),
    [
        (Finding("x", Severity.OK, "y"), ""),
        (Finding("x", Severity.OK, "y", file="a.ini"), "a.ini:"),
        (
            Finding("x", Severity.OK, "y", "", "a.ini", 3, "http", "listen"),
            "a.ini:3: [http] listen:",
        ),
        (
            Finding("x", Severity.OK, "y", "", "main.cf", 3, "", "relayhost"),
            "main.cf:3: relayhost:",
        ),
        (Finding("x", Severity.OK, "y", "", "a.ini", 3, "http"), "a.ini:3: [http]:"),
    ],
)
def test_the_place_is_written_as_compilers_do(found: Finding, where: str) -> None:
    """Editors jump to FILE:LINE."""
    assert found.where == where


def test_the_worst_comes_first_and_nothing_twice() -> None:
    """Errors stop mail, advice does not; the order within each stays."""
    order = [Severity.OK, Severity.ADVICE, Severity.ERROR, Severity.WARNING, Severity.ERROR]
    found = [Finding(f"{n}", severity, "") for n, severity in enumerate(order)]
    assert [one.id for one in ordered([*found, found[2]])] == ["2", "4", "3", "1", "0"]


def test_of_many_entries_some_are_named() -> None:
    """A directory may hold a million."""
    assert named(["a", "b"], 2) == "a, b"
    assert named(["a", "b"], 7) == "a, b and 5 more"
