"""The entries of master.cf: read as `postconf -M` shows them, changed where they must be."""

from __future__ import annotations

import pytest

from codomain_cli.masterlines import Service, is_submission, parse, services

SMTP = "smtp       inet  n       -       y       -       -       smtpd"
REWRITE = "rewrite    unix  -       -       n       -       -       trivial-rewrite"
SUBMISSION = "submission inet n - y - - smtpd -o syslog_name=postfix/submission"


def one(line: str) -> Service:
    """Read one entry."""
    (service,) = parse([line])
    return service


def changed(*lines: str, shape: str = "maps") -> dict[str, Service]:
    """Return the changed services by name and type."""
    return {s.key: s for s in services(parse(lines), shape)}  # type: ignore[arg-type]


def test_an_entry_is_read_field_by_field() -> None:
    """master(5): name, type, five fields, the program and its arguments."""
    service = one(f"{SMTP} -v -o a=b -o {{ c = d e }}")
    assert service.key == "smtp/inet"
    assert service.fields == ("n", "-", "y", "-", "-")
    assert service.chroot == "y"
    assert service.command == "smtpd"
    assert service.options == ("-v", "-o a=b", "-o { c = d e }")


def test_options_are_found_in_both_forms() -> None:
    """-o name=value, and -o { name = value } for a value with blanks; the last one counts."""
    service = one(f"{SMTP} -o a=1 -o {{a = 2 3}} -o {{ b={{x}} }}")
    assert service.option("a") == "2 3"
    assert service.option("b") == "{x}"
    assert service.option("c") is None


def test_an_option_takes_the_place_of_its_predecessors() -> None:
    """Everything else stays, in its order."""
    service = one(f"{SMTP} -o a=1 -o b=2 -v -o a=3").with_option("a", "4 5")
    assert service.options == ("-o b=2", "-v", "-o { a = 4 5 }")


def test_what_is_printed_reads_back() -> None:
    """On one line, and in the form with an option on each line."""
    service = one(f"{SMTP} -o a=b -o {{ c = d e }}")
    assert one(service.line()) == service
    assert one(" ".join(service.lines())) == service


def test_lines_that_are_no_entries_are_passed_over() -> None:
    """Nothing is made of half an entry."""
    assert parse(["", "smtp inet n", "postconf: warning: something"]) == []


def test_smtpd_resolves_without_transport_maps() -> None:
    """Else it remembers one TEMP for its life (mta.md, "smtpd remembers")."""
    found = changed(SMTP, REWRITE)
    assert set(found) == {"codomain-rewrite/unix", "smtp/inet"}
    assert found["smtp/inet"].options == ("-o rewrite_service_name=codomain-rewrite",)
    rewrite = found["codomain-rewrite/unix"]
    assert rewrite.command == "trivial-rewrite"
    assert rewrite.options == ("-o transport_maps=",)


def test_the_second_rewrite_is_chrooted_as_the_first() -> None:
    """Where a site has no chroot the socket may be anywhere; Debian has one."""
    assert changed(SMTP, REWRITE)["codomain-rewrite/unix"].chroot == "n"
    assert changed(SMTP)["codomain-rewrite/unix"].chroot == "y"


def test_what_is_there_is_not_changed_again() -> None:
    """The lines of a Postfix that has them already are none."""
    once = [service.line() for service in changed(SMTP, SUBMISSION).values()]
    assert changed(*once) == {}


def test_only_smtpd_is_touched() -> None:
    """With postscreen in front, it hands over to the smtpd of type pass, which is one."""
    found = changed(
        "smtp inet n - y - 1 postscreen",
        "smtpd pass - - y - - smtpd",
        "smtp unix - - y - - smtp",
        "qmgr unix n - n 300 1 qmgr",
    )
    assert set(found) == {"codomain-rewrite/unix", "smtpd/pass"}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        # Debian 12's stock entry: empty here, and permits among the recipient restrictions.
        ("", "codomain_check,permit_sasl_authenticated,reject"),
        (
            "permit_sasl_authenticated,reject",
            "codomain_check,permit_sasl_authenticated,reject",
        ),
        ("$mua_relay_restrictions", "codomain_check,$mua_relay_restrictions"),
        ("codomain_check,reject", "codomain_check,reject"),
    ],
)
def test_submission_gets_the_check_before_its_permits(given: str, wanted: str) -> None:
    """Its own restrictions would switch the check off (mta.md, policy delegation)."""
    found = changed(f"{SUBMISSION} -o smtpd_relay_restrictions={given}")
    service = found["submission/inet"]
    assert service.option("smtpd_relay_restrictions") == wanted
    assert service.option("syslog_name") == "postfix/submission"


def test_submission_without_restrictions_of_its_own_inherits_them() -> None:
    """What main.cf says holds, and has the check in it."""
    service = changed(SUBMISSION)["submission/inet"]
    assert service.option("smtpd_relay_restrictions") is None


def test_a_re_entry_for_filtered_mail_is_not_asked_again() -> None:
    """A content filter gives mail back to a smtpd whose restrictions permit it alone."""
    back = "127.0.0.1:10025 inet n - y - - smtpd -o smtpd_relay_restrictions=permit_mynetworks"
    service = changed(back)["127.0.0.1:10025/inet"]
    assert service.option("smtpd_relay_restrictions") == "permit_mynetworks"


def test_with_filter_the_check_is_in_the_recipient_restrictions() -> None:
    """The policy goes last; and without maps no second rewrite is needed."""
    line = f"{SUBMISSION} -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject"
    found = changed(SMTP, line, shape="filter")
    assert set(found) == {"submission/inet"}
    value = found["submission/inet"].option("smtpd_recipient_restrictions")
    assert value == "codomain_check,permit_sasl_authenticated,reject"


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        (SMTP, False),
        ("submissions inet n - y - - smtpd", True),
        ("smtps inet n - y - - smtpd", True),
        ("587 inet n - y - - smtpd", True),
        ("192.0.2.1:submission inet n - y - - smtpd", True),
        ("2525 inet n - y - - smtpd -o smtpd_sasl_auth_enable=yes", True),
        ("2525 inet n - y - - smtpd -o syslog_name=postfix/submissions", True),
        ("10025 inet n - y - - smtpd -o smtpd_sasl_auth_enable=no", False),
    ],
)
def test_a_service_for_users_is_known(line: str, is_one: bool) -> None:  # noqa: FBT001
    """By its name, port or syslog_name, or because it lets users log in."""
    assert is_submission(one(line)) is is_one


def test_with_the_milter_local_mail_gets_a_cleanup_that_rewrites() -> None:
    """What pickup takes passes no milter; what smtpd takes is rewritten once, by the milter."""
    found = changed(SMTP, "pickup unix n - y 60 1 pickup", shape="milter")
    assert set(found) == {
        "codomain-rewrite/unix",
        "codomain-cleanup/unix",
        "pickup/unix",
        "smtp/inet",
    }
    assert found["pickup/unix"].option("cleanup_service_name") == "codomain-cleanup"
    cleanup = found["codomain-cleanup/unix"]
    assert cleanup.option("virtual_alias_maps") == "${codomain_map}:alias"


def test_with_the_milter_submission_keeps_its_restrictions() -> None:
    """The milter is asked in every smtpd; there is no check to be added."""
    line = f"{SUBMISSION} -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"
    service = changed(line, shape="milter")["submission/inet"]
    assert service.option("smtpd_relay_restrictions") == "permit_sasl_authenticated,reject"
    assert changed(line, shape="judge") == {}
