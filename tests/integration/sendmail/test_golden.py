"""The golden files of tests/scenarios, asked of a real Sendmail: one file for both MTAs.

A client's address of the golden file becomes one of loopback, in the INI too.  What SMTP
cannot ask, or a client of loopback cannot be, is left out.  Where Sendmail answers
otherwise than Postfix, :data:`DIFFERENCES` names it; all else is as the file says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from support.sendmail import STRANGER, TRUSTED, SendmailLab, sendmail_lab

SCENARIOS = Path(__file__).parents[2] / "scenarios"

ACCEPTED = "250 2.1.5"

NETWORKS = {"192.0.2": "127.2.0", "192.168.1": "127.168.1", "203.0.113": "127.203.0"}
"""Networks of the stories, and what they are here."""

CLIENTS = {"stranger": STRANGER, "trusted": TRUSTED}

RELAYING = "550 5.7.1"
"""Who may relay Sendmail says itself, with a code of its own."""

DIFFERENCES = {
    # What is no address to Sendmail: an empty label, an open bracket; an open quote comes first.
    "554 5.7.1": {"554 5.7.1", RELAYING, "553 5.1.2", "553 5.1.3"},
    "501 5.1.3": {"553 5.1.3", "553 5.0.0"},
    # A map is down or it is not: TEMP carries no reason.
    "451 4.3.5": {"451 4.4.3"},
    # A milter sets no next hop: what would need another one is a loop.
    "FILTER": {"554 5.4.6"},
}
"""What Sendmail may answer where the policy server says something else."""

PERMITTED = "trust: peers_may_relay"
"""The rule of rows whose client must be permitted in sendmail.mc, too, and here is not."""

ROUTE = set("%!")
"""Characters that part a route for Sendmail, also where an entry or postmaster would win."""

LEFT_OUT = {
    "filter": "redirect = filter is for Postfix sites without maps",
    "outage": "what serves is what a cache kept of a directory that is down",
    "contacts": "its entries that cannot be used are refused in a file, at the start",
    "routing": "its entries that cannot be used are refused in a file, at the start",
    "callout": "next systems have to answer",
    "callout-defer": "next systems have to answer",
}
"""Stories that Sendmail is not asked, and why."""

HERE = {
    "literal": "[192.0.2.1] [IPv6:2001:DB8::1] [ipv6:2001:0DB8:0:0:0:0:0:1]",
    "subdomains": "x.example.com x.y.example.com deep.example.com y.deep.example.com"
    " x.deep.example.com x.sub.example.com",
}
"""Names of this host (class w) that no section has: class w knows no sub-domains, and an
address literal is one of this host only by its interfaces."""

UNMOVED = {"literal"}
"""Stories whose addresses are recipients, and stay as they are."""

LDAP = re.compile(r"^\[directory (\w+)\]\ntype = ldap\nservers = .*\n(?:\w.*\n)*", re.MULTILINE)
"""A directory that is a file here, or down where the story has no entries for it."""


class Row(NamedTuple):
    """What is asked, and the beginning of the reply."""

    client: str
    recipient: str
    reply: str
    rule: str


def moved(text: str) -> str:
    """Put addresses of the stories onto loopback."""
    for network, here in NETWORKS.items():
        text = re.sub(rf"\b{re.escape(network)}\.", f"{here}.", text)
    return text


def rows(story: str) -> list[Row]:
    """Return the rows that can be asked by SMTP."""
    found = []
    for line in (SCENARIOS / story / "requests.tsv").read_text().splitlines()[1:]:
        if not line or line.startswith("#"):
            continue
        client, flags, recipient, _verdict, action, *_, rule = line.split("\t")
        address = moved(CLIENTS.get(client, client))
        bare = flags == "smtp" or (recipient.count("@") == 1 and not set(recipient) & set('" \\'))
        if address.startswith("127.") and flags in {"", "smtp"} and bare and recipient.isascii():
            reply = {"DUNNO": ACCEPTED, "FILTER": "FILTER"}.get(action.split()[0], action[:9])
            found.append(Row(address, recipient.strip("<>"), reply, rule))
    return found


STORIES = sorted(
    path.parent.name
    for path in SCENARIOS.glob("*/requests.tsv")
    if path.parent.name not in LEFT_OUT
)


def directory(folder: Path, match: re.Match[str]) -> str:
    """Return a section of a directory that can be asked here."""
    path = folder / f"{match[1]}.ldif"
    if path.exists():
        return f"[directory {match[1]}]\ntype = files\npath = {path}\n"
    return re.sub("servers = .*", "servers = ldap://127.0.0.1:9", match[0])


def wrong(lab: SendmailLab, story: str) -> list[str]:
    """Ask every row, and return what is not as it should be."""
    found = []
    for row in rows(story):
        (given,) = lab.replies(row.client, row.recipient)
        may = DIFFERENCES.get(row.reply, {row.reply})
        if set(row.recipient) & ROUTE or row.rule == PERMITTED:
            may = may | {RELAYING}
        if given[:9] not in may:
            found.append(f"{row}: {given}")
    return found


@pytest.mark.parametrize("story", STORIES)
def test_a_story_is_the_same_with_sendmail(story: str) -> None:
    """Every reply is that of the golden file, but for the differences that are named."""
    folder = SCENARIOS / story
    ini = (folder / "codomain.ini").read_text().replace("/scenario", f"{folder}")
    ini = ini if story in UNMOVED else moved(ini)
    ini = LDAP.sub(lambda match: directory(folder, match), ini)
    ini = ini.replace("trusted_networks = 127.0.0.0/8", f"trusted_networks = {TRUSTED}")
    here = f"LOCAL_CONFIG\nCw{HERE[story]}\n" if story in HERE else ""
    with sendmail_lab(ini, here) as lab:
        assert wrong(lab, story) == []


def test_most_of_the_golden_files_is_asked() -> None:
    """A filter that lets nothing through would prove nothing."""
    assert sum(len(rows(story)) for story in STORIES) >= 200
