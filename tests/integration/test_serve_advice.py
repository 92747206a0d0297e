"""What a start says of the configuration's smaller faults: a few lines, however many they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.site import Site

if TYPE_CHECKING:
    from pathlib import Path

RECORD = """\
dn: cn=user{0},dc=example,dc=com
objectClass: user
cn: user{0}
proxyAddresses: SMTP:user{0}@example.com

"""


def test_a_start_names_the_first_faults_of_a_file_and_counts_the_others(tmp_path: Path) -> None:
    """A record without mailNickname is a warning of its own; thousands must not fill the log."""
    people = tmp_path / "people.ldif"
    people.write_text("".join(RECORD.format(number) for number in range(50)))
    site = Site(tmp_path)
    site.write(f"type = files\npath = {people}")
    with site.serve() as daemon:
        lines = daemon.log.read_text().splitlines()
    advice = [line for line in lines if "event=configuration " in line]
    assert len(advice) == 21
    of_people = [line for line in advice if f'advice="{people}:' in line]
    assert f'advice="{people}:1: no mailNickname' in of_people[0]
    others = 50 - len(of_people)
    assert f'advice="{others} lines more, which codomain check prints"' in advice[-1]
