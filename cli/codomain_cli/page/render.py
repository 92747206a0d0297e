"""The whole page: the frame, the form, the configuration; and the page of an explanation.

Nothing in it comes from elsewhere.  Without scripts it loads itself anew now and then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codomain import __version__
from codomain_cli.page import configuration
from codomain_cli.page.elements import pill
from codomain_cli.page.explaining import ADDRESS_CHARACTERS
from codomain_cli.page.html import Html, join, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codomain.config import Config
    from codomain.runtime import Runtime
    from codomain_cli.page.configuration import Value
    from codomain_cli.page.explaining import Explained

REFRESH_SECONDS = 30
"""How often a browser without scripts loads the page."""

CLIENT_CHARACTERS = 64
"""The longest text that is taken for a client's address (RFC 4291: 45, and some blanks)."""

DOCTYPE = Html("<!doctype html>\n")


def whole(runtime: Runtime, parts: Sequence[Html], written: Html) -> str:
    """Return the status page, made of its parts; ``written`` is :func:`in_force`."""
    first, *others = parts
    return _frame(
        runtime.config, "status", join((first, form(), *others, written)), runtime.generation
    )


def answered(config: Config, explained: Explained, client: str, *, authenticated: bool) -> str:
    """Return the page that explains an address."""
    back = tag("p", tag("a", "Back to the status page", href="./"))
    parts = (
        form(explained.address, client, authenticated=authenticated),
        _explained(explained),
        back,
    )
    return _frame(config, f"explain {explained.address}", join(parts))


def form(address: str = "", client: str = "", *, authenticated: bool = False) -> Html:
    """Return the form that asks what happens to mail for an address."""
    fields = (
        *_field("address", "Address", address, "ann@example.com", ADDRESS_CHARACTERS),
        *_field("client", "Client, if it matters", client, "192.0.2.1", CLIENT_CHARACTERS),
        tag(
            "label",
            tag("input", type="checkbox", name="authenticated", value="yes", checked=authenticated),
            " logged in",
            class_="check",
        ),
        tag("button", "Explain", type="submit"),
    )
    return tag(
        "section",
        tag("h2", "What happens to mail for …", id="explain-title"),
        tag("form", *fields, action="explain", method="get"),
        tag(
            "p",
            "Answered from memory and files alone; ",
            tag("code", "codomain explain ADDRESS"),
            " asks the directories, too.",
            class_="quiet",
        ),
        id="explain",
        class_="card wide",
        aria_labelledby="explain-title",
    )


def _field(name: str, label: str, value: str, example: str, longest: int) -> tuple[Html, Html]:
    entry = tag(
        "input",
        id=name,
        name=name,
        type="text",
        autocomplete="off",
        autocapitalize="none",
        spellcheck="false",
        required=name == "address",
        maxlength=longest,
        placeholder=example,
        value=value,
    )
    return tag("label", label, for_=name), entry


def in_force(config: Config) -> Html:
    """Return the configuration in force; it changes by a reload alone."""
    parts = [_section(header, values) for header, values in configuration.values(config)]
    files = ", ".join(str(path) for path in config.files) or "no file"
    return tag(
        "section",
        tag("h2", "Configuration in force", id="configuration-title"),
        tag(
            "p",
            f"Read from {files}. What is set stands first; the rest has its default.",
            class_="quiet",
        ),
        tag("div", *parts, class_="sections"),
        id="configuration",
        class_="card wide",
        aria_labelledby="configuration-title",
    )


def _section(header: str, values: Sequence[Value]) -> Html:
    written = [value for value in values if not value.default]
    rest = [value for value in values if value.default]
    parts = (
        [_values(written)] if written else [tag("p", "Everything at its default.", class_="quiet")]
    )
    if rest:
        keys = f"{len(rest)} key{'s' if len(rest) > 1 else ''} at the default"
        parts.append(tag("details", tag("summary", keys), _values(rest)))
    return tag("div", tag("h3", f"[{header}]"), *parts, class_="ini")


def _values(values: Sequence[Value]) -> Html:
    return tag("dl", *(_value(value) for value in values), class_="values")


def _value(value: Value) -> Html:
    shown = tag("code", value.written) if value.written else tag("span", "empty", class_="quiet")
    source = Html() if value.default else tag("span", value.source, class_="quiet source")
    return tag("div", tag("dt", value.key), tag("dd", shown, " ", source))


def _explained(explained: Explained) -> Html:
    if explained.fault:
        body = [tag("p", pill("Not asked", "warn"), f" {explained.fault}")]
    else:
        rows = [("Client", explained.standing), *explained.steps]
        body = [
            tag("p", tag("strong", explained.summary), class_=f"verdict {explained.tone}"),
            tag("h3", "Steps"),
            _rows(rows),
        ]
        if explained.doors:
            body += [tag("h3", "What the MTA is told"), _rows(explained.doors)]
    return tag(
        "section",
        tag("h2", explained.address or "no address", id="answer-title", class_="address"),
        *body,
        id="answer",
        class_="card wide",
        aria_labelledby="answer-title",
    )


def _rows(rows: Sequence[tuple[str, str]]) -> Html:
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", tag("code", value))) for name, value in rows),
        class_="values",
    )


def _frame(config: Config, what: str, parts: Html, generation: int = 0) -> str:
    """Return a document; ``generation``: that of the configuration, where it updates itself."""
    host = config.codomain.hostname
    title = " · ".join(filter(None, ("codomain", host, what)))
    meta = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="stylesheet", href="page.css"),
        tag("link", rel="icon", href="icon.svg", type="image/svg+xml"),
        tag("script", src="page.js", defer=True),
        _reloading() if generation else None,
    )
    top = tag(
        "header",
        tag("a", "Skip to the page", href="#main", class_="skip"),
        tag("h1", tag("a", "codomain", href="./"), " ", tag("span", host)),
        _updating() if generation else None,
    )
    foot = tag(
        "footer",
        tag("span", f"codomain {__version__}"),
        *(tag("a", path, href=path) for path in ("metrics", "healthz", "readyz")),
    )
    main = tag("main", parts, id="main", tabindex="-1")
    body = tag("body", top, main, foot, data_generation=generation or None)
    return DOCTYPE + tag("html", meta, body, lang="en")


def _reloading() -> Html:
    return tag("noscript", tag("meta", http_equiv="refresh", content=REFRESH_SECONDS))


def _updating() -> Html:
    return tag(
        "div",
        tag("span", "Live", id="live-state", class_="pill good", role="status", hidden=True),
        tag("button", "Pause", id="pause", type="button", hidden=True),
        tag("noscript", f"Loads itself every {REFRESH_SECONDS} seconds."),
        class_="updating",
    )
