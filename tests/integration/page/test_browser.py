"""The status page in a real browser: sizes, colours, keyboard, updates, accessibility."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.chromium import Chromium
    from support.pagehouse import House

WIDTHS = (360, 1400)
SCHEMES = ("light", "dark")
SERIOUS = {"serious", "critical"}
"""The impacts that axe-core gives to what keeps somebody out."""

HEADINGS = [
    "Now",
    "What happens to mail for …",
    "Verdicts",
    "Last refusals",
    "Directories",
    "Connectors",
    "Cache",
    "Configuration in force",
]
"""The parts of the page, in their order."""

SPILT = """
[...document.querySelectorAll("main *")].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 1 && (box.right > innerWidth + 1 || box.left < -1);
}).map(e => e.outerHTML.slice(0, 200))
"""
"""What stands beyond the window's edges."""

CUT = """
[...document.querySelectorAll("td, dd, li, p, h1, h2, h3, .pill, code, button")]
  .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline"
    && e.clientWidth > 0)
  .map(e => e.outerHTML.slice(0, 200))
"""
"""What is wider than its box."""


def _explain(house: House, address: str) -> str:
    return f"{house.url}explain?address={quote(address)}&client=198.51.100.7"


@pytest.mark.parametrize("look", [(w, s) for w in WIDTHS for s in SCHEMES])
@pytest.mark.parametrize("page", ["status", "explain"])
def test_it_is_whole_at_every_size_and_in_every_light(
    house: House, browser: Chromium, artefacts: Path, page: str, look: tuple[int, str]
) -> None:
    """No part beyond the edge or cut, no complaint of the browser, no finding of axe-core."""
    width, scheme = look
    browser.size(width, scheme=scheme)
    browser.open(house.url if page == "status" else _explain(house, "bob@example.com"))
    browser.see("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert browser.see("document.documentElement.scrollWidth") == width
    assert browser.see(SPILT) == []
    assert browser.see(CUT) == []
    back = browser.see("getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(243, 245, 248)", "dark": "rgb(15, 20, 27)"}[scheme]
    found = [
        (violation["id"], node["html"])
        for violation in browser.axe()
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]
    assert found == []
    browser.see("document.querySelectorAll('details').forEach(d => { d.open = false })")
    browser.picture(artefacts / f"{page}-{width}-{scheme}.png")
    assert browser.complaints == []


def test_every_part_is_there_and_nothing_comes_from_elsewhere(
    house: House, browser: Chromium
) -> None:
    """All headings in their order; every request goes to the page's own origin."""
    browser.size(1400)
    browser.open(house.url)
    headings = browser.see("[...document.querySelectorAll('h2')].map(h => h.textContent)")
    assert headings == HEADINGS
    origin = urlsplit(house.url).netloc
    assert {urlsplit(url).netloc for url in browser.loaded} == {origin}
    assert any(url.endswith("/page.css") for url in browser.loaded)


def test_a_policy_that_is_broken_would_be_noticed(house: House, browser: Chromium) -> None:
    """An inline script and a foreign picture are refused by the browser, and it says so."""
    browser.size(1400)
    browser.open(house.url)
    browser.see(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1';"
        " document.body.append(s); const i = new Image(); i.src = 'http://127.0.0.2:1/x';"
        " document.body.append(i); })()"
    )
    assert browser.see("window.broken") is None
    browser.await_("true")
    assert any("Content Security Policy" in text for text in browser.complaints)


def test_what_a_client_sent_runs_nowhere(house: House, browser: Chromium) -> None:
    """A recipient that is markup is a text, in the list and in the explanation."""
    browser.size(1400)
    hostile = '"><img src=x onerror=alert(1)>'
    for url in (house.url, _explain(house, f"{hostile}@example.com"), _explain(house, hostile)):
        browser.open(url)
        assert browser.see("document.images.length") == 0
        assert browser.complaints == []
    assert browser.see("document.getElementById('address').value") == hostile
    assert hostile in browser.see("document.querySelector('#answer h2').textContent")


def test_the_form_works_by_keyboard_alone(house: House, browser: Chromium) -> None:
    """Tab to the field, type, Enter: the answer; the focus is always to be seen."""
    browser.size(1400)
    browser.open(house.url)
    browser.press("Tab")
    assert browser.see("document.activeElement.className") == "skip"
    assert browser.see("document.activeElement.getBoundingClientRect().left") >= 0
    for _ in range(12):
        outline = browser.see("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", browser.see("document.activeElement.outerHTML")
        if browser.see("document.activeElement.id") == "address":
            break
        browser.press("Tab")
    browser.type("ann@example.com")
    browser.press("Enter")
    browser.await_("location.pathname === '/explain' && !!document.getElementById('answer')")
    answer = browser.see("document.getElementById('answer').textContent")
    assert "Delivered through exchange." in answer
    assert "action=DUNNO" in answer


def test_everything_that_can_be_used_is_reached_by_tab(house: House, browser: Chromium) -> None:
    """In the order of the page, and without a trap: after the last one it begins anew."""
    browser.size(1400)
    browser.open(house.url)
    usable = browser.see(
        "[...document.querySelectorAll('a, button, input, summary')]"
        ".filter(e => e.offsetParent !== null || e.className === 'skip').length"
    )
    browser.see(
        "document.querySelectorAll('a, button, input, summary').forEach((e, i) => { e.n = i })"
    )
    reached = []
    for _ in range(usable):
        browser.press("Tab")
        reached.append(browser.see("document.activeElement.n ?? -1"))
    assert reached == sorted(set(reached))
    assert reached[0] == 0


def test_it_updates_itself_and_can_be_paused(house: House, browser: Chromium) -> None:
    """A refusal shows without a reload; paused, it does not; what one opened stays open."""
    browser.size(1400)
    browser.open(house.url)
    browser.await_("!document.getElementById('pause').hidden")
    browser.see("window.mine = 1; document.querySelector('details').open = true")
    house.ask("first@updated.test")
    browser.await_("document.getElementById('refusals').textContent.includes('updated.test')")
    assert browser.see("[window.mine, document.querySelector('details').open]") == [1, True]
    assert browser.see("document.getElementById('live-state').textContent") == "Live"
    browser.see("document.getElementById('pause').focus()")
    browser.press(" ")
    assert browser.see("document.getElementById('live-state').textContent") == "Paused"
    house.ask("second@paused.test")
    browser.see("new Promise(done => setTimeout(done, 6000))")
    assert not browser.see(
        "document.getElementById('refusals').textContent.includes('paused.test')"
    )
    browser.press("Enter")
    browser.await_("document.getElementById('refusals').textContent.includes('paused.test')")
    assert browser.complaints == []


def test_without_scripts_it_loads_itself_anew(house: House, browser: Chromium) -> None:
    """The page is whole, says so, and has a refresh that only browsers without scripts obey."""
    browser.size(360)
    browser.scripts(on=False)
    try:
        browser.open(house.url)
        refresh = "document.querySelector('meta[http-equiv=refresh]')?.content"
        assert browser.see(refresh) == "30"
        assert "Loads itself every 30 seconds" in browser.see("document.body.innerText")
        assert "Live" not in browser.see("document.querySelector('header').innerText")
        assert browser.see("[...document.querySelectorAll('h2')].length") == len(HEADINGS)
    finally:
        browser.scripts(on=True)
    browser.open(house.url)
    assert browser.see(refresh) is None


def test_a_daemon_that_is_gone_is_noticed(
    make_house: Callable[[str], House], browser: Chromium
) -> None:
    """The page says that there is no answer, and goes on when there is one again."""
    house = make_house("")
    browser.size(1400)
    state = "document.getElementById('live-state').textContent"
    with house.daemon:
        browser.open(house.url)
        browser.await_(f"{state} === 'Live' && !document.getElementById('pause').hidden")
    browser.await_(f"{state} === 'No answer'")
    with house.daemon:
        browser.await_(f"{state} === 'Live'")
