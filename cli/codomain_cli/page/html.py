"""HTML, written so that no text can become markup.

In flow names, attributes and children; out flows :class:`Html`.  A child that is a plain
text is escaped, and so is every attribute's value; what a terminal or a browser does not
show, or shows as something else (control characters, marks that turn the direction of
writing, lone surrogates), stands as an escape.  There is no way to give markup but
:class:`Html` itself.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

VOID = frozenset({"br", "input", "link", "meta", "path", "rect", "polyline"})
"""The elements without an end: HTML's own, and those of SVG that hold nothing here."""


class Html(str):
    """Markup that is meant as such."""

    __slots__ = ()


Child = str | int | None
"""Markup, or a text, or nothing."""


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """Return an element.

    An attribute's name may end with ``_`` (``class_``); in it ``_`` stands for ``-``.  True
    writes the name alone; False and None leave it out.
    """
    written = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Html(
            f"<{name}{written}>"
            if name in {"br", "input", "link", "meta"}
            else f"<{name}{written}/>"
        )
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Return children one after the other."""
    return Html("".join(child if isinstance(child, Html) else text(child) for child in children))


def text(value: Child) -> Html:
    """Return a text as it may stand between tags and in a quoted attribute."""
    return Html("" if value is None else escape(printable(str(value))))


def printable(value: str) -> str:
    """Return a text in which everything odd stands as Python writes it."""
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
