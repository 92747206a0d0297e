"""``codomain policies`` as a process, on slapd with the AD-like schema and on Samba AD."""

from __future__ import annotations

import csv
import io
import time
from typing import TYPE_CHECKING

import pytest

from support.site import run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from support.stamped import Directory

INI = """\
[codomain]
hostname = mx.example.com
postfix = off
postmaster = ann@corp.example

[domain corp.example]
type = authoritative

[domain example.com]
[domain remote.example.net]

[directory ad]
schema = active-directory
{keys}

[policy rest]
default = yes
address_spaces = corp.example, example.com

[policy sales]
priority = 10
filter = (title=sales)
address_spaces = corp.example, example.com
primary = example.com
templates = %g.%s@example.com

[policy heads]
priority = 20
filter = (&(title=sales)(description=head))
address_spaces = corp.example

[policy remote]
priority = 30
address_spaces = remote.example.net
"""


class Site:
    """A configuration around one directory."""

    def __init__(self, folder: Path, directory: Directory) -> None:
        self.ini = folder / "codomain.ini"
        self.ini.write_text(INI.format(keys=directory.keys))
        self.directory = directory

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run ``codomain policies``."""
        return run("policies", *arguments, "--config", self.ini)

    def csv(self, *arguments: str) -> dict[str, dict[str, str]]:
        """Return the rows of the preview by the first name in their DNs."""
        done = self.run("preview", "--format", "csv", *arguments)
        rows = csv.DictReader(io.StringIO(done.stdout))
        return {row["dn"].partition(",")[0].partition("=")[2]: row for row in rows}


@pytest.fixture
def site(tmp_path: Path, directory: Directory) -> Site:
    """Give the configuration."""
    return Site(tmp_path, directory)


def test_the_first_policy_by_priority_that_finds_an_entry_has_it(site: Site) -> None:
    """Filters are the server's to judge; the default policy has who is left."""
    add = site.directory.add
    ann = add("Ann Lee", mailNickname="ann", givenName="Ann", title="sales")
    head = add("Hugo Head", mailNickname="hugo", title="sales", description="head")
    tom = add("Tom", mailNickname="tom", title="post")
    none = add("No Alias", title="sales")
    rows = site.csv()
    assert {name: row["policy"] for name, row in rows.items()} == {
        "Ann Lee": "sales", "Hugo Head": "heads", "Tom": "rest",
    }  # fmt: skip
    assert site.directory.read(ann, "proxyAddresses", "mail") in (
        {}, {"proxyAddresses": [], "mail": []},
    )  # fmt: skip
    assert site.run("apply").returncode == 0
    assert site.directory.addresses(ann) == ["SMTP:Ann.Lee@example.com", "smtp:ann@corp.example"]
    assert site.directory.addresses(head) == ["SMTP:hugo@corp.example"]
    assert site.directory.addresses(tom) == ["SMTP:tom@corp.example", "smtp:tom@example.com"]
    assert site.directory.addresses(none) == []
    assert site.directory.read(ann, "mail")["mail"] == ["Ann.Lee@example.com"]


def test_a_changed_primary_is_stamped_and_the_old_one_stays(site: Site) -> None:
    """SMTP:x becomes smtp:x in one request, though the server finds both alike."""
    ann = site.directory.add(
        "Ann Lee", mailNickname="ann", givenName="Ann", title="sales", mail="ann@corp.example",
        proxyAddresses=["SMTP:ann@corp.example", "smtp:ann.lee@example.com", "X400:c=us;a= ;p=x;"],
    )  # fmt: skip
    done = site.run("apply")
    assert done.returncode == 0, done.stderr
    assert site.directory.addresses(ann) == [
        "SMTP:ann.lee@example.com", "X400:c=us;a= ;p=x;", "smtp:ann@corp.example",
    ]  # fmt: skip
    assert site.directory.read(ann, "mail")["mail"] == ["ann.lee@example.com"]


def test_applying_twice_changes_nothing_the_second_time(site: Site) -> None:
    """Idempotent: the second preview is empty, and so is its LDIF."""
    for number in range(4):
        site.directory.add(f"Ann Lee{number}", mailNickname="ann")
    assert "4 entries changed, 0 not" in site.run("apply").stdout
    assert site.csv() == {}
    assert site.run("preview", "--format", "ldif").stdout == ""
    assert "0 entries changed" in site.run("apply").stdout


def test_collisions_are_numbered_by_age(site: Site) -> None:
    """The oldest gets the plain address; the servers say when an entry was made."""
    first = site.directory.add("Zoe", mailNickname="smith")
    # Both servers keep whole seconds: wait until the next one has begun.
    end = time.monotonic() + 1.1
    while time.monotonic() < end:
        time.sleep(0.05)
    second = site.directory.add("Abe", mailNickname="smith")
    assert site.run("apply").returncode == 0
    assert "SMTP:smith@corp.example" in site.directory.addresses(first)
    assert "SMTP:smith2@corp.example" in site.directory.addresses(second)


def test_the_seeds_contact_is_left_as_it_was_imported(site: Site) -> None:
    """An object of a null-filter policy is never touched, whatever the default one says."""
    contact = site.directory.add(
        "Internet User", mailNickname="internetuser", mail="iu@remote.example.net",
        targetAddress="SMTP:iu@remote.example.net",
        proxyAddresses=["SMTP:iu@remote.example.net", "smtp:iu@example.com"],
    )  # fmt: skip
    before = site.directory.read(contact, "*")
    assert site.run("apply", "--remove", "example.com").returncode == 0
    assert site.directory.read(contact, "*") == before
    assert "policy without a filter" in site.csv("--all")["Internet User"]["notes"]


