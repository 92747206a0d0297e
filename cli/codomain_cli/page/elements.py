"""What the parts of the page are made of: a card, a state, a table, a list of facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain_cli.page.html import Html, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def live(name: str, title: str, *children: Html, class_: str = "card") -> Html:
    """Return one part."""
    heading = tag("h2", title, id=f"{name}-title")
    return tag(
        "section",
        heading,
        *children,
        id=name,
        class_=class_,
        data_live=True,
        aria_labelledby=f"{name}-title",
    )


def pill(text: str, tone: str) -> Html:
    """Return a state: its word and its colour."""
    return tag("span", text, class_=f"pill {tone}")


def table(name: str, head: Sequence[str], rows: Iterable[Sequence[Html | str]], empty: str) -> Html:
    """Return a table, which a narrow window shows as a list of cards.

    The roles stand there because a browser forgets them where CSS lays a table out anew.
    """
    body = [
        tag(
            "tr",
            *(
                tag("td", cell, role="cell", data_label=label)
                for label, cell in zip(head, row, strict=True)
            ),
            role="row",
        )
        for row in rows
    ]
    if not body:
        return tag("p", empty, class_="quiet")
    columns = [tag("th", label, scope="col", role="columnheader") for label in head]
    return tag(
        "table",
        tag("thead", tag("tr", *columns, role="row"), role="rowgroup"),
        tag("tbody", *body, role="rowgroup"),
        role="table",
        aria_label=name,
    )


def item(name: str, state: Html, *parts: Html) -> Html:
    """Return one thing of a card: its name, its state, and what there is to say of it."""
    head = tag("div", tag("h3", name), tag("span", state), class_="head")
    return tag("div", head, *parts, class_="item")


def facts(found: Iterable[tuple[str, str]]) -> Html:
    """Return facts by their names."""
    pairs = [tag("div", tag("dt", name), tag("dd", value)) for name, value in found]
    return tag("dl", *pairs, class_="facts")
