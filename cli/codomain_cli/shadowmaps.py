"""Whether main.cf still asks our maps while shadow mode holds: it cannot be served so.

Maps know no client and cannot let mail through instead of answering, so in shadow mode they
are closed ([policyd] socketmap_listen is empty, or the configuration is refused).  A main.cf
that goes on asking them gets no answer, and Postfix makes all mail wait (451 4.3.0): worse
than what shadow mode is there to avoid.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codomain.shadow import SHADOW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codomain.config import Config

PARAMETERS = (
    "mydestination",
    "relay_domains",
    "relay_recipient_maps",
    "virtual_mailbox_domains",
    "virtual_mailbox_maps",
    "virtual_alias_domains",
    "virtual_alias_maps",
    "local_recipient_maps",
    "transport_maps",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
)
"""The parameters of main.cf in which ``codomain postfix`` or a site may name our maps."""

OURS = ("recipient", "alias", "transport", "access", "domain", "mailbox-domain")
"""The names of the maps that Postfix asks (:mod:`codomain_policyd.reply`); no other socketmap
server that we know has maps of these names."""

_MAP = re.compile(rf"\bsocketmap:(?:unix|inet):[^\s,{{}}]*:(?:{'|'.join(OURS)})(?![^\s,{{}}])")


def shadows(config: Config) -> bool:
    """Tell whether shadow mode holds anywhere."""
    modes: set[str] = {config.codomain.mode}
    modes.update(domain.mode for domain in config.domains)
    modes.update(context.mode for context in config.contexts)
    return SHADOW in modes


def asked(main_cf: Mapping[str, str]) -> list[str]:
    """Return a line about the parameters that ask our maps; none where none does.

    ``main_cf``: the values of :data:`PARAMETERS`, expanded.
    """
    found = [name for name in PARAMETERS if _MAP.search(main_cf.get(name, ""))]
    if not found:
        return []
    named = ", ".join(found)
    why = "asks our maps, which are closed in shadow mode, and all mail would wait"
    return [f"main.cf: {named}: {why}; remove them from there, or write mode = enforce"]
