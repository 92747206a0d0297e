"""What libmilter is told of a reply: code, enhanced code and lines.

libmilter takes a ``%`` for the start of a format, refuses a line of more than 980 octets
or with a line end in it, and more than 32 lines (smfi_setmlreply).  Where the enhanced
code is of another class than the code, the MTA answers something else, so it is left to
the class of the code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codomain.replies import Reply

LINE_OCTETS = 400
"""The most octets of text in one line.  libmilter takes 980; a reply line ends at 512
(RFC 5321 section 4.5.3.1.5), and code, enhanced code, address and CR LF are in it."""

LINES = 32
"""The most lines (smfi_setmlreply; MAX_ML_REPLY of pymilter)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

PREFIX = "Recipient address rejected: "
"""What stands before the text of a recipient's reply, as smtpd writes it itself."""

Told = tuple[str, str, tuple[str, ...]]
"""Code, enhanced code and lines, as setreply takes them."""

BROKEN: Told = (
    "451",
    "4.3.5",
    ("Recipient cannot be checked now: server error, try again later",),
)
"""Our own fault (RFC 3463, X.3.5); it must depend on nothing that can break."""


def told(reply: Reply, prefix: str = PREFIX) -> Told:
    """Return a reply as setreply takes it."""
    text = prefix + reply.text
    enhanced = reply.enhanced
    if enhanced[:1] != str(reply.code)[:1]:
        enhanced = f"{str(reply.code)[:1]}.0.0"
    return str(reply.code), enhanced, tuple(line.replace("%", "%%") for line in lines(text))


def lines(text: str) -> list[str]:
    """Cut a text into lines of plain UTF-8, between words where there are some."""
    clean = _CONTROL.sub(" ", text).encode("utf-8", "replace").decode()
    cut: list[str] = []
    line = ""
    for word in clean.split():
        for piece in _pieces(word):
            longer = f"{line} {piece}" if line else piece
            if len(longer.replace("%", "%%").encode()) > LINE_OCTETS:
                cut.append(line)
                longer = piece
            line = longer
    return [*cut, line][:LINES]


def _pieces(word: str) -> list[str]:
    """Cut a word that no line has room for."""
    if len(word.replace("%", "%%").encode()) <= LINE_OCTETS:
        return [word]
    longest = LINE_OCTETS // 4  # characters: UTF-8 has four octets at most, a doubled % two
    return [word[at : at + longest] for at in range(0, len(word), longest)]
