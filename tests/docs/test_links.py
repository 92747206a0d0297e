"""The links of README, CONTRIBUTING, docs and contrib lead somewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.documents import anchors, links, name_of, pages

PAGES = pages()


def is_outside(target: str) -> bool:
    """Tell whether a link leads to the web, which no test asks."""
    return target.startswith(("https://", "http://", "mailto:"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_an_anchor(page: Path) -> None:
    """A relative link names a file of the project, and behind # a heading of it."""
    wrong = []
    for line, target in links(page):
        if is_outside(target):
            continue
        path, _, anchor = target.partition("#")
        aim = Path(os.path.normpath(page.parent / path)) if path else page
        if not aim.exists():
            wrong.append(f"{name_of(page)}:{line}: {target}: there is no such file")
        elif anchor and anchor not in anchors(aim):
            wrong.append(f"{name_of(page)}:{line}: {target}: there is no such heading")
    assert not wrong, "\n".join(wrong)


def test_links_are_found_and_those_in_blocks_are_not(tmp_path: Path) -> None:
    """The reader of pages itself: a link, a heading's anchor, and code that looks like one."""
    page = tmp_path / "x.md"
    page.write_text(
        "# One, and two\n\n## The `key` of it\n\n## One, and two\n\n[a](b.md#c) `[no](no.md)`\n\n"
        "```\n[no](no.md)\n# no\n```\n"
    )
    assert list(links(page)) == [(7, "b.md#c")]
    assert anchors(page) == {"one-and-two", "the-key-of-it", "one-and-two-1"}


def test_every_how_to_stands_in_the_index() -> None:
    """docs/howto/README.md is how a reader finds them."""
    folder = Path(__file__).parents[2] / "docs/howto"
    named = {target for _, target in links(folder / "README.md")}
    there = {path.name for path in folder.glob("*.md")} - {"README.md"}
    assert there <= named
