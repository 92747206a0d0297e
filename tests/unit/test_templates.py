"""Address templates: Exchange's replacement strings, and what a local part may hold."""

from __future__ import annotations

import pytest

from codomain.settings.faults import WrongError
from codomain.settings.template import (
    NoAddressError,
    fill,
    letters_of,
    read_letters,
    read_template,
)

ANN = {"m": "ASmith", "g": "Ann", "s": "Smith", "d": "Smith, Ann (Sales)", "i": "Q"}


def made(text: str, values: dict[str, str] | None = None, *letters: str, unwanted: str = "") -> str:
    """Fill a template's local part in."""
    return fill(read_template(f"{text}@example.com"), values or ANN, letters_of(letters), unwanted)


@pytest.mark.parametrize(
    ("template", "local"),
    [
        # KB 285136 and KB 822447, string by string; case is kept
        ("%m", "ASmith"),
        ("%g.%s", "Ann.Smith"),
        ("%g.%i.%s", "Ann.Q.Smith"),
        ("%1g%s", "ASmith"),
        ("%1g.%1s", "A.S"),
        ("%5s", "Smith"),
        ("%12s", "Smith"),
        ("%3s-x", "Smi-x"),
        # a comma, blanks and brackets are dropped
        ("%d", "SmithAnnSales"),
        # Exchange's help: %% is one percent sign
        ("%%%m", "%ASmith"),
        # without a local part: the alias
        ("", "ASmith"),
    ],
)
def test_each_string_of_exchange_stands_for_its_value(template: str, local: str) -> None:
    """KB 285136: what each replacement string is, and how many characters of it."""
    assert made(template) == local


@pytest.mark.parametrize(
    ("template", "local"),
    [
        ("%r _%d", "Smith_Ann_Sales"),
        # of the fields that follow, not of those before it
        ("%s.%rsz%g%s", "Smith.AnnSmith"),
        ("%s.%rhz%s", "Smith.Smitz"),
        # x twice: dropped
        ("%rnn%g", "A"),
        # several, each for all that follow
        ("%rAB%rnm%g", "Bmm"),
        # what is put in is held to the same rule
        ("%rn@%g", "A"),
    ],
)
def test_r_replaces_in_what_follows(template: str, local: str) -> None:
    """KB 285136: %rxy replaces all subsequent x by y in the user's name; x = y deletes."""
    assert made(template) == local


@pytest.mark.parametrize(
    ("values", "local"),
    [
        ({"g": "", "s": "Smith"}, "Smith"),
        ({"g": "Ann"}, "Ann"),
        ({"g": "Ann.", "s": ".Smith"}, "Ann.Smith"),
        ({"g": "...", "s": "Smith"}, "Smith"),
    ],
)
def test_dots_stay_between_what_is_there(values: dict[str, str], local: str) -> None:
    """RFC 5321 Dot-string: no dot at an end, and no two beside one another."""
    assert made("%g.%s", values) == local


@pytest.mark.parametrize(
    ("value", "local"),
    [
        ("O'Neil", "O'Neil"),
        ("a@b", "ab"),
        ("a%b!c", "abc"),  # both may hide another address
        ('a"b\\c', "abc"),
        ("a\tb\x00c\x1bd", "abcd"),
        ("Müller–Lüdenscheidt", "MullerLudenscheidt"),  # the dash is no letter
        ("\u200bann\u00a0b", "annb"),  # zero width, no-break space
        ("a,b;c:d<e>f[g]h(i)", "abcdefghi"),
    ],
)
def test_what_no_local_part_holds_is_dropped(value: str, local: str) -> None:
    """KB 285136: characters that RFC 821 and 822 do not allow are removed."""
    assert made("%m", {"m": value}, "*") == local


def test_no_address_begins_with_a_hyphen() -> None:
    """Postconf(5), allow_min_user: smtpd refuses such a recipient as bad syntax."""
    assert made("%m", {"m": "-ann-"}) == "ann-"
    assert made("%g.%s", {"g": "-", "s": "-Lee"}) == "Lee"
    with pytest.raises(NoAddressError):
        made("%m", {"m": "--"})


def test_a_delimiter_of_the_domain_is_dropped() -> None:
    """Ann+x is an extension of ann (postconf(5), recipient_delimiter): it would be her mail."""
    assert made("%m", {"m": "ann+x-y"}, unwanted="+") == "annx-y"
    assert made("%m", {"m": "ann+x-y"}, unwanted="+-") == "annxy"


