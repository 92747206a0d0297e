"""The man page and the example: both say what the declarations say."""

from __future__ import annotations

from pathlib import Path

import pytest

from codomain.config import parse
from codomain.errors import ConfigError
from codomain.settings.whole import NAMED, SINGLE, keys_of
from codomain_cli import reference

PROJECT = Path(__file__).resolve().parents[2]
SECTIONS = [*SINGLE.items(), *NAMED.items()]


def test_man_page_and_example_have_not_drifted() -> None:
    """config.md: a test fails when they drift (python -m codomain_cli.reference --write)."""
    assert (PROJECT / reference.MAN_PAGE).read_text(encoding="utf-8") == reference.man_page()
    assert (PROJECT / reference.EXAMPLE).read_text(encoding="utf-8") == reference.example()


@pytest.mark.parametrize(("kind", "section"), SECTIONS, ids=[kind for kind, _ in SECTIONS])
def test_every_key_has_a_sentence(kind: str, section: type) -> None:
    """config.md: every key has a type, a unit, a default and one sentence."""
    said = reference.sentences(section)
    assert [key for key in keys_of(section) if not said.get(key, "").endswith(".")] == []
    assert f"### [{kind}" in reference.man_page()


def test_the_example_itself_parses() -> None:
    """As it stands it sets nothing."""
    assert parse(reference.example()).policyd == parse("").policyd


def test_the_example_parses_with_every_key_set() -> None:
    """Every default and every sample in it is a value that its key takes."""
    lines = reference.example().splitlines()
    text = "\n".join(line.removeprefix("#") for line in lines)
    with pytest.raises(ConfigError) as caught:
        parse(text)
    # The password files that it names are not there, and a policy's filter is free.
    assert [line for line in caught.value.faults if "_password_file: " not in line] == []
    assert len(caught.value.faults) == 2


def test_drift_is_said_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The generator writes with --write alone; without it the status tells."""
    project = ["--project", str(tmp_path)]
    assert reference.main(project) == 1
    assert "contrib/codomain.ini: differs" in capsys.readouterr().out
    assert reference.main([*project, "--write"]) == 0
    assert reference.main(project) == 0
