"""A plan as a table, as CSV and as LDIF: nothing in it is a command to whoever reads it."""

from __future__ import annotations

import base64
import csv
import io

import pytest

from codomain.config import parse
from codomain_cli.stamping import showing
from codomain_cli.stamping.entries import Entry
from codomain_cli.stamping.plan import Change
from codomain_cli.stamping.spaces import described
from codomain_cli.stamping.writing import gains, losses


def change(dn: str = "cn=Ann,dc=corp,dc=local", **fields: object) -> Change:
    """Make a change of an entry that has an old primary address."""
    entry = Entry("ad", dn, proxies=("SMTP:old@example.com",))
    return Change(entry, "rest", **fields)  # type: ignore[arg-type]


def rows(*changes: Change) -> list[dict[str, str]]:
    """Read the CSV back."""
    return list(csv.DictReader(io.StringIO(showing.as_csv(changes))))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x","y")', "=cmd|'/c'!A1"],
)
def test_no_cell_is_a_formula(text: str) -> None:
    """What begins with = + - @ or white space of that kind is taken for a formula."""
    (row,) = rows(change(text, notes=[text], conflicts=[text]))
    for name in ("dn", "notes", "conflicts"):
        assert row[name].startswith("'")


def test_a_cell_stays_on_its_line() -> None:
    """A line feed in a DN would be another row to a careless reader."""
    (row,) = rows(change("cn=a\nb,dc=x"))
    assert row["dn"] == r"cn=a\nb,dc=x"


def test_the_csv_says_what_comes_and_what_goes() -> None:
    """Values of one cell are joined by ;, and a changed prefix is neither."""
    (row,) = rows(
        change(
            primary="new@example.com",
            add=["SMTP:new@example.com", "smtp:old@example.com", "smtp:n@example.com"],
            delete=["SMTP:old@example.com"],
        )
    )
    assert row["new"] == "new@example.com; n@example.com"
    assert row["gone"] == ""
    assert (row["directory"], row["policy"], row["primary"]) == ("ad", "rest", "new@example.com")


def test_a_terminal_gets_no_control_characters() -> None:
    """ESC in a DN could repaint the screen of whoever looks."""
    text = io.StringIO()
    showing.table([change("cn=\x1b[2J\x07x", primary="\x9b1m", notes=["\x1b]0;t"])], text)
    assert "\x1b" not in text.getvalue()
    assert "\x9b" not in text.getvalue()
    assert "\x07" not in text.getvalue()
    assert r"\x1b[2J\x07x" in text.getvalue()
    ldif = showing.as_ldif([change("cn=\x1b[2J", mail="\x9b@example.com")])
    assert ldif.isascii()
    assert "\x1b" not in ldif


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("smtp:ann@example.com", True),
        ("smtp:jürgen@example.com", False),
        (" leading", False),
        (":colon", False),
        ("<less", False),
        ("trailing ", False),
        ("a\nb", False),
        ("", False),
    ],
)
def test_ldif_uses_base64_where_it_must(value: str, plain: bool) -> None:  # noqa: FBT001
    """RFC 2849: SAFE-STRING, or base64 behind two colons."""
    text = showing.as_ldif([change(add=[value])])
    wanted = f": {value}" if plain else f":: {base64.b64encode(value.encode()).decode()}"
    assert f"\nproxyAddresses{wanted}\n" in text


def test_the_ldif_of_a_change_is_complete() -> None:
    """RFC 2849, ldif-change-record: first what goes, then what comes, then mail."""
    text = showing.as_ldif(
        [
            change(
                add=["SMTP:new@example.com", "smtp:old@example.com"],
                delete=["SMTP:old@example.com"],
                mail="new@example.com",
            ),
            change("cn=nothing"),
        ]
    )
    assert text == (
        "dn: cn=Ann,dc=corp,dc=local\nchangetype: modify\n"
        "delete: proxyAddresses\nproxyAddresses: SMTP:old@example.com\n-\n"
        "add: proxyAddresses\nproxyAddresses: SMTP:new@example.com\n"
        "proxyAddresses: smtp:old@example.com\n-\n"
        "replace: mail\nmail: new@example.com\n-\n"
    )