@pytest.mark.parametrize(
    ("value", "letters", "local"),
    [
        ("Müller", ("ü=ue",), "Mueller"),
        ("Übel", ("ü=ue",), "Uebel"),
        ("Groß", ("ß=ss",), "Gross"),
        ("Mu\u0308ller", ("ü=ue",), "Mueller"),  # composed first (NFC)
        ("Émile Zoë", ("*",), "EmileZoe"),
        ("Zoë Müller", ("ü=ue", "*"), "ZoeMueller"),
        ("Łukasz", ("ł=l",), "Lukasz"),
        ("Ibáñez", ("á=a", "ñ="), "Ibaez"),
    ],
)
def test_letters_stand_for_others_where_the_policy_says_so(
    value: str, letters: tuple[str, ...], local: str
) -> None:
    """ü is ue to a German and u to a Turk: only the policy knows."""
    assert made("%m", {"m": value}, *letters) == local


@pytest.mark.parametrize(
    ("value", "letters"),
    [
        ("Müller", ()),
        ("Müller", ("ö=oe",)),
        ("Łukasz", ("*",)),  # no marks on it: Unicode does not decompose it
        ("Иван", ("*",)),
        ("山田", ("*",)),
        ("аnn", ("*",)),  # CYRILLIC SMALL LETTER A
        ("ａnn", ("*",)),  # full-width
    ],
)
def test_a_letter_for_which_nothing_is_said_gives_no_address(
    value: str, letters: tuple[str, ...]
) -> None:
    """Never guess: a wrong letter is somebody else's address."""
    with pytest.raises(NoAddressError, match=r"mailNickname holds .*transliterate does not say"):
        made("%m", {"m": value}, *letters)


def test_what_unicode_itself_turns_into_ascii_gives_no_address() -> None:
    """NFC makes K of U+212A (KELVIN SIGN): no normalisation turns one name into another."""
    with pytest.raises(NoAddressError, match="mailNickname holds U\\+212A"):
        made("%m", {"m": "\u212aim"}, "*")


@pytest.mark.parametrize(
    ("template", "values", "why"),
    [
        ("%g.%s", {"m": "x"}, "givenName and sn have nothing"),
        ("%m", {"m": "@@@"}, "mailNickname has nothing"),
        ("x%m", {}, "mailNickname has nothing"),
        ("%m", {"m": "x" * 65}, "65 octets, 64 are allowed"),
    ],
)
def test_nothing_makes_no_address(template: str, values: dict[str, str], why: str) -> None:
    """An empty local part is none, and 64 octets are the most (RFC 5321 section 4.5.3.1.1)."""
    with pytest.raises(NoAddressError, match=why):
        fill(read_template(f"{template}@example.com"), values)


def test_sixty_four_octets_are_an_address() -> None:
    """RFC 5321 section 4.5.3.1.1."""
    assert made("%m", {"m": "x" * 64}) == "x" * 64


def test_the_domain_is_folded() -> None:
    """Domains are compared in lower-case A-labels."""
    assert read_template("%m@Bücher.Example").domain == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("%m", "has no domain"),
        ("%x@example.com", '"%x" means nothing'),
        ("%M@example.com", '"%M" means nothing'),
        ("%@example.com", '"%" means nothing'),
        ("%r@example.com", '"%r" means nothing'),
        ("%123m@example.com", '"%1" means nothing'),
        ("%0m@example.com", "no characters of %m"),
        ("sales@example.com", "one address for everybody"),
        ("%%@example.com", "one address for everybody"),
        ("%rab@example.com", "one address for everybody"),
        ("%m x@example.com", '" " means nothing'),
        ("%m@example.com@example.com", '"@" means nothing'),
        ("%m!@example.com", '"!" means nothing'),
        ("%m@*.example.com", "covers many"),
        ("%m@com", "top-level"),
    ],
)
def test_a_wrong_template_is_refused(text: str, why: str) -> None:
    """What is no template is a fault of the configuration, and never half a template."""
    with pytest.raises(WrongError, match=why.replace("*", r"\*")):
        read_template(text)


@pytest.mark.parametrize("text", ["u=ue", "ü", "üü=ue", "ü=é", "ü=u e", "=x", "**", ""])
def test_wrong_letters_are_refused(text: str) -> None:
    """A letter that is not ASCII, and ASCII letters for it; or a star."""
    with pytest.raises(WrongError, match="write ü=ue"):
        read_letters(text)
