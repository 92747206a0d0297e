"""The story of KB 321721, method 2, where the contact comes by ``codomain contacts import``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codomain.directory.ldap import LdapDirectory
from codomain_policyd.reply import policy_action
from scenarios.test_scenarios import HERE, MAPS, Story, question_of, rows
from support.contactsite import BASE, SEED, Gateway
from support.decisions import told
from support.ldapsection import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codomain.directory.base import Recipient
    from codomain.finding import Outage
    from support.contactsite import XoSlapd


class Imported(Story):
    """The story, with its directory asked over LDAP."""

    def __init__(self, directory: LdapDirectory) -> None:
        super().__init__(HERE / "seed-method-2")
        self._directory = directory

    def peek(self, directory: str, key: str) -> tuple[Recipient, ...] | Outage | None:
        """Ask the server."""
        del directory
        return self._directory.find(key, 20.0)


@pytest.fixture
def story(gateway: Gateway, xo: XoSlapd) -> Iterator[Imported]:
    """Give the story over what the import made."""
    assert gateway.contacts("import", SEED, "--create-ou", "--apply").status == 0
    directory = LdapDirectory(Section((xo.ldapi,), base=BASE))
    yield Imported(directory)
    directory.close()


def test_the_story_comes_true_on_what_was_imported(story: Imported) -> None:
    """Every row of the golden file: verdict, policy action and map answers, letter for letter."""
    wrong = []
    for row in rows("seed-method-2"):
        question = question_of(row)
        verdict = story.decide(question)
        if told(verdict) != row.verdict:
            wrong.append(f"{row.place}: {told(verdict)!r} is not {row.verdict!r}")
        action = policy_action(verdict, story.replies, by_filter=False)
        if action != f"action={row.action}\n\n".encode():
            wrong.append(f"{row.place}: {action!r} is not {row.action!r}")
        if row.maps != ("-",) * len(MAPS) and story.maps(question) != row.maps:
            wrong.append(f"{row.place}: {story.maps(question)!r} is not {row.maps!r}")
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("remote", ["shared", "relay"])
def test_the_remote_domain_may_be_shared_or_relay(gateway: Gateway, remote: str) -> None:
    """The import and the way of the mail are the same: out by the connector, rewritten."""
    ini = gateway.ini.read_text().replace("type = shared", f"type = {remote}")
    gateway.ini.write_text(ini)
    assert gateway.contacts("import", SEED, "--create-ou", "--apply").status == 0
    done = gateway.run("explain", "internetuser@xo.one", "--client", "198.51.100.7")
    assert done.returncode == 0
    assert "internetUser@remote.domain" in done.stdout
    assert "smtp:[192.0.2.60]" in done.stdout
    assert gateway.run("explain", "nobody@xo.one", "--client", "198.51.100.7").returncode == 1