def test_what_goes_stands_behind_all_that_comes() -> None:
    """Applied in part and planned anew, nobody is given what somebody else has just lost."""
    text = showing.as_ldif(
        [
            change("cn=one", remove=["smtp:x@example.com"]),
            change(
                "cn=two",
                delete=["SMTP:old@example.com"],
                add=["SMTP:new@example.com", "smtp:old@example.com"],
                remove=["smtp:old@example.com"],
                mail="new@example.com",
            ),
        ]
    )
    assert text == (
        "dn: cn=two\nchangetype: modify\n"
        "delete: proxyAddresses\nproxyAddresses: SMTP:old@example.com\n-\n"
        "add: proxyAddresses\nproxyAddresses: SMTP:new@example.com\n"
        "proxyAddresses: smtp:old@example.com\n-\n"
        "replace: mail\nmail: new@example.com\n-\n\n"
        "dn: cn=one\nchangetype: modify\n"
        "delete: proxyAddresses\nproxyAddresses: smtp:x@example.com\n-\n\n"
        "dn: cn=two\nchangetype: modify\n"
        "delete: proxyAddresses\nproxyAddresses: smtp:old@example.com\n-\n"
    )


def test_a_mail_that_goes_goes_in_the_end() -> None:
    """Where mail alone holds an address that is taken away, nobody finds it free before."""
    entry = Entry("ad", "cn=a", proxies=("SMTP:a@example.com",), mail=("b@example.com",))
    going = Change(entry, "rest", mail="a@example.com")
    assert going.lost == ["b@example.com"]
    last = losses(going)
    assert gains(going) is None
    assert last is not None
    assert last.replace == {"mail": [b"a@example.com"]}


def test_a_long_line_of_ldif_is_folded() -> None:
    """RFC 2849: a continuation begins with one space."""
    text = showing.as_ldif([change(mail=f"{'m' * 200}@example.com")])
    assert max(map(len, text.splitlines())) == 76
    assert f"mail: {'m' * 200}@example.com" in text.replace("\n ", "")


def test_a_modify_takes_away_before_it_adds() -> None:
    """The server finds SMTP:x and smtp:x alike: the other order would be a doubled value."""
    request = gains(change(add=["smtp:a"], delete=["SMTP:a"], mail="m"))
    assert request is not None
    written = request.encode()
    # RFC 4511 section 4.6: 1 is delete, 0 is add, 2 is replace.
    kinds = [written.index(b"\x0a\x01" + bytes((kind,))) for kind in (1, 0, 2)]
    assert kinds == sorted(kinds)
    assert written.index(b"SMTP:a") < written.index(b"smtp:a") < written.rindex(b"mail")
    assert gains(change()) is losses(change()) is None


def test_the_spaces_stand_beside_their_domains() -> None:
    """Issue: the policies' address spaces appear in check beside the domains they belong to."""
    config = parse(
        "[domain corp.local]\ntype = authoritative\n"
        "[domain example.com]\nsubdomains = yes\n[domain other.test]\n"
        "[policy rest]\ndefault = yes\naddress_spaces = corp.local, example.com\n"
        "enabled = corp.local\n"
        "[policy sales]\nfilter = (cn=*)\naddress_spaces = a.example.com\ntemplates ="
        " %g@a.example.com\n"
        "[policy null]\naddress_spaces = example.com\n"
    )
    assert described(config) == [
        "domain corp.local (authoritative): policy rest: corp.local (primary; %m@corp.local)",
        (
            "domain example.com (shared): policy sales: a.example.com (primary; %g@a.example.com),"
            " policy null: example.com (primary; for no entry),"
            " policy rest: example.com (not enabled)"
        ),
    ]
