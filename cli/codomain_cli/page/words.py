"""Numbers and times as the page writes them."""

from __future__ import annotations

import time

from codomain_cli.page.html import Html, tag

MINUTE, HOUR, DAY = 60, 3600, 86_400
"""Seconds."""

TENTHS_BELOW = 10
"""Below this a tenth tells something."""


def number(count: float) -> str:
    """Write a count, its thousands parted."""
    return f"{count:,.0f}"


def rate(count: float, seconds: float) -> str:
    """Write how often something was in a time: per second, or per minute where it is rare."""
    each = count / seconds
    if 0 < each < 1:
        return f"{each * MINUTE:.0f}/min"
    return f"{each:.1f}/s" if 0 < each < TENTHS_BELOW else f"{each:.0f}/s"


def share(part: float, whole: float) -> str:
    """Write a part of a whole in percent."""
    if not whole:
        return "none yet"
    percent = 100 * part / whole
    return f"{percent:.1f}%" if 0 < percent < TENTHS_BELOW else f"{percent:.0f}%"


def ago(seconds: float) -> str:
    """Write how long ago something was."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


def clock(when: float, now: float) -> Html:
    """Write a time of today by its clock, another one with its day."""
    moment, today = time.localtime(when), time.localtime(now)
    same = moment[:3] == today[:3]
    shown = time.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M", moment)
    return tag("time", shown, datetime=time.strftime("%Y-%m-%dT%H:%M:%S%z", moment))
