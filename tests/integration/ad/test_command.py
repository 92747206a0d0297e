"""``codomain sync`` as a process, against a real domain controller."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from codomain.directory.index import index_path
from support.following import contents, same
from support.ldapsection import Section
from support.samba import ADMIN, BASE

if TYPE_CHECKING:
    from pathlib import Path

    import ldap3

    from support.samba import Samba

BOUND = 60.0
"""Seconds that a run of the command may take; a start takes less than one."""

KILLS = 6
"""How often it is killed: each time costs a second and a half."""

COMMAND = "from codomain_cli.main import main; main()"

INI = """\
[codomain]
hostname = mx.example.com
postfix = off
state_directory = {folder}/state

[domain example.com]
type = authoritative

[directory ad]
type = ldap
mode = sync
servers = {uri}
schema = active-directory
base = {base}
bind_dn = {admin}
bind_password_file = {password}
ca_file = {authority}
"""


class Site:
    """One configuration, and the index that comes of it."""

    def __init__(self, folder: Path, samba: Samba, base: str, password_file: str) -> None:
        self.samba = samba
        self.section = Section((samba.ldaps,), base=base)
        self.path = index_path(folder / "state", "ad")
        self.ini = folder / "codomain.ini"
        self.log = folder / "log"
        self.ini.write_text(
            INI.format(
                folder=folder,
                uri=samba.ldaps,
                base=base,
                admin=ADMIN,
                password=password_file,
                authority=samba.authority,
            )
        )

    def sync(self, *options: str) -> subprocess.Popen[bytes]:
        """Start the command."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", COMMAND, "sync", "--config", os.fspath(self.ini), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def once(self) -> int:
        """Run it to the end of its first round; returns the exit status."""
        process = self.sync("--once")
        try:
            return process.wait(BOUND)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def site(samba: Samba, tmp_path: Path, password_file: str, request: pytest.FixtureRequest) -> Site:
    """Give a site with a unit of three hundred contacts."""
    unit = samba.unit(request.node.name[:50])
    with samba.administrator() as connection:
        for number in range(300):
            add(connection, unit, number)
    return Site(tmp_path, samba, unit, password_file)


def add(connection: ldap3.Connection, unit: str, number: int) -> None:
    """Add a contact."""
    attributes = {"objectClass": "contact", "mail": f"c{number}@example.com"}
    connection.add(f"CN=C {number},{unit}", attributes=attributes)


def test_one_run_brings_the_index_in_step(site: Site) -> None:
    """With --once it ends when everything is there, and the next one takes up what changed."""
    assert site.once() == 0, site.log.read_text()
    assert same(site.samba, site.section, site.path)
    site.samba.delete(f"CN=C 7,{site.section.base}")
    assert site.once() == 0
    assert same(site.samba, site.section, site.path)
    assert site.log.read_text().count("loading all entries") == 1


def test_killed_at_any_moment_it_goes_on_where_it_was(site: Site) -> None:
    """Mark and entries are one transaction: after kill -9 nothing is missing and nothing stays."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    number = 1000
    with site.samba.administrator() as connection:
        for _ in range(KILLS):
            process = site.sync()
            end = time.monotonic() + chance.uniform(0.3, 2.0)
            while time.monotonic() < end:
                number += 1
                add(connection, site.section.base, number)
                if chance.random() < 0.3:
                    gone = f"CN=C {number},{site.section.base}"
                    connection.delete(gone)
            process.kill()
            process.wait()
    assert site.once() == 0, f"seed {seed}: {site.log.read_text()}"
    assert same(site.samba, site.section, site.path), f"seed {seed}"
    assert len(contents(site.section, site.path)) > 300


def test_whole_domain_as_an_ordinary_account(site: Site, tmp_path: Path) -> None:
    """The least account follows the least configured section: the domain's base."""
    account = site.samba.account("everything", "Follow.Me-1 please")
    secret = tmp_path / "secret"
    secret.write_text("Follow.Me-1 please")
    secret.chmod(0o600)
    text = site.ini.read_text().replace(site.section.base, BASE).replace(ADMIN, account)
    site.ini.write_text(
        "".join(
            f"bind_password_file = {secret}\n" if line.startswith("bind_password") else line
            for line in text.splitlines(keepends=True)
        )
    )
    assert site.once() == 0, site.log.read_text()
    assert len(contents(Section((), base=BASE), site.path)) >= 300