def test_remove_takes_only_what_no_policy_gives_in_that_domain(site: Site) -> None:
    """Without it nothing is taken away; a domain of no policy is refused."""
    tom = site.directory.add(
        "Tom", mailNickname="tom",
        proxyAddresses=["SMTP:tom@corp.example", "smtp:old@example.com", "smtp:t@corp.example"],
    )  # fmt: skip
    assert site.run("apply").returncode == 0
    assert "smtp:old@example.com" in site.directory.addresses(tom)
    assert site.csv("--remove", "Example.COM")["Tom"]["gone"] == "old@example.com"
    assert site.run("apply", "--remove", "example.com").returncode == 0
    assert site.directory.addresses(tom) == [
        "SMTP:tom@corp.example", "smtp:t@corp.example", "smtp:tom@example.com",
    ]  # fmt: skip
    for domain in ("elsewhere.test", "remote.example.net"):
        done = site.run("apply", "--remove", domain)
        assert (done.returncode, "no policy gives addresses there" in done.stderr) == (64, True)


def test_a_conflict_is_named_and_the_rest_is_done(site: Site) -> None:
    """Status 1; who has two primary addresses is left alone."""
    bad = site.directory.add(
        "Bad", mailNickname="bad", proxyAddresses=["SMTP:a@example.com", "SMTP:b@example.com"]
    )
    good = site.directory.add("Good", mailNickname="good")
    done = site.run("apply")
    assert done.returncode == 1
    assert "2 primary addresses" in done.stderr
    assert site.directory.addresses(bad) == ["SMTP:a@example.com", "SMTP:b@example.com"]
    assert "SMTP:good@corp.example" in site.directory.addresses(good)


def test_the_ldif_of_the_preview_does_what_apply_does(site: Site) -> None:
    """The servers' own tools read it, with a DN that needs base64 and a value that is folded."""
    long = "l" * 60
    ann = site.directory.add(
        "Änne " + "Y" * 50, mailNickname=long, mail=f"{long}@example.com",
        proxyAddresses=[f"SMTP:{long}@example.com"],
    )  # fmt: skip
    done = site.run("preview", "--format", "ldif")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dn:: ")
    assert "\n " in done.stdout
    site.directory.modify(done.stdout)
    assert site.directory.addresses(ann) == [
        f"SMTP:{long}@corp.example", f"smtp:{long}@example.com",
    ]  # fmt: skip
    assert site.csv() == {}


def test_another_account_may_write_than_reads(site: Site, secrets: dict[str, Path]) -> None:
    """--bind-dn and --password-file: the daemon's own account needs no right to write."""
    if site.directory.kind == "samba":
        # A controller lets nobody write by default: what it says is said, and nothing is done.
        tom = site.directory.add("Tom", mailNickname="tom")
        done = site.run(
            "apply", "--bind-dn", "Nobody@ad.example.com", "--password-file", secrets["samba"]
        )
        assert (done.returncode, "invalidCredentials" in done.stderr) == (75, True), done.stderr
        assert site.directory.addresses(tom) == []
        return
    ini = site.ini.read_text()
    reader = "".join(line for line in ini.splitlines(keepends=True) if not line.startswith("bind_"))
    site.ini.write_text(reader)
    tom = site.directory.add("Tom", mailNickname="tom")
    refused = site.run("apply")
    assert refused.returncode == 1
    assert "the directory says strongerAuthRequired" in refused.stderr
    writer = "cn=stamps,ou=writers,dc=example,dc=com"
    done = site.run("apply", "--bind-dn", writer, "--password-file", secrets["stamps"])
    assert done.returncode == 0, done.stderr
    assert "SMTP:tom@corp.example" in site.directory.addresses(tom)


def test_an_entry_that_two_sections_show_is_not_in_its_own_way(site: Site) -> None:
    """The same server with another schema, or a base within the other one: it counts once."""
    ann = site.directory.add(
        "Ann", mailNickname="ann", mail="ann@corp.example",
        proxyAddresses=["SMTP:ann@corp.example"],
    )  # fmt: skip
    ini = site.ini.read_text()
    again = "".join(
        f"[directory {name}]\nschema = {schema}\n{site.directory.keys}"
        for name, schema in (("persons", "inetorgperson"), ("twice", "active-directory"))
    )
    site.ini.write_text(ini.replace("[directory ad]", f"{again}[directory ad]"))
    done = site.run("apply")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "1 entries changed, 0 not" in done.stdout
    assert site.directory.addresses(ann) == ["SMTP:ann@corp.example", "smtp:ann@example.com"]


def test_more_than_a_page_of_entries_is_read(site: Site) -> None:
    """A directory gives 1,000 entries at a time; all of them are planned for."""
    with site.directory.connect() as connection:
        for number in range(1100):
            attributes = {"objectClass": ["contact"], "mailNickname": f"p{number}", "sn": "P"}
            connection.add(f"cn=p{number},{site.directory.unit}", attributes=attributes)
    done = site.run("preview", "--format", "csv")
    assert done.stdout.count("@corp.example; ") == 1100
